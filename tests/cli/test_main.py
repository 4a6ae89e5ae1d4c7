from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scaffold import __version__
from scaffold.cli.main import COMMANDS, group
from tests.conftest import REPOSITORY, Answer

_HEAVY = ("rich", "jinja2", "yaml", "github", "git", "requests", "torch", "sqlite3", "transformers", "sklearn")


def _scaffold(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scaffold", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "scaffold", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in answer.stderr.splitlines()}
    assert "click" in imported
    assert not imported & set(_HEAVY)


def test_version_does_not_even_import_click() -> None:
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "scaffold", "--version"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.stdout == f"scaffold {__version__}\n"
    assert "click" not in answer.stderr


def test_a_search_at_no_terminal_needs_neither_rich_nor_yaml(isolated: Path) -> None:
    assert _scaffold("search", "nlp", "--offline").returncode == 0  # builds the index, for which YAML is read
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "scaffold", "search", "nlp", "--offline"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in answer.stderr.splitlines()}
    assert "sqlite3" in imported
    assert not imported & {"rich", "jinja2", "yaml", "github", "git", "requests"}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_in_the_overview_what_it_does(name: str) -> None:
    command = group.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.help
    assert COMMANDS[name].endswith(".")
    assert {"--json", "--debug"} <= {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["serach", "nlp"], 2, "Did you mean `scaffold search`?"),
        (["search"], 2, "Missing argument"),
        (["search", "nlp", "--limt", "3"], 2, "--limit"),
        (["search", "nlp", "--limit", "none"], 2, "is not a valid integer"),
        (["search", "nlp", "--task", "nlpp"], 2, "Did you mean nlp"),
        (["show", "nobody/nothing"], 3, "the index does not know nobody/nothing"),
        (["show", "nlp"], 2, "owner/name"),
        (["new", "transfomer", "x"], 2, "Did you mean transformer?"),
        (["new", "../evil", "x"], 4, "not trusted"),
        (["plan", "gpt2", "--target", "rtx-409"], 2, "rtx-4090"),
        (["plan", "gpt2", "--set", "batch"], 2, "expected KEY=VALUE"),
    ],
)
def test_errors_are_lines_with_the_right_exit_code(
    scaffold: Callable[..., Answer], arguments: list[str], code: int, said: str
) -> None:
    for extra in ([], ["--json"]):
        answer = scaffold(*arguments, *extra)
        assert answer.code == code
        assert said in answer.err
        assert answer.out == ""
        assert "Traceback" not in answer.err


def test_a_broken_catalog_is_one_error_with_file_and_line(
    scaffold: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "catalog.yaml"
    broken.write_text("tasks: {}\nlists:\n  - repo: nonsense\nprojects: []\n")
    monkeypatch.setenv("SCAFFOLD_CATALOG", str(broken))
    answer = scaffold("search", "nlp")
    assert answer.code == 1
    assert f"{broken}:3: " in answer.err
    assert "Traceback" not in answer.err


def test_an_unexpected_error_is_a_line_and_a_traceback_only_with_debug(
    scaffold: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError("at the worst moment")

    monkeypatch.setattr("scaffold.discovery.index.open_index", fail)
    answer = scaffold("search", "nlp")
    assert answer.code == 1
    assert "at the worst moment" in answer.err
    assert "--debug" in answer.err
    assert "Traceback" not in answer.err
    debugged = scaffold("search", "nlp", "--debug")
    assert (debugged.code, debugged.out) == (1, "")
    assert debugged.err.startswith("Traceback")
    assert debugged.err.endswith(answer.err)
    assert scaffold("plan", "nope", "--debug").code == 2


@pytest.mark.skipif(os.name == "nt", reason="a folder that is in use cannot be removed")
def test_a_working_directory_that_is_gone_is_said(
    scaffold: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    answer = scaffold("new", "sklearn", "project")
    assert answer.code == 1
    assert answer.err.startswith("error: the folder that you are in is not there any more\n")


def test_a_console_that_cannot_show_korean_still_gets_an_answer() -> None:
    answer = _scaffold("search", "강화학습", PYTHONIOENCODING="ascii")
    assert answer.returncode == 0, answer.stderr
    assert "Farama-Foundation/Gymnasium" in answer.stdout


def test_ctrl_c_is_130(scaffold: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scaffold.discovery.index.open_index", interrupt)
    assert scaffold("search", "nlp").code == 130


def test_an_interrupt_inside_generated_code_is_130_as_well(tmp_path: Path) -> None:
    interrupted = """
import runpy, sys
from scaffold.cli import main
def run(arguments):
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        return 130
main.run = run
sys.argv = ["scaffold", "search", "nlp"]
runpy.run_module("scaffold", run_name="__main__")
"""
    (tmp_path / "interrupted.py").write_text(interrupted, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])}
    answer = subprocess.run([sys.executable, "-m", "interrupted"], env=environment, check=False)
    assert answer.returncode == 130


@pytest.mark.parametrize("arguments", [["templates", "--json"], ["hardware"], ["--help"]], ids=" ".join)
def test_a_reader_that_goes_away_is_no_error(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    answer = subprocess.run(
        [sys.executable, "-m", "scaffold", *arguments],
        cwd=REPOSITORY,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (answer.returncode, answer.stderr) == (0, b"")


@pytest.mark.skipif(os.name == "nt", reason="a shell that closes streams")
def test_closed_streams_are_no_error(in_tmp: Path) -> None:
    command = f"PYTHONPATH={REPOSITORY} {sys.executable} -m scaffold"
    for streams, arguments, code in ((">&-", "templates", 0), ("<&- >&- 2>&-", "plan nope", 2)):
        answer = subprocess.run(f"{command} {arguments} {streams}", shell=True, capture_output=True, check=False)
        assert (answer.returncode, answer.stdout, answer.stderr) == (code, b"", b"")
