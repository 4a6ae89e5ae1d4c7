"""git, through GitPython: the only package that runs it.

Every command is a list of fixed options, then `--`, then operands that were checked before. Where a command takes no
`--`, it takes no operand either. git runs in a session of its own, without a terminal, and never asks.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scaffold.errors import NotFoundError, RefusedError, ScaffoldError
from scaffold.repository import check_ref, is_commit, same_address, shown
from scaffold.settings import Settings
from scaffold.vcs.environment import NOBODY
from scaffold.vcs.errors import explain
from scaffold.vcs.process import GitFailed, Progress, Runner

_WANTED = "refs/scaffold/wanted"
_LISTING_SECONDS = 60.0
_LOCAL_SECONDS = 600.0
_SHALLOW_SECONDS = 3600.0
_FULL_SECONDS = 6 * 3600.0


class RemoteRef(NamedTuple):
    """What a remote offers under a name: the full ref (or the commit itself) and its commit."""

    name: str
    commit: str


def init_and_commit(folder: Path, message: str) -> str:
    """Make `folder` a repository on branch `main` with everything in it as the first commit.

    The commit carries the user's name where git knows one, and otherwise a neutral one, for this commit only.

    Returns:
        The commit's full id.

    Raises:
        ScaffoldError: git is missing or failed.
    """
    return Repositories(Settings()).init_and_commit(folder, message)


class Repositories:
    """Runs git for one job, and can stop all of it at once. Safe to use from several threads.

    Args:
        settings: which server gets the token, and whether plain http is allowed for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._runner = Runner(settings)

    def clone(
        self, url: str, into: Path, *, ref: str | None = None, full: bool = False, on_progress: Progress | None = None
    ) -> str:
        """Bring a repository into `into`, which must not exist. Submodules are never fetched.

        Args:
            url: an address that `scaffold.repository` built.
            into: the folder to make.
            ref: a branch, a tag or a full commit; without it the remote's default branch.
            full: all history and branches rather than one commit.
            on_progress: called as git counts.

        Returns:
            The full id of the commit that is checked out.

        Raises:
            NotFoundError, AuthError, RateLimitError, ScaffoldError: why it could not be brought.
        """
        seconds = _FULL_SECONDS if full else _SHALLOW_SECONDS
        options = ["clone", "--progress", "--no-recurse-submodules", "--template=", "--origin=origin"]
        options += [] if full else ["--depth=1"]
        if ref is not None and is_commit(ref):
            # A commit by its id needs no history: this costs what a shallow clone of a branch costs.
            self._git(["init", "--quiet", "--template="], [str(into)], what=url)
            self._git(["remote", "add"], ["origin", url], folder=into, what=url)
            self._fetch(url, into, [f"+{ref}:{_WANTED}"], shallow=not full, on_progress=on_progress)
            self._git(["checkout", "--detach", "--quiet", _WANTED], folder=into, what=url)
        else:
            # `--branch=` takes whatever follows as its value, and the ref was checked.
            options += [] if ref is None else [f"--branch={check_ref(ref)}"]
            self._git(options, [url, str(into)], what=url, seconds=seconds, on_progress=on_progress)
        commit = self.head_commit(into)
        if commit is None:
            raise ScaffoldError(f"{url} has no commits", hint="there is nothing to bring yet")
        return commit

    def update(self, url: str, folder: Path, wanted: RemoteRef, on_progress: Progress | None = None) -> str:
        """Bring an existing clone to what the remote has; files that were changed are never overwritten.

        A branch that is checked out moves along. In every other case the wanted commit is checked out by itself, so
        that no branch of the user's moves.

        Returns:
            The full id of the commit that is checked out now.

        Raises:
            ScaffoldError: as `clone`, or files of the user's are in the way.
        """
        shallow = self._answer(folder, "rev-parse", "--is-shallow-repository") == "true"
        on_branch = self._answer(folder, "symbolic-ref", "--quiet", "HEAD") == wanted.name
        refspecs = [f"+{wanted.name}:{_WANTED}"]
        if on_branch:
            refspecs.append(f"+{wanted.name}:refs/remotes/origin/{wanted.name.removeprefix('refs/heads/')}")
        self._fetch(url, folder, refspecs, shallow=shallow, on_progress=on_progress)
        move = ["reset", "--quiet", "--keep"] if on_branch else ["checkout", "--detach", "--quiet"]
        self._git([*move, _WANTED], folder=folder, what=str(folder))
        return self.head_commit(folder) or wanted.commit

    def add_upstream(self, url: str, folder: Path, on_progress: Progress | None = None) -> None:
        """Have a clone know another repository as its remote `upstream`, and bring that one's branches.

        Raises:
            RefusedError: `upstream` is something else already.
            ScaffoldError: as `clone`.
        """
        known = self._answer(folder, "config", "--local", "--get", "remote.upstream.url")
        if known is None:
            self._git(["remote", "add"], ["upstream", url], folder=folder, what=url)
        elif not same_address(known, url):
            raise RefusedError(
                f"{folder}: its remote upstream is {shown(known)}, not {url}",
                hint=f"rename that remote: git -C {shlex.quote(str(folder))} remote rename upstream NAME",
            )
        shallow = self._answer(folder, "rev-parse", "--is-shallow-repository") == "true"
        branches = "+refs/heads/*:refs/remotes/upstream/*"
        self._fetch(url, folder, [branches], shallow=shallow, on_progress=on_progress)

    def find_remote(self, url: str, ref: str | None = None) -> RemoteRef:
        """What a remote offers under a branch, tag or commit, or as its default, at the cost of one ref listing.

        Raises:
            NotFoundError: there is no such repository or ref.
        """
        if ref is not None and is_commit(ref):
            return RemoteRef(ref, ref)
        names = (
            ["HEAD"] if ref is None else [f"refs/heads/{check_ref(ref)}", f"refs/tags/{ref}", f"refs/tags/{ref}^{{}}"]
        )
        listing = self._git(["ls-remote", "--symref"], [url, *names], what=url, seconds=_LISTING_SECONDS)
        lines = [line.partition("\t") for line in listing.splitlines()]
        commits = {name: value for value, _, name in lines if is_commit(value)}
        offered = next((name for name in names if name in commits), None)
        if offered is None:
            missing = f"has no branch or tag {ref}" if ref else "has no commits"
            raise NotFoundError(f"{url} {missing}", hint="look at its branches and tags")
        # An annotated tag is an object of its own; the name with ^{} is the commit it stands for.
        commit = commits.get(f"{offered}^{{}}", commits[offered])
        branches = [value.removeprefix("ref: ") for value, _, name in lines if value.startswith("ref: refs/heads/")]
        return RemoteRef(check_ref(branches[0]) if ref is None and branches else offered, commit)

    def is_repository(self, folder: Path) -> bool:
        """Whether `folder` itself is the top of a usable repository."""
        return self._answer(folder, "rev-parse", "--git-dir") == ".git"

    def head_commit(self, folder: Path) -> str | None:
        """The full id of the commit that is checked out, None without one."""
        return self._answer(folder, "rev-parse", "--quiet", "--verify", "HEAD^{commit}")

    def remote_url(self, folder: Path) -> str | None:
        """The address the repository was cloned from, as written in its configuration."""
        return self._answer(folder, "config", "--local", "--get", "remote.origin.url")

    def is_clean(self, folder: Path) -> bool:
        """Whether every tracked file is as committed. Untracked files are the user's own and do not count."""
        return self._answer(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all") == ""

    def has_local_commits(self, folder: Path) -> bool:
        """Whether the commit that is checked out is the user's own: nothing that was fetched leads to it."""
        fetched = ("refs/remotes", "refs/tags", "refs/scaffold")
        return not self._answer(folder, "for-each-ref", "--count=1", "--contains=HEAD", *fetched)

    def init_and_commit(self, folder: Path, message: str) -> str:
        """As the function of that name."""
        what = str(folder)
        self._git(["init", "--quiet", "--template="], [what], what=what)
        self._git(["add", "--all"], ["."], folder=folder, what=what)
        known = all(self._answer(folder, "var", f"GIT_{role}_IDENT") for role in ("AUTHOR", "COMMITTER"))
        options = ["commit", "--quiet", "--no-verify", "--no-gpg-sign", f"--message={message}"]
        self._git(options, folder=folder, what=what, extra={} if known else NOBODY)
        commit = self.head_commit(folder)
        assert commit is not None
        return commit

    def stop(self) -> None:
        """End every git of this job, and start no further one."""
        self._runner.stop()

    def _fetch(
        self, url: str, folder: Path, refspecs: Sequence[str], *, shallow: bool, on_progress: Progress | None
    ) -> None:
        options = ["fetch", "--progress", "--no-recurse-submodules", *(["--depth=1"] if shallow else [])]
        seconds = _SHALLOW_SECONDS if shallow else _FULL_SECONDS
        operands = [url, *refspecs]
        self._git(options, operands, folder=folder, what=url, seconds=seconds, on_progress=on_progress)

    def _answer(self, folder: Path, *command: str) -> str | None:
        """What a local command of fixed words prints, None where it fails."""
        try:
            return self._runner.run(command, folder=folder, seconds=_LOCAL_SECONDS).strip()
        except GitFailed:
            return None

    def _git(
        self,
        options: Sequence[str],
        operands: Sequence[str] = (),
        *,
        what: str,
        folder: Path | None = None,
        seconds: float = _LOCAL_SECONDS,
        on_progress: Progress | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> str:
        try:
            return self._runner.run(
                options, operands, folder=folder, seconds=seconds, on_progress=on_progress, extra=extra
            )
        except GitFailed as error:
            raise explain(error.stderr, what) from error
