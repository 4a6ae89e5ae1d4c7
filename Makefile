# Everything here needs only Python 3.11+, git and make. The tools and torch go into .venv, which is made once and reused.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# Exact versions for development; nested installs (build environments, the wheel test) obey them too.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# On Linux the CPU build of torch is a tenth of what PyPI has. Where this index can't be reached, pip goes on without it.
TORCH_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: help demo test test-all lint docs bench clean

help:
	@echo "make demo      set up, then search, generate a starter and train it, all offline"
	@echo "make test      set up, then lint and test (about twelve minutes from nothing, on two cores)"
	@echo "make test-all  the long tests as well"
	@echo "make bench     start-up, generation and clone beside their floors and peers"
	@echo "make lint      ruff and mypy"
	@echo "make docs      write the commands' help into docs/commands.md"
	@echo "make clean     remove what was made, .venv too"

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; say which one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(PY) || { echo "Making $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing into $(VENV); the first time takes some minutes (torch is large) ..."
	@$(PY) -m pip install --quiet --upgrade pip
	@$(PY) -m pip install --quiet --retries 1 --extra-index-url $(TORCH_INDEX) torch
	@$(PY) -m pip install --quiet --editable '.[starters]' --group dev
	@touch $@

# The main job without a network: search, generate a starter, train it for some seconds, use it.
demo: $(VENV)/.ready
	@rm -rf demo && mkdir demo
	@echo '$$ scaffold search "machine translation" --limit 6'
	@$(VENV)/bin/scaffold search --offline "machine translation" --limit 6
	@echo; echo '$$ scaffold start 번역 demo/my-translator --yes'
	@$(VENV)/bin/scaffold start 번역 demo/my-translator --yes --offline
	@echo; echo "The demo has what those commands install already, so on to training: a short run of 1,200 updates."
	@echo '$$ python train.py --steps 1200'
	@cd demo/my-translator && ../../$(PY) train.py --steps 1200
	@echo; echo '$$ python translate.py "March 5, 2024" "이천이십사년 삼월 오일"'
	@cd demo/my-translator && ../../$(PY) translate.py "March 5, 2024" "이천이십사년 삼월 오일"
	@echo; echo "That was a short run. Go on with it:"
	@echo "  cd demo/my-translator"
	@echo "  ../../$(PY) train.py --resume"
	@echo "  ../../$(PY) translate.py \"5 March 2024\""
	@echo "Or take another topic:"
	@echo "  $(VENV)/bin/scaffold start nlp"

# One worker for each core; tests that share something expensive, such as an installed wheel, stay together.
WORKERS := --numprocesses auto --dist loadgroup

test: $(VENV)/.ready lint
	$(PY) -m pytest -m "not slow" $(WORKERS)

test-all: $(VENV)/.ready lint
	$(PY) -m pytest $(WORKERS)

lint: $(VENV)/.ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/.ready
	$(PY) docs/write_commands.py

bench: $(VENV)/.ready
	$(PY) benchmarks/startup.py
	$(PY) benchmarks/generation_time.py
	$(PY) benchmarks/clone.py

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .ruff_cache .mypy_cache .hypothesis
