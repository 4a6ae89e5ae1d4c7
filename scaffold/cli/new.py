"""`scaffold new`: generate a starter project that fits a machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli.machine import machine_for, nodes_option, target_options
from scaffold.cli.output import Output, output_options
from scaffold.cli.plan import set_option, settings_from

if TYPE_CHECKING:
    from scaffold.projects.create import Created
    from scaffold.projects.template import Template


def language_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--lang`, which `new` and `start` share."""
    text = "Language of the README and of the comments in config.toml."
    return click.option("--lang", "language", type=click.Choice(["en", "ko"]), default="en", help=text)(command)


@click.command(epilog="Example:  scaffold new transformer my-translator")
@click.argument("template")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@target_options
@nodes_option
@set_option
@click.option("--references", type=click.IntRange(0, 50), default=5, show_default=True, help="Named in the README.")
@language_option
@click.option("--dry-run", is_flag=True, help="Show what would be generated, write nothing.")
@click.option("--force", is_flag=True, help="Add to a folder that is not empty; nothing of yours is deleted.")
@click.option("--no-git", is_flag=True, help="Make no git repository.")
@output_options
@click.pass_obj
def command(
    output: Output,
    template: str,
    directory: Path,
    target: str,
    recording: Path | None,
    nodes: int,
    chosen: tuple[str, ...],
    references: int,
    language: str,
    dry_run: bool,
    force: bool,
    no_git: bool,
) -> None:
    """Generate a project from a template, with settings that fit this machine."""
    from scaffold.projects.create import Choices, create
    from scaffold.projects.template import load_template

    choices = Choices(target, settings_from(chosen), language, dry_run, force, not no_git, nodes)
    starter = load_template(template)
    created = create(starter, directory, machine_for(target, recording), references_of(starter, references), choices)
    output.emit(created.to_json(), lambda: show_created(output, created, dry_run=dry_run))


def references_of(template: Template, limit: int) -> list[dict[str, Any]]:
    """The best repositories for a template's tasks, for its README."""
    if limit == 0:
        return []
    from scaffold.discovery.index import open_catalog
    from scaffold.discovery.search import references_for

    # Of the catalog alone: the same input gives the same project, whatever lists were synced.
    hits = references_for(open_catalog(), template.tasks, limit)
    return [
        {"repo": hit.repo, "url": hit.url, "description": hit.description or hit.title, "license": hit.license}
        for hit in hits
    ]


def show_created(output: Output, created: Created, *, dry_run: bool = False) -> None:
    """What was made, its main settings with the reasons, and what to type next."""
    verb = "Would make" if dry_run else "Made"
    output.line(f"{verb} {created.project} from {created.template} for {created.plan.machine_summary}.", style="bold")
    if dry_run:
        for name in created.files:
            output.line(f"  {name}")
    reasons = created.plan.reasons
    many = ("strategy", "world_size") if created.plan.settings.get("world_size", 1) > 1 else ()
    main = ("device", "precision", "preset", *many, "batch_size", "threads", "n_jobs")
    shown = [name for name in main if name in reasons]
    output.line()
    output.table(
        ("setting", "value", "why"),
        [(name, str(created.plan.settings[name]), reasons[name]) for name in shown],
        ("bold", "cyan", "dim"),
    )
    if many:
        output.line()
        where = f"on each of {created.plan.nodes} nodes, with its own RANK" if created.plan.nodes > 1 else "here"
        output.line(f"Training starts {where}: {created.plan.launch}")
    for notice in created.notices:
        output.note(notice)
    if not dry_run:
        output.next_steps(created.next)
