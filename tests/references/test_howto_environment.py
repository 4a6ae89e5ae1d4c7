"""An environment for a reference: real installations of tiny packages, and nothing left behind where they fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaffold.errors import RefusedError, ScaffoldError
from scaffold.references.howto import Environment, make_environment, read_howto
from tests.git_server import git
from tests.references.conftest import processes_about
from tests.references.test_howto import build

PYTHON = (sys.version_info.major, sys.version_info.minor)
# A build backend of a few lines, so that nothing has to be fetched.
_BACKEND = """
import os
import zipfile

def _wheel(folder, files):
    info = "tiny_nets-1.0.dist-info"
    files = {
        **files,
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: tiny-nets\\nVersion: 1.0\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\\n" for name in files) + f"{info}/RECORD,,\\n"
    name = "tiny_nets-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name

def build_wheel(folder, settings=None, metadata=None):
    raise SystemExit("only editable")

def build_editable(folder, settings=None, metadata=None):
    {hook}
    return _wheel(folder, {"tiny_nets.pth": os.getcwd()})
"""
_PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny-nets"
version = "1.0"
"""


def _package(folder: Path, hook: str = "pass", **more: str) -> Path:
    files = {"pyproject.toml": _PROJECT, "backend.py": _BACKEND.replace("{hook}", hook), "tiny_nets.py": "SIZE = 3\n"}
    return build(folder, {**files, **more})


def _make(folder: Path, **options: Any) -> Environment:
    return make_environment(folder, read_howto(folder, python=PYTHON), **options)


def _run(environment: Environment, code: str) -> str:
    command = [str(environment.python), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=environment.path).stdout.strip()


@pytest.fixture(autouse=True)
def without_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No index to ask: only the wheels of a folder. Returns it."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    (tmp_path / "wheels").mkdir()
    return tmp_path / "wheels"


def _add_wheel(folder: Path, name: str) -> None:
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "SIZE = 5\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_a_package_is_installed_editable_and_git_sees_nothing_of_it(tmp_path: Path) -> None:
    folder = _package(tmp_path / "repo")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=x", "-c", "user.email=x@e.example", "commit", "-qm", "x")
    (folder / ".git" / "info" / "exclude").write_text("mine")
    said: list[str] = []
    environment = _make(folder, on_progress=said.append)
    assert environment.path == folder / ".venv"
    assert environment.source == "pyproject.toml"
    assert _run(environment, "import tiny_nets, sys; print(tiny_nets.SIZE, sys.prefix)") == f"3 {environment.path}"
    assert git(folder, "status", "--porcelain") == ""
    assert (folder / ".git" / "info" / "exclude").read_text().split("\n")[:2] == ["mine", "/.venv/"]
    assert any("tiny-nets" in line for line in said)


def test_requirements_and_what_a_readme_names_are_installed(tmp_path: Path, without_index: Path) -> None:
    _add_wheel(without_index, "knots")
    listed = build(tmp_path / "listed", {"requirements.txt": "knots==1.0\n"})
    named = build(tmp_path / "named", {"README.md": "# Install\n```\npip install knots\n```\n"})
    for folder in (listed, named):
        assert _run(_make(folder), "import knots; print(knots.SIZE)") == "5"


def test_modules_of_the_repository_are_not_taken_for_tools(tmp_path: Path) -> None:
    trap = "open('sprung', 'w')\n"
    folder = _package(tmp_path / "repo", **{"venv.py": trap, "pip.py": trap, "ensurepip/__init__.py": trap})
    assert _run(_make(folder), "import sys; print(1)") == "1"
    assert not (folder / "sprung").exists()


def test_tokens_are_not_given_to_the_repository_s_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")
    monkeypatch.setenv("GH_TOKEN", "s3cret")
    folder = _package(tmp_path / "repo", hook="open('seen', 'w').write(repr(dict(os.environ)))")
    _make(folder)
    assert "s3cret" not in (folder / "seen").read_text()


def test_a_failure_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    folder = _package(tmp_path / "repo", hook="raise SystemExit('the \\x1b[31mreason\\x1b[0m why')")
    with pytest.raises(ScaffoldError, match=r"pip install -e \. failed:[^\x1b]*why") as caught:
        _make(folder)
    assert "\x1b" not in caught.value.message
    assert not (folder / ".venv").exists()
    with pytest.raises(ScaffoldError, match="no-such-knots"):
        _make(build(tmp_path / "other", {"requirements.txt": "no-such-knots\n"}))


def test_a_time_limit_ends_all_of_it(tmp_path: Path) -> None:
    marker = f"sleeper_{os.getpid()}"
    hook = f"__import__('subprocess').run(['python3', '-c', 'import time; time.sleep(60)', '{marker}'])"
    folder = _package(tmp_path / "repo", hook=hook)
    began = time.monotonic()
    with pytest.raises(ScaffoldError, match="took too long"):
        _make(folder, seconds=8)
    assert time.monotonic() - began < 20
    assert not (folder / ".venv").exists()
    assert not _running(marker)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_control_c_leaves_no_half_environment(tmp_path: Path) -> None:
    marker = f"waiter_{os.getpid()}"
    hook = f"__import__('subprocess').run(['python3', '-c', 'import time; time.sleep(60)', '{marker}'])"
    folder = _package(tmp_path / "repo", hook=hook)
    watcher = threading.Thread(target=_interrupt_once, args=(lambda: _running(marker),))
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        _make(folder)
    watcher.join()
    assert not (folder / ".venv").exists()
    assert not _running(marker)


def _interrupt_once(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and not ready():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


def _running(marker: str) -> bool:
    end = time.monotonic() + 1
    while time.monotonic() < end:
        if not any("sleep" in line for line in processes_about(marker)):
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_what_is_called_venv_already_is_left_alone(kind: str, tmp_path: Path) -> None:
    folder = _package(tmp_path / "repo")
    place = folder / ".venv"
    if kind == "folder":
        build(place, {"mine": "x"})
    elif kind == "link":
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.write_text("x")
    with pytest.raises(RefusedError, match=r"has a \.venv already"):
        _make(folder)
    assert os.path.lexists(place)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("files", "told", "hint"),
    [
        (
            {"environment.yml": "dependencies: [python=3.8]\n"},
            "installed by conda",
            "conda env create -f environment.yml",
        ),
        ({"Dockerfile": "FROM debian\n"}, "installed by docker", "docker build"),
        ({"poetry.lock": "", "pyproject.toml": '[tool.poetry]\nname="x"\n'}, "installed by poetry", "poetry install"),
        (
            {"README.md": "# Install\n```\npip install git+https://e.example/x\n```\n"},
            "its README gives",
            "pip install",
        ),
        ({"README.md": "# Knots\n"}, "do not say how", "README"),
        ({"pyproject.toml": '[project]\nname="x"\nrequires-python=">=3.99"\n'}, "asks for Python >=3.99", "by hand"),
    ],
)
def test_what_pip_alone_cannot_do_is_said(files: dict[str, str], told: str, hint: str, tmp_path: Path) -> None:
    folder = build(tmp_path / "repo", files)
    with pytest.raises(ScaffoldError, match=told) as caught:
        _make(folder)
    assert hint in (caught.value.hint or "")
    assert not (folder / ".venv").exists()


def test_what_uv_locks_pip_installs_too(tmp_path: Path) -> None:
    folder = _package(tmp_path / "repo", **{"uv.lock": "version = 1\n"})
    assert _run(_make(folder), "import tiny_nets; print(tiny_nets.SIZE)") == "3"


def test_a_readme_in_korean_is_read_whatever_the_code_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many a setup.py does, which then fails on a Windows in Korean."""
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONCOERCECLOCALE", "0")
    monkeypatch.setenv("PYTHONUTF8", "0")
    folder = _package(tmp_path / "repo", "open('README.md').read()", **{"README.md": "# 작은 그물 — 🙂\n"})
    assert _run(_make(folder), "import tiny_nets; print(tiny_nets.SIZE)") == "3"
