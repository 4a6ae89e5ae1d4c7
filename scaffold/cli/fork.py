"""`scaffold fork`: a fork of the user's own, on GitHub and on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaffold.cli.clone import LOCK_NAME, explain
from scaffold.cli.output import Output, output_options
from scaffold.cli.progress import progress
from scaffold.errors import PartialError, ScaffoldError
from scaffold.programs import quoted

if TYPE_CHECKING:
    from scaffold.github.forks import Fork
    from scaffold.references.reference import Reference
    from scaffold.settings import Settings


@click.command(epilog="Example:  scaffold fork karpathy/nanoGPT --clone")
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--clone", "cloning", is_flag=True, help="Clone the fork; its parent becomes the remote upstream.")
@click.option("--org", "organization", metavar="ORG", help="The organisation that gets the fork, instead of you.")
@click.option(
    "--dir", "directory", metavar="DIR", type=click.Path(path_type=Path), default="references", show_default=True
)
@output_options
@click.pass_obj
def command(output: Output, repository: str, cloning: bool, organization: str | None, directory: Path) -> int:
    """Fork a repository on GitHub, as the user whose token GITHUB_TOKEN holds, and wait until the fork is there.

    A fork that you have already is taken as it is. With --clone it comes into DIR, under its own OWNER/NAME, with all
    history: origin is the fork, upstream the repository it was made from.

    A classic token needs the scope public_repo, a fine-grained one the repository permissions Administration (read and
    write) and Contents (read-only).
    """
    from scaffold.settings import load_settings, with_gh_token

    settings = with_gh_token(load_settings())
    waiting = _Waiting(output)
    try:
        fork = _fork(repository, settings, organization, waiting)
        if fork.archived:
            output.note(f"{fork.parent} is archived: nobody takes changes there any more.")
        reference = _clone(fork, settings, directory, output, waiting) if cloning else None
    except KeyboardInterrupt:
        if waiting.repo:
            output.note(f"GitHub goes on making {waiting.repo}; the same command finds it.")
        raise
    path = reference.path if reference and reference.status != "failed" else None
    document = {
        "fork": {"repo": fork.repo, "parent": fork.parent, "url": fork.url, "status": fork.status, "path": path}
    }
    output.emit(document, lambda: _show(output, fork, path, cloning=cloning))
    if reference is None:
        return 0
    explain(output, [reference])
    # The fork is there, its clone is not.
    return PartialError.exit_code if reference.status == "failed" else 0


class _Waiting:
    """Says once that something is waited for, and remembers for what."""

    def __init__(self, output: Output) -> None:
        self.repo: str | None = None
        self._output = output

    def __call__(self, repo: str, seconds: float) -> None:
        first, self.repo = self.repo is None, repo
        if first:
            self._output.note(f"Waiting until GitHub has made {repo} …")


def _fork(repository: str, settings: Settings, organization: str | None, waiting: _Waiting) -> Fork:
    from scaffold.github.forks import fork

    return fork(repository, settings, organization=organization, on_wait=waiting)


def _clone(fork: Fork, settings: Settings, directory: Path, output: Output, waiting: _Waiting) -> Reference:
    """The fork on the disk. What keeps it from getting there comes back as a failed reference: the fork is made."""
    from scaffold.github.forks import FORK_SECONDS
    from scaffold.references.clone import CloneJob
    from scaffold.references.fork import bring_fork
    from scaffold.references.reference import failed

    with progress(output) as (on_progress, on_done, on_retry):
        job = CloneJob(
            directory=directory,
            lock_path=Path(LOCK_NAME),
            settings=settings,
            on_progress=on_progress,
            on_done=on_done,
            on_retry=on_retry,
        )
        limit = FORK_SECONDS if fork.status == "created" else 0.0
        try:
            return bring_fork(fork.repo, fork.parent, job, on_wait=waiting, limit=limit)
        except ScaffoldError as error:
            return failed(fork.repo, error)


def _show(output: Output, fork: Fork, path: str | None, *, cloning: bool) -> None:
    if fork.status == "created":
        output.line(f"Forked {fork.parent}: {fork.url}")
    else:
        output.line(f"There is a fork of {fork.parent} already: {fork.url}")
    if path:
        output.next_steps([f"cd {quoted(path)}", "git remote -v", "git switch -c my-change"])
    elif not cloning:
        output.next_steps([f"scaffold fork {fork.parent} --clone"])
