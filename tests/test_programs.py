"""How programs are found, ended and typed; what Windows does otherwise, as far as it can be tried elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scaffold import programs
from scaffold.cli.after_clone import Aftermath
from scaffold.cli.output import Output
from scaffold.hardware.machine import Machine
from scaffold.references.howto import Environment, read_howto


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WINDOWS", True)


@pytest.mark.usefixtures("windows")
def test_on_windows_no_program_of_the_folder_where_one_stands_is_found(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "git.exe").touch()
    (in_tmp / "programs").mkdir()
    monkeypatch.setenv("PATH", ":.")
    assert programs.find("git") is None
    (in_tmp / "programs/git.exe").touch()
    monkeypatch.setenv("PATH", f".:{in_tmp / 'programs'}")
    assert programs.find("git") == str(in_tmp / "programs/git.exe")


@pytest.mark.usefixtures("windows")
def test_on_windows_a_process_ends_with_all_that_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: told.append(command))
    programs.end(process, politely=True)
    process.wait(10)
    programs.end(process)
    assert [command[1:] for command in told] == [["/T", "/F", "/PID", str(process.pid)]]


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        (r"D:\AI 공부\번역", r'"D:\AI 공부\번역"'),
        (r"OneDrive\번역", r"OneDrive\번역"),
        ("copy(2)", '"copy(2)"'),
        ("R&D", '"R&D"'),
        ("it's", '"it\'s"'),
        ("8xh100", "8xh100"),
    ],
)
def test_a_word_is_quoted_as_both_of_windows_shells_take_it(word: str, typed: str) -> None:
    assert programs.quoted(word, windows=True) == typed


@pytest.mark.usefixtures("windows")
def test_the_launcher_is_named_only_where_it_is(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(in_tmp))
    assert programs.python(windows=True) == "python"  # the Store's Python comes without it
    (in_tmp / "py.exe").touch()
    assert programs.python(windows=True) == "py"


def test_windows_is_told_how_a_reference_is_installed_and_begun(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = in_tmp / "a b"
    folder.mkdir()
    (folder / "requirements.txt").write_text("numpy>=2\n")
    (folder / "train.py").write_text("print('x')\n")
    howto: Any = read_howto(folder, python=(3, 12), machine=Machine(os="windows"))
    assert [command.text for command in howto.install.commands] == [
        "py -m venv .venv",
        r".venv\Scripts\activate",
        r".venv\Scripts\python -m pip install -r requirements.txt",
    ]
    for module in ("scaffold.cli.after_clone", "scaffold.programs"):
        monkeypatch.setattr(f"{module}.WINDOWS", True)
    environment = Environment(folder / ".venv", folder / "python.exe", "requirements.txt")
    Aftermath(Path("a b"), howto, environment).show(Output())
    assert capsys.readouterr().out.endswith('Installed: begin with\n  cd "a b"\n  .venv\\Scripts\\activate\n')
