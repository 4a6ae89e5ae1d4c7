"""Bring a fork onto the disk to work in: `origin` is the fork, `upstream` what it was made from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from scaffold.errors import NotFoundError, ScaffoldError
from scaffold.references.bring import CloneJob
from scaffold.references.clone import clone_all
from scaffold.references.reference import Reference
from scaffold.repository import parse_spec
from scaffold.vcs import Repositories

_LONGEST_PAUSE = 8.0


def bring_fork(
    repo: str, parent: str, job: CloneJob, *, on_wait: Callable[[str, float], None] | None = None, limit: float = 0.0
) -> Reference:
    """Clone a fork to `directory/owner/name`, with all history and branches, and fetch its parent's branches.

    A clone that is there is brought up to date as any reference is, and gets the remote if it lacks it.

    Args:
        repo: the fork's `owner/name`.
        parent: the `owner/name` it was made from.
        job: how to bring it.
        on_wait: called with the fork's name and the seconds that have passed, before each pause.
        limit: seconds to wait for the content of a fork that is new: GitHub copies it after it lists it.

    Returns:
        The reference; its status is `failed` where the fork could not be cloned.

    Raises:
        RefusedError: the clone has another `upstream`.
        ScaffoldError: the parent could not be fetched, or the lock file or the folder cannot be written.
    """
    fork, source = (parse_spec(name, server_url=job.settings.server_url) for name in (repo, parent))
    git = Repositories(job.settings)
    try:
        _wait_for_content(git, fork.url, repo, on_wait or (lambda repo, seconds: None), limit)
        (reference,) = clone_all([fork], replace(job, history="full", jobs=1))
        if reference.path is not None and reference.status != "failed":
            report = job.on_progress
            counting = (lambda phase, count, total: report(repo, phase, count, total)) if report else None
            git.add_upstream(source.url, Path(reference.path), counting)
    except BaseException:
        git.stop()
        raise
    return reference


def _wait_for_content(
    git: Repositories, url: str, repo: str, on_wait: Callable[[str, float], None], limit: float
) -> None:
    """Wait until a new fork holds a commit; whatever else is wrong with it, cloning will say."""
    began = time.monotonic()
    pause = min(1.0, limit / 4)
    while (passed := time.monotonic() - began) < limit:
        try:
            git.find_remote(url)
            return
        except NotFoundError:
            on_wait(repo, passed)
            time.sleep(min(pause, limit - passed))
            pause = min(2 * pause, _LONGEST_PAUSE)
        except ScaffoldError:
            return
