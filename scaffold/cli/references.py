"""`scaffold references`: what was cloned and how it stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaffold.cli.clone import LOCK_NAME
from scaffold.cli.output import Output, output_options

if TYPE_CHECKING:
    from scaffold.references.standing import Standing

_DIRECTORY = click.option(
    "--dir", "directory", metavar="DIR", type=click.Path(path_type=Path), default="references", show_default=True
)


@click.group(invoke_without_command=True, epilog="Example:  scaffold references   ·   scaffold references remove a/b")
@_DIRECTORY
@click.option("--offline", is_flag=True, help="Ask no server, so that `behind` stays unknown.")
@output_options
@click.pass_obj
@click.pass_context
def command(context: click.Context, output: Output, directory: Path, offline: bool) -> None:
    """List the references that are here or pinned, with how they stand.

    behind: the remote has moved on. ahead: it holds commits of yours. changed: it holds changes of yours. moved:
    another commit is checked out than references.lock pins. missing: pinned, but not here.
    """
    if context.invoked_subcommand is not None:
        return
    from scaffold.references.standing import standings
    from scaffold.settings import load_settings, with_gh_token

    settings = load_settings() if offline else with_gh_token(load_settings())
    found = standings(directory, Path(LOCK_NAME), settings, ask=not offline)
    output.emit({"references": [item.to_json() for item in found]}, lambda: _show(output, found))
    for item in found:
        if item.error:
            output.note(f"{item.repo}: {item.error}")


@command.command("remove", epilog="Example:  scaffold references remove karpathy/nanoGPT")
@click.argument("repositories", metavar="OWNER/NAME…", nargs=-1, required=True)
@_DIRECTORY
@click.option("--force", is_flag=True, help="Also what holds commits, changes or files of yours.")
@output_options
@click.pass_obj
def remove(output: Output, repositories: tuple[str, ...], directory: Path, force: bool) -> None:
    """Remove references from the disk and from references.lock: all that are named, or none."""
    from scaffold.references.standing import remove_references
    from scaffold.settings import load_settings

    found = remove_references(repositories, directory, Path(LOCK_NAME), load_settings(), force=force)
    document = {"removed": [{"repo": item.repo, "path": item.path, "commit": item.commit} for item in found]}
    output.emit(document, lambda: _removed(output, found))


def _show(output: Output, found: Sequence[Standing]) -> None:
    if not found:
        output.line("There are no references here.")
        output.next_steps(["scaffold search nlp", "scaffold clone karpathy/nanoGPT"])
        return
    rows = [
        (item.repo, item.status, (item.commit or "")[:10], (item.locked or "")[:10], item.ref, item.date, item.path)
        for item in found
    ]
    columns = ("repository", "status", "here", "pinned", "follows", "since", "folder")
    output.table(columns, rows, ("bold", "", "", "dim", "", "dim", "cyan"))
    steps = []
    if behind := [item.repo for item in found if item.status == "behind"]:
        steps.append(f"scaffold clone {' '.join(behind)}")
    if [item for item in found if item.status == "missing"]:
        steps.append("scaffold clone --locked")
    if steps:
        output.next_steps(steps)


def _removed(output: Output, found: Sequence[Standing]) -> None:
    for item in found:
        output.line(f"{item.repo} is removed" + ("" if item.commit else "; it was not here, and is pinned no longer"))
