"""Building the index: the catalog and everything that was synced, gathered into one document per repository.

Documents are numbered lists first, then projects, each from the best to the least by what is known apart from any
query. Full-text tables answer in the order of these numbers, so a query for a common word can stop early and has still
seen the best.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from scaffold import paths
from scaffold.discovery.catalog import Catalog, CatalogEntry, load_catalog
from scaffold.discovery.concepts import Concept, all_concepts, by_name, longest_runs
from scaffold.discovery.documents import Document, ListInfo, Mention, gather
from scaffold.discovery.fields import unpack
from scaffold.discovery.words import bigrams, fold, letters, spelt_out, split, words_of

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE tasks (id TEXT PRIMARY KEY, title TEXT NOT NULL, title_ko TEXT NOT NULL, summary TEXT NOT NULL,
                    related TEXT NOT NULL, templates TEXT NOT NULL);
CREATE TABLE concepts (id INTEGER PRIMARY KEY, task TEXT REFERENCES tasks, part INTEGER NOT NULL,
                       wordings TEXT NOT NULL);
CREATE TABLE synonyms (folded TEXT PRIMARY KEY, concept INTEGER NOT NULL REFERENCES concepts, wording TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, repo TEXT NOT NULL UNIQUE COLLATE NOCASE, kind TEXT NOT NULL, title TEXT NOT NULL,
    description TEXT, tasks TEXT NOT NULL, grade INTEGER, license TEXT, language TEXT, archived INTEGER,
    pushed_at TEXT, successor TEXT, unmaintained INTEGER NOT NULL, cited_by INTEGER NOT NULL, citations REAL NOT NULL,
    entries INTEGER NOT NULL, listed_stars INTEGER, sources TEXT NOT NULL, fields TEXT NOT NULL);
CREATE TABLE document_tasks (task TEXT NOT NULL, document INTEGER NOT NULL REFERENCES documents, strength REAL NOT NULL,
                             PRIMARY KEY (task, document)) WITHOUT ROWID;
CREATE TABLE aliases (old TEXT PRIMARY KEY COLLATE NOCASE, new TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE spelling (first TEXT NOT NULL, length INTEGER NOT NULL, word TEXT NOT NULL, letters INTEGER NOT NULL,
                       documents INTEGER NOT NULL, concept INTEGER, PRIMARY KEY (first, length, word)) WITHOUT ROWID;
CREATE INDEX spelling_word ON spelling (word, documents);
CREATE VIRTUAL TABLE words USING fts5 (name, title, keywords, description, sections, subjects, cjk, content = '',
                                       tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, row);
CREATE TEMP TABLE gathered (rank REAL, kind TEXT, document TEXT, columns TEXT);
"""
RENAMES = Path(__file__).with_name("renames.toml")
_RARE = 2  # a word of fewer documents is no correction: it may be a slip itself
_SPELLINGS = 60_000
Progress = Callable[[str], None]


def fill(connection: sqlite3.Connection, catalog_path: Path, store_path: Path | None, stamp: str) -> None:
    """Write the whole index into an empty database.

    Raises:
        CatalogError: when the catalog is broken.
    """
    catalog = load_catalog(catalog_path)
    connection.executescript(SCHEMA)
    concepts = all_concepts(catalog.tasks.values())
    _write_tasks(connection, catalog, concepts)
    store = _open_store(store_path)
    with contextlib.closing(store) if store else contextlib.nullcontext():
        _write_aliases(connection, store)
        _gather(connection, catalog, concepts, store)
    _write_documents(connection)
    _write_spelling(connection)
    connection.execute("INSERT INTO words (words) VALUES ('optimize')")
    connection.execute("INSERT INTO meta VALUES ('stamp', ?)", (stamp,))
    connection.commit()


def _open_store(path: Path | None) -> sqlite3.Connection | None:
    if path is None or not path.is_file():
        return None
    store = sqlite3.connect(paths.read_only(path.absolute()), uri=True)
    try:
        store.execute("SELECT count(*) FROM lists").fetchone()
    except sqlite3.DatabaseError:
        store.close()
        return None
    return store


