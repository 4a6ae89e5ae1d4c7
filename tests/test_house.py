"""The rules of the house, read off the code: who may import whom, and who may talk."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.version import Version

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "scaffold"
MODULES = sorted(PACKAGE.rglob("*.py"))
BELOW_CLI = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] not in ("cli", "__main__.py")]

# Each room and what it may import of scaffold besides itself. Arrows run down only.
_GROUND = {"errors", "paths", "programs", "settings", "repository", "staging", ""}
_ARROWS = {
    "discovery": _GROUND | {"github"},
    "references": _GROUND | {"vcs", "github", "hardware"},
    "github": {"errors", "paths", "settings", "repository"},
    "projects": _GROUND | {"hardware", "vcs"},
    "hardware": {"errors", "paths", "settings"},
    "vcs": {"errors", "paths", "programs", "settings", "repository", "staging"},
    "staging": set(),
    "repository": {"errors"},
    "settings": {"errors", "programs"},
    "programs": set(),
    "paths": set(),
    "errors": set(),
}


def _name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", [path for path in MODULES if _room(path) in _ARROWS], ids=_name)
def test_arrows_run_down_only(path: Path) -> None:
    room = _room(path)
    for imported in _imports(path):
        if imported.startswith("scaffold."):
            other = imported.split(".")[1]
            own_version = other == "__version__"
            assert other == room or own_version or other in _ARROWS[room], f"{room} must not import {imported}"


@pytest.mark.parametrize("path", BELOW_CLI, ids=_name)
def test_nothing_below_the_command_line_prints_asks_or_exits(path: Path) -> None:
    assert not {"click", "rich"} & {name.split(".")[0] for name in _imports(path)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in {"print", "input", "sys.exit", "exit", "quit", "os._exit"}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_one_module_calls_git(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if _room(path) != "vcs":
        assert "git" not in {name.split(".")[0] for name in _imports(path)}
        # Nor as a program: a command is a list or tuple that begins with its name.
        for node in ast.walk(tree):
            if isinstance(node, ast.List | ast.Tuple) and len(node.elts) > 1:
                assert not (isinstance(node.elts[0], ast.Constant) and node.elts[0].value == "git"), ast.unparse(node)


@pytest.mark.parametrize("path", [path for path in MODULES if _room(path) == "vcs"], ids=_name)
def test_git_is_given_words_only_through_the_runner(path: Path) -> None:
    """No shell, no method of GitPython's that builds a command of its own, and none of its safety catches undone."""
    text = path.read_text(encoding="utf-8")
    for word in ("allow_unsafe", "shell=True", "clone_from", "os.system", "Repo(", "Repo."):
        assert word not in text, word
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not called.startswith("subprocess."), called
            assert not called.endswith(".execute") or path.name == "process.py", called


def test_gitpython_is_at_least_what_was_looked_at() -> None:
    """Each of its releases mends holes of the one before: the floor is the newest there was when it was looked at."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (floor,) = (text.partition(">=")[2] for text in project["dependencies"] if text.startswith("GitPython"))
    pinned = re.search(r"^GitPython==(.+)$", (REPOSITORY / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None
    assert Version(floor) >= Version("3.2.1")
    assert Version(floor) <= Version(pinned[1]) <= Version(importlib.metadata.version("GitPython"))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_one_room_talks_to_github(path: Path) -> None:
    if _room(path) != "github":
        assert not {"github", "requests", "requests_cache", "urllib3"} & {name.split(".")[0] for name in _imports(path)}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_nothing_names_the_machine_it_was_made_on() -> None:
    templates = (path for path in (REPOSITORY / "templates").rglob("*") if path.suffix in (".py", ".j2", ".yaml"))
    for path in (*MODULES, *REPOSITORY.glob("*.md"), *templates):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "/work/" not in text, path
            assert "/root/" not in text, path
