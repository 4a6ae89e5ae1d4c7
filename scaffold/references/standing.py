"""How references stand: what is here, what was pinned, and what has moved on since."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from scaffold.errors import NotFoundError, RefusedError, ScaffoldError
from scaffold.references.bring import as_ended, place_of
from scaffold.references.lock import Locked, forget, read_lock
from scaffold.repository import RepositoryName, is_commit, parse_name, parse_spec
from scaffold.settings import Settings
from scaffold.staging import patiently, remove, staging_folder
from scaffold.vcs import Repositories

_AT_ONCE = 8

Status = Literal["current", "behind", "ahead", "changed", "moved", "missing", "damaged"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one reference stands.

    Attributes:
        path: its folder; where it is missing, where it would be.
        commit: what is checked out, None where nothing is.
        locked: the commit that `references.lock` pins, None where it pins none.
        ref: the branch, tag or commit it follows, None for the default branch.
        date: when it was pinned.
        status: the first that holds of missing, damaged, changed, ahead, behind, moved; otherwise current.
        behind: whether the remote has another commit; None where it was not or could not be asked.
        ahead: whether it holds commits of the user's own.
        changed: whether files differ from what was checked out.
        error: why the remote could not be asked.
    """

    repo: str
    path: str
    commit: str | None = None
    locked: str | None = None
    ref: str | None = None
    date: str | None = None
    status: Status = "missing"
    behind: bool | None = None
    ahead: bool = False
    changed: bool = False
    error: str | None = None

    def to_json(self) -> dict[str, str | bool | None]:
        """The reference as `scaffold references --json` prints it."""
        return {name: getattr(self, name) for name in self.__slots__}


def standings(directory: Path, lock_path: Path, settings: Settings, *, ask: bool = True) -> list[Standing]:
    """How all references stand that are pinned or lie in the folder, by name.

    Args:
        directory: where the `owner/name` folders are.
        lock_path: the lock file; it need not be there.
        settings: which hosts may be asked.
        ask: ask each remote what it has, at the cost of one ref listing; several at a time.

    Raises:
        ScaffoldError: the lock file is damaged, or git is missing.
    """
    locked = read_lock(lock_path)
    names = {key: entry.repo for key, entry in locked.items()}
    for name in _found_in(directory):
        names.setdefault(name.key, name)
    git = Repositories(settings)
    here = [_look(git, directory, names[key], locked.get(key)) for key in sorted(names)]
    if not ask:
        return here
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            asked = [pool.submit(_asked, git, standing, settings) for standing in here]
            for _ in as_ended(asked):
                pass
            return [future.result() for future in asked]
        except BaseException:
            git.stop()
            raise


def remove_references(
    names: Sequence[str], directory: Path, lock_path: Path, settings: Settings, *, force: bool = False
) -> list[Standing]:
    """Remove references from the disk and from the lock file: all that were named, or none.

    Args:
        force: remove also what holds work of the user's.

    Returns:
        How they stood.

    Raises:
        NotFoundError: one is neither here nor pinned.
        RefusedError: one holds work that would be lost.
        ScaffoldError: it cannot be removed.
    """
    locked = read_lock(lock_path)
    git = Repositories(settings)
    found = []
    for name in map(parse_name, names):
        entry = locked.get(name.key)
        standing = _look(git, directory, entry.repo if entry else name, entry)
        if standing.status == "missing" and standing.locked is None:
            raise NotFoundError(f"{name} is neither in {directory} nor pinned", hint="see: scaffold references")
        if not force and (reason := _would_lose(git, standing)):
            raise RefusedError(
                f"{standing.path} {reason}; nothing was removed", hint="save it, or remove it all the same with --force"
            )
        found.append(standing)
    there = [Path(standing.path) for standing in found if standing.status != "missing"]
    if there:
        try:
            with staging_folder(directory) as staging:
                for number, folder in enumerate(there):
                    # Gone as a whole, whatever stops the deleting.
                    patiently(partial(folder.rename, staging / str(number)))
                    with contextlib.suppress(OSError):
                        folder.parent.rmdir()
                    remove(staging / str(number))
        except OSError as error:
            raise ScaffoldError(f"{directory} cannot be changed: {(error.strerror or str(error)).lower()}") from error
    forget(lock_path, [parse_name(standing.repo).key for standing in found])
    return found


def _found_in(directory: Path) -> list[RepositoryName]:
    found = []
    for folder in sorted(directory.glob("*/*/.git")):
        with contextlib.suppress(ScaffoldError):
            found.append(parse_name(f"{folder.parent.parent.name}/{folder.parent.name}"))
    return found


def _look(git: Repositories, directory: Path, name: RepositoryName, entry: Locked | None) -> Standing:
    folder = place_of(directory, name)
    standing = Standing(str(name), str(folder))
    if entry is not None:
        standing = replace(standing, locked=entry.commit, ref=entry.ref, date=entry.date)
    if not folder.is_dir():
        return standing
    if not git.is_repository(folder):
        return replace(standing, status="damaged")
    try:
        git.check_settings(folder)
    except ScaffoldError as error:
        return replace(standing, status="damaged", error=error.message)
    commit = git.head_commit(folder)
    if commit is None:
        return replace(standing, status="damaged")
    standing = replace(standing, commit=commit, changed=not git.is_clean(folder), ahead=git.has_own_commits(folder))
    return replace(standing, status=_status(standing))


def _asked(git: Repositories, standing: Standing, settings: Settings) -> Standing:
    if standing.commit is None or (standing.ref and is_commit(standing.ref)):
        return standing
    url = git.remote_url(Path(standing.path)) or ""
    try:
        spec = parse_spec(url, server_url=settings.server_url, allowed_hosts=settings.allowed_hosts)
        there = git.find_remote(spec.url, standing.ref)
    except ScaffoldError as error:
        return replace(standing, error=error.message)
    standing = replace(standing, behind=not git.has_commit(Path(standing.path), there.commit))
    return replace(standing, status=_status(standing))


def _status(standing: Standing) -> Status:
    if standing.changed:
        return "changed"
    if standing.ahead:
        return "ahead"
    if standing.behind:
        return "behind"
    return "moved" if standing.locked not in (None, standing.commit) else "current"


def _would_lose(git: Repositories, standing: Standing) -> str | None:
    """What of the user's would go with it; None where there is nothing."""
    folder = Path(standing.path)
    if standing.status == "missing":
        return None
    if standing.status == "damaged":
        return "is not a usable git repository"
    if standing.ahead:
        return "holds commits of its own"
    return "holds changes or files of its own" if git.has_own_files(folder) else None
