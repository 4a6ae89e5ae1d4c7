"""Small SQLite files in a folder of the user's own. What cannot be read or written is as if it were not there."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from scaffold import paths
from scaffold.settings import Settings

# How long another process is waited for. What is kept here is never worth more.
_READ_SECONDS = 0.5
_WRITE_SECONDS = 1.0


def identity(settings: Settings) -> str:
    """A name for who asks whom, which gives nothing of the token away."""
    if not settings.token:
        who = b"anonymous"
    else:
        who = blake2b(settings.token.encode(), digest_size=16, person=b"scaffold-token").digest()
    return blake2b(who + settings.api_url.encode(), digest_size=10).hexdigest()


def file_of(settings: Settings, what: str) -> Path:
    """Where this identity's file of a kind lies."""
    return paths.cache_dir() / "http" / f"{what}-{identity(settings)}.sqlite3"


def read(path: Path, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows of a query; none where the file is missing, damaged or busy."""
    try:
        if not path.is_file():
            return []
        uri = paths.read_only(path.absolute())
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_READ_SECONDS)) as connection:
            return connection.execute(query, values).fetchall()
    except (sqlite3.Error, OSError, ValueError):
        return []


def write(path: Path, schema: str, change: Callable[[sqlite3.Connection], object]) -> None:
    """Make a change, if that can be done; a damaged file is begun anew."""
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o700)
            path.touch(mode=0o600)
            path.chmod(0o600)
            with contextlib.closing(sqlite3.connect(path, timeout=_WRITE_SECONDS)) as connection, connection:
                connection.execute(schema)
                change(connection)
            return
        except (sqlite3.OperationalError, sqlite3.IntegrityError):
            return  # busy, full or read-only: the answer is used all the same
        except sqlite3.DatabaseError:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        except OSError:
            return
