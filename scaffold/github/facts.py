"""What GitHub said of repositories, remembered for a week: one small file for each identity, read without a network."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

from scaffold import paths
from scaffold.settings import Settings

_WEEK = 7 * 86_400.0


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


def http_folder() -> Path:
    """The folder of the HTTP cache; only the user may look into it."""
    return paths.cache_dir() / "http"


def identity(settings: Settings) -> str:
    """A name for who asks whom, which gives nothing of the token away."""
    if not settings.token:
        who = b"anonymous"
    else:
        who = blake2b(settings.token.encode(), digest_size=16, person=b"scaffold-token").digest()
    return blake2b(who + settings.api_url.encode(), digest_size=10).hexdigest()


def private_folder() -> Path:
    """`http_folder`, made if need be, closed to others.

    Raises:
        OSError: it cannot be made.
    """
    folder = http_folder()
    folder.mkdir(parents=True, exist_ok=True)
    os.chmod(folder, 0o700)  # noqa: PTH101
    return folder


def cached_facts(settings: Settings, repos: Sequence[str]) -> dict[str, RepositoryFacts]:
    """What this identity was told in the last week, by the name asked for, in lower case. Nothing is imported."""
    path = http_folder() / f"facts-{identity(settings)}.sqlite3"
    if not repos or not path.is_file():
        return {}
    names = [repo.casefold() for repo in repos]
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0.5)) as connection:
            marks = ", ".join("?" * len(names))
            rows = connection.execute(
                f"SELECT asked, facts FROM facts WHERE asked IN ({marks}) AND told > ?",
                (*names, time.time() - _WEEK),
            ).fetchall()
        return {asked: _read(facts) for asked, facts in rows}
    except (sqlite3.Error, ValueError, TypeError, OSError):
        return {}


def remember(settings: Settings, facts: Iterable[tuple[str, RepositoryFacts]]) -> None:
    """Keep facts by the name that was asked for. Where that cannot be written, nothing is kept."""
    rows = [(asked.casefold(), json.dumps(asdict(told)), time.time()) for asked, told in facts]
    try:
        path = private_folder() / f"facts-{identity(settings)}.sqlite3"
        for _ in range(2):
            try:
                _write(path, rows)
            except sqlite3.OperationalError:
                return  # busy or full: the answer is used all the same
            except sqlite3.DatabaseError:
                path.unlink(missing_ok=True)  # damaged
            else:
                return
    except OSError:
        return


def _write(path: Path, rows: Sequence[tuple[str, str, float]]) -> None:
    if not path.exists():
        path.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(path, timeout=2)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS facts (asked TEXT PRIMARY KEY, facts TEXT, told REAL)")
        connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", rows)
        connection.execute("DELETE FROM facts WHERE told < ?", (time.time() - _WEEK,))


def _read(text: str) -> RepositoryFacts:
    values = json.loads(text)
    return RepositoryFacts(**{**values, "topics": tuple(values.get("topics", ()))})
