"""The HTTP cache's storage: answers as JSON in one file for each identity.

requests-cache's own SQLite storage waits without end for a file that is locked or may not be written, so this one
keeps its waits short and takes every trouble for an answer that is not there.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from requests_cache import json_serializer
from requests_cache.backends.base import BaseCache, BaseStorage
from requests_cache.models.response import CachedResponse

from scaffold.github.keeping import read, write

_SCHEMA = "CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, value TEXT, expires INTEGER)"
STATUSES = (200, 301)  # of the answers that are kept
_WEEK = 7 * 86_400
_MOST = 300  # answers; one search is some 200 kB
_LONGEST = 3_000_000


class AnswerCache(BaseCache):
    """requests-cache's cache over one file."""

    def __init__(self, path: Path) -> None:
        super().__init__(cache_name=path.stem)
        self.responses = _Answers(path)


class _Answers(BaseStorage):  # type: ignore[type-arg]  # the type has parameters only for type checkers
    def __init__(self, path: Path) -> None:
        # JSON, never pickle: who can write the file must not be able to run code through it.
        super().__init__(serializer=json_serializer)
        self._path = path

    def __getitem__(self, key: str) -> Any:
        rows = read(self._path, "SELECT value FROM responses WHERE key = ?", (key,))
        if not rows or not isinstance(rows[0][0], str):
            raise KeyError(key)
        try:
            answer = self.deserialize(key, rows[0][0])
        except Exception:  # whatever a damaged row makes of itself
            answer = None
        if not isinstance(answer, CachedResponse) or answer.status_code not in STATUSES:
            raise KeyError(key)
        return answer

    def __setitem__(self, key: str, value: Any) -> None:
        text = self.serialize(value)
        text = text.decode() if isinstance(text, bytes) else text
        if len(text) > _LONGEST:
            return
        expires = getattr(value, "expires_unix", None)

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO responses VALUES (?, ?, ?)", (key, text, expires))
            connection.execute("DELETE FROM responses WHERE expires < ?", (time.time() - _WEEK,))
            connection.execute("DELETE FROM responses WHERE rowid <= (SELECT max(rowid) FROM responses) - ?", (_MOST,))

        write(self._path, _SCHEMA, change)

    def __delitem__(self, key: str) -> None:
        write(self._path, _SCHEMA, lambda connection: connection.execute("DELETE FROM responses WHERE key = ?", (key,)))

    def __iter__(self) -> Iterator[str]:
        return iter([key for (key,) in read(self._path, "SELECT key FROM responses")])

    def __len__(self) -> int:
        return len(list(iter(self)))
