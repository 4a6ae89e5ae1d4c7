"""Folders in which something is made before it takes its place, and locks that end with the process that holds them."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_PREFIX = ".scaffold-"
_LOCK_SUFFIX = ".lock"
_OURS = re.compile(r"\.scaffold-[0-9a-f]{12}(?:\.lock)?")
_SWEEP_SECONDS = 3.0
_BUSY_SECONDS = 3.0
_WINDOWS = os.name == "nt"


@contextlib.contextmanager
def staging_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent` that no other run touches, and that is gone afterwards with all that is left in it.

    What earlier runs left in `parent` without an end of their own (a kill, a power cut) is removed first.

    Raises:
        OSError: `parent` cannot be written to.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    while True:
        folder = parent / f"{_PREFIX}{secrets.token_hex(6)}"
        with held(folder.with_name(folder.name + _LOCK_SUFFIX)) as mine:
            if not mine:
                continue
            folder.mkdir()
            try:
                yield folder
            finally:
                remove(folder)
                # Once more: a git that a killed run was just starting held that run's lock, or brought its folder back.
                _sweep(parent)
            return


@contextlib.contextmanager
def held(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a lock file, which is there only while somebody holds it.

    Yields:
        True, or False where another process holds it and `wait` is not set.
    """
    file = _acquire(path, wait=wait)
    try:
        yield file is not None
    finally:
        if file is not None:
            if _WINDOWS:  # nothing that is open can be removed there: once another has it open, this does nothing
                os.close(file)
            with contextlib.suppress(OSError):
                path.unlink()
            if not _WINDOWS:
                os.close(file)


def _acquire(path: Path, *, wait: bool) -> int | None:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            locked = _lock(file)
            # The one who held it before may have removed it meanwhile: then this is a lock on a file that is gone.
            if locked and (_WINDOWS or (path.exists() and os.path.samestat(os.fstat(file), path.stat()))):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if not locked and not wait:
            return None
        time.sleep(0.01)


def _lock(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        # Some network file systems have no locks; one run at a time works there as well.
        if error.errno not in {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}:
            raise
    return True


def _sweep(parent: Path) -> None:
    """Remove the staging folders that nobody holds."""
    for folder in parent.glob(f"{_PREFIX}*"):
        if not _OURS.fullmatch(folder.name):
            continue
        lock = folder if folder.name.endswith(_LOCK_SUFFIX) else folder.with_name(folder.name + _LOCK_SUFFIX)
        with contextlib.suppress(OSError), held(lock) as mine:
            if mine:
                remove(lock.with_name(lock.name.removesuffix(_LOCK_SUFFIX)))


def remove(folder: Path) -> None:
    """Remove a folder that may not be there, also while a git that outlived its scaffold still writes into it."""
    end = time.monotonic() + _SWEEP_SECONDS
    if _WINDOWS:
        folder = Path(_of_any_length(str(folder.absolute())))
    while folder.exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            if _WINDOWS:
                _make_writable(folder)
            time.sleep(0.05)


def patiently(act: Callable[[], object]) -> None:
    """Rename something that is new, also where Windows does not permit it yet.

    There a virus scanner, an indexer or a cloud's client has new files open for a moment, and then neither they nor the
    folder around them can be renamed.
    """
    end = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            act()
            return
        except PermissionError:
            if not _WINDOWS or time.monotonic() > end:
                raise
        time.sleep(0.1)


def _of_any_length(folder: str) -> str:
    """The name by which Windows reaches also what lies more than 260 characters deep."""
    return folder if folder.startswith("\\\\") else f"\\\\?\\{folder}"


def _make_writable(folder: Path) -> None:
    """git's objects are read-only files, which Windows does not remove."""
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *names)):
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    path.chmod(stat.S_IREAD | stat.S_IWRITE | stat.S_IEXEC)
