"""The index: one SQLite file with a full-text table (FTS5). Built from the catalog, rebuilt when the catalog changes.

A new index is written beside the old one and renamed over it, so that a reader sees a whole index or none, and two
builders at once both end with a good one. What is damaged, or has another version, is built anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from scaffold import __version__, paths
from scaffold.discovery.words import bigrams, fold

if TYPE_CHECKING:
    from scaffold.discovery.catalog import Catalog, CatalogEntry

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE tasks (id TEXT PRIMARY KEY, title TEXT NOT NULL, title_ko TEXT NOT NULL, summary TEXT NOT NULL,
                    related TEXT NOT NULL, templates TEXT NOT NULL);
CREATE TABLE synonyms (folded TEXT PRIMARY KEY, task TEXT NOT NULL REFERENCES tasks, wording TEXT NOT NULL);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, repo TEXT NOT NULL UNIQUE COLLATE NOCASE, kind TEXT NOT NULL, title TEXT NOT NULL,
    description TEXT, tasks TEXT NOT NULL, grade INTEGER, license TEXT, language TEXT, stars INTEGER, archived INTEGER,
    pushed_at TEXT, successor TEXT, cited_by INTEGER NOT NULL, sources TEXT NOT NULL);
CREATE TABLE document_tasks (task TEXT NOT NULL, document INTEGER NOT NULL REFERENCES documents, place INTEGER NOT NULL,
                             PRIMARY KEY (task, document)) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5 (name, title, keywords, description, tasks, cjk,
                                       tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, row);
"""


def open_index(path: Path | None = None, catalog: Path | None = None) -> sqlite3.Connection:
    """The index of the present catalog, built first if it is missing, old or damaged.

    Where the index cannot be written (a read-only or full disk) it is built in memory.

    Raises:
        CatalogError: when the catalog must be read and is broken.
    """
    path = path or paths.index_path()
    catalog = catalog or paths.catalog_path()
    stamp = _stamp(catalog)
    connection = _open_present(path, stamp)
    if connection is None:
        try:
            _build_file(path, catalog, stamp)
            connection = _open_present(path, stamp)
        except (OSError, sqlite3.OperationalError):
            connection = None
    if connection is None:
        connection = sqlite3.connect(":memory:")
        _fill(connection, catalog, stamp)
    connection.row_factory = sqlite3.Row
    return connection


def _stamp(catalog: Path) -> str:
    """Changes when the catalog or the code that indexes it changes."""
    try:
        content = catalog.read_bytes()
    except OSError:
        content = b""  # reading it properly will say what is wrong
    return f"{_SCHEMA_VERSION} {__version__} {len(content)} {zlib.crc32(content):08x}"


def _open_present(path: Path, stamp: str) -> sqlite3.Connection | None:
    if not path.is_file():
        return None
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = 'stamp'").fetchone()
        # Touches the full-text table, so that damage there shows now and not in the middle of a search.
        connection.execute("SELECT count(*) FROM words WHERE words MATCH 'the'").fetchone()
    except sqlite3.DatabaseError:
        row = None
    if row is None or row[0] != stamp:
        connection.close()
        return None
    return connection


def _build_file(path: Path, catalog: Path, stamp: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with contextlib.closing(sqlite3.connect(temporary)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            _fill(connection, catalog, stamp)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _fill(connection: sqlite3.Connection, catalog_path: Path, stamp: str) -> None:
    from scaffold.discovery.catalog import load_catalog

    catalog = load_catalog(catalog_path)
    connection.executescript(_SCHEMA)
    connection.execute("INSERT INTO meta VALUES ('stamp', ?)", (stamp,))
    for task in catalog.tasks.values():
        connection.execute(
            "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)",
            (task.id, task.title, task.title_ko, task.summary, json.dumps(task.related), json.dumps(task.templates)),
        )
        connection.executemany(
            "INSERT OR IGNORE INTO synonyms VALUES (?, ?, ?)", [(fold(name), task.id, name) for name in task.names]
        )
    for number, entry in enumerate(catalog.entries, 1):
        _add(connection, number, entry, catalog)
    connection.execute("INSERT INTO words (words) VALUES ('optimize')")
    connection.commit()


def _add(connection: sqlite3.Connection, number: int, entry: CatalogEntry, catalog: Catalog) -> None:
    connection.execute(
        "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, 0, '[\"catalog\"]')",
        (
            number,
            entry.repo,
            entry.kind,
            entry.title,
            entry.description,
            json.dumps(entry.tasks),
            entry.grade,
            entry.license,
            entry.language,
            entry.archived,
            entry.last_commit,
            entry.successor,
        ),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO document_tasks VALUES (?, ?, ?)",
        [(task, number, place) for place, task in enumerate(entry.tasks)],
    )
    titles = " ".join(f"{catalog.tasks[task].title} {catalog.tasks[task].title_ko}" for task in entry.tasks)
    keywords = " ".join(entry.keywords)
    everything = " ".join((entry.title, keywords, entry.description, titles))
    connection.execute(
        "INSERT INTO words (rowid, name, title, keywords, description, tasks, cjk) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            number,
            _spelt_out(entry.repo),
            entry.title,
            keywords,
            entry.description,
            titles,
            " ".join(bigrams(everything)),
        ),
    )


def _spelt_out(repo: str) -> str:
    """`owner/name` and the words inside it: `AthenaCore/AwesomeResponsibleAI` holds `Awesome Responsible AI`."""
    spaced = "".join(
        f" {char}" if char.isupper() and before.islower() else char
        for before, char in zip(" " + repo, repo, strict=False)
    )
    return repo if spaced == repo else f"{repo} {spaced}"
