"""Candidates: the documents that are worth a close look, from the full-text table and the catalog's tasks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from scaffold.discovery import ranking
from scaffold.discovery.query import Concept, Query, Wording
from scaffold.discovery.words import bigrams, inflected

# Of the documents that hold the query, the best by their number are weighed by BM25, and the best of these are looked
# at closely. Numbers follow quality (see build), so that a common word costs no more than this.
_WEIGHED = 2_500
ROOM = 70  # projects; half as many lists
_BEST = 10
_FEW = 15
_WORDINGS = 8


def candidates(connection: sqlite3.Connection, query: Query, room: int = ROOM) -> list[sqlite3.Row]:
    """The rows of `documents` that a query may be answered with, in the order of their numbers.

    Args:
        room: how many projects to look at; more where filters may let few of them through.
    """
    row = connection.execute("SELECT value FROM meta WHERE key = 'lists'").fetchone()
    lists = int(row[0])
    found: set[int] = set()
    for task in query.tasks:
        found.update(
            number for (number,) in connection.execute("SELECT document FROM document_tasks WHERE task = ?", (task,))
        )
    together = " AND ".join(f"({expression(concept)})" for concept in query.concepts)
    apart = " OR ".join(f"({expression(concept)})" for concept in query.concepts)
    for first, last, limit in ((1, lists, room // 2), (lists + 1, 2**62, room)):
        numbers = _weighed(connection, together, first, last, limit)
        if len(numbers) < _FEW and len(query.concepts) > 1:
            numbers |= _weighed(connection, apart, first, last, limit)
        found |= numbers
    return _rows(connection, found)


def expression(concept: Concept) -> str:
    """A concept for FTS5: any of its wordings. Quoted, so that no operator can slip in."""
    phrases = [_phrase(wording) for wording in concept.wordings[:_WORDINGS]]
    words = concept.typed.split()
    if len(words) > 1 and not concept.wordings[0].is_cjk:
        phrases.append("(" + " AND ".join(_word(word) for word in words) + ")")
    phrases += [_word(word) for word in concept.rare]
    return " OR ".join(phrases)


def _phrase(wording: Wording) -> str:
    if wording.is_cjk:
        pairs = bigrams(wording.text)
        return f'cjk : "{" ".join(pairs)}"' if pairs else f'"{wording.text}" *'
    before, _, last = wording.text.rpartition(" ")
    return _word(last, f"{before} " if before else "")


def _word(word: str, before: str = "") -> str:
    endings = inflected(word)
    if not endings:
        return f'"{before}{word}" *'
    # Every further ending would cost time; who holds only a rarer one is found by other words.
    return "(" + " OR ".join(f'"{before}{word}{ending}"' for ending in endings[:2]) + ")"


def _weighed(connection: sqlite3.Connection, match: str, first: int, last: int, limit: int) -> set[int]:
    weights = ", ".join(str(weight) for weight in ranking.COLUMN_WEIGHTS.values())
    rows = connection.execute(
        f"SELECT rowid, bm25(words, {weights}) FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ?"
        " ORDER BY rowid LIMIT ?",
        (match, first, last, _WEIGHED),
    ).fetchall()
    best = sorted(rows, key=lambda row: row[1])[:limit]
    return {row[0] for row in best} | {row[0] for row in rows[:_BEST]}


def _rows(connection: sqlite3.Connection, numbers: Iterable[int]) -> list[sqlite3.Row]:
    marks = ", ".join(map(str, sorted(numbers)))
    return connection.execute(f"SELECT * FROM documents WHERE id IN ({marks}) ORDER BY id").fetchall()
