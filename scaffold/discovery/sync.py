"""Syncing: lists' texts come from GitHub or a folder, are parsed and stored, each list whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scaffold.discovery.awesome import PARSER_VERSION, ParsedList, merge, parse_readme
from scaffold.discovery.local import local_lists, main_readme, read_file
from scaffold.discovery.store import ListStore, StoredFile
from scaffold.discovery.workers import Workers
from scaffold.errors import NotFoundError, RefusedError, ScaffoldError

if TYPE_CHECKING:
    from scaffold.discovery.fetch import Fetched, ListFetcher

Status = Literal["synced", "updated", "unchanged", "failed"]
Progress = Callable[["SyncResult", int, int], None]
_MAX_TOTAL = 12_000_000  # bytes of one list, all its texts together


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What became of one list.

    Attributes:
        status: synced is new, updated has other content than before.
        error: why it failed, or what is to be known of it (moved, renamed).
        failure: the error itself.
    """

    repo: str
    status: Status
    entries: int = 0
    repositories: int = 0
    error: str | None = None
    failure: ScaffoldError | None = None

    def to_json(self) -> dict[str, object]:
        """The list's part of the `sync` document."""
        return {
            "repo": self.repo,
            "status": self.status,
            "entries": self.entries,
            "repositories": self.repositories,
            "error": self.error,
        }


def parse_list(repo: str, files: Sequence[StoredFile], main: ParsedList | None = None) -> ParsedList:
    """A list from its texts, the README first, which may have been read already."""
    main = main or parse_readme(files[0].content, repo=repo, path=files[0].path)
    parts = [(file.path, parse_readme(file.content, repo=repo, path=file.path)) for file in files[1:] if file.content]
    return merge(main, parts) if parts else main


def sync_local(store: ListStore, folder: Path, progress: Progress | None = None) -> list[SyncResult]:
    """Index the lists of a folder tree; one that cannot be read never stops the rest.

    Raises:
        NotFoundError: there is no such folder.
        ScaffoldError: no list is in it, or the store cannot be written.
    """
    found = list(local_lists(folder))
    results = []
    for number, (repo, place) in enumerate(found, 1):
        try:
            result = _take_local(store, repo, place)
        except ScaffoldError as error:
            result = _failed(repo, error)
        results.append(result)
        if progress:
            progress(result, number, len(found))
    return results


def _take_local(store: ListStore, repo: str, place: Path) -> SyncResult:
    try:
        readme = main_readme(place)
    except OSError as error:
        raise ScaffoldError(f"{place} cannot be read: {error.strerror}") from error
    files = [read_file(place, readme)]
    total = len(files[0].content)
    main = parse_readme(files[0].content, repo=repo, path=readme)
    for path in main.files:
        try:
            file = read_file(place, path)
        except (NotFoundError, RefusedError):
            continue
        total += len(file.content)
        if total > _MAX_TOTAL:
            break
        files.append(file)
    return keep(store, repo, files, origin="local", main=main)


def sync_remote(
    store: ListStore, repos: Sequence[str], fetcher: ListFetcher, *, jobs: int = 8, progress: Progress | None = None
) -> list[SyncResult]:
    """Bring lists from GitHub, `jobs` at a time; each is stored as soon as it is there, so an interrupt keeps it.

    A list that says it has moved brings its new place along, once.

    Raises:
        ScaffoldError: the store cannot be written.
        KeyboardInterrupt: after what is there was kept.
    """
    results: list[SyncResult] = []
    unchanged: list[str] = []
    known = {repo.casefold() for repo in repos}
    workers: Workers[str, Fetched] = Workers(jobs)

    def want(repo: str) -> None:
        before = store.files(repo)
        workers.submit(repo, lambda: fetcher.fetch(repo, before))

    try:
        for repo in dict.fromkeys(repos):
            want(repo)
        for repo, fetched, error in workers.results():
            if fetched is None:
                result = _failed(repo, error)
            else:
                result = _take(store, repo, fetched, unchanged)
                moved_to = store.moved_to(repo)
                if moved_to and moved_to.casefold() not in known:
                    known.add(moved_to.casefold())
                    want(moved_to)
            results.append(result)
            if progress:
                progress(result, len(results), len(known))
    finally:
        fetcher.stop()
        workers.stop()
        if unchanged:
            store.checked(unchanged, _now())
    return results


def _failed(repo: str, error: Exception | None) -> SyncResult:
    if not isinstance(error, ScaffoldError):
        raise error or AssertionError("neither an answer nor an error")
    return SyncResult(repo, "failed", error=error.message, failure=error)


def _take(store: ListStore, repo: str, fetched: Fetched, unchanged: list[str]) -> SyncResult:
    if fetched.repo.casefold() != repo.casefold():
        store.add_alias(repo, fetched.repo)
    if fetched.files is None and repo not in store.outdated(PARSER_VERSION):
        unchanged.append(repo)
        result = _counted(repo, "unchanged", store.entries(repo))
    else:
        result = keep(store, repo, fetched.files or store.files(repo), origin="github")
    moved_to = store.moved_to(repo)
    notes = [
        *([f"renamed to {fetched.repo}"] if fetched.repo.casefold() != repo.casefold() else []),
        *([f"moved to {moved_to}"] if moved_to else []),
    ]
    return replace(result, error="; ".join(notes) or None)


def keep(
    store: ListStore, repo: str, files: Sequence[StoredFile], *, origin: str, main: ParsedList | None = None
) -> SyncResult:
    """Parse a list's texts and put them into the store, unless nothing has changed.

    Raises:
        ScaffoldError: the store cannot be written.
    """
    before = store.files(repo)
    same = [(file.path, file.content) for file in before] == [(file.path, file.content) for file in files]
    if same and repo not in store.outdated(PARSER_VERSION):
        return _counted(repo, "unchanged", list(store.entries(repo)))
    parsed = parse_list(repo, files, main)
    store.put(repo, parsed, files, origin=origin, fetched_at=_now(), parser=PARSER_VERSION)
    return _counted(repo, "updated" if before else "synced", parsed.entries)


def _counted(repo: str, status: Status, entries: Iterable[object]) -> SyncResult:
    entries = list(entries)
    repos = {name.casefold() for entry in entries if (name := getattr(entry, "repo", None))}
    return SyncResult(repo, status, len(entries), len(repos))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
