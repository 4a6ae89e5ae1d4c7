"""Bring one repository to its folder: complete and in its place, or not there at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from scaffold.errors import RefusedError, ScaffoldError
from scaffold.references.reference import Reference, failed
from scaffold.repository import RepositoryName, RepositorySpec, same_address, shown
from scaffold.settings import Settings
from scaffold.staging import patiently, remove, staging_folder
from scaffold.vcs import History, Repositories
from scaffold.vcs.errors import TransientError
from scaffold.vcs.submodules import Submodules

_T = TypeVar("_T")
_TURN_SECONDS = 0.2

Progress = Callable[[str, str, int, int], None]
"""Called from any thread with `owner/name`, the phase ("Receiving objects"), how much is done and how much there is."""


Retry = Callable[[str, str, float], None]
"""Called from any thread with `owner/name`, the reason, and the seconds until the next try."""


Done = Callable[[Reference], None]
"""Called with each reference as it ends, in the order in which they end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneJob:
    """How repositories are brought.

    Attributes:
        directory: where the `owner/name` folders are.
        lock_path: the lock file.
        settings: which server gets the token, and which hosts are allowed.
        jobs: how many at a time.
        history: how much of it is brought; what is there already is deepened.
        submodules: bring the submodules too, from allowed hosts.
        sizes: of repositories whose size is known, by the keys of their names; the unit is free. Largest first.
        pauses: seconds before each further try, after a cut or a stall.
        on_progress: called as git counts.
        on_retry: called before each further try.
        on_done: called as each ends.
    """

    directory: Path
    lock_path: Path
    settings: Settings
    jobs: int = 4
    history: History = "none"
    submodules: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)
    pauses: tuple[float, ...] = (1.0, 4.0)
    on_progress: Progress | None = None
    on_retry: Retry | None = None
    on_done: Done | None = None


