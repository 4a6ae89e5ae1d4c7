"""Candidates: the documents that are worth a close look, from the full-text table and the catalog's tasks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from scaffold.discovery.query import Concept, Query, Wording
from scaffold.discovery.words import bigrams, inflected

ROOM = 50  # projects; half as many lists
_WORDINGS = 4
# Where the query may stand, and the share of the room for what is found so. Documents are numbered by their quality:
# the first of each kind are its best, and a common word costs no more than a rare one. (Weighing by BM25 would read
# every document that holds the query, and finds no better ones.)
_PLACES = (("{name title keywords} : ", 0.6), ("", 0.4))
_FEW = 15


def candidates(connection: sqlite3.Connection, query: Query, room: int = ROOM) -> list[sqlite3.Row]:
    """The rows of `documents` that a query may be answered with, in the order of their numbers.

    Args:
        room: how many projects to look at; more where filters may let few of them through.
    """
    row = connection.execute("SELECT value FROM meta WHERE key = 'lists'").fetchone()
    lists = int(row[0])
    found: set[int] = set()
    expressions = [expression(concept) for concept in query.concepts]
    for first, last, limit in ((1, lists, room // 2), (lists + 1, 2**62, room)):
        numbers = _holding(connection, expressions, " AND ", first, last, limit)
        if len(numbers) < _FEW and len(expressions) > 1:
            numbers |= _holding(connection, expressions, " OR ", first, last, limit)
        found |= numbers | _serving(connection, query.tasks, first, last, limit)
    found |= _serving(connection, query.related, 1, lists, room // 4)
    return _rows(connection, found)


def _serving(connection: sqlite3.Connection, tasks: Sequence[str], first: int, last: int, limit: int) -> set[int]:
    """The documents that the catalog or a list's heading gives to the tasks: the most clearly, then the best."""
    marks = ", ".join("?" * len(tasks))
    rows = connection.execute(
        f"SELECT document FROM document_tasks WHERE task IN ({marks}) AND document BETWEEN ? AND ?"
        " GROUP BY document ORDER BY sum(strength) DESC, document LIMIT ?",
        (*tasks, first, last, limit),
    )
    return {number for (number,) in rows}


def expression(concept: Concept) -> str:
    """A concept for FTS5: any of its wordings. Quoted, so that no operator can slip in."""
    wordings = concept.wordings[:_WORDINGS]
    texts = _least([wording.text for wording in wordings if not wording.is_cjk] + list(concept.rare))
    phrases = [_text(text) for text in texts] + [_phrase(wording) for wording in wordings if wording.is_cjk]
    words = concept.typed.casefold().split()
    if len(words) > 1 and not concept.wordings[0].is_cjk and not set(words) & set(texts):
        phrases.append("(" + " AND ".join(_word(word) for word in words) + ")")
    return " OR ".join(phrases)


def _least(texts: Sequence[str]) -> list[str]:
    """The texts without those that hold another one: what holds them holds that, and each costs a look-up."""
    kept: list[str] = []
    for text in sorted(dict.fromkeys(texts), key=len):
        if not any(f" {shorter} " in f" {text} " for shorter in kept):
            kept.append(text)
    return kept


def _phrase(wording: Wording) -> str:
    pairs = bigrams(wording.text)
    return f'cjk : "{" ".join(pairs)}"' if pairs else f'"{wording.text}" *'


def _text(text: str) -> str:
    before, _, last = text.rpartition(" ")
    return _word(last, f"{before} " if before else "")


def _word(word: str, before: str = "") -> str:
    endings = inflected(word)
    if not endings:
        return f'"{before}{word}" *'
    # Every further ending would cost time; who holds only a rarer one is found by other words.
    return "(" + " OR ".join(f'"{before}{word}{ending}"' for ending in endings[:2]) + ")"


def _holding(
    connection: sqlite3.Connection, expressions: Sequence[str], junction: str, first: int, last: int, limit: int
) -> set[int]:
    found: set[int] = set()
    for place, share in _PLACES:
        match = junction.join(f"{place}({expression})" for expression in expressions)
        rows = connection.execute(
            "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid LIMIT ?",
            (match, first, last, int(share * limit)),
        )
        found.update(number for (number,) in rows)
    return found


def _rows(connection: sqlite3.Connection, numbers: Iterable[int]) -> list[sqlite3.Row]:
    marks = ", ".join(map(str, sorted(numbers)))
    return connection.execute(f"SELECT * FROM documents WHERE id IN ({marks}) ORDER BY id").fetchall()
