"""`scaffold templates`: the starters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scaffold.cli.output import Output, output_options

if TYPE_CHECKING:
    from scaffold.projects.template import Template


@click.command()
@output_options
@click.pass_obj
def command(output: Output) -> None:
    """List the starters: what each is for, and what it needs."""
    from scaffold.projects.template import load_templates

    templates = load_templates()
    output.emit({"templates": [template.to_json() for template in templates]}, lambda: _show(output, templates))


def _show(output: Output, templates: list[Template]) -> None:
    output.table(
        ("template", "tasks", "needs", "what it makes"),
        [(starter.name, ", ".join(starter.tasks), starter.needs, starter.summary) for starter in templates],
        ("bold cyan", "", "dim", ""),
    )
    output.next_steps([f"scaffold new {starter.name} my-{starter.name}" for starter in templates])
