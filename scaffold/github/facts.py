"""What GitHub said of repositories, remembered for a week: one small file for each identity, read without a network."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from scaffold.github.keeping import file_of, read, write
from scaffold.settings import Settings

_WEEK = 7 * 86_400.0
_SCHEMA = "CREATE TABLE IF NOT EXISTS facts (asked TEXT PRIMARY KEY, facts TEXT, told REAL)"


@dataclass(frozen=True, slots=True)
class RepositoryFacts:
    """What GitHub says of one repository. None is unknown."""

    repo: str
    description: str | None = None
    stars: int | None = None
    license: str | None = None
    language: str | None = None
    archived: bool | None = None
    pushed_at: str | None = None
    topics: tuple[str, ...] = ()
    fork: bool = False
    private: bool = False
    size: int | None = None  # kilobytes, as GitHub counts: all history, compressed


def cached_facts(settings: Settings, repos: Sequence[str]) -> dict[str, RepositoryFacts]:
    """What this identity was told in the last week, by the name asked for, in lower case. Nothing is imported."""
    return {asked: facts for asked, facts in told_within(settings, repos, _WEEK).items() if facts}


def told_within(settings: Settings, repos: Sequence[str], seconds: float) -> dict[str, RepositoryFacts | None]:
    """What was told lately, by the names in lower case; None where GitHub said that there is no such repository."""
    names = [repo.casefold() for repo in repos]
    marks = ", ".join("?" * len(names))
    query = f"SELECT asked, facts FROM facts WHERE asked IN ({marks}) AND told > ?"
    rows = read(file_of(settings, "facts"), query, (*names, time.time() - seconds)) if names else []
    return {asked: _read(text) for asked, text in rows if text is None or _read(text)}


def remember(settings: Settings, facts: Iterable[tuple[str, RepositoryFacts | None]]) -> None:
    """Keep facts by the name that was asked for. Where that cannot be written, nothing is kept."""
    now = time.time()
    rows = [(asked.casefold(), told and json.dumps(asdict(told)), now) for asked, told in facts]

    def change(connection: sqlite3.Connection) -> None:
        connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", rows)
        connection.execute("DELETE FROM facts WHERE told < ?", (time.time() - _WEEK,))

    if rows:
        write(file_of(settings, "facts"), _SCHEMA, change)


def _read(text: str | None) -> RepositoryFacts | None:
    if text is None:
        return None
    try:
        values = json.loads(text)
        return RepositoryFacts(**{**values, "topics": tuple(values["topics"])})
    except (ValueError, TypeError, KeyError):
        return None
