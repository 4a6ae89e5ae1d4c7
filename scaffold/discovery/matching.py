"""Matching: how strongly a document answers a query, field by field, and why in a few words."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import dataclass
from typing import Any

from scaffold.discovery import ranking
from scaffold.discovery.candidates import ROOM, candidates
from scaffold.discovery.fields import parts, split
from scaffold.discovery.query import Concept, Query
from scaffold.discovery.words import has_cjk, inflected

# A row of `documents`, or a mapping with its columns.
Row = sqlite3.Row | dict[str, Any]


@dataclass
class Evidence:
    """What one document holds of one concept.

    Attributes:
        strength: 0 to 1, all fields together.
        place: the task's place in the catalog's entry, or None.
        near: of a list that has none there, a related task that has.
        lists: lists that name the document where the concept stands in their words, heading or subject.
    """

    strength: float = 0.0
    place: int | None = None
    near: str | None = None
    named: bool = False
    told: bool = False
    lists: int = 0
    sections: int = 0


@dataclass
class Candidate:
    """A document under a close look."""

    row: Row
    evidence: list[Evidence]
    match: float

    @property
    def sources(self) -> list[str]:
        """The lists that name it."""
        told = split(self.row["fields"])[5]
        return [parts(mention)[0].strip() for mention in told]


# Words with a space before them, and the endings they may have; none means any.
_Needle = tuple[str, tuple[str, ...]]


class Needles:
    """The wordings of a concept in a form that is quickly looked for in folded words."""

    def __init__(self, concept: Concept) -> None:
        self._latin: list[tuple[_Needle, float]] = []
        self._cjk: list[tuple[str, float]] = []
        for wording in concept.wordings:
            if wording.is_cjk:
                self._cjk.append((wording.text.replace(" ", ""), wording.strength))
            else:
                self._latin.append((_needle(wording.text), wording.strength))
        typed = concept.typed.split()
        several = len(typed) > 1 and not has_cjk(concept.typed)
        self._apart = [_needle(word) for word in typed] if several else []
        self._alone = [_needle(word) for word in concept.rare]

    def within(self, whole: str) -> Present:
        """The wordings that a document's text holds at all: only these need be looked for field by field."""
        latin = [(needle, strength) for needle, strength in self._latin if needle[0] in whole]
        apart = self._apart if self._apart and all(needle[0] in whole for needle in self._apart) else []
        alone = [needle for needle in self._alone if needle[0] in whole]
        cjk = self._cjk if self._cjk and not whole.isascii() else []
        return Present(latin, cjk, apart, alone)


class Present:
    """The wordings of a concept that one document holds."""

    def __init__(
        self,
        latin: list[tuple[_Needle, float]],
        cjk: list[tuple[str, float]],
        apart: list[_Needle],
        alone: list[_Needle],
    ) -> None:
        self._latin, self._cjk, self._apart, self._alone = latin, cjk, apart, alone
        self._any = bool(latin or cjk or apart or alone)
        self._words = [needle[0] for needle, _ in latin] + [needle[0] for needle in alone]

    def in_any(self, line: str) -> bool:
        """Whether a line of several fields may hold a wording in one of them: a quick look before a close one."""
        if self._cjk and not line.isascii():
            return True
        for word in self._words:
            if word in line:
                return True
        return bool(self._apart) and all(needle[0] in line for needle in self._apart)

    def strength(self, padded: str) -> float:
        """That of the strongest wording in one field, which has a space before and after it; or 0."""
        if not self._any:
            return 0.0
        found = 0.0
        for needle, strength in self._latin:
            if needle[0] in padded and _holds(padded, needle):
                found = strength
                break
        if self._cjk and not padded.isascii():
            joined = padded.replace(" ", "")
            found = max([found, *(strength for needle, strength in self._cjk if needle in joined)])
        if self._apart and found < ranking.APART and all(_holds(padded, needle) for needle in self._apart):
            return ranking.APART
        if self._alone and found < ranking.ALONE and any(_holds(padded, needle) for needle in self._alone):
            return ranking.ALONE
        return found


def _needle(text: str) -> _Needle:
    return f" {text}", inflected(text.rpartition(" ")[2])


