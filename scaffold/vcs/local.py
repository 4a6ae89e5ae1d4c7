"""One repository's own state, and how every git command of scaffold's is given.

Every command is a list of fixed options, then `--`, then operands that were checked before. Where a command takes no
`--`, it takes no operand either. git runs in a session of its own, without a terminal, and never asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scaffold.errors import RefusedError
from scaffold.repository import is_commit
from scaffold.settings import Settings
from scaffold.vcs.environment import NOBODY
from scaffold.vcs.errors import MovedError, TransientError, busy_error, explain
from scaffold.vcs.own_settings import objection
from scaffold.vcs.process import GitFailed, Progress, Runner
from scaffold.vcs.redirects import resolve

_LOCAL_SECONDS = 600.0


class LocalRepositories:
    """Looks at repositories on the disk. Safe to use from several threads.

    Args:
        settings: which server gets the token, and whether plain http is allowed for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runner = Runner(settings)
        self._moved: dict[str, str] = {}  # where a server sends us to, by the address that was asked for

    def is_partial(self, folder: Path) -> bool:
        """Whether older contents of files are left at the remote."""
        return self.answer(folder, "config", "--local", "--get", "remote.origin.promisor") == "true"

    def verify(self, url: str, folder: Path) -> None:
        """See that a new clone is whole: its commit, all that it leads to, and its address.

        Raises:
            ScaffoldError: it is not.
        """
        whole = (
            self.is_repository(folder)
            and self.remote_url(folder) == url
            and self.answer(folder, "rev-parse", "--quiet", "--verify", "HEAD^{tree}") is not None
            and self.answer(folder, "fsck", "--connectivity-only", "--no-dangling", "--no-progress") is not None
        )
        if not whole:
            raise TransientError(f"{url}: what git brought is not whole", hint="run the same command again")

    def is_repository(self, folder: Path) -> bool:
        """Whether `folder` itself is the top of a usable repository, and all of that lies in its own `.git` folder."""
        inside = folder / ".git"
        try:
            linked = inside.is_symlink() or any(entry.is_symlink() for entry in inside.iterdir())
        except OSError:
            return False
        return not linked and self.answer(folder, "rev-parse", "--git-dir", "--git-common-dir") == ".git\n.git"

    def check_settings(self, folder: Path) -> None:
        """See that git may be run in a repository: that its own configuration has it run and reach nothing else.

        Raises:
            RefusedError: it may not; the message names the setting.
        """
        listing = self.answer(folder, "config", "--local", "--list", "--null")
        key = "a file that git cannot read" if listing is None else objection(listing)
        if key is not None:
            raise RefusedError(
                f"{folder}: its own git configuration holds {key}, which scaffold does not follow",
                hint="move such a setting of yours into ~/.gitconfig; in a folder from elsewhere, mistrust it",
            )

    def head_commit(self, folder: Path) -> str | None:
        """The full id of the commit that is checked out, None without one."""
        return self.answer(folder, "rev-parse", "--quiet", "--verify", "HEAD^{commit}")

    def remote_url(self, folder: Path) -> str | None:
        """The address the repository was cloned from, as written in its configuration."""
        return self.answer(folder, "config", "--local", "--get", "remote.origin.url")

    def is_clean(self, folder: Path) -> bool:
        """Whether every tracked file is as committed. Untracked files are the user's own and do not count.

        Raises:
            TransientError: another git is just changing them.
        """
        lock = folder / ".git/index.lock"
        busy = lock.exists()
        clean = self.answer(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all") == ""
        if not clean and (busy or lock.exists()):
            raise busy_error(str(folder), str(lock))
        return clean

    def has_local_commits(self, folder: Path) -> bool:
        """Whether the commit that is checked out is the user's own: nothing that was fetched leads to it."""
        fetched = ("refs/remotes", "refs/tags", "refs/scaffold")
        return not self.answer(folder, "for-each-ref", "--count=1", "--contains=HEAD", *fetched)

    def has_own_commits(self, folder: Path) -> bool:
        """Whether any branch, or what is checked out, holds a commit that was not fetched; a stash counts too."""
        fetched = ("--not", "--remotes", "--tags", "--glob=refs/scaffold")
        own = self.answer(folder, "rev-list", "--max-count=1", "HEAD", "--branches", *fetched)
        return own != "" or self.answer(folder, "rev-parse", "--quiet", "--verify", "refs/stash") is not None

    def has_own_files(self, folder: Path) -> bool:
        """Whether there is a file that git would miss: changed, or new and not ignored."""
        return self.answer(folder, "status", "--porcelain", "--untracked-files=all", "--ignore-submodules=all") != ""

    def has_commit(self, folder: Path, commit: str) -> bool:
        """Whether what is checked out is a commit or comes after it."""
        return commit == self.head_commit(folder) or self._is_ancestor(folder, commit)

    def _is_ancestor(self, folder: Path, commit: str) -> bool:
        return is_commit(commit) and self.answer(folder, "merge-base", "--is-ancestor", commit, "HEAD") is not None

    def init_and_commit(self, folder: Path, message: str) -> str:
        """As the function of that name."""
        what = str(folder)
        self.command(["init", "--quiet", "--template="], [str(folder.absolute())], what=what)
        self.command(["add", "--all"], ["."], folder=folder, what=what)
        known = all(self.answer(folder, "var", f"GIT_{role}_IDENT") for role in ("AUTHOR", "COMMITTER"))
        options = ["commit", "--quiet", "--no-verify", "--no-gpg-sign", f"--message={message}"]
        self.command(options, folder=folder, what=what, extra={} if known else NOBODY)
        commit = self.head_commit(folder)
        assert commit is not None
        return commit

    def is_shallow(self, folder: Path) -> bool:
        """Whether it holds no more than the last commits."""
        return self.answer(folder, "rev-parse", "--is-shallow-repository") == "true"

    def stop(self) -> None:
        """End every git of this job, and start no further one."""
        self._runner.stop()

    def wait(self, seconds: float) -> None:
        """Let time pass before a further try, unless everything is stopped meanwhile."""
        self._runner.stopped.wait(seconds)

    def answer(self, folder: Path, *command: str) -> str | None:
        """What a local command of fixed words prints, None where it fails."""
        try:
            return self._runner.run(command, folder=folder, seconds=_LOCAL_SECONDS).strip()
        except GitFailed:
            return None

    def command(
        self,
        options: Sequence[str],
        operands: Sequence[str] = (),
        *,
        what: str,
        folder: Path | None = None,
        seconds: float = _LOCAL_SECONDS,
        on_progress: Progress | None = None,
        extra: Mapping[str, str] | None = None,
        whole: bool = False,
    ) -> str:
        """Run one command, and go where the server of `what` sends us to, if that is allowed.

        Args:
            options: the command and its options, all fixed.
            operands: what follows `--`, checked before.
            what: the address, or the folder, as the user knows it.
            folder: the repository to work in.
            seconds: the longest it may take.
            on_progress: called as git counts.
            extra: further environment variables.
            whole: `stop` lets it come to its end.

        Raises:
            ScaffoldError: the reason that git gave.
        """
        # The repository keeps the address that was asked for, and this run goes where it leads.
        config = [(f"url.{self._moved[what]}.insteadOf", what)] if what in self._moved else []
        try:
            return self._runner.run(
                options,
                operands,
                folder=folder,
                seconds=seconds,
                on_progress=on_progress,
                extra=extra,
                config=config,
                whole=whole,
            )
        except GitFailed as error:
            reason = explain(error.stderr, what)
            if not isinstance(reason, MovedError) or config:
                raise reason from error
        there = resolve(what, self._settings)
        if there is None:
            raise reason
        self._moved[what] = there
        return self.command(
            options, operands, what=what, folder=folder, seconds=seconds, on_progress=on_progress, extra=extra
        )
