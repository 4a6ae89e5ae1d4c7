"""`references.lock`: which commit of each reference is here, so that the same ones can be brought back elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scaffold.errors import NotFoundError, RefusedError, ScaffoldError
from scaffold.repository import RepositoryName, RepositorySpec, check_ref, is_commit, parse_name, parse_spec
from scaffold.settings import Settings
from scaffold.staging import held, patiently

_HEADER = """\
# Made by `scaffold clone`. `scaffold clone --locked` brings exactly these commits back.
version = 1
"""


@dataclass(frozen=True, slots=True)
class Locked:
    """One line of the lock: a repository, the ref that was asked for, and the commit it stood for on that day."""

    repo: RepositoryName
    url: str
    commit: str
    date: str
    ref: str | None = None


def spec_of(entry: Locked, settings: Settings) -> RepositorySpec:
    """The locked commit as something to fetch.

    Its address passes the same gate as one a person types: a lock file from elsewhere leads to no other host.

    Raises:
        RefusedError: the address is unsafe, on a host that is not allowed, or another repository's.
        UsageError: it is no address.
    """
    spec = parse_spec(entry.url, server_url=settings.server_url, allowed_hosts=settings.allowed_hosts)
    if not spec.name.same_as(entry.repo):
        raise RefusedError(f"refused {entry.repo}: its address in the lock file is that of {spec.name}")
    return RepositorySpec(entry.repo, spec.url, entry.commit)


def read_lock(path: Path) -> dict[str, Locked]:
    """What a lock file pins, by the key of the repository's name. A file that is not there pins nothing.

    Raises:
        ScaffoldError: the file is damaged; the message names file and reason.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _damaged(path, str(error)) from error
    if document.get("version", 1) != 1:
        raise ScaffoldError(f"{path}: written by a newer scaffold", hint="update scaffold, then try again")
    entries = document.get("references", [])
    if not isinstance(entries, list):
        raise _damaged(path, "`references` is not a list of tables")
    locked = [_entry(path, number, entry) for number, entry in enumerate(entries, 1)]
    return {entry.repo.key: entry for entry in locked}


def require_lock(path: Path) -> dict[str, Locked]:
    """As `read_lock`, for whoever needs one.

    Raises:
        NotFoundError: the file is not there or pins nothing.
    """
    locked = read_lock(path)
    if not locked:
        raise NotFoundError(f"{path} is not there or pins nothing", hint="run `scaffold clone OWNER/NAME` first")
    return locked


def record(path: Path, references: Iterable[Locked]) -> None:
    """Add references to a lock file, or bring them up to date in it; all others stay as they are.

    The file is replaced as a whole, and runs that end at the same time wait for one another. A reference that did not
    move keeps its date.

    Raises:
        ScaffoldError: the file is damaged or cannot be written.
    """
    new = {entry.repo.key: entry for entry in references}
    with _guarded(path):
        before = read_lock(path)
        moved = {key: entry for key, entry in new.items() if not _same(before.get(key), entry)}
        if moved:
            _write(path, {**before, **moved})


def forget(path: Path, keys: Iterable[str]) -> None:
    """Take references out of a lock file; without a file there is nothing to do.

    Raises:
        ScaffoldError: the file is damaged or cannot be written.
    """
    if not path.exists():
        return
    with _guarded(path):
        before = read_lock(path)
        gone = set(keys)
        if gone & before.keys():
            _write(path, {key: entry for key, entry in before.items() if key not in gone})


@contextlib.contextmanager
def _guarded(path: Path) -> Iterator[None]:
    try:
        with held(path.with_name(f".{path.name}.guard"), wait=True):
            yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ScaffoldError(
            f"{path} cannot be written: {reason}", hint="make room or let it be written, then run the same again"
        ) from error


def _same(old: Locked | None, new: Locked) -> bool:
    return old is not None and (old.url, old.ref, old.commit) == (new.url, new.ref, new.commit)


def _write(path: Path, entries: dict[str, Locked]) -> None:
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(_HEADER + "".join(_table(entries[key]) for key in sorted(entries)))
            file.flush()
            os.fsync(file.fileno())
        patiently(lambda: temporary.replace(path))
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _table(entry: Locked) -> str:
    values = {"repo": str(entry.repo), "url": entry.url, "ref": entry.ref, "commit": entry.commit, "date": entry.date}
    # JSON's strings are TOML's, for text without control characters.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value is not None]
    return "\n[[references]]\n" + "\n".join(lines) + "\n"


def _entry(path: Path, number: int, entry: object) -> Locked:
    where = f"entry {number}"
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise _damaged(path, f"{where} is not a table of texts")
    missing = [key for key in ("repo", "url", "commit", "date") if not entry.get(key)]
    if missing:
        raise _damaged(path, f"{where} has no {missing[0]}")
    if not is_commit(entry["commit"]):
        raise _damaged(path, f"{where}: {entry['commit']!r} is not a full commit")
    try:
        repo = parse_name(entry["repo"])
        ref = check_ref(entry["ref"]) if "ref" in entry else None
    except ScaffoldError as error:
        raise _damaged(path, f"{where}: {error.message}") from error
    return Locked(repo, entry["url"], entry["commit"], entry["date"], ref)


def _damaged(path: Path, reason: str) -> ScaffoldError:
    return ScaffoldError(
        f"{path} is damaged: {reason}", hint="repair that line, take the file from your backup, or remove the file"
    )
