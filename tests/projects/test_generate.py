from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaffold.errors import RefusedError, ScaffoldError, UsageError
from scaffold.projects.generate import write_project
from scaffold.projects.provenance import FILE
from tests.conftest import REPOSITORY

FILES = {"README.md": b"# hello\n", "train.py": b"print('train')\n", "tests/test_it.py": b"def test(): pass\n"}


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["project", "with a space", "한글 프로젝트", "a/deep/er/one"])
def test_a_new_folder_holds_exactly_the_files(tmp_path: Path, name: str) -> None:
    write_project(tmp_path / name, FILES)
    assert _tree(tmp_path / name) == FILES
    assert len(_tree(tmp_path)) == len(FILES)


def test_an_empty_folder_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("empty", "here"):
        (tmp_path / name).mkdir()
    write_project(tmp_path / "empty", FILES)
    monkeypatch.chdir(tmp_path / "here")
    write_project(Path(), FILES)
    assert _tree(tmp_path / "empty") == _tree(tmp_path / "here") == FILES
    assert Path("train.py").exists(), "the working directory is still the one that was filled"


def test_a_folder_that_holds_something_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty") as error:
        write_project(tmp_path, FILES)
    assert "--force" in (error.value.hint or "")
    assert _tree(tmp_path) == {"mine.txt": b"mine"}


def test_a_file_or_a_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(UsageError):
            write_project(tmp_path / name, FILES, force=True)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", ".git", "x/.GIT/hooks"])
def test_names_that_no_project_should_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError):
        write_project(tmp_path / name, FILES, force=True)
    assert list(tmp_path.iterdir()) == []


def test_force_keeps_what_scaffold_did_not_write(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("my own words")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "mine.py").write_text("mine")
    write_project(tmp_path, FILES, force=True)
    expected = {**FILES, "README.md.bak": b"my own words", "tests/mine.py": b"mine"}
    assert _tree(tmp_path) == expected
    (tmp_path / "README.md").write_text("changed again")
    write_project(tmp_path, FILES, force=True)
    assert _tree(tmp_path) == {**expected, "README.md.bak2": b"changed again"}


def test_force_replaces_what_scaffold_wrote_and_nobody_changed(tmp_path: Path) -> None:
    import hashlib
    import json

    record = {"files": {"train.py": hashlib.sha256(FILES["train.py"]).hexdigest()}}
    first = {**FILES, FILE: json.dumps(record).encode()}
    write_project(tmp_path / "project", first)
    newer = {**FILES, "train.py": b"print('newer')\n"}
    write_project(tmp_path / "project", newer, force=True)
    assert (tmp_path / "project" / "train.py").read_bytes() == b"print('newer')\n"
    assert not (tmp_path / "project" / "train.py.bak").exists()


@pytest.mark.parametrize("in_the_way", ["folder", "link"])
def test_force_does_not_write_through_links_or_over_folders(tmp_path: Path, in_the_way: str) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("outside")
    project = tmp_path / "project"
    project.mkdir()
    (project / "README.md").write_text("mine")
    target = project / "train.py"
    target.mkdir() if in_the_way == "folder" else target.symlink_to(outside)
    before = _tree(tmp_path)
    with pytest.raises(UsageError, match="in the way"):
        write_project(project, FILES, force=True)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("number", range(len(FILES)))
@pytest.mark.parametrize("exists", [False, True], ids=["new", "forced"])
def test_trouble_at_any_file_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, exists: bool
) -> None:
    if exists:
        (tmp_path / "project").mkdir()
        (tmp_path / "project" / "train.py").write_text("mine")
    before = _tree(tmp_path)
    calls = iter(range(100))
    # The staged write fails for a new project; for a forced one the move does, half-way through.
    method = "replace" if exists else "write_bytes"
    real = getattr(Path, method)

    def failing(self: Path, *arguments: object) -> object:
        if next(calls) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return real(self, *arguments)

    monkeypatch.setattr(Path, method, failing)
    with pytest.raises(ScaffoldError, match="no space left"):
        write_project(tmp_path / "project", FILES, force=True)
    monkeypatch.undo()
    assert _tree(tmp_path) == before
    assert not list(tmp_path.glob(".scaffold-*"))
    assert (tmp_path / "project").exists() == exists


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ScaffoldError):
        write_project(tmp_path / "file" / "project", FILES)


_SLOW_GENERATION = """
import sys, time
from pathlib import Path
from scaffold.projects.generate import write_project
print("ready", flush=True)
files = {f"file{n}.txt": b"x" * 1000 for n in range(400)}
write_project(Path(sys.argv[1]), files, finish=lambda project: time.sleep(0.2))
"""


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda sig: sig.name)
def test_a_killed_run_leaves_the_destination_untouched_or_complete(tmp_path: Path, kill: signal.Signals) -> None:
    project = tmp_path / "project"
    for attempt in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", _SLOW_GENERATION, str(project)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 + 0.04 * attempt)
        process.send_signal(kill)
        process.communicate(timeout=30)
        if project.exists():
            assert len(_tree(project)) == 400
            break
        if kill is signal.SIGINT:
            assert not list(tmp_path.glob(".scaffold-*")), "Ctrl-C cleans up itself"
    write_project(tmp_path / "next", FILES)
    assert not list(tmp_path.glob(".scaffold-*")), "the next run removes what nobody holds"


def test_staging_of_a_live_run_is_left_alone(tmp_path: Path) -> None:
    seen: list[bool] = []

    def another_run(staged: Path) -> None:
        write_project(tmp_path / "second", FILES)
        seen.append(staged.is_dir())

    write_project(tmp_path / "first", FILES, finish=another_run)
    assert seen == [True]
    assert _tree(tmp_path / "first") == _tree(tmp_path / "second") == FILES


def test_two_runs_into_one_destination_one_wins_whole(tmp_path: Path) -> None:
    def other_is_faster(_: Path) -> None:
        write_project(tmp_path / "project", {"winner.txt": b"first"})

    with pytest.raises(ScaffoldError, match="meanwhile") as raised:
        write_project(tmp_path / "project", FILES, finish=other_is_faster)
    assert raised.value.exit_code == 1
    assert _tree(tmp_path) == {"project/winner.txt": b"first"}
