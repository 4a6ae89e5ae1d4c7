"""Hits: what is shown of a repository, its score, its flags and the reasons in a few words."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
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


def score(candidate: Candidate, today: date, facts: Facts | None = None) -> float:
    """How strongly a candidate matches times how good it is."""
    return round(candidate.match * ranking.quality(_quality(candidate.row, today, facts)), 4)


def hit_from_row(row: Row, *, today: date, facts: Facts | None = None) -> Hit:
    """A row of `documents` as a hit that no query asked for, with what GitHub says where that is known."""
    known = _quality(row, today, facts)
    flags = (
        *(["archived"] if known.archived else []),
        *(["unmaintained"] if known.unmaintained or known.idle_years >= ranking.UNMAINTAINED_AFTER else []),
        *(["moved"] if row["successor"] else []),
    )
    sources = json.loads(row["sources"])
    if facts and "github" not in sources:
        sources.append("github")
    repo = facts.repo if facts and facts.repo.casefold() != row["repo"].casefold() else row["repo"]
    told = facts.archived if facts else None
    return Hit(
        repo=repo,
        kind=row["kind"],
        title=row["title"],
        description=row["description"] or (facts.description if facts else None),
        url=f"{SERVER_URL}/{repo}",
        tasks=tuple(json.loads(row["tasks"])),
        stars=facts.stars if facts else None,
        license=(facts.license if facts else None) or row["license"],
        language=(facts.language if facts else None) or row["language"],
        archived=told if told is not None else None if row["archived"] is None else bool(row["archived"]),
        pushed_at=(facts.pushed_at if facts else None) or row["pushed_at"],
        cited_by=row["cited_by"],
        score=round(ranking.quality(known), 4),
        sources=tuple(sources),
        why="named by you",
        successor=row["successor"],
        flags=flags,
    )


def hit_of(candidate: Candidate, query: Query, *, today: date, facts: Facts | None = None) -> Hit:
    """A candidate as a hit, with its score and the reasons."""
    hit = hit_from_row(candidate.row, today=today, facts=facts)
    return replace(hit, score=score(candidate, today, facts), why=why(query, candidate, hit))


def _quality(row: Row, today: date, facts: Facts | None) -> ranking.Quality:
    stars = facts.stars if facts else None
    told = facts.archived if facts else None
    return ranking.Quality(
        grade=row["grade"],
        citations=row["citations"],
        stars=stars if stars is not None else row["listed_stars"],
        entries=row["entries"] or (None if row["kind"] == "list" else 0),
        archived=bool(row["archived"] if told is None else told),
        unmaintained=bool(row["unmaintained"]),
        succeeded=row["successor"] is not None,
        idle_years=_years_since((facts.pushed_at if facts else None) or row["pushed_at"], today),
    )


def _years_since(moment: str | None, today: date) -> float:
    """Years between an ISO date (or date and time) and today; 0 where it is not known."""
    if not moment:
        return 0.0
    try:
        return max(0.0, (today - date.fromisoformat(moment[:10])).days / 365.25)
    except ValueError:
        return 0.0


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
    near = [found.near for _, found in pairs if found.near]
    if near and not reasons:
        reasons.append(f"for {_and(near)}, which is close")
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
    last = "names many of the projects found" if hit.kind == "list" else "its owner's name fits"
    return "; ".join(reasons) or last


def _and(tasks: list[str]) -> str:
    return " and ".join(dict.fromkeys(tasks))
