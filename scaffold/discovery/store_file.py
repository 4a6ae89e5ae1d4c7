"""The file of the list store: made, brought to the present schema, and put aside when it is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from scaffold import paths
from scaffold.errors import ScaffoldError
from scaffold.staging import held

SCHEMA_VERSION = 1
# The texts of a list of an unknown parser are read anew.
UNKNOWN_PARSER = 0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS lists (
    id INTEGER PRIMARY KEY, repo TEXT NOT NULL UNIQUE COLLATE NOCASE, title TEXT, description TEXT, moved_to TEXT,
    readme_path TEXT NOT NULL, origin TEXT NOT NULL, fetched_at TEXT NOT NULL, parser INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    list INTEGER NOT NULL, path TEXT NOT NULL, etag TEXT, content BLOB NOT NULL, PRIMARY KEY (list, path));
CREATE TABLE IF NOT EXISTS entries (
    list INTEGER NOT NULL, position INTEGER NOT NULL, title TEXT NOT NULL, url TEXT NOT NULL, description TEXT,
    section TEXT NOT NULL, repo TEXT COLLATE NOCASE, flags TEXT NOT NULL, PRIMARY KEY (list, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_repo ON entries (repo) WHERE repo IS NOT NULL;
CREATE TABLE IF NOT EXISTS aliases (old TEXT PRIMARY KEY COLLATE NOCASE, new TEXT NOT NULL);
"""
# Keeps the texts of a store with another schema; their entries are read from them again.
_MIGRATION = f"""
BEGIN IMMEDIATE;
ALTER TABLE lists RENAME TO old_lists;
ALTER TABLE files RENAME TO old_files;
DROP TABLE IF EXISTS entries;
{_SCHEMA}
INSERT INTO lists SELECT id, repo, NULL, NULL, NULL, readme_path, origin, fetched_at, {UNKNOWN_PARSER} FROM old_lists;
INSERT INTO files SELECT list, path, etag, content FROM old_files ORDER BY rowid;
DROP TABLE old_lists;
DROP TABLE old_files;
UPDATE meta SET value = {SCHEMA_VERSION} WHERE key = 'schema';
UPDATE meta SET value = value + 1 WHERE key = 'generation';
COMMIT;
"""
_PATIENCE = 30.0  # seconds to wait for another process's transaction
_WRITABLE = "Make the folder writable, free some space, or choose another one with SCAFFOLD_HOME."
# What SQLite says of a file that is none of its own, or no longer whole.
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def open_for_writing(path: Path) -> tuple[sqlite3.Connection, str | None]:
    """The file, made first where there is none; a damaged one is moved aside, and a notice says so.

    Raises:
        ScaffoldError: it cannot be opened or written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _opened(path), None
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        return _renewed(path)
    except (sqlite3.Error, OSError) as error:
        raise cannot_write(path, error) from error


def open_for_reading(path: Path) -> sqlite3.Connection | None:
    """The file as it is, never made or changed; None where there is none that can be read."""
    if not path.is_file():
        return None
    connection = None
    try:
        connection = sqlite3.connect(paths.read_only(path.absolute()), uri=True, timeout=_PATIENCE)
        connection.execute("SELECT (SELECT count(*) FROM lists), (SELECT value FROM meta LIMIT 1)").fetchone()
    except sqlite3.Error:
        if connection is not None:
            connection.close()
        return None
    return connection


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file itself is broken, and not that something stands in the way."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGE


def cannot_write(path: Path, error: Exception) -> ScaffoldError:
    """What to say where the store could not be written."""
    reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
    if isinstance(error, sqlite3.Error) and is_damage(error):
        return ScaffoldError(f"{path} is damaged: {reason}", hint="Run scaffold sync again: it makes a new one.")
    return ScaffoldError(f"{path} cannot be written: {reason}", hint=_WRITABLE)


def _opened(path: Path) -> sqlite3.Connection:
    with contextlib.suppress(FileExistsError):
        # Made before SQLite does, so that there is no moment in which others may read it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    try:
        # A rollback journal rather than WAL: readers need no second file, so a read-only folder works, and one list
        # at a time is written in a short transaction.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = NORMAL")
        _bring_to_schema(connection)
        if (state := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise _damaged(state)
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_to_schema(connection: sqlite3.Connection) -> None:
    version = _version(connection)
    if version == SCHEMA_VERSION:
        return
    if version is not None:
        try:
            connection.executescript(_MIGRATION)
        except sqlite3.OperationalError as error:
            if connection.in_transaction:
                connection.rollback()
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a table or column is not there
                raise _damaged(f"it has schema {version}, whose texts cannot be read") from error
            raise
        return
    # Two processes may both be here; the second finds all in place.
    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    # The index remembers the number it was built from, so a new store begins with one that no earlier store had.
    begin = time.time_ns() // 1_000_000
    connection.executemany(
        "INSERT OR IGNORE INTO meta VALUES (?, ?)", [("schema", SCHEMA_VERSION), ("generation", begin)]
    )


def _version(connection: sqlite3.Connection) -> int | None:
    """The schema's number; None for a new file, or one whose making was cut short."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return None
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    return int(row[0]) if row and str(row[0]).isdigit() else None


def _damaged(what: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _renewed(path: Path) -> tuple[sqlite3.Connection, str | None]:
    # One process at a time: the second must not move aside what the first has just made.
    with held(path.with_name(f"{path.name}.lock"), wait=True):
        try:
            return _opened(path), None
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
        notice = f"{path} was damaged: it is now {aside.name}, and the lists have to be synced again."
        return _opened(path), notice
