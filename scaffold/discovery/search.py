"""Search: a query and filters to ranked hits, and what the index knows of one repository."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from scaffold.discovery import ranking
from scaffold.discovery.query import Query, understand
from scaffold.discovery.words import bigrams, fold, is_cjk, nearest
from scaffold.errors import NotFoundError, UsageError

Sort = Literal["best", "stars", "updated", "name"]
_SERVER = "https://github.com"


@dataclass(frozen=True)
class Filters:
    """Which hits may be shown. None lets everything through."""

    kind: str | None = None
    task: str | None = None
    language: str | None = None
    license: str | None = None
    min_stars: int | None = None


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


@dataclass(frozen=True)
class SearchResult:
    """The answer to one query."""

    query: str
    hits: tuple[Hit, ...]
    notices: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    offline: bool = True

    def to_json(self) -> dict[str, Any]:
        """The `search` document of the JSON contract."""
        return {
            "query": self.query,
            "offline": self.offline,
            "tasks": list(self.tasks),
            "templates": list(self.templates),
            "hits": [hit.to_json() for hit in self.hits],
            "notices": list(self.notices),
        }


@dataclass
class _Candidate:
    row: sqlite3.Row
    places: list[int | None] = field(default_factory=list)
    bm25: float = 0.0
    matched: list[str] = field(default_factory=list)


def search(
    connection: sqlite3.Connection, text: str, filters: Filters | None = None, sort: Sort = "best", limit: int = 20
) -> SearchResult:
    """Rank the lists and projects of the index for a query.

    Raises:
        UsageError: for an unknown task in the filters, or an empty query.
    """
    filters = filters or Filters()
    if filters.task:
        filters = replace(filters, task=resolve_task(connection, filters.task))
    if not fold(text):
        raise UsageError("the query is empty", hint="Say what you want to do: scaffold search nlp")
    query = understand(connection, text)
    notices = [f"“{typed}” is not known; showing “{meant}”." for typed, meant in query.corrections]
    candidates = _candidates(connection, query)
    # Among equals the catalog's own order decides: whoever curates it puts the best first.
    hits = sorted(_hits(query, sorted(candidates, key=lambda it: it.row["id"])), key=lambda hit: -hit.score)
    kept, unknown_stars = _filter(hits, filters)
    if unknown_stars:
        notices.append(f"{unknown_stars} hits with unknown stars are left out by --min-stars.")
    if not kept:
        notices.append(_nothing_found(text, query, filtered=bool(hits)))
    return SearchResult(
        query=text,
        hits=tuple(_first_screen(_sorted(kept, sort), limit)),
        notices=tuple(notices),
        tasks=query.tasks,
        templates=templates_for(connection, query.tasks or _tasks_of_best(kept)),
    )


def find(connection: sqlite3.Connection, repo: str) -> Hit:
    """What the index knows of one repository, named `owner/name` in any case.

    Raises:
        NotFoundError: if the index has no such repository, with the nearest it has.
    """
    row = connection.execute("SELECT * FROM documents WHERE repo = ?", (repo,)).fetchone()
    if row is None:
        name = repo.rsplit("/", 1)[-1].casefold()
        repos = [row["repo"] for row in connection.execute("SELECT repo FROM documents")]
        near = [known for known in repos if known.rsplit("/", 1)[-1].casefold() == name]
        near = near or nearest(repo.casefold(), [known.casefold() for known in repos], 3)
        hint = f"Did you mean {', '.join(near)}?" if near else f"Try: scaffold search {name}"
        raise NotFoundError(f"the index does not know {repo}", hint=hint)
    return _hit(row, score=1.0, why="named by you")


def resolve_task(connection: sqlite3.Connection, name: str) -> str:
    """The id of the task that a word means.

    Raises:
        UsageError: if no task is called so, with the nearest names.
    """
    row = connection.execute("SELECT task FROM synonyms WHERE folded = ?", (fold(name),)).fetchone()
    if row:
        return str(row["task"])
    names = {row["folded"]: row["task"] for row in connection.execute("SELECT folded, task FROM synonyms")}
    near = list(dict.fromkeys(names[name] for name in nearest(fold(name), names, 5)))
    ids = [row["id"] for row in connection.execute("SELECT id FROM tasks ORDER BY id")]
    hint = f"Did you mean {', '.join(near)}?" if near else f"The tasks are: {', '.join(ids)}"
    raise UsageError(f"there is no task “{name}”", hint=hint)


def templates_for(connection: sqlite3.Connection, tasks: Sequence[str]) -> tuple[str, ...]:
    """The templates that start these tasks, best first."""
    found: list[str] = []
    for task in tasks:
        row = connection.execute("SELECT templates FROM tasks WHERE id = ?", (task,)).fetchone()
        found.extend(json.loads(row["templates"]) if row else [])
    return tuple(dict.fromkeys(found))


def references_for(connection: sqlite3.Connection, tasks: Sequence[str], limit: int) -> list[Hit]:
    """The best repositories for tasks, first task first, without what has a successor. For READMEs and `start`."""
    found: dict[str, Hit] = {}
    for task in tasks:
        row = connection.execute("SELECT title FROM tasks WHERE id = ?", (task,)).fetchone()
        if row:
            for hit in search(connection, row["title"], Filters(kind="project"), limit=limit).hits:
                if not hit.successor and not hit.archived:
                    found.setdefault(hit.repo, hit)
    return list(found.values())[:limit]


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
    return f'"{word}"*'


def _hits(query: Query, candidates: list[_Candidate]) -> list[Hit]:
    best = max((candidate.bm25 for candidate in candidates), default=0.0)
    hits = []
    for candidate in candidates:
        row = candidate.row
        coverage = len(candidate.matched) / len(query.words) if query.words else 1.0
        if not query.tasks and coverage < 0.5:
            continue  # one word in three is no match
        signals = ranking.Signals(
            task_places=tuple(candidate.places),
            text=candidate.bm25 / best if best > 0 else 0.0,
            coverage=coverage,
            grade=row["grade"],
            archived=bool(row["archived"]),
            succeeded=row["successor"] is not None,
            cited_by=row["cited_by"],
        )
        hits.append(_hit(row, score=round(ranking.score(signals), 4), why=_why(query, candidate)))
    return hits


def _hit(row: sqlite3.Row, *, score: float, why: str) -> Hit:
    return Hit(
        repo=row["repo"],
        kind=row["kind"],
        title=row["title"],
        description=row["description"],
        url=f"{_SERVER}/{row['repo']}",
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
    if served:
        reasons.append(f"made for {' and '.join(served)}")
    if also:
        reasons.append(f"also for {' and '.join(also)}")
    if candidate.matched:
        reasons.append("holds " + ", ".join(f"“{word}”" for word in candidate.matched))
    if candidate.row["grade"] == 3:
        reasons.append("a first choice in the catalog")
    if candidate.row["archived"]:
        reasons.append("archived")
    if candidate.row["successor"]:
        reasons.append(f"succeeded by {candidate.row['successor']}")
    return "; ".join(reasons)


def _filter(hits: list[Hit], filters: Filters) -> tuple[list[Hit], int]:
    """The hits that pass, and how many fell only because their stars are unknown."""
    tests: list[Callable[[Hit], bool]] = []
    if filters.kind:
        tests.append(lambda hit: hit.kind == filters.kind)
    if filters.task:
        tests.append(lambda hit: filters.task in hit.tasks)
    if filters.language:
        language = filters.language.casefold()
        tests.append(lambda hit: (hit.language or "").casefold() == language)
    if filters.license:
        license_id = filters.license.casefold()
        # `apache` means every Apache licence, `apache-2.0` that one.
        tests.append(lambda hit: (hit.license or "").casefold().startswith(license_id))
    kept = [hit for hit in hits if all(test(hit) for test in tests)]
    if filters.min_stars is None:
        return kept, 0
    known = [hit for hit in kept if hit.stars is not None]
    return [hit for hit in known if (hit.stars or 0) >= filters.min_stars], len(kept) - len(known)


def _sorted(hits: list[Hit], sort: Sort) -> list[Hit]:
    """Python's sort is stable: among equals the best match stays first. What is unknown comes last."""
    if sort == "stars":
        return sorted(hits, key=lambda hit: -1 if hit.stars is None else hit.stars, reverse=True)
    if sort == "updated":
        return sorted(hits, key=lambda hit: hit.pushed_at or "", reverse=True)
    if sort == "name":
        return sorted(hits, key=lambda hit: hit.repo.casefold())
    return hits


def _first_screen(hits: list[Hit], limit: int) -> list[Hit]:
    """At most `limit` hits in the given order, with both kinds among them where both exist."""
    if limit < 2:
        return hits[:limit]
    room = {kind: sum(hit.kind == kind for hit in hits) for kind in ("list", "project")}
    lists = min(room["list"], max(limit // 2, limit - room["project"]))
    left = {"list": lists, "project": limit - lists}
    shown = []
    for hit in hits:
        if left[hit.kind] > 0:
            left[hit.kind] -= 1
            shown.append(hit)
    return shown


def _tasks_of_best(hits: list[Hit]) -> list[str]:
    return list(hits[0].tasks[:1]) if hits else []


def _nothing_found(text: str, query: Query, *, filtered: bool) -> str:
    if filtered:
        return f"Something matches “{text}”, but nothing that passes the filters."
    near = f" Near it: {', '.join(query.nearest)}." if query.nearest else " Try a broader word, such as nlp or vision."
    return f"Nothing matches “{text}”.{near}"