class Bringer:
    """Brings one repository to its folder; safe to use from several threads.

    Args:
        job: how.
        followed: by the key of a name, the ref that an earlier run brought and that counts where none is asked for.
    """

    def __init__(self, job: CloneJob, followed: Mapping[str, str | None]) -> None:
        self.git = Repositories(job.settings)
        self._directory = job.directory
        self._followed = followed
        self._job = job
        self._on_progress = job.on_progress or (lambda repo, phase, count, total: None)
        self._staging = job.directory

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """The folder for references and one for staging in it. What is left empty in the end is removed."""
        was_there = self._directory.exists()
        try:
            with staging_folder(self._directory) as self._staging:
                yield
        except OSError as error:
            raise _cannot_write(self._directory, error) from error
        finally:
            if not was_there:
                with contextlib.suppress(OSError):
                    self._directory.rmdir()

    def bring(self, spec: RepositorySpec) -> Reference:
        """One repository, cloned or brought up to date; a failure comes back as a value."""
        target = place_of(self._directory, spec.name)
        try:
            if _is_free(target):
                return self._bring_new(spec, target)
            return self._bring_forward(spec, target)
        except ScaffoldError as error:
            return failed(str(spec.name), error, target)
        except OSError as error:
            return failed(str(spec.name), _cannot_write(target, error), target)

    def ref_of(self, spec: RepositorySpec) -> str | None:
        """The branch, tag or commit to bring: a reference stays on its ref until another one is asked for."""
        return spec.ref or self._followed.get(spec.name.key)

    def _bring_new(self, spec: RepositorySpec, target: Path) -> Reference:
        into = self._staging / f"{spec.name.owner}+{spec.name.name}"
        commit, left_out = self._tried(spec, lambda: self._clone(spec, into))
        if hasattr(os, "sync"):
            os.sync()  # a power cut after the rename must not find a folder whose files were never written
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with contextlib.suppress(FileNotFoundError):
                target.rmdir()
            patiently(lambda: into.rename(target))
        except OSError:
            if _is_free(target):
                raise
            # Another run was faster: its clone is as good.
            return self._bring_forward(spec, target)
        return _noted(Reference(str(spec.name), str(target), commit, "cloned"), left_out)

    def _clone(self, spec: RepositorySpec, into: Path) -> tuple[str, list[str]]:
        remove(into)  # what an earlier try left
        commit = self.git.clone(
            spec.url, into, ref=self.ref_of(spec), history=self._job.history, on_progress=self._reporter(spec)
        )
        self.git.verify(spec.url, into)
        return commit, self._submodules(spec, into)

    def _submodules(self, spec: RepositorySpec, folder: Path) -> list[str]:
        if not self._job.submodules:
            return []
        staging = self._staging / f"{spec.name.owner}+{spec.name.name}+submodule"
        return Submodules(self.git, self._job.settings, staging).bring(spec.url, folder)

    def _tried(self, spec: RepositorySpec, action: Callable[[], _T]) -> _T:
        """Do it, and again where the connection broke off or the server stalled."""
        for pause in self._job.pauses:
            try:
                return action()
            except TransientError as error:
                if self._job.on_retry:
                    self._job.on_retry(str(spec.name), error.message, pause)
                self.git.wait(pause)
        try:
            return action()
        except TransientError as error:
            if self._job.pauses:
                error.message += f"; tried {len(self._job.pauses) + 1} times"
            raise

    def _bring_forward(self, spec: RepositorySpec, target: Path) -> Reference:
        if not target.is_dir() or not self.git.is_repository(target):
            raise RefusedError(
                f"{target} is there and is not a git repository of its own", hint="move it away or use --dir"
            )
        remote = self.git.remote_url(target) or "nothing"
        if not same_address(remote, spec.url):
            raise RefusedError(
                f"{target} is a clone of {shown(remote)}, not of {spec.url}", hint="move it away or use --dir"
            )
        self.git.check_settings(target)
        head = self.git.head_commit(target)
        if head is None:
            raise ScaffoldError(f"{target} has no commit checked out", hint="remove the folder and clone it again")
        wanted = self._tried(spec, lambda: self.git.find_remote(spec.url, self.ref_of(spec)))
        here = Reference(str(spec.name), str(target), head, "unchanged")
        deepened = self._tried(spec, lambda: self.git.deepen(spec.url, target, self._job.history, self._reporter(spec)))
        if head == wanted.commit:
            left_out = self._tried(spec, lambda: self._submodules(spec, target))
            return _noted(replace(here, status="updated") if deepened else here, left_out)
        if not self._tried(spec, lambda: self.git.is_clean(target)):
            return _left_alone(here, spec, "it holds local changes")
        if self.git.has_local_commits(target):
            return _left_alone(here, spec, "it holds commits of its own")
        commit = self._tried(spec, lambda: self.git.update(spec.url, target, wanted, on_progress=self._reporter(spec)))
        left_out = self._tried(spec, lambda: self._submodules(spec, target))
        return _noted(replace(here, commit=commit, status="updated"), left_out)

    def _reporter(self, spec: RepositorySpec) -> Callable[[str, int, int], None]:
        return lambda phase, count, total: self._on_progress(str(spec.name), phase, count, total)


def as_ended(futures: Iterable[Future[_T]]) -> Iterator[Future[_T]]:
    """Each as it ends. Waits in short turns: on Windows no Ctrl-C comes through a wait without an end."""
    waiting = set(futures)
    while waiting:
        ended, waiting = wait(waiting, timeout=_TURN_SECONDS, return_when=FIRST_COMPLETED)
        yield from ended


def place_of(directory: Path, name: RepositoryName) -> Path:
    """A reference's folder: the one that is there, however its name is written, or the one it will get."""
    place = directory
    for part in (name.owner, name.name):
        with contextlib.suppress(OSError):
            there = [child.name for child in place.iterdir() if child.name.casefold() == part.casefold()]
            part = part if part in there or not there else there[0]
        place /= part
    return place


def _noted(reference: Reference, left_out: Sequence[str]) -> Reference:
    return replace(reference, note="; ".join(left_out)) if left_out else reference


def _left_alone(here: Reference, spec: RepositorySpec, reason: str) -> Reference:
    hint = f"see `git -C {here.path} status`"
    if spec.ref is None:
        return replace(here, error=f"not updated: {reason}", hint=hint)
    error = ScaffoldError(f"{here.path} was not moved to {spec.ref}: {reason}", hint=hint)
    return replace(failed(here.repo, error), path=here.path, commit=here.commit)


def _is_free(target: Path) -> bool:
    """Whether nothing is there, or only an empty folder."""
    if target.is_symlink() or not target.is_dir():
        return not (target.is_symlink() or target.exists())
    return not any(target.iterdir())


def _cannot_write(path: Path, error: OSError) -> ScaffoldError:
    reason = (error.strerror or str(error)).lower()
    return ScaffoldError(
        f"{path} cannot be written: {reason}", hint="free some space or choose another folder with --dir"
    )