def _write_tasks(connection: sqlite3.Connection, catalog: Catalog, concepts: list[Concept]) -> None:
    connection.executemany(
        "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)",
        [
            (task.id, task.title, task.title_ko, task.summary, json.dumps(task.related), json.dumps(task.templates))
            for task in catalog.tasks.values()
        ],
    )
    connection.executemany(
        "INSERT INTO concepts VALUES (?, ?, ?, ?)",
        [
            (number, concept.task, concept.part, json.dumps(concept.wordings, ensure_ascii=False))
            for number, concept in enumerate(concepts)
        ],
    )
    shown: dict[str, str] = {}
    for concept in concepts:
        for text in concept.wordings:
            shown.setdefault(fold(text), text)
    connection.executemany(
        "INSERT INTO synonyms VALUES (?, ?, ?)",
        [(folded, number, shown[folded]) for folded, number in by_name(concepts).items()],
    )


def _write_aliases(connection: sqlite3.Connection, store: sqlite3.Connection | None) -> None:
    with RENAMES.open("rb") as file:
        renames: dict[str, str] = tomllib.load(file)["renamed"]
    learned = store.execute("SELECT old, new FROM aliases").fetchall() if store else []
    connection.executemany("INSERT OR REPLACE INTO aliases VALUES (?, ?)", [*renames.items(), *learned])


def _gather(
    connection: sqlite3.Connection, catalog: Catalog, concepts: list[Concept], store: sqlite3.Connection | None
) -> None:
    aliases = {row[0].casefold(): row[1] for row in connection.execute("SELECT old, new FROM aliases")}
    entries = {_current(entry.repo, aliases).casefold(): entry for entry in catalog.entries}
    names = by_name(concepts)

    @lru_cache(maxsize=50_000)
    def tasks_of(heading: str) -> tuple[str, ...]:
        found = longest_runs(split(heading), lambda run: names.get("".join(run)))
        tasks = (concepts[number].task for _, number in found if number is not None)
        return tuple(dict.fromkeys(task for task in tasks if task))

    lists: dict[int, ListInfo] = {}
    sections: dict[str, list[tuple[tuple[str, ...], int]]] = {}
    moved: dict[str, str] = {}
    if store:
        for number, info, count, moved_to in _lists(store, entries, aliases, tasks_of):
            lists[number] = info
            sections[info.repo.casefold()] = count
            if moved_to:
                moved[info.repo.casefold()] = moved_to
    own = {info.repo.casefold(): info for info in lists.values()}
    missing = dict.fromkeys([*entries, *own])
    mentioned = _mentions(store, lists, aliases) if store else iter(())

    def add(key: str, repo: str, mentions: list[Mention]) -> None:
        entry = entries.get(key)
        document = gather(entry.repo if entry else repo, mentions, entry, own.get(key), sections.get(key, ()), tasks_of)
        _stage(connection, document, moved.get(key))

    for key, repo, mentions in mentioned:
        missing.pop(key, None)
        add(key, repo, mentions)
    for key in missing:
        add(key, own[key].repo if key in own else entries[key].repo, [])


def _current(repo: str, aliases: dict[str, str]) -> str:
    return aliases.get(repo.casefold(), repo)


def _lists(
    store: sqlite3.Connection,
    entries: dict[str, CatalogEntry],
    aliases: dict[str, str],
    tasks_of: Callable[[str], tuple[str, ...]],
) -> Iterator[tuple[int, ListInfo, list[tuple[tuple[str, ...], int]], str | None]]:
    counted: dict[int, list[tuple[tuple[str, ...], int]]] = {}
    for number, section, count in store.execute("SELECT list, section, count(*) FROM entries GROUP BY list, section"):
        path = tuple(json.loads(section or "[]"))
        if path:
            counted.setdefault(number, []).append((path, count))
    total = dict(store.execute("SELECT list, count(*) FROM entries GROUP BY list"))
    for number, name, title, description, moved_to in store.execute(
        "SELECT id, repo, title, description, moved_to FROM lists"
    ):
        repo = _current(name, aliases)
        entry = entries.get(repo.casefold())
        if entry:
            title, tasks = entry.title, entry.tasks
        else:
            named = (*tasks_of(title or ""), *tasks_of(spelt_out(repo.partition("/")[2])))
            tasks = tuple(dict.fromkeys(named))
        subject = words_of(f"{title or ''} {spelt_out(repo.partition('/')[2])}")
        info = ListInfo(repo, title, description, total.get(number, 0), subject, tasks)
        yield number, info, sorted(counted.get(number, ()), key=lambda pair: -pair[1]), moved_to


