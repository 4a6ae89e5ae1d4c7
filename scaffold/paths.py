"""Where things are: the files that travel with the package, and the folders scaffold writes to."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    """A file or folder that lies at the top of the checkout and inside `_data` in a wheel."""
    in_wheel = _PACKAGE / "_data" / name
    return in_wheel if in_wheel.exists() else _PACKAGE.parent / name


def templates_dir() -> Path:
    """The folder with one folder per template."""
    return _shipped("templates")


def catalog_path() -> Path:
    """The catalog: `SCAFFOLD_CATALOG` where it is set, otherwise the one that ships with scaffold."""
    chosen = os.environ.get("SCAFFOLD_CATALOG")
    return Path(chosen) if chosen else _shipped("catalog.yaml")


def cache_dir() -> Path:
    """The folder for what can be made again (index, HTTP cache). `SCAFFOLD_HOME` moves it."""
    home = os.environ.get("SCAFFOLD_HOME")
    if home:
        return Path(home).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("scaffold", appauthor=False))


def index_path() -> Path:
    """The index file."""
    return cache_dir() / "index.sqlite3"


def lists_path() -> Path:
    """The file with the texts and entries of the lists that were synced."""
    return cache_dir() / "lists.sqlite3"


def read_only(path: PurePath) -> str:
    """How SQLite is told to open a file without changing it. It knows no servers: `//server` is a folder to it."""
    from urllib.parse import quote

    place = path.as_posix()
    start = "" if place.startswith("/") else "/"
    return f"file://{start}{quote(os.fsencode(place), safe='/:')}?mode=ro"
