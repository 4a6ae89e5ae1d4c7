"""The programs of this system: how they are found, ended and typed. Windows differs in all three."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from subprocess import Popen

WINDOWS = os.name == "nt"
# What neither cmd.exe nor PowerShell reads as a sign of its own.
_HARMLESS = re.compile(r"[\w.:/\\+=-]+")
_ENDING_SECONDS = 5.0


def find(name: str) -> str | None:
    """Where a program lies, by the PATH alone: Windows would first look where the user stands, perhaps in a clone."""
    if not WINDOWS:
        return shutil.which(name)
    places = (Path(folder, f"{name}.exe") for folder in os.environ.get("PATH", "").split(os.pathsep))
    return next((str(place) for place in places if place.is_absolute() and place.is_file()), None)


def end(process: Popen[bytes], *, politely: bool = False) -> None:
    """End a process and all that it started: each was given a session of its own.

    Args:
        process: it may have ended, and have left others behind.
        politely: let them tidy up, where the system knows such a thing.
    """
    if WINDOWS:
        _end_tree(process)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM if politely else signal.SIGKILL)


def _end_tree(process: Popen[bytes]) -> None:
    # The git.exe on the PATH only starts the real one, which would go on, hold the pipes and keep its files open.
    import subprocess

    if process.poll() is not None:
        return
    taskkill = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
    command = [str(taskkill), "/T", "/F", "/PID", str(process.pid)]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ENDING_SECONDS)
    with contextlib.suppress(OSError):
        process.kill()


def quoted(word: str, *, windows: bool | None = None) -> str:
    """A word as a command line takes it, here or on `windows`: there as both cmd.exe and PowerShell do."""
    if not (WINDOWS if windows is None else windows):
        return shlex.quote(word)
    return word if _HARMLESS.fullmatch(word) else f'"{word}"'


def joined(words: Sequence[str]) -> str:
    """A command as it is typed here."""
    return " ".join(quoted(word) for word in words)


def python(*, windows: bool) -> str:
    """A command that starts a Python new enough: the plain one where that is the one that runs now."""
    if windows:
        # The launcher comes with python.org's Python. The Store's has none, and is on the PATH.
        return "py" if not WINDOWS or find("py") else "python"
    running = f"python{sys.version_info.major}.{sys.version_info.minor}"
    plain = shutil.which("python3")
    if plain and Path(plain).resolve() == Path(sys.executable).resolve():
        return "python3"
    return running if shutil.which(running) else "python3"
