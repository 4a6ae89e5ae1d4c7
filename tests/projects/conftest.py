"""A small template, so that tests of rendering and planning don't change with the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaffold import paths
from scaffold.projects.template import Template, load_template

_TEMPLATE = """
name: small
version: "1.0"
title: Small
title_ko: 작은 것
summary: A small starter.
summary_ko: 작은 시작.
tasks: [machine-translation]
needs: nothing
torch: true
requires: ["numpy>=2", "pytest>=8"]
shared: [common.py, gitignore.j2]
model: encoder-decoder
presets:
  tiny: {d_model: 64, encoder_layers: 1, decoder_layers: 1, feedforward: 256, vocab_size: 100, max_length: 32,
         effective_batch: 64, learning_rate: 0.01}
  large: {d_model: 1024, encoder_layers: 12, decoder_layers: 12, feedforward: 4096, vocab_size: 32000, max_length: 512,
          effective_batch: 256, learning_rate: 0.0001}
settings:
  title: {type: str, default: none, help: any text}
  learning_rate: {type: float, default: 0.5, min: 0, max: 1, help: step}
  epochs: {type: int, default: 3, min: 1, max: 100, help: rounds}
  metric: {type: str, default: bleu, choices: [bleu, chrf], help: how it is judged}
run: ["python train.py", "python use.py 'a b'"]
"""


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the small template."""
    root = tmp_path / "templates"
    files = {
        "_shared/common.py": "COMMON = 1\n",
        "_shared/gitignore.j2": "runs/\n",
        "_shared/_part.md.j2": "part for {{ project.name }}\n",
        "small/template.yaml": _TEMPLATE,
        "small/train.py": "BRACES = '{{ not rendered }}'\n",
        "small/config.toml.j2": "title = {{ settings.title | toml }}\nbatch = {{ settings.batch_size | toml }}\n",
        "small/README.md.j2": "# {{ project.name }}: {{ template.title }}\n{% include '_part.md.j2' %}\n",
        "small/README.ko.md.j2": "# {{ project.name }}: {{ template.title }} 읽어 보세요\n",
        "small/tests/test_it.py": "def test() -> None: ...\n",
        "small/__pycache__/train.pyc": "x",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(paths, "templates_dir", lambda: root)
    return root


@pytest.fixture
def small(templates: Path) -> Template:
    return load_template("small")