def _holds(padded: str, needle: _Needle) -> bool:
    words, endings = needle
    position = padded.find(words)
    while position >= 0:
        position += len(words)
        if not endings or padded[position : padded.find(" ", position)] in endings:
            return True
        position = padded.find(words, position)
    return False


def look_closely(connection: sqlite3.Connection, query: Query, room: int = ROOM) -> list[Candidate]:
    """The documents that are worth showing for a query (see `candidates` for `room`), with how strongly they match."""
    needles = [Needles(concept) for concept in query.concepts]
    found = [look(row, query, needles) for row in candidates(connection, query, room)]
    _weigh_lists(found)
    return [candidate for candidate in found if _answers(candidate, query)]


def _answers(candidate: Candidate, query: Query) -> bool:
    missing = sum(evidence.strength == 0 for evidence in candidate.evidence)
    nothing = ranking.MISSING**ranking.SHARPNESS
    return 2 * missing <= len(query.concepts) and candidate.match > nothing  # one word in three is no match


def look(row: Row, query: Query, needles: list[Needles]) -> Candidate:
    whole: str = row["fields"]
    name, owner, title, keywords, description, told, sections = split(whole)
    catalogued = row["grade"] is not None
    is_list = row["kind"] == "list"  # lists are about broad topics
    tasks: list[str] = json.loads(row["tasks"]) if catalogued and query.tasks else []
    found = []
    for concept, wordings in zip(query.concepts, needles, strict=True):
        needle = wordings.within(whole)
        evidence = Evidence()
        # A title mostly repeats the name, and a description one list's words: the stronger counts, not both.
        called = max(ranking.NAME * needle.strength(name), ranking.TITLE * needle.strength(title))
        described = ranking.DESCRIPTION * needle.strength(description)
        chances = [
            called,
            ranking.OWNER * needle.strength(owner),
            ranking.KEYWORDS * needle.strength(keywords),
            described if catalogued or not told else 0.0,
        ]
        evidence.named = called > 0
        evidence.told = max(described, chances[2]) > 0
        if concept.task in tasks:
            evidence.place = tasks.index(concept.task)
            place = min(evidence.place, len(ranking.TASK_PLACE) - 1)
            chances.append(concept.aim * ranking.TASK_PLACE[place])
        elif is_list and (near := next((task for task in tasks if task in concept.related), None)):
            evidence.near = near
            place = min(tasks.index(near), len(ranking.TASK_PLACE) - 1)
            chances.append(ranking.RELATED * concept.aim * ranking.TASK_PLACE[place])
        for mention in told:
            if not needle.in_any(mention):
                continue
            _, weight, section, text, subject = parts(mention)
            chance = ranking.either(
                [
                    ranking.SECTION * needle.strength(section),
                    ranking.MENTION_TEXT * needle.strength(text),
                    ranking.SUBJECT * needle.strength(subject),
                ]
            )
            evidence.lists += chance > 0
            chances.append(float(weight) * chance)
        headings = (parts(line) for line in sections if needle.in_any(line))
        evidence.sections = sum(int(count) for path, count in headings if needle.strength(path))
        if evidence.sections:
            share = evidence.sections / max(row["entries"], 1)
            chances += [ranking.OWN_SECTION, ranking.OWN_SECTION_SHARE * math.sqrt(share)]
        evidence.strength = ranking.either(chances)
        found.append(evidence)
    strengths = [(concept.weight, evidence.strength) for concept, evidence in zip(query.concepts, found, strict=True)]
    return Candidate(row, found, ranking.match(strengths))


def _weigh_lists(found: list[Candidate]) -> None:
    """A list that names many of the best projects for the query is about it, whatever it is called."""
    content: dict[str, float] = {}
    total = 0.0
    projects = sorted((c for c in found if c.row["kind"] == "project"), key=lambda c: -c.match)[:100]
    for candidate in projects:
        total += candidate.match
        for source in candidate.sources:
            content[source] = content.get(source, 0.0) + candidate.match
    if not total:
        return
    for candidate in found:
        held = content.get(candidate.row["repo"].casefold(), 0.0) if candidate.row["kind"] == "list" else 0.0
        if held:
            share = math.sqrt(held / total)
            candidate.match = ranking.either([candidate.match, ranking.CONTENT * share])
