"""What all tests share: scaffold's own files in a temporary folder, and the command line as a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scaffold.cli.main import run

REPOSITORY = Path(__file__).parent.parent
_ENDPOINTS = ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_API_URL", "GITHUB_SERVER_URL", "SCAFFOLD_RAW_URL", "SCAFFOLD_CATALOG")
_LONGEST = ("test_project_tests.py", "test_wheel.py")
_MACHINE = ("SCAFFOLD_TARGET", "SCAFFOLD_HARDWARE")


@dataclass(frozen=True)
class Answer:
    """What a command line gave: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as one JSON document."""
        return json.loads(self.out)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that take minutes come first, so that no worker begins one when the others are done."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's folders or sees the user's tokens. Returns scaffold's home."""
    home = tmp_path_factory.mktemp("home")
    for name in (*_ENDPOINTS, *_MACHINE):
        monkeypatch.delenv(name, raising=False)
    # A port that refuses at once: no test asks the real GitHub.
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SCAFFOLD_RAW_URL", "http://127.0.0.1:9/raw")
    monkeypatch.setenv("SCAFFOLD_HOME", str(home / "scaffold"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    return home / "scaffold"


@pytest.fixture
def scaffold(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs one command line in this process."""

    def call(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