def _mentions(
    store: sqlite3.Connection, lists: dict[int, ListInfo], aliases: dict[str, str]
) -> Iterator[tuple[str, str, list[Mention]]]:
    """Every repository that a list names: its key, its name as most lists write it, and one mention for each list."""
    store.execute("CREATE TEMP TABLE renamed (old TEXT PRIMARY KEY COLLATE NOCASE, new TEXT)")
    store.executemany("INSERT INTO renamed VALUES (?, ?)", aliases.items())
    rows = store.execute(
        "SELECT coalesce(renamed.new, repo) AS name, list, title, description, section, flags FROM entries"
        " LEFT JOIN renamed ON renamed.old = repo WHERE repo IS NOT NULL ORDER BY name COLLATE NOCASE, list, position"
    )
    for key, group in groupby(rows, key=lambda row: row[0].casefold()):
        spellings: Counter[str] = Counter()
        mentions: dict[int, Mention] = {}
        for name, number, title, description, section, flags in group:
            info = lists.get(number)
            if info is None or info.repo.casefold() == key:
                continue
            spellings[name] += 1
            path = tuple(json.loads(section or "[]"))
            mentions.setdefault(number, Mention(info, title, description, path, tuple((flags or "").split())))
        if mentions:
            yield key, spellings.most_common(1)[0][0], list(mentions.values())


def _stage(connection: sqlite3.Connection, document: Document, moved_to: str | None) -> None:
    entry = document.entry
    sources = [*(["catalog"] if entry else []), *(["index"] if document.cited_by or document.entries else [])]
    row = (
        document.repo,
        document.kind,
        document.title,
        document.description,
        json.dumps(document.tasks),
        entry.grade if entry else None,
        entry.license if entry else None,
        entry.language if entry else None,
        entry.archived if entry else None,
        entry.last_commit if entry else None,
        (entry.successor if entry else None) or moved_to,
        int(document.unmaintained),
        document.cited_by,
        round(document.citations, 3),
        document.entries,
        document.listed_stars,
        json.dumps(sources or ["index"]),
        document.fields,
        json.dumps(document.places),
    )
    everything = " ".join((document.title, document.description or "", *document.columns[2:5]))
    columns = (*document.columns, " ".join(bigrams(everything)))
    connection.execute(
        "INSERT INTO gathered VALUES (?, ?, ?, ?)",
        (document.quality, document.kind, json.dumps(row), json.dumps(columns, ensure_ascii=False)),
    )


def _write_documents(connection: sqlite3.Connection) -> None:
    order = "SELECT document, columns FROM gathered ORDER BY kind = 'list' DESC, rank DESC, rowid"
    lists = 0
    for number, (document, columns) in enumerate(connection.execute(order), 1):
        *row, places = json.loads(document)
        lists += row[1] == "list"
        connection.execute(f"INSERT INTO documents VALUES ({', '.join('?' * 19)})", (number, *row))
        connection.executemany(
            "INSERT INTO document_tasks VALUES (?, ?, ?)",
            [(task, number, strength) for task, strength in json.loads(places).items()],
        )
        connection.execute(
            "INSERT INTO words (rowid, name, title, keywords, description, sections, subjects, cjk)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (number, *json.loads(columns)),
        )
    connection.execute("INSERT INTO meta VALUES ('lists', ?)", (str(lists),))
    connection.execute("DROP TABLE gathered")


def _write_spelling(connection: sqlite3.Connection) -> None:
    """The words that a slip of the finger may have meant, with a sketch of their letters for a quick comparison."""
    rows = connection.execute(
        "SELECT term, doc FROM vocabulary WHERE length(term) <= 24 AND term GLOB '[a-z]*' ORDER BY doc DESC LIMIT ?",
        (_SPELLINGS,),
    )
    sure = {
        word
        for (fields,) in connection.execute("SELECT fields FROM documents WHERE grade IS NOT NULL")
        for text in unpack(fields)[:3]
        for word in text.split()
    }
    known = {term: (count, None) for term, count in rows if term.isascii() and (count >= _RARE or term in sure)}
    for folded, concept in connection.execute("SELECT folded, concept FROM synonyms"):
        known[folded] = (known.get(folded, (0, None))[0], concept)
    spelt = ((word, *letters(word), count, concept) for word, (count, concept) in known.items())
    connection.executemany(
        "INSERT OR IGNORE INTO spelling VALUES (?, ?, ?, ?, ?, ?)",
        [
            (spelling[:1], len(spelling), word, sketch, count, concept)
            for word, spelling, sketch, count, concept in spelt
        ],
    )
