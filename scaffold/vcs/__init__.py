"""git, through GitPython: the only package that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from scaffold.errors import NotFoundError, RefusedError, ScaffoldError
from scaffold.programs import quoted
from scaffold.repository import check_ref, is_commit, same_address, shown
from scaffold.settings import Settings
from scaffold.vcs.local import LocalRepositories
from scaffold.vcs.process import Progress

History = Literal["none", "commits", "full"]
"""How much history: one commit, all commits without their files' older contents, or everything."""

_WANTED = "refs/scaffold/wanted"
_BEFORE = "refs/scaffold/before"
_LISTING_SECONDS = 60.0
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


class Repositories(LocalRepositories):
    """Brings repositories for one job, and can stop all of it at once. Safe to use from several threads.

    Args:
        settings: which server gets the token, and whether plain http is allowed for it.
    """

    def clone(
        self,
        url: str,
        into: Path,
        *,
        ref: str | None = None,
        history: History = "none",
        on_progress: Progress | None = None,
    ) -> str:
        """Bring a repository into `into`, which must not exist. Submodules are never fetched.

        Args:
            url: an address that `scaffold.repository` built.
            into: the folder to make.
            ref: a branch, a tag or a full commit; without it the remote's default branch.
            history: how much of it; `full` brings every branch too.
            on_progress: called as git counts.

        Returns:
            The full id of the commit that is checked out.

        Raises:
            NotFoundError, AuthError, RateLimitError, ScaffoldError: why it could not be brought.
        """
        full = history == "full"
        seconds = _FULL_SECONDS if full else _SHALLOW_SECONDS
        options = ["clone", "--progress", "--no-recurse-submodules", "--template=", "--origin=origin"]
        options += [] if full else ["--depth=1"]
        if ref is not None and is_commit(ref):
            # A commit by its id needs no history: this costs what a shallow clone of a branch costs.
            self.command(["init", "--quiet", "--template="], [str(into.absolute())], what=url)
            self.command(["remote", "add"], ["origin", url], folder=into, what=url)
            self._fetch(url, into, [f"+{ref}:{_WANTED}"], shallow=not full, on_progress=on_progress)
            self.command(["checkout", "--detach", "--quiet", _WANTED], folder=into, what=url)
        else:
            # `--branch=` takes whatever follows as its value, and the ref was checked.
            options += [] if ref is None else [f"--branch={check_ref(ref)}"]
            self.command(options, [url, str(into.absolute())], what=url, seconds=seconds, on_progress=on_progress)
        commit = self.head_commit(into)
        if commit is None:
            self.command(["rev-parse", "--git-dir"], folder=into, what=url)  # git may not want to look into it
            raise ScaffoldError(f"{url} has no commits", hint="there is nothing to bring yet")
        if history == "commits":
            self.deepen(url, into, history, on_progress)
        return commit

    def deepen(self, url: str, folder: Path, history: History, on_progress: Progress | None = None) -> bool:
        """Give a clone of one commit its history. What is checked out stays as it is.

        Returns:
            Whether anything had to be brought.

        Raises:
            ScaffoldError: as `clone`.
        """
        partial = self.is_partial(folder)
        if history == "none" or not (self.is_shallow(folder) or (partial and history == "full")):
            return False
        options = ["--unshallow"] if self.is_shallow(folder) else []
        if history == "commits":
            # The server may not know filters; then the older contents come too.
            self.command(["config", "remote.origin.promisor", "true"], folder=folder, what=url)
            self.command(["config", "remote.origin.partialclonefilter", "blob:none"], folder=folder, what=url)
            options.append("--filter=blob:none")
            branch = self.answer(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
            commit = self.head_commit(folder)
            wanted = [f"+refs/heads/{branch}:refs/remotes/origin/{branch}"] if branch else [f"+{commit}:{_WANTED}"]
        else:
            options += ["--refetch", "--no-filter"] if partial else []
            wanted = ["+refs/heads/*:refs/remotes/origin/*"]
            self.command(["config", "remote.origin.fetch", *wanted], folder=folder, what=url)
        command = ["fetch", "--progress", "--no-recurse-submodules", *options]
        operands = ["origin", *wanted]
        self.command(command, operands, folder=folder, what=url, seconds=_FULL_SECONDS, on_progress=on_progress)
        if history == "full":
            # Only now: where the fetch breaks off, git must still know that contents are missing.
            for key in ("partialclonefilter", "promisor"):
                self.answer(folder, "config", "--unset-all", f"remote.origin.{key}")
        return True

    def update(self, url: str, folder: Path, wanted: RemoteRef, on_progress: Progress | None = None) -> str:
        """Bring an existing clone to what the remote has; files that were changed are never overwritten.

        A branch that is checked out moves along. In every other case the wanted commit is checked out by itself, so
        that no branch of the user's moves.

        Returns:
            The full id of the commit that is checked out now.

        Raises:
            ScaffoldError: as `clone`, or files of the user's are in the way.
        """
        shallow = self.is_shallow(folder)
        on_branch = self.answer(folder, "symbolic-ref", "--quiet", "HEAD") == wanted.name
        refspecs = [f"+{wanted.name}:{_WANTED}"]
        if on_branch:
            refspecs.append(f"+{wanted.name}:refs/remotes/origin/{wanted.name.removeprefix('refs/heads/')}")
        partial = self.is_partial(folder)
        # A fetch of one commit leaves nothing that leads to what is checked out: where this run ends before the files
        # follow, the next one must still know that it is nobody's own work.
        self.command(["update-ref", _BEFORE, "HEAD"], folder=folder, what=str(folder))
        self._fetch(url, folder, refspecs, shallow=shallow, partial=partial, on_progress=on_progress)
        move = ["reset", "--quiet", "--keep"] if on_branch else ["checkout", "--detach", "--quiet"]
        self.command([*move, _WANTED], folder=folder, what=str(folder), whole=True)
        return self.head_commit(folder) or wanted.commit

    def add_upstream(self, url: str, folder: Path, on_progress: Progress | None = None) -> None:
        """Have a clone know another repository as its remote `upstream`, and bring that one's branches.

        Raises:
            RefusedError: `upstream` is something else already.
            ScaffoldError: as `clone`.
        """
        known = self.answer(folder, "config", "--local", "--get", "remote.upstream.url")
        if known is None:
            self.command(["remote", "add"], ["upstream", url], folder=folder, what=url)
        elif not same_address(known, url):
            raise RefusedError(
                f"{folder}: its remote upstream is {shown(known)}, not {url}",
                hint=f"rename that remote: git -C {quoted(str(folder))} remote rename upstream NAME",
            )
        shallow = self.is_shallow(folder)
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
        listing = self.command(["ls-remote", "--symref"], [url, *names], what=url, seconds=_LISTING_SECONDS)
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

    def _fetch(
        self,
        url: str,
        folder: Path,
        refspecs: Sequence[str],
        *,
        shallow: bool,
        partial: bool = False,
        on_progress: Progress | None,
    ) -> None:
        options = ["fetch", "--progress", "--no-recurse-submodules", *(["--depth=1"] if shallow else [])]
        options += ["--filter=blob:none"] if partial else []
        seconds = _SHALLOW_SECONDS if shallow else _FULL_SECONDS
        # Only from a remote of that kind git takes commits whose contents were left there.
        operands = ["origin" if partial else url, *refspecs]
        self.command(options, operands, folder=folder, what=url, seconds=seconds, on_progress=on_progress)
