"""What was synced: each list's texts as they were fetched, and its entries as they were parsed.

One SQLite file, from which the index is built. A list is replaced whole in one transaction, so that an interrupt keeps
what is there and several processes can write at once. The texts are kept, so that a newer parser needs no download.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from scaffold.discovery.store_file import cannot_write, open_for_reading, open_for_writing

if TYPE_CHECKING:
    from scaffold.discovery.awesome import ParsedList
    from scaffold.discovery.entries import Entry

Origin = Literal["github", "local"]
MISSING = "missing"  # stands in place of an etag


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
    flags: tuple[str, ...]


class ListStore:
    """The lists on this machine. A context manager; `notice` says what had to be repaired.

    Every method that writes raises ScaffoldError where the file cannot be written.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, notice: str | None = None) -> None:
        self._path = path
        self._db = connection
        self.notice = notice

    @classmethod
    def open(cls, path: Path) -> Self:
        """The store for reading and writing; a new one where there is none or where it is damaged.

        Raises:
            ScaffoldError: it cannot be opened or written.
        """
        return cls(path, *open_for_writing(path))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The store for reading only, or None where there is none that can be read."""
        connection = open_for_reading(path)
        return cls(path, connection) if connection else None

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

    def moved_to(self, repo: str) -> str | None:
        """Where a list says that it has moved to."""
        return self._text("SELECT moved_to FROM lists WHERE repo = ?", repo)

    def provenance(self, repo: str) -> tuple[Origin, str]:
        """Where a list that is kept came from, and when."""
        row = self._db.execute("SELECT origin, fetched_at FROM lists WHERE repo = ?", (repo,)).fetchone()
        return row[0], row[1]

    def current(self, repo: str) -> str:
        """A repository's name now, as far as redirects have told."""
        return self._text("SELECT new FROM aliases WHERE old = ?", repo) or repo

    def generation(self) -> int:
        """A number that grows with every change of content."""
        return int(self._text("SELECT value FROM meta WHERE key = ?", "generation") or 0)

    def files(self, repo: str) -> list[StoredFile]:
        """A list's texts, the README first."""
        rows = self._db.execute(
            "SELECT path, content, etag FROM files JOIN lists ON id = list WHERE repo = ?"
            " ORDER BY path <> readme_path, files.rowid",
            (repo,),
        )
        return [StoredFile(path, *_unpacked(content, etag)) for path, content, etag in rows]

    def file_names(self, repo: str) -> list[str]:
        """The paths of a list's texts, the README first."""
        return [file.path for file in self.files(repo) if not file.missing]

    def sections(self, repo: str) -> list[tuple[tuple[str, ...], int]]:
        """A list's sections in its own order, each with the number of its entries."""
        rows = self._db.execute(
            "SELECT section, count(*) FROM entries JOIN lists ON id = list WHERE lists.repo = ?"
            " GROUP BY section ORDER BY min(position)",
            (repo,),
        )
        return [(tuple(json.loads(section)), count) for section, count in rows]

    def entries(self, repo: str) -> Iterator[StoredEntry]:
        """A list's entries in its own order."""
        rows = self._db.execute(
            "SELECT e.title, url, e.description, section, e.repo, flags FROM entries e JOIN lists l ON l.id = list"
            " WHERE l.repo = ? ORDER BY position",
            (repo,),
        )
        for title, url, description, section, name, flags in rows:
            yield StoredEntry(title, url, description, tuple(json.loads(section)), name, tuple(flags.split()))

    def counts(self, repo: str) -> tuple[int, int]:
        """How many entries a list has, and how many repositories they name."""
        row = self._db.execute(
            "SELECT count(*), count(DISTINCT e.repo) FROM entries e JOIN lists l ON l.id = list WHERE l.repo = ?",
            (repo,),
        ).fetchone()
        return int(row[0]), int(row[1])

    def mentions(self, repos: Sequence[str]) -> list[StoredMention]:
        """What the lists say of a repository, which may go by several names; one mention for each list."""
        marks = ", ".join("?" * len(repos))
        rows = self._db.execute(
            "SELECT l.repo, e.title, e.description, section, flags FROM entries e JOIN lists l ON l.id = list"
            f" WHERE e.repo IN ({marks}) ORDER BY l.id, position",
            tuple(repos),
        )
        found: dict[str, StoredMention] = {}
        for source, title, description, section, flags in rows:
            path = tuple(json.loads(section))
            found.setdefault(source, StoredMention(source, title, description, path, tuple(flags.split())))
        return list(found.values())

    def totals(self) -> dict[str, int]:
        """How many lists, entries and repositories there are."""
        lists = self._db.execute("SELECT count(*) FROM lists").fetchone()[0]
        entries, repositories = self._db.execute("SELECT count(*), count(DISTINCT repo) FROM entries").fetchone()
        return {"lists": lists, "entries": entries, "repositories": repositories}

    def is_current(self, repo: str, parser: int) -> bool:
        """Whether this version of the parser read a list."""
        return (
            self._db.execute("SELECT 1 FROM lists WHERE repo = ? AND parser = ?", (repo, parser)).fetchone() is not None
        )

    def outdated(self, parser: int) -> list[str]:
        """The lists that another version of the parser read."""
        return [row[0] for row in self._db.execute("SELECT repo FROM lists WHERE parser <> ? ORDER BY id", (parser,))]

    def _text(self, query: str, argument: str) -> str | None:
        row = self._db.execute(query, (argument,)).fetchone()
        return str(row[0]) if row and row[0] is not None else None

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(
        self,
        repo: str,
        parsed: ParsedList,
        files: Sequence[StoredFile],
        *,
        origin: Origin,
        fetched_at: str,
        parser: int,
    ) -> None:
        """Replace a list by what was fetched and parsed now; the README comes first among the files."""
        with self._transaction():
            number = self._number(repo)
            row = (repo, parsed.title, parsed.description, parsed.moved_to, files[0].path, origin, fetched_at, parser)
            self._db.execute("INSERT OR REPLACE INTO lists VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (number, *row))
            self._put_files(number, files)
            self._db.execute("DELETE FROM entries WHERE list = ?", (number,))
            rows = ((number, position, *_columns(entry)) for position, entry in enumerate(parsed.entries))
            self._db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._changed()

    def checked(self, repos: Sequence[str], fetched_at: str) -> None:
        """Note that lists were looked at and had not changed."""
        with self._transaction():
            self._db.executemany(
                "UPDATE lists SET fetched_at = ? WHERE repo = ?", [(fetched_at, repo) for repo in repos]
            )

    def came_from(self, repo: str, files: Sequence[StoredFile], origin: Origin) -> None:
        """Note where the same texts came from this time, and their etags."""
        with self._transaction():
            self._db.execute("UPDATE lists SET origin = ? WHERE repo = ?", (origin, repo))
            self._put_files(self._number(repo), files)

    def add_alias(self, old: str, new: str) -> None:
        """Remember that a repository has a new name; a list that is kept under the old one goes by the new one."""
        if old.casefold() == new.casefold() or self.current(old) == new:
            return
        with self._transaction():
            self._db.execute("DELETE FROM aliases WHERE old = ?", (new,))  # it may have gone back to an earlier name
            self._db.execute("UPDATE aliases SET new = ? WHERE new = ? COLLATE NOCASE", (new, old))
            self._db.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (old, new))
            if self._db.execute("SELECT 1 FROM lists WHERE repo = ?", (new,)).fetchone():
                for table, key in (("files", "list"), ("entries", "list"), ("lists", "id")):
                    self._db.execute(f"DELETE FROM {table} WHERE {key} = (SELECT id FROM lists WHERE repo = ?)", (old,))
            else:
                self._db.execute("UPDATE lists SET repo = ? WHERE repo = ?", (new, old))
            self._changed()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.Error as error:
            raise cannot_write(self._path, error) from error

    def _number(self, repo: str) -> int:
        known = self._db.execute("SELECT id FROM lists WHERE repo = ?", (repo,)).fetchone()
        if known:
            return int(known[0])
        return int(self._db.execute("SELECT coalesce(max(id), 0) + 1 FROM lists").fetchone()[0])

    def _put_files(self, number: int, files: Sequence[StoredFile]) -> None:
        self._db.execute("DELETE FROM files WHERE list = ?", (number,))
        self._db.executemany(
            "INSERT INTO files VALUES (?, ?, ?, ?)",
            [(number, file.path, file.etag, zlib.compress(file.content, 6)) for file in files],
        )

    def _changed(self) -> None:
        self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")


def _columns(entry: Entry) -> tuple[str | None, ...]:
    section = json.dumps(entry.section, ensure_ascii=False)
    return entry.title, entry.url, entry.description, section, entry.repo, " ".join(entry.flags)


def _unpacked(content: bytes, etag: str | None) -> tuple[bytes, str | None]:
    try:
        return zlib.decompress(content), etag
    except zlib.error:
        return b"", None  # without its etag it is fetched anew
