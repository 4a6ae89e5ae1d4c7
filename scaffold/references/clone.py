"""Clone several repositories at once, so that each of them is either complete and in its place or not there at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from scaffold.errors import ScaffoldError, UsageError
from scaffold.references.bring import Bringer, CloneJob, as_ended
from scaffold.references.lock import Locked, read_lock, record, require_lock, spec_of
from scaffold.references.reference import Reference, failed
from scaffold.repository import RepositoryName, RepositorySpec, parse_spec, shown

__all__ = ["CloneJob", "Reference", "clone_all", "clone_named", "restore"]


def clone_named(texts: Sequence[str], job: CloneJob, *, ref: str | None = None) -> list[Reference]:
    """As `clone_all`, for repositories as people write them. One that cannot be read fails alone.

    Args:
        texts: names and addresses.
        job: how to bring them.
        ref: meant for those that name none themselves.
    """
    read: list[RepositorySpec | Reference] = []
    for text in texts:
        try:
            spec = parse_spec(text, server_url=job.settings.server_url, allowed_hosts=job.settings.allowed_hosts)
        except ScaffoldError as error:
            unread = failed(shown(text), error)
            read.append(unread)
            if job.on_done:
                job.on_done(unread)
        else:
            read.append(replace(spec, ref=spec.ref or ref))
    specs = _unique([item for item in read if isinstance(item, RepositorySpec)])
    by_name = dict(zip([spec.name.key for spec in specs], clone_all(specs, job), strict=True))
    ordered = [item if isinstance(item, Reference) else by_name.pop(item.name.key, None) for item in read]
    return [reference for reference in ordered if reference is not None]


def clone_all(specs: Sequence[RepositorySpec], job: CloneJob) -> list[Reference]:
    """Bring repositories to `directory/owner/name`, several at a time, and pin them in the lock file.

    What is there already is moved forward if it is behind, and left alone where the user has changed it. One that
    fails never stops the others: it comes back with the reason. After Ctrl-C only complete ones are there.

    Returns:
        One reference for each repository, in the order given; one that is named twice is brought once.

    Raises:
        UsageError: one repository was asked for with two refs.
        ScaffoldError: the lock file is damaged, or the folder or the lock file cannot be written.
    """
    wanted = _unique(specs)
    if not wanted:
        return []
    # Nothing is brought that could not be pinned afterwards.
    record(job.lock_path, [])
    bringer = Bringer(job, {key: entry.ref for key, entry in read_lock(job.lock_path).items()})
    done: dict[RepositoryName, Reference] = {}
    try:
        _bring_all(wanted, bringer, job, done)
    finally:
        today = datetime.now(UTC).date().isoformat()
        pins = [
            Locked(spec.name, spec.url, reference.commit, today, bringer.ref_of(spec))
            for spec in wanted
            if (reference := done.get(spec.name)) and reference.commit and not reference.error
        ]
        record(job.lock_path, pins)
    return [done[spec.name] for spec in wanted]


def restore(names: Sequence[RepositoryName], job: CloneJob) -> list[Reference]:
    """Bring exactly the commits that the lock file pins: of the repositories named, or of all.

    Raises:
        NotFoundError: there is no lock file.
        UsageError: a repository is named that it does not pin.
        ScaffoldError: the lock file is damaged, or the folder cannot be written.
    """
    pinned = require_lock(job.lock_path)
    unknown = [name for name in names if name.key not in pinned]
    if unknown:
        raise UsageError(f"{job.lock_path} does not pin {unknown[0]}", hint="clone it without --locked first")
    entries = [pinned[key] for key in dict.fromkeys(name.key for name in names) or sorted(pinned)]
    done: dict[RepositoryName, Reference] = {}
    specs = []
    for entry in entries:
        try:
            specs.append(spec_of(entry, job.settings))
        except ScaffoldError as error:
            done[entry.repo] = failed(str(entry.repo), error)
    if specs:
        _bring_all(specs, Bringer(job, {}), job, done)
    return [done[entry.repo] for entry in entries]


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
    specs: Sequence[RepositorySpec], bringer: Bringer, job: CloneJob, done: dict[RepositoryName, Reference]
) -> None:
    with bringer.prepared(), ThreadPoolExecutor(max(1, min(job.jobs, len(specs)))) as pool:
        # The largest first: the last one to end then ends soonest. What is not known stays in the order it was named.
        order = sorted(specs, key=lambda spec: -job.sizes.get(spec.name.key, 0))
        futures: dict[Future[Reference], RepositorySpec] = {pool.submit(bringer.bring, spec): spec for spec in order}
        try:
            for future in as_ended(futures):
                done[futures[future].name] = future.result()
                if job.on_done:
                    job.on_done(future.result())
        except BaseException:
            _surely(bringer.git.stop)
            pool.shutdown(cancel_futures=True)
            raise


def _surely(stop: Callable[[], None]) -> None:
    """Stop, also where Ctrl-C is pressed again meanwhile."""
    while True:
        try:
            return stop()
        except KeyboardInterrupt:
            continue
