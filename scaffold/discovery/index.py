"""The index: one SQLite file with a full-text table (FTS5), built from the catalog and the lists that were synced.

A new index is written beside the old one and renamed over it, so that a reader sees a whole index or none, and two
builders at once both end with a good one. What is damaged, or has another version, is built anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scaffold import __version__, paths

_SCHEMA_VERSION = 6
_LEFT_SECONDS = 600.0  # no index takes so long to build
_DATA = tuple(Path(__file__).with_name(name) for name in ("glossary.toml", "renames.toml"))


@dataclass(frozen=True, slots=True)
class _Sources:
    """What an index is built from."""

    catalog: Path
    store: Path | None

    def stamp(self) -> str:
        """Changes when the catalog, what was synced, or the code and data that index them change."""
        try:
            content = self.catalog.read_bytes()
        except OSError:
            content = b""  # reading it properly will say what is wrong
        data = [f"{path.stat().st_size}.{path.stat().st_mtime_ns}" for path in _DATA]
        synced = _generation(self.store)
        return f"{_SCHEMA_VERSION} {__version__} {zlib.crc32(content):08x} {synced} {' '.join(data)}"


def open_catalog() -> sqlite3.Connection:
    """The index of the catalog alone, for what must not change with the lists that were synced."""
    if not paths.lists_path().is_file():
        return open_index()
    return open_index(paths.index_path().with_name("catalog.sqlite3"), synced=False)


def open_index(
    path: Path | None = None,
    catalog: Path | None = None,
    building: Callable[[], None] | None = None,
    *,
    synced: bool = True,
) -> sqlite3.Connection:
    """The index of the present catalog and lists, built first if it is missing, old or damaged.

    Where the index cannot be written (a read-only or full disk) it is built in memory.

    Args:
        building: called before an index is built, which takes about a second for every 20,000 entries.
        synced: with the lists that were synced.

    Raises:
        CatalogError: when the catalog must be read and is broken.
    """
    path = path or paths.index_path()
    sources = _Sources(catalog or paths.catalog_path(), paths.lists_path() if synced else None)
    stamp = sources.stamp()
    connection = _open_present(path, stamp)
    if connection is None:
        if building:
            building()
        try:
            _build_file(path, sources, stamp)
            connection = _open_present(path, stamp)
        except (OSError, sqlite3.OperationalError):
            connection = None
    if connection is None:
        from scaffold.discovery.build import fill

        connection = sqlite3.connect(":memory:")
        fill(connection, sources.catalog, sources.store, stamp)
    connection.row_factory = sqlite3.Row
    return connection


def _generation(store: Path | None) -> str:
    """The number of changes to what was synced, or `-` where nothing was."""
    if store is None or not store.is_file():
        return "-"
    try:
        with contextlib.closing(sqlite3.connect(paths.read_only(store.absolute()), uri=True)) as connection:
            return str(connection.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()[0])
    except (sqlite3.DatabaseError, TypeError):
        return "-"


def _open_present(path: Path, stamp: str) -> sqlite3.Connection | None:
    if not path.is_file():
        return None
    connection = sqlite3.connect(paths.read_only(path.absolute()), uri=True)
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = 'stamp'").fetchone()
        # Touches the full-text table, so that damage there shows now and not in the middle of a search.
        connection.execute("SELECT rowid FROM words WHERE words MATCH 'the' LIMIT 1").fetchone()
    except sqlite3.DatabaseError:
        row = None
    if row is None or row[0] != stamp:
        connection.close()
        return None
    return connection


def _build_file(path: Path, sources: _Sources, stamp: str) -> None:
    from scaffold.discovery.build import fill

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in path.parent.glob(f"{path.name}.*.tmp"):  # by a run that was killed
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                left.unlink()
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        # It holds what was synced, perhaps of private lists: nobody else's to read.
        temporary.touch(mode=0o600)
        with contextlib.closing(sqlite3.connect(temporary)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            fill(connection, sources.catalog, sources.store, stamp)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
