"""What a user writes into a setting of the sklearn starter stays a value: no code changes, nothing runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scaffold.hardware.targets import load
from scaffold.projects.create import Choices, create
from scaffold.projects.template import load_template

_HOSTILE = '"""; import os #\n{{ 7*7 }} {% raw %} 🙂 \\ \' $(touch made) ${HOME} \x7f'
_RENDERED = {"config.toml", "README.md", "pyproject.toml", ".scaffold.json"}


def _generated(folder: Path, language: str, chosen: dict[str, str]) -> Path:
    choices = Choices(target="cpu-8gb", language=language, git=False, set=chosen)
    create(load_template("sklearn"), folder, load("cpu-8gb"), [], choices)
    return folder


@pytest.mark.parametrize("language", ["en", "ko"])
def test_hostile_settings_change_no_code(tmp_path: Path, language: str) -> None:
    names = ("data_path", "target", "group", "encoding")
    plain = _generated(tmp_path / "plain" / "shop", language, {})
    hostile = _generated(tmp_path / "hostile" / "shop", language, dict.fromkeys(names, _HOSTILE))
    files = sorted(path.relative_to(plain).as_posix() for path in plain.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(hostile).as_posix() for path in hostile.rglob("*") if path.is_file())
    changed = {name for name in files if (plain / name).read_bytes() != (hostile / name).read_bytes()}
    assert changed <= _RENDERED
    data = tomllib.loads((hostile / "config.toml").read_text(encoding="utf-8"))["data"]
    assert [data[name] for name in ("path", "target", "group", "encoding")] == [_HOSTILE] * 4
    for name in files:
        assert "{{" not in (hostile / name).read_text(encoding="utf-8"), name


def test_a_run_with_hostile_settings_ends_in_one_line(tmp_path: Path) -> None:
    project = _generated(tmp_path / "hostile", "en", {"data_path": _HOSTILE, "target": _HOSTILE})
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    answer = subprocess.run(
        [sys.executable, "train.py"], cwd=project, env=environment, capture_output=True, text=True, timeout=300
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: ")
    assert "Traceback" not in answer.stderr
    assert not list(tmp_path.rglob("made"))
