"""Staging folders: gone afterwards, swept when nobody holds them, left alone while somebody does."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from scaffold import staging
from scaffold.projects.generate import write_project
from scaffold.staging import held, patiently, staging_folder
from tests.references.conftest import leftovers


def test_a_staging_folder_is_gone_afterwards_also_after_an_error(in_tmp: Path) -> None:
    def interrupted() -> None:
        with staging_folder(in_tmp) as folder:
            (folder / "deep/er").mkdir(parents=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert leftovers(in_tmp) == []


def test_a_folder_of_somebody_elses_is_never_swept(in_tmp: Path) -> None:
    (in_tmp / ".scaffold-notes").mkdir()
    (in_tmp / ".scaffold-notes" / "mine.txt").write_text("mine")
    with staging_folder(in_tmp):
        pass
    assert (in_tmp / ".scaffold-notes" / "mine.txt").read_text() == "mine"


def test_what_nobody_holds_is_swept_and_what_somebody_holds_is_not(in_tmp: Path) -> None:
    abandoned = in_tmp / ".scaffold-0123456789ab"
    (abandoned / "repo/.git").mkdir(parents=True)
    with staging_folder(in_tmp) as first, staging_folder(in_tmp) as second:
        assert first != second
        assert first.is_dir()
        assert second.is_dir()
        assert not abandoned.exists()
        assert len(leftovers(in_tmp)) == 4
    assert leftovers(in_tmp) == []


def test_what_is_let_go_of_meanwhile_is_swept_in_the_end(in_tmp: Path) -> None:
    """A git that a killed run was just starting holds that run's lock for a moment longer."""
    theirs = in_tmp / ".scaffold-0123456789ab"
    (theirs / "repo").mkdir(parents=True)
    with contextlib.ExitStack() as here, held(theirs.with_name(f"{theirs.name}.lock")):
        here.enter_context(staging_folder(in_tmp))
        assert theirs.exists()
    assert leftovers(in_tmp) == []


def test_a_lock_is_held_by_one_at_a_time(in_tmp: Path) -> None:
    path = in_tmp / "lock"
    with held(path) as mine:
        assert mine
        with held(path) as theirs:
            assert not theirs
        assert path.exists()
    assert not path.exists()
    with held(path) as again:
        assert again


@pytest.fixture
def as_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """No read-only file and nothing that is open can be removed, nothing is renamed to a name that is taken."""
    unlink, rename = os.unlink, os.rename

    def careful_unlink(path: str | Path, *, dir_fd: int | None = None) -> None:
        found = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        opened = [link.stat() for link in Path("/proc/self/fd").iterdir() if link.exists()]
        if not found.st_mode & stat.S_IWRITE or any(os.path.samestat(found, other) for other in opened):
            raise PermissionError(errno.EACCES, "Access is denied", str(path))
        unlink(path, dir_fd=dir_fd)

    def careful_rename(source: Path, target: Path) -> None:
        if Path(target).exists():
            raise FileExistsError(errno.EEXIST, "Cannot create a file when that file already exists", str(target))
        rename(source, target)

    monkeypatch.setattr(os, "unlink", careful_unlink)
    monkeypatch.setattr(os, "rename", careful_rename)
    monkeypatch.setattr(staging, "_WINDOWS", True)
    monkeypatch.setattr(staging, "_of_any_length", str)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.usefixtures("as_on_windows")
def test_nothing_stays_on_windows_neither_locks_nor_gits_read_only_files(in_tmp: Path) -> None:
    with staging_folder(in_tmp) as folder:
        (folder / ".git/objects").mkdir(parents=True)
        packed = folder / ".git/objects/pack"
        packed.write_text("x")
        packed.chmod(0o444)
    with held(in_tmp / "lock") as mine, held(in_tmp / "lock") as theirs:
        assert (mine, theirs) == (True, False)
    assert list(in_tmp.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.usefixtures("as_on_windows")
def test_a_project_takes_the_place_of_an_empty_folder_on_windows(in_tmp: Path) -> None:
    (in_tmp / "mine").mkdir()
    write_project(in_tmp / "mine", {"a.txt": b"x"})
    assert [path.name for path in in_tmp.rglob("*")] == ["mine", "a.txt"]


def test_a_rename_waits_on_windows_for_who_has_the_file_open(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def act() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise PermissionError(errno.EACCES, "The process cannot access the file")

    with pytest.raises(PermissionError):
        patiently(act)
    monkeypatch.setattr(staging, "_WINDOWS", True)
    patiently(act)
    assert len(tries) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
def test_a_network_folder_of_macos_has_no_locks_and_works(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refused(file: int, operation: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(errno, "EOPNOTSUPP", 102)  # its own number there
    monkeypatch.setattr(fcntl, "flock", refused)
    with held(in_tmp / "lock") as mine:
        assert mine


def test_windows_is_asked_for_deep_folders_by_their_long_name() -> None:
    assert staging._of_any_length(r"C:\deep") == r"\\?\C:\deep"
    assert staging._of_any_length(r"\\server\share\deep") == r"\\server\share\deep"
