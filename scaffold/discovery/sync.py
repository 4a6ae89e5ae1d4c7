"""Syncing: lists' texts come from GitHub or a folder, are parsed and stored, each list whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scaffold.discovery.awesome import PARSER_VERSION, ParsedList, merge, parse_readme
from scaffold.discovery.local import LocalList, local_lists, main_readme, read_file, read_linked
from scaffold.discovery.store import ListStore, Origin, StoredFile
from scaffold.discovery.workers import Workers
from scaffold.errors import ScaffoldError

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
    """A list from its texts, the README first; `main` is the README where it has been parsed already."""
    main = main or parse_readme(files[0].content, repo=repo, path=files[0].path)
    parts = [(file.path, parse_readme(file.content, repo=repo, path=file.path)) for file in files[1:] if file.content]
    return merge(main, parts) if parts else main


def sync_local(store: ListStore, folder: Path, progress: Progress | None = None) -> list[SyncResult]:
    """Index the lists of a folder tree; one that cannot be read never stops the rest.

    Raises:
        NotFoundError: there is no such folder.
        ScaffoldError: no list is in it, or the store cannot be written.
    """
    found = local_lists(folder)
    outdated = {repo.casefold() for repo in store.outdated(PARSER_VERSION)}
    results = []
    for number, item in enumerate(found, 1):
        before = [] if item.repo.casefold() in outdated else store.files(item.repo)
        try:
            files, main = _read_local(item, before)
            parsed = None if _same(before, files) else parse_list(item.repo, files, main)
        except Exception as error:
            result = _failed(item.repo, error)
        else:
            result = keep(store, item.repo, files, parsed, origin="local")
        results.append(result)
        if progress:
            progress(result, number, len(found))
    return results


def _read_local(item: LocalList, before: Sequence[StoredFile]) -> tuple[list[StoredFile], ParsedList | None]:
    """A list's texts, and its README parsed unless it is the one that was known."""
    if item.problem:
        raise item.problem
    readme = read_file(item.place, main_readme(item.place), item.root)
    if _same(before[:1], [readme]):
        main, paths = None, [file.path for file in before[1:]]
    else:
        main = parse_readme(readme.content, repo=item.repo, path=readme.path)
        paths = list(main.files)
    return [readme, *read_linked(item, paths, _MAX_TOTAL - len(readme.content))], main


def sync_remote(
    store: ListStore, repos: Sequence[str], fetcher: ListFetcher, *, jobs: int = 8, progress: Progress | None = None
) -> list[SyncResult]:
    """Bring lists from GitHub, `jobs` at a time; each is stored as soon as it is there, so an interrupt keeps it.

    A list that says it has moved brings its new place along; where that has moved on, it is only said.

    Raises:
        ScaffoldError: the store cannot be written.
        KeyboardInterrupt: after what is there was kept.
    """
    results: list[SyncResult] = []
    unchanged: list[str] = []
    asked = {repo.casefold(): repo for repo in reversed(repos)}
    # A list that is known to be renamed is asked for under its new name, and only once.
    wanted = {store.current(repo).casefold(): repo for repo in reversed(repos)}
    brought: set[str] = set()
    workers: Workers[str, Fetched] = Workers(jobs)
    outdated = {repo.casefold() for repo in store.outdated(PARSER_VERSION)}

    def want(repo: str) -> None:
        now = store.current(repo)
        before = store.files(now)
        if now.casefold() in outdated:
            # Without its etag the README comes whole, and is parsed for the texts that it links to.
            before[:1] = [replace(before[0], etag=None)]
        workers.submit(repo, lambda: fetcher.fetch(now, before))

    try:
        for repo in dict.fromkeys(repo for repo in asked.values() if wanted[store.current(repo).casefold()] == repo):
            want(repo)
        for repo, fetched, error in workers.results():
            result = _take(store, repo, fetched, unchanged) if fetched else _failed(repo, error)
            moved_to = store.moved_to(store.current(repo)) if fetched else None
            if moved_to and repo not in brought and store.current(moved_to).casefold() not in wanted:
                wanted[store.current(moved_to).casefold()] = moved_to
                brought.add(moved_to)
                want(moved_to)
            results.append(result)
            if progress:
                progress(result, len(results), len(wanted))
    finally:
        fetcher.stop()
        workers.stop()
        if unchanged:
            store.checked(unchanged, _now())
    return results


def _take(store: ListStore, repo: str, fetched: Fetched, unchanged: list[str]) -> SyncResult:
    store.add_alias(repo, fetched.repo)
    name = fetched.repo
    if fetched.files is None:
        unchanged.append(name)
        result = _counted(store, name, "unchanged")
    else:
        same = _same(store.files(name), fetched.files) and store.is_current(name, PARSER_VERSION)
        try:
            parsed = None if same else parse_list(name, fetched.files, fetched.main)
        except Exception as error:
            return _failed(repo, error)
        result = keep(store, name, fetched.files, parsed, origin="github")
    moved_to = store.moved_to(name)
    notes = [
        *([f"renamed to {name}"] if name.casefold() != repo.casefold() else []),
        *([f"moved to {moved_to}"] if moved_to else []),
    ]
    return replace(result, repo=repo, error="; ".join(notes) or None)


def keep(
    store: ListStore, repo: str, files: Sequence[StoredFile], parsed: ParsedList | None, *, origin: Origin
) -> SyncResult:
    """Put a list's texts and entries into the store; without entries the texts are those that are there."""
    before = store.files(repo)
    if parsed is None:
        if list(files) != before:
            store.came_from(repo, files, origin)
        return _counted(store, repo, "unchanged")
    store.put(repo, parsed, files, origin=origin, fetched_at=_now(), parser=PARSER_VERSION)
    return _counted(store, repo, "updated" if before else "synced")


def parse_anew(store: ListStore) -> int:
    """Read the kept texts again where another version of the parser read them; the number of lists."""
    outdated = store.outdated(PARSER_VERSION)
    for repo in outdated:
        origin, fetched_at = store.provenance(repo)
        files = store.files(repo)
        store.put(repo, parse_list(repo, files), files, origin=origin, fetched_at=fetched_at, parser=PARSER_VERSION)
    return len(outdated)


def _same(before: Sequence[StoredFile], files: Sequence[StoredFile]) -> bool:
    return bool(before) and [_content(file) for file in before] == [_content(file) for file in files]


def _content(file: StoredFile) -> tuple[str, bool, bytes]:
    return file.path, file.missing, file.content


def _failed(repo: str, error: Exception | None) -> SyncResult:
    """One list that could not be had: whatever it is, the others go on."""
    if not isinstance(error, ScaffoldError):
        told = ScaffoldError(f"{repo} could not be read: unexpected {type(error).__name__}: {error}")
        told.__cause__ = error
        error = told
    return SyncResult(repo, "failed", error=error.message, failure=error)


def _counted(store: ListStore, repo: str, status: Status) -> SyncResult:
    return SyncResult(repo, status, *store.counts(repo))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
