"""Hits: what is shown of a repository, its score, its flags and the reasons in a few words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from scaffold.discovery import ranking
from scaffold.discovery.matching import Candidate, Row
from scaffold.discovery.query import Query
from scaffold.settings import SERVER_URL

_SEVERAL = 2


class Facts(Protocol):
    """What GitHub says of a repository. None is unknown."""

    @property
    def repo(self) -> str: ...
    @property
    def description(self) -> str | None: ...
    @property
    def stars(self) -> int | None: ...
    @property
    def license(self) -> str | None: ...
    @property
    def language(self) -> str | None: ...
    @property
    def archived(self) -> bool | None: ...
    @property
    def pushed_at(self) -> str | None: ...


@dataclass(frozen=True)
class Hit:
    """One ranked result. What is not known is None.

    Attributes:
        score: comparable within one answer only.
        sources: where it is known from: catalog, index (a list that was synced), github.
        flags: archived, unmaintained, moved.
    """

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
    flags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The `hit` document of the JSON contract."""
        return {**self.__dict__, "tasks": list(self.tasks), "sources": list(self.sources), "flags": list(self.flags)}


def hit_from_row(
    row: Row,
    *,
    today: date,
    facts: Facts | None = None,
    candidate: Candidate | None = None,
    query: Query | None = None,
) -> Hit:
    """A row of `documents` as a hit, with what GitHub says where that is known, and scored where a query asked."""
    stars = facts.stars if facts else None
    told = facts.archived if facts else None
    archived = told if told is not None else None if row["archived"] is None else bool(row["archived"])
    pushed_at = (facts.pushed_at if facts else None) or row["pushed_at"]
    idle = _years_since(pushed_at, today)
    known = ranking.Quality(
        grade=row["grade"],
        citations=row["citations"],
        stars=stars,
        entries=row["entries"],
        archived=bool(archived),
        unmaintained=bool(row["unmaintained"]),
        succeeded=row["successor"] is not None,
        idle_years=idle or 0.0,
    )
    unmaintained = bool(row["unmaintained"]) or (idle or 0) >= ranking.UNMAINTAINED_AFTER
    flags = [
        name
        for name, holds in (("archived", archived), ("unmaintained", unmaintained), ("moved", row["successor"]))
        if holds
    ]
    sources = json.loads(row["sources"])
    if facts and "github" not in sources:
        sources.append("github")
    repo = facts.repo if facts and facts.repo.casefold() != row["repo"].casefold() else row["repo"]
    hit = Hit(
        repo=repo,
        kind=row["kind"],
        title=row["title"],
        description=row["description"] or (facts.description if facts else None),
        url=f"{SERVER_URL}/{repo}",
        tasks=tuple(json.loads(row["tasks"])),
        stars=stars,
        license=(facts.license if facts else None) or row["license"],
        language=(facts.language if facts else None) or row["language"],
        archived=archived,
        pushed_at=pushed_at,
        cited_by=row["cited_by"],
        score=round((candidate.match if candidate else 1.0) * ranking.quality(known), 4),
        sources=tuple(sources),
        why="named by you",
        successor=row["successor"],
        flags=tuple(flags),
    )
    if candidate is None or query is None:
        return hit
    return Hit(**{**hit.__dict__, "why": why(query, candidate, hit)})


def _years_since(moment: str | None, today: date) -> float | None:
    """Years between an ISO date (or date and time) and today."""
    try:
        return max(0.0, (today - date.fromisoformat((moment or "")[:10])).days / 365.25)
    except ValueError:
        return None


def why(query: Query, candidate: Candidate, hit: Hit) -> str:
    """The reasons for a hit, the weightiest first."""
    grade = candidate.row["grade"]
    pairs = list(zip(query.concepts, candidate.evidence, strict=True))
    served = [concept.task for concept, found in pairs if concept.task and found.place == 0]
    also = [concept.task for concept, found in pairs if concept.task and found.place]
    reasons = []
    if served:
        reasons.append(f"{'first choice' if grade == 3 else 'made'} for {_and(served)}")
    if also:
        reasons.append(f"also for {_and(also)}")
    rest = [(concept.typed, found) for concept, found in pairs if found.place is None and found.strength]
    called = [f"“{typed}”" for typed, found in rest if found.named]
    if called:
        reasons.append(f"called {', '.join(called)}")
    told = [f"“{typed}”" for typed, found in rest if not found.named and (found.told or found.lists)]
    if told:
        reasons.append(f"holds {', '.join(told)}")
    entries = min((found.sections for _, found in pairs), default=0)
    if entries:
        reasons.append(f"{entries} entries under such headings")
    if hit.cited_by >= _SEVERAL:
        reasons.append(f"in {hit.cited_by} lists")
    if grade == 3 and not served and hit.tasks:
        reasons.append(f"first choice for {hit.tasks[0]}")
    reasons.extend(flag for flag in hit.flags if flag != "moved")
    if hit.successor:
        reasons.append(f"succeeded by {hit.successor}")
    return "; ".join(reasons) or "names many of the projects found"


def _and(tasks: list[str]) -> str:
    return " and ".join(dict.fromkeys(tasks))
