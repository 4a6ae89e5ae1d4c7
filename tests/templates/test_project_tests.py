"""The generated projects' own tests: they pass as generated, and each mistake that people make is caught by them.

`mutations/NAME.json` lists mistakes as old and new text in one file. The ones marked `always` run in `make test`, all
of them in `make test-all`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scaffold.hardware.targets import load
from scaffold.projects.create import Choices, create
from scaffold.projects.template import load_template, template_names

_MUTATIONS = Path(__file__).parent / "mutations"
# One thread: these models are small, and two threads on a busy machine wait for each other.
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _mutations() -> list[Any]:
    parameters = []
    for name in template_names():
        for mutation in json.loads((_MUTATIONS / f"{name}.json").read_text(encoding="utf-8")):
            marks = [] if mutation.get("always") else [pytest.mark.slow]
            parameters.append(pytest.param(name, mutation, marks=marks, id=f"{name}: {mutation['name']}"))
    return parameters


def _generated(name: str, folder: Path, language: str = "en") -> Path:
    project = folder / "project"
    choices = Choices(target="cpu-8gb", language=language, git=False)
    create(load_template(name), project, load("cpu-8gb"), [], choices)
    return project


def _own_tests(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"],
        cwd=project,
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.mark.parametrize("language", ["en", pytest.param("ko", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", template_names())
def test_the_projects_own_tests_pass(tmp_path: Path, name: str, language: str) -> None:
    answer = _own_tests(_generated(name, tmp_path, language))
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(("name", "mutation"), _mutations())
def test_the_projects_own_tests_catch(tmp_path: Path, name: str, mutation: dict[str, Any]) -> None:
    project = _generated(name, tmp_path)
    path = project / mutation["file"]
    code = path.read_text(encoding="utf-8")
    assert code.count(mutation["old"]) >= 1, "the mutation no longer fits the code"
    path.write_text(code.replace(mutation["old"], mutation["new"]), encoding="utf-8")
    compile(path.read_text(encoding="utf-8"), str(path), "exec")
    answer = _own_tests(project)
    assert answer.returncode == 1, f"nothing noticed: {mutation['name']}\n{answer.stdout}"


@pytest.mark.parametrize("name", template_names())
def test_the_code_is_clean_where_it_lands(tmp_path: Path, name: str) -> None:
    project = _generated(name, tmp_path)
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "."]
    answer = subprocess.run(ruff, cwd=project, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
