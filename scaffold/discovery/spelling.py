"""Spelling: what a misspelt word was meant to be, from the index's own words."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from scaffold.discovery.words import edit_distance, letters, slips_allowed

# A word that stands in some documents is a slip all the same when its neighbour stands in so many times more.
_FAR_MORE_USUAL = 50


@dataclass(frozen=True, slots=True)
class Correction:
    """A known word within a few keystrokes of a typed one, and the concept that it names, if it names one."""

    word: str
    concept: int | None


def correct(connection: sqlite3.Connection, word: str, *, documents: int = 0) -> Correction | None:
    """The known word that a misspelt one was meant to be.

    Args:
        word: folded.
        documents: how many documents hold the word as typed; a much more usual neighbour still replaces it.
    """
    typed, sketch = letters(word)
    allowed = slips_allowed(typed)
    if not allowed:
        return None
    if documents:
        allowed = 1
    # People mistype the first letter least; a swap brings the second one to the front.
    for first in dict.fromkeys((typed[0], typed[1])):
        found = _nearest(connection, typed, sketch, allowed, first, documents * _FAR_MORE_USUAL)
        if found:
            return found
    return None


def _nearest(
    connection: sqlite3.Connection, typed: str, sketch: int, allowed: int, first: str, usual: int
) -> Correction | None:
    rows = connection.execute(
        "SELECT word, letters, documents, concept FROM spelling WHERE first = ? AND length BETWEEN ? AND ?"
        " AND documents >= ?",
        (first, len(typed) - allowed, len(typed) + allowed, usual),
    )
    best: tuple[int, bool, int, str, int | None] | None = None
    for word, other, documents, concept in rows:
        if (sketch ^ other).bit_count() > 2 * allowed:
            continue
        spelt = word if word.isascii() else letters(word)[0]
        if spelt == typed:
            continue
        slips = edit_distance(typed, spelt, allowed)
        if slips <= allowed:
            # A name of the field before a mere word, then the more usual one.
            rank = (slips, concept is None, -documents, word, concept)
            best = rank if best is None else min(best, rank, key=lambda found: found[:4])
    return Correction(best[3], best[4]) if best else None
