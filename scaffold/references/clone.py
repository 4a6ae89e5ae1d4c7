"""Clone several repositories at once, so that each of them is either complete and in its place or not there at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from scaffold.errors import ScaffoldError, UsageError
from scaffold.references.bring import Bringer, Progress
from scaffold.references.lock import Locked, read_lock, record, require_lock, spec_of
from scaffold.references.reference import Reference, failed
from scaffold.repository import RepositoryName, RepositorySpec, parse_spec, shown
from scaffold.settings import Settings

__all__ = ["Done", "Progress", "Reference", "clone_all", "clone_named", "restore"]

Done = Callable[[Reference], None]
"""Called with each reference as it ends, in the order in which they end."""


def clone_named(
    texts: Sequence[str],
    *,
    directory: Path,
    lock_path: Path,
    settings: Settings,
    ref: str | None = None,
    jobs: int = 4,
    full: bool = False,
    on_progress: Progress | None = None,
    on_done: Done | None = None,
) -> list[Reference]:
    """As `clone_all`, for repositories as people write them. One that cannot be read fails alone.

    Args:
        texts: names and addresses; `ref` is meant for those that name none themselves.
    """
    read: list[RepositorySpec | Reference] = []
    for text in texts:
        try:
            spec = parse_spec(text, server_url=settings.server_url, allowed_hosts=settings.allowed_hosts)
        except ScaffoldError as error:
            unread = failed(shown(text), error)
            read.append(unread)
            if on_done:
                on_done(unread)
        else:
            read.append(replace(spec, ref=spec.ref or ref))
    specs = [item for item in read if isinstance(item, RepositorySpec)]
    cloned = clone_all(
        specs,
        directory=directory,
        lock_path=lock_path,
        settings=settings,
        jobs=jobs,
        full=full,
        on_progress=on_progress,
        on_done=on_done,
    )
    by_name = {spec.name.key: reference for spec, reference in zip(_unique(specs), cloned, strict=True)}
    ordered = [item if isinstance(item, Reference) else by_name.pop(item.name.key, None) for item in read]
    return [reference for reference in ordered if reference is not None]


def clone_all(
    specs: Sequence[RepositorySpec],
    *,
    directory: Path,
    lock_path: Path,
    settings: Settings,
    jobs: int = 4,
    full: bool = False,
    on_progress: Progress | None = None,
    on_done: Done | None = None,
) -> list[Reference]:
    """Bring repositories to `directory/owner/name`, several at a time, and pin them in the lock file.

    What is there already is moved forward if it is behind, and left alone where the user has changed it. One that
    fails never stops the others: it comes back with the reason. After Ctrl-C only complete ones are there.

    Args:
        specs: what to bring; a repository that is named twice is brought once.
        jobs: how many at a time.
        full: all history rather than one commit.

    Returns:
        One reference for each repository, in the order given.

    Raises:
        UsageError: one repository was asked for with two refs.
        ScaffoldError: the lock file is damaged, or the folder or the lock file cannot be written.
    """
    wanted = _unique(specs)
    pinned = read_lock(lock_path, settings)
    followed = {key: entry.ref for key, entry in pinned.items()}
    bringer = Bringer(directory, settings, followed=followed, full=full, on_progress=on_progress)
    done: dict[RepositoryName, Reference] = {}
    try:
        _bring_all(wanted, bringer, jobs, done, on_done)
    finally:
        today = datetime.now(UTC).date().isoformat()
        pins = [
            Locked(spec.name, spec.url, reference.commit, today, bringer.ref_of(spec))
            for spec in wanted
            if (reference := done.get(spec.name)) and reference.commit and not reference.error
        ]
        record(lock_path, pins, settings)
    return [done[spec.name] for spec in wanted]


def restore(
    names: Sequence[RepositoryName],
    *,
    directory: Path,
    lock_path: Path,
    settings: Settings,
    jobs: int = 4,
    full: bool = False,
    on_progress: Progress | None = None,
    on_done: Done | None = None,
) -> list[Reference]:
    """Bring exactly the commits that the lock file pins: of the repositories named, or of all.

    Raises:
        NotFoundError: there is no lock file.
        ScaffoldError: as `clone_all`.
    """
    pinned = require_lock(lock_path, settings)
    unknown = [name for name in names if name.key not in pinned]
    if unknown:
        raise UsageError(f"{lock_path} does not pin {unknown[0]}", hint="clone it without --locked first")
    entries = [pinned[name.key] for name in names] or [pinned[key] for key in sorted(pinned)]
    specs = _unique([spec_of(entry) for entry in entries])
    done: dict[RepositoryName, Reference] = {}
    bringer = Bringer(directory, settings, followed={}, full=full, on_progress=on_progress)
    _bring_all(specs, bringer, jobs, done, on_done)
    return [done[spec.name] for spec in specs]


def _unique(specs: Sequence[RepositorySpec]) -> list[RepositorySpec]:
    unique: dict[str, RepositorySpec] = {}
    for spec in specs:
        first = unique.setdefault(spec.name.key, spec)
        if (first.ref, first.url) != (spec.ref, spec.url):
            raise UsageError(
                f"{spec.name} was asked for twice, in different ways", hint="a reference has one address and one ref"
            )
    return list(unique.values())


def _bring_all(
    specs: Sequence[RepositorySpec],
    bringer: Bringer,
    jobs: int,
    done: dict[RepositoryName, Reference],
    on_done: Done | None,
) -> None:
    if not specs:
        return
    with bringer.prepared(), ThreadPoolExecutor(max(1, min(jobs, len(specs)))) as pool:
        futures: dict[Future[Reference], RepositorySpec] = {pool.submit(bringer.bring, spec): spec for spec in specs}
        try:
            for future in as_completed(futures):
                done[futures[future].name] = future.result()
                if on_done:
                    on_done(future.result())
        except BaseException:
            bringer.git.stop()
            pool.shutdown(cancel_futures=True)
            raise
