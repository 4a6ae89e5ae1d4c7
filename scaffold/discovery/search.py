"""Search: a query and filters to ranked hits, and what the index knows of one repository."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from scaffold.discovery.candidates import ROOM
from scaffold.discovery.hits import Facts, Hit, hit_from_row, hit_of, score
from scaffold.discovery.matching import Candidate, look_closely
from scaffold.discovery.query import Query, understand
from scaffold.discovery.words import fold, loosely_near, nearest
from scaffold.errors import NotFoundError, UsageError

Sort = Literal["best", "stars", "updated", "name"]
_FILTERED_ROOM = 1000
_QUOTED = 80  # letters of a query that a message repeats


@dataclass(frozen=True)
class Filters:
    """Which hits may be shown. None lets everything through."""

    kind: str | None = None
    task: str | None = None
    language: str | None = None
    license: str | None = None
    min_stars: int | None = None


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


@dataclass(frozen=True)
class Looked:
    """A query looked up in the index, before it is ranked and cut. `query` is None where there is nothing to ask."""

    text: str
    filters: Filters
    query: Query | None
    candidates: tuple[Candidate, ...]
    notices: tuple[str, ...]


def search(
    connection: sqlite3.Connection,
    text: str,
    filters: Filters | None = None,
    sort: Sort = "best",
    limit: int = 20,
    facts: Callable[[Sequence[str]], Mapping[str, Facts]] | None = None,
) -> SearchResult:
    """Rank the lists and projects of the index for a query.

    Args:
        facts: gives what is remembered of repositories by their lower-case names, e.g. their stars.

    Raises:
        UsageError: for an unknown task in the filters, or an empty query.
    """
    looked = look_up(connection, text, filters or Filters(), room_for(filters or Filters(), sort, limit))
    told = facts([found.row["repo"] for found in looked.candidates]) if facts else {}
    hits = ranked(looked, told, most=most_needed(looked.filters, sort, limit))
    return answer(connection, looked, hits, sort=sort, limit=limit)


def room_for(filters: Filters, sort: Sort, limit: int) -> int:
    """How many projects to look at for a first screen of this kind."""
    return max(ROOM, 2 * limit) if most_needed(filters, sort, limit) else max(_FILTERED_ROOM, 2 * limit)


def look_up(connection: sqlite3.Connection, text: str, filters: Filters, room: int = ROOM) -> Looked:
    """Understand a query and find what answers it, looking at `room` projects.

    Raises:
        UsageError: for an unknown task in the filters, or an empty query.
    """
    if filters.task is not None:
        filters = replace(filters, task=resolve_task(connection, filters.task))
    if not text.strip():
        raise UsageError("the query is empty", hint="Say what you want to do: scaffold search nlp")
    if not fold(text):
        notice = f"There is no word in “{text[:_QUOTED]}”. Try: scaffold search nlp"
        return Looked(text, filters, None, (), (notice,))
    query = understand(connection, text)
    notices = tuple(f"“{typed}” is not known; showing “{meant}”." for typed, meant in query.corrections)
    return Looked(text, filters, query, tuple(look_closely(connection, query, room)), notices)


def ranked(looked: Looked, facts: Mapping[str, Facts], today: date | None = None, most: int | None = None) -> list[Hit]:
    """The candidates as hits, best first; among equals the better known one.

    Args:
        most: of each kind at most so many; None keeps all.
    """
    today = today or date.today()
    query = looked.query
    if query is None:
        return []
    told = [facts.get(found.row["repo"].casefold()) for found in looked.candidates]
    pairs = [(score(found, today, fact), found, fact) for found, fact in zip(looked.candidates, told, strict=True)]
    pairs.sort(key=lambda pair: -pair[0])
    left = {"list": most, "project": most} if most is not None else None
    hits = []
    for _, found, fact in pairs:
        if left is not None:
            kind = found.row["kind"]
            if not left[kind]:
                continue
            left[kind] = (left[kind] or 0) - 1
        hits.append(hit_of(found, query, today=today, facts=fact))
    return hits


def most_needed(filters: Filters, sort: Sort, limit: int) -> int | None:
    """How many hits of each kind can be on the first screen; None where a filter or another order may need all."""
    plain = sort == "best" and filters == Filters(kind=filters.kind)
    return limit if plain else None


def answer(
    connection: sqlite3.Connection,
    looked: Looked,
    hits: Sequence[Hit],
    *,
    sort: Sort,
    limit: int,
    offline: bool = True,
) -> SearchResult:
    """Ranked hits filtered, sorted and cut to the first screen, with the notices that belong to them."""
    notices = list(looked.notices)
    kept, unknown_stars = _filter(list(hits), looked.filters)
    if unknown_stars:
        notices.append(f"{unknown_stars} hits with unknown stars are left out by --min-stars.")
    query = looked.query
    if not kept and query:
        notices.append(_nothing_found(looked.text, query, filtered=bool(hits)))
    return SearchResult(
        query=looked.text,
        hits=tuple(_first_screen(_sorted(kept, sort), limit)),
        notices=tuple(notices),
        tasks=query.tasks if query else (),
        templates=templates_for(connection, (query.tasks if query else ()) or _tasks_of_best(kept)),
        offline=offline,
    )


def find(connection: sqlite3.Connection, repo: str, facts: Facts | None = None) -> Hit:
    """What the index knows of one repository, named `owner/name` in any case, with what GitHub told of it.

    Raises:
        NotFoundError: if the index has no such repository, with the nearest it has.
    """
    row = connection.execute(
        "SELECT * FROM documents WHERE repo = coalesce((SELECT new FROM aliases WHERE old = ?), ?)", (repo, repo)
    ).fetchone()
    if row is None:
        name = repo.rsplit("/", 1)[-1].casefold()
        repos = [row["repo"] for row in connection.execute("SELECT repo FROM documents")]
        near = [known for known in repos if known.rsplit("/", 1)[-1].casefold() == name]
        near = near or nearest(repo.casefold(), [known.casefold() for known in repos], 3)
        hint = f"Did you mean {', '.join(near)}?" if near else f"Try: scaffold search {name}"
        raise NotFoundError(f"the index does not know {repo}", hint=hint)
    return hit_from_row(row, today=date.today(), facts=facts)


def resolve_task(connection: sqlite3.Connection, name: str) -> str:
    """The id of the task that a word means.

    Raises:
        UsageError: if no task is called so, with the nearest names.
    """
    rows = connection.execute(
        "SELECT folded, task FROM synonyms JOIN concepts ON concepts.id = concept WHERE task IS NOT NULL"
    )
    names = {row["folded"]: row["task"] for row in rows}
    if fold(name) in names:
        return str(names[fold(name)])
    close = nearest(fold(name), names, 5) or loosely_near(fold(name), list(names))
    near = dict.fromkeys(names[name] for name in close)
    some = [row["id"] for row in connection.execute("SELECT id FROM tasks ORDER BY rowid LIMIT 5")]
    more = f"Some tasks: {', '.join(some)}. `scaffold search WORDS --json` tells those of a topic."
    raise UsageError(f"there is no task “{name[:_QUOTED]}”", hint=f"Did you mean {', '.join(near)}?" if near else more)


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
            for hit in search(connection, row["title"], Filters(kind="project"), limit=50).hits:
                if not hit.successor and not hit.archived:
                    found.setdefault(hit.repo, hit)
    return list(found.values())[:limit]


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
    text = text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"
    if filtered:
        return f"Something matches “{text}”, but nothing that passes the filters."
    near = f" Near it: {', '.join(query.nearest)}." if query.nearest else " Try a broader word, such as nlp or vision."
    return f"Nothing matches “{text}”.{near}"
