"""An environment of its own for a reference: `.venv` in its folder, with what its files ask for installed.

Installing runs code of the repository (its setup.py, its build backend) and of everything that it asks for. It is
therefore done only when the user asks for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scaffold.errors import RefusedError, ScaffoldError
from scaffold.references.howto.model import HowTo, Way
from scaffold.references.howto.process import Failed, run
from scaffold.staging import remove

Progress = Callable[[str], None]
"""Called with one line of what is being done, free of control characters."""

_NAME = ".venv"
# What an installation leaves in a repository's folder. Patterns of .git/info/exclude, which belongs to nobody's commit.
_EXCLUDED = (f"/{_NAME}/", "*.egg-info/", "/build/", "__pycache__/")
_SECONDS = 3600.0
_TAKEN_AWAY = ("GITHUB_TOKEN", "GH_TOKEN", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX")


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that was made.

    Attributes:
        path: its folder.
        python: its interpreter, to run the reference with.
        source: the file that said what to install.
    """

    path: Path
    python: Path
    source: str


def make_environment(
    folder: Path, howto: HowTo, *, on_progress: Progress | None = None, seconds: float = _SECONDS
) -> Environment:
    """Make `.venv` in a reference with the running Python and install the reference into it, as its files say.

    This runs the repository's own code where it has to be built; nothing else in scaffold does. It works in one go:
    what fails or is interrupted leaves no `.venv`.

    Args:
        folder: the reference.
        howto: what was read from it.
        on_progress: called with what pip says.
        seconds: the longest it may take in all.

    Raises:
        RefusedError: there is a `.venv` already, which may be the repository's own.
        ScaffoldError: it says of no way to install it with pip, wants another Python, or the installation failed.
    """
    way = pip_way(howto)
    _check_python(howto)
    place = folder.resolve() / _NAME
    if os.path.lexists(place):
        raise RefusedError(f"{folder} has a {_NAME} already", hint=f"use it, or remove {folder / _NAME} first")
    tell = on_progress or (lambda line: None)
    end = time.monotonic() + seconds
    _exclude(folder.resolve())
    try:
        tell(f"making {_NAME}")
        # Isolated: a venv.py or pip.py in the repository's folder is not what is meant.
        _step([sys.executable, "-I", "-m", "venv", str(place)], folder, tell, end)
        python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        for arguments in way.pip:
            _step([str(python), "-I", "-m", "pip", *arguments], folder, tell, end)
    except BaseException:
        remove(place)
        raise
    return Environment(place, python, way.source)


def pip_way(howto: HowTo) -> Way:
    """The way that pip can go by itself.

    Raises:
        ScaffoldError: there is none; the hint says what to type instead.
    """
    ways = [way for way in (howto.install, *howto.alternatives) if way is not None]
    # What uv locks pip can install as well, from the same pyproject.toml.
    first = ways[1:] if ways and ways[0].tool == "uv" else ways
    if first and first[0].pip:
        return first[0]
    if not ways:
        raise ScaffoldError("its files do not say how it is installed", hint="look at its README")
    typed = "   ·   ".join(command.text for command in ways[0].commands)
    what = "its README gives commands of its own" if ways[0].tool == "readme" else f"it is installed by {ways[0].tool}"
    raise ScaffoldError(f"{what}, not by pip alone", hint=f"in its folder, type: {typed}")


def _check_python(howto: HowTo) -> None:
    wanted = howto.python
    if wanted.enforced and wanted.fits is False:
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise ScaffoldError(
            f"it asks for Python {wanted.wanted} ({wanted.source}), and this is {here}",
            hint="make the environment by hand with such a Python",
        )


def _step(command: list[str], folder: Path, tell: Progress, end: float) -> None:
    try:
        run(command, folder=folder, environment=_environment(), seconds=end - time.monotonic(), on_line=tell)
    except Failed as failure:
        said = "\n".join(failure.last_lines)
        what = "took too long" if failure.timed_out else "failed"
        step = "making the environment" if command[3] == "venv" else f"pip {' '.join(command[4:])}"
        raise ScaffoldError(f"{step} {what}" + (f":\n{said}" if said else "")) from failure


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _TAKEN_AWAY}
    pip = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    # Many a setup.py reads its README as text of any kind, which a Windows code page is not.
    return {**kept, **pip, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def _exclude(folder: Path) -> None:
    """Keep what is made here out of `git status`, in the repository's own list that no commit holds."""
    if not (folder / ".git").is_dir() or (folder / ".git").is_symlink():
        return
    path = folder / ".git" / "info" / "exclude"
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        if path.is_symlink() or path.parent.is_symlink():
            return
        before = path.read_text("utf-8", "surrogateescape") if path.exists() else ""
        missing = [pattern for pattern in _EXCLUDED if pattern not in before.split("\n")]
        if missing:
            start = "\n" if before and not before.endswith("\n") else ""
            with path.open("a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(start + "".join(f"{pattern}\n" for pattern in missing))
