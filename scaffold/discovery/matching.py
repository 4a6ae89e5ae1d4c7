"""Matching: the rows of the index that a query reaches, with their scores and the reasons in words."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from scaffold.discovery import ranking
from scaffold.discovery.query import Query
from scaffold.discovery.words import bigrams, is_cjk, means_its_prefixes
from scaffold.settings import SERVER_URL


@dataclass(frozen=True)
class Hit:
    """One ranked result. What is not known is None."""

    repo: str
    kind: str
    title: str
    description: str | None
    url: str
    tasks: tuple[str, ...]
    stars: int | None
    license: str | None
    language: str | None
    archived: bool | None
    pushed_at: str | None
    cited_by: int
    score: float
    sources: tuple[str, ...]
    why: str
    successor: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The `hit` document of the JSON contract."""
        return {**self.__dict__, "tasks": list(self.tasks), "sources": list(self.sources)}


@dataclass
class _Candidate:
    row: sqlite3.Row
    places: list[int | None] = field(default_factory=list)
    bm25: float = 0.0
    matched: list[str] = field(default_factory=list)


def matching_hits(connection: sqlite3.Connection, query: Query) -> list[Hit]:
    """Everything in the index that matches a query, scored; among equals in the catalog's own order."""
    candidates = sorted(_candidates(connection, query), key=lambda candidate: candidate.row["id"])
    best = max((candidate.bm25 for candidate in candidates), default=0.0)
    hits = []
    for candidate in candidates:
        row = candidate.row
        coverage = len(candidate.matched) / len(query.words) if query.words else 1.0
        if not query.tasks and coverage < 0.5:
            continue  # one word in three is no match
        signals = ranking.Signals(
            task_places=tuple(candidate.places),
            words=bool(query.words),
            text=candidate.bm25 / best if best > 0 else 0.0,
            coverage=coverage,
            grade=row["grade"],
            archived=bool(row["archived"]),
            succeeded=row["successor"] is not None,
            cited_by=row["cited_by"],
        )
        hits.append(hit_from_row(row, score=round(ranking.score(signals), 4), why=_why(query, candidate)))
    return sorted(hits, key=lambda hit: -hit.score)


def _candidates(connection: sqlite3.Connection, query: Query) -> list[_Candidate]:
    found: dict[int, _Candidate] = {}

    def candidate(row: sqlite3.Row) -> _Candidate:
        return found.setdefault(row["id"], _Candidate(row, [None] * len(query.tasks)))

    for number, task in enumerate(query.tasks):
        for row in connection.execute(
            "SELECT documents.*, place FROM document_tasks JOIN documents ON documents.id = document WHERE task = ?",
            (task,),
        ):
            candidate(row).places[number] = row["place"]
    weights = ", ".join(str(weight) for weight in ranking.COLUMN_WEIGHTS.values())
    for word in query.words:
        for row in connection.execute(
            f"SELECT documents.*, bm25(words, {weights}) AS bm25 FROM words"
            " JOIN documents ON documents.id = words.rowid WHERE words MATCH ?",
            (_match_expression(word),),
        ):
            hit = candidate(row)
            hit.bm25 -= row["bm25"]  # FTS5's bm25 is better the more negative it is
            hit.matched.append(word)
    return list(found.values())


def _match_expression(word: str) -> str:
    """FTS5 for one word: its prefixes, or for CJK all its letter pairs. Quoted, so that no operator can slip in."""
    if any(is_cjk(char) for char in word):
        pairs = bigrams(word) or [word]
        return "cjk : (" + " AND ".join(f'"{pair}"' for pair in pairs) + f') OR "{word}"*'
    return f'"{word}"*' if means_its_prefixes(word) else f'"{word}"'


def hit_from_row(row: sqlite3.Row, *, score: float, why: str) -> Hit:
    """A row of the index as a hit."""
    return Hit(
        repo=row["repo"],
        kind=row["kind"],
        title=row["title"],
        description=row["description"],
        url=f"{SERVER_URL}/{row['repo']}",
        tasks=tuple(json.loads(row["tasks"])),
        stars=row["stars"],
        license=row["license"],
        language=row["language"],
        archived=None if row["archived"] is None else bool(row["archived"]),
        pushed_at=row["pushed_at"],
        cited_by=row["cited_by"],
        score=score,
        sources=tuple(json.loads(row["sources"])),
        why=why,
        successor=row["successor"],
    )


def _why(query: Query, candidate: _Candidate) -> str:
    reasons = []
    served = [task for task, place in zip(query.tasks, candidate.places, strict=True) if place == 0]
    also = [task for task, place in zip(query.tasks, candidate.places, strict=True) if place]
    best = candidate.row["grade"] == 3
    if served:
        reasons.append(f"{'first choice' if best else 'made'} for {' and '.join(served)}")
    if also:
        reasons.append(f"also for {' and '.join(also)}")
    if candidate.matched:
        reasons.append("holds " + ", ".join(f"“{word}”" for word in candidate.matched))
    if best and not served:
        reasons.append(f"first choice for {json.loads(candidate.row['tasks'])[0]}")
    if candidate.row["archived"]:
        reasons.append("archived")
    if candidate.row["successor"]:
        reasons.append(f"succeeded by {candidate.row['successor']}")
    return "; ".join(reasons)
