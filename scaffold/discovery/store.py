"""What was synced: each list's texts as they were fetched, and its entries as they were parsed.

One SQLite file, from which the index is built. A list is replaced whole in one transaction, so that an interrupt keeps
what is there and several processes can write at once. The texts are kept, so that a newer parser needs no download.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from scaffold.errors import ScaffoldError

if TYPE_CHECKING:
    from scaffold.discovery.awesome import ParsedList

_SCHEMA_VERSION = 1
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
MISSING = "missing"
_PATIENCE = 30.0  # seconds to wait for another process's transaction


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One text of a list, as it was fetched."""

    path: str
    content: bytes
    etag: str | None = None

    @property
    def missing(self) -> bool:
        """Whether a link leads here, but the list has no such text."""
        return self.etag == MISSING


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry, as `awesome.Entry` had it."""

    title: str
    url: str
    description: str | None
    section: tuple[str, ...]
    repo: str | None
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredMention:
    """What one list says of a repository."""

    source: str
    title: str
    description: str | None
    section: tuple[str, ...]


class ListStore:
    """The lists on this machine. A context manager; `notice` says what had to be repaired.

    Raises:
        ScaffoldError: when the file cannot be opened or written (`open`, and every write).
    """

    def __init__(self, connection: sqlite3.Connection, notice: str | None = None) -> None:
        self._db = connection
        self.notice = notice

    @classmethod
    def open(cls, path: Path) -> Self:
        """The store for reading and writing; a new one where there is none or where it is damaged."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(_opened(path))
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                raise ScaffoldError(f"{path} cannot be written: {error}", hint=_WRITABLE) from error
            return cls._renewed(path)
        except OSError as error:
            raise ScaffoldError(f"{path} cannot be written: {error.strerror}", hint=_WRITABLE) from error

    @classmethod
    def _renewed(cls, path: Path) -> Self:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        for suffix in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        notice = f"The lists that were synced could not be read: {path} was damaged and is now {aside.name}."
        return cls(_opened(path), notice)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The store for reading only, or None where there is none that can be read."""
        if not path.is_file():
            return None
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            connection.execute("SELECT count(*) FROM lists").fetchone()
        except sqlite3.DatabaseError:
            connection.close()
            return None
        return cls(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    def list_names(self) -> list[str]:
        """The lists, `owner/name`, in the order in which they were first synced."""
        return [row[0] for row in self._db.execute("SELECT repo FROM lists ORDER BY id")]

    def list_description(self, repo: str) -> str | None:
        """A list's first words about itself."""
        row = self._db.execute("SELECT description FROM lists WHERE repo = ?", (repo,)).fetchone()
        return str(row[0]) if row and row[0] else None

    def moved_to(self, repo: str) -> str | None:
        """Where a list says that it has moved to."""
        row = self._db.execute("SELECT moved_to FROM lists WHERE repo = ?", (repo,)).fetchone()
        return str(row[0]) if row and row[0] else None

    def files(self, repo: str) -> list[StoredFile]:
        """A list's texts, the README first."""
        rows = self._db.execute(
            "SELECT path, content, etag FROM files JOIN lists ON id = list WHERE repo = ?"
            " ORDER BY path <> readme_path, files.rowid",
            (repo,),
        )
        return [StoredFile(path, zlib.decompress(content), etag) for path, content, etag in rows]

    def file_names(self, repo: str) -> list[str]:
        """The paths of a list's texts, the README first."""
        return [file.path for file in self.files(repo) if not file.missing]

    def entries(self, repo: str) -> Iterator[StoredEntry]:
        """A list's entries in its own order."""
        rows = self._db.execute(
            "SELECT e.title, url, e.description, section, e.repo, flags FROM entries e JOIN lists l ON l.id = list"
            " WHERE l.repo = ? ORDER BY position",
            (repo,),
        )
        for title, url, description, section, name, flags in rows:
            yield StoredEntry(title, url, description, tuple(json.loads(section)), name, tuple(flags.split()))

    def mentions(self, repos: Sequence[str]) -> list[StoredMention]:
        """What the lists say of a repository, which may go by several names; one mention for each list."""
        marks = ", ".join("?" * len(repos))
        rows = self._db.execute(
            "SELECT l.repo, e.title, e.description, section FROM entries e JOIN lists l ON l.id = list"
            f" WHERE e.repo IN ({marks}) ORDER BY l.id, position",
            tuple(repos),
        )
        found: dict[str, StoredMention] = {}
        for source, title, description, section in rows:
            found.setdefault(source, StoredMention(source, title, description, tuple(json.loads(section))))
        return list(found.values())

    def totals(self) -> dict[str, int]:
        """How many lists, entries and repositories there are."""
        lists = self._db.execute("SELECT count(*) FROM lists").fetchone()[0]
        entries, repositories = self._db.execute(
            "SELECT count(*), count(DISTINCT repo COLLATE NOCASE) FROM entries"
        ).fetchone()
        return {"lists": lists, "entries": entries, "repositories": repositories}

    def outdated(self, parser: int) -> list[str]:
        """The lists that another version of the parser read."""
        return [row[0] for row in self._db.execute("SELECT repo FROM lists WHERE parser <> ?", (parser,))]

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(
        self,
        repo: str,
        parsed: ParsedList,
        files: Sequence[StoredFile],
        *,
        origin: str,
        fetched_at: str,
        parser: int,
    ) -> None:
        """Replace a list by what was fetched and parsed now; the README comes first among the files."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            row = self._db.execute("SELECT id FROM lists WHERE repo = ?", (repo,)).fetchone()
            number = row[0] if row else None
            for table in ("files", "entries"):
                self._db.execute(f"DELETE FROM {table} WHERE list = ?", (number,))
            number = self._db.execute(
                "INSERT OR REPLACE INTO lists VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number,
                    repo,
                    parsed.title,
                    parsed.description,
                    parsed.moved_to,
                    files[0].path,
                    origin,
                    fetched_at,
                    parser,
                ),
            ).lastrowid
            self._db.executemany(
                "INSERT INTO files VALUES (?, ?, ?, ?)",
                [(number, file.path, file.etag, zlib.compress(file.content, 6)) for file in files],
            )
            self._db.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        number,
                        position,
                        entry.title,
                        entry.url,
                        entry.description,
                        json.dumps(entry.section, ensure_ascii=False),
                        entry.repo,
                        " ".join(entry.flags),
                    )
                    for position, entry in enumerate(parsed.entries)
                ],
            )
            self._changed()

    def checked(self, repos: Sequence[str], fetched_at: str) -> None:
        """Note that lists were looked at and had not changed."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "UPDATE lists SET fetched_at = ? WHERE repo = ?", [(fetched_at, repo) for repo in repos]
            )

    def add_alias(self, old: str, new: str) -> None:
        """Remember that a repository has a new name."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            known = self._db.execute("SELECT new FROM aliases WHERE old = ?", (old,)).fetchone()
            if known is None or known[0] != new:
                self._db.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (old, new))
                self._changed()

    def _changed(self) -> None:
        self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")


_WRITABLE = "Make the folder writable, free some space, or choose another one with SCAFFOLD_HOME."


def _opened(path: Path) -> sqlite3.Connection:
    new = not path.exists()
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    try:
        if new:
            os.chmod(path, 0o600)  # noqa: PTH101
        # A rollback journal, not WAL: one file to copy, and readers of a read-only folder need no second one.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"it has version {version}")
        connection.executescript(_SCHEMA)
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('generation', 0)")
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        connection.execute("SELECT count(*) FROM lists, meta").fetchone()
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
