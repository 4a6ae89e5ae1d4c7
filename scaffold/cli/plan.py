"""`scaffold plan`: the settings for a template on a machine, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli.machine import machine_for, target_options
from scaffold.cli.output import Output, output_options
from scaffold.errors import UsageError

if TYPE_CHECKING:
    from scaffold.projects.plan import Plan


def set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--set`, which `plan`, `new` and `start` share."""
    return click.option("--set", "chosen", multiple=True, metavar="KEY=VALUE", help="Your choice for a setting.")(
        command
    )


def settings_from(chosen: tuple[str, ...]) -> dict[str, str]:
    """`--set` values as a dictionary; the last one wins.

    Raises:
        UsageError: for one without `=`.
    """
    settings = {}
    for text in chosen:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {text}: expected KEY=VALUE", hint="For example: --set batch_size=16")
        settings[key.strip()] = value.strip()
    return settings


@click.command(epilog="Example:  scaffold plan transformer --target colab-t4")
@click.argument("template")
@target_options
@set_option
@click.option("--explain", is_flag=True, help="Show the arithmetic behind the memory estimate.")
@output_options
@click.pass_obj
def command(
    output: Output, template: str, target: str, recording: Path | None, chosen: tuple[str, ...], explain: bool
) -> None:
    """Show the settings for a template on this machine, and why."""
    from scaffold.projects.plan import make_plan
    from scaffold.projects.template import load_template

    plan = make_plan(load_template(template), machine_for(target, recording), target, settings_from(chosen))
    output.emit(plan.to_json(), lambda: _show(output, plan, explain=explain))


def _show(output: Output, plan: Plan, *, explain: bool) -> None:
    from scaffold.hardware.machine import gigabytes

    output.line(f"{plan.template} on {plan.machine_summary}", style="bold")
    output.line()
    output.table(
        ("setting", "value", "why"),
        [(name, str(plan.settings[name]), reason) for name, reason in plan.reasons.items()],
        ("bold", "cyan", "dim"),
    )
    rest = {name: value for name, value in plan.settings.items() if name not in plan.reasons}
    if rest:
        output.heading("From the preset and the template")
        output.table(("setting", "value"), [(name, str(value)) for name, value in rest.items()], ("bold", "cyan"))
    estimated, available = plan.memory["estimated_bytes"], plan.memory["available_bytes"]
    if estimated and available:
        output.line()
        output.line(f"Training takes about {gigabytes(estimated)} of {gigabytes(available)} that it may use.")
    if explain:
        output.heading("Memory of one training step, when it is fullest")
        rows = [(part, f"{size / 1024**2:,.0f} MB", how) for part, size, how in plan.explanation]
        output.table(("part", "size", "how"), rows, ("bold", "cyan", "dim"))
        if not rows:
            output.line("This starter keeps its data in memory and little else: there is nothing to compute.")
    for note in plan.notes:
        output.note(note)
    output.next_steps([f"scaffold new {plan.template} my-{plan.template}"])
