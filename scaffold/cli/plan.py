"""`scaffold plan`: the settings for a template on a machine, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli.machine import machine_for, nodes_option, same_machine, targets_options
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


@click.command(epilog="Example:  scaffold plan transformer --target colab-t4 --target 8xh100")
@click.argument("template")
@targets_options
@nodes_option
@set_option
@click.option("--explain", is_flag=True, help="Show the arithmetic behind the memory estimate.")
@output_options
@click.pass_obj
def command(
    output: Output,
    template: str,
    targets: tuple[str, ...],
    recording: Path | None,
    nodes: int,
    chosen: tuple[str, ...],
    explain: bool,
) -> None:
    """Show the settings for a template on this machine, and why; on several targets side by side."""
    from scaffold.projects.plan import make_plan
    from scaffold.projects.template import load_template

    starter, settings = load_template(template), settings_from(chosen)
    plans: list[Plan] = []
    again: list[str] = []
    for target in dict.fromkeys(targets):
        plans.append(make_plan(starter, machine_for(target, recording), target, settings, nodes=nodes))
        again.append(_new_command(plans[-1], [*same_machine(target, recording), *_options_for(settings)]))
        if starter.presets:  # the same job everywhere: the model that the first target gets
            settings = {"preset": str(plans[0].settings["preset"]), **settings}
    if len(plans) == 1:
        output.emit(plans[0].to_json(), lambda: _show(output, plans[0], again, explain=explain))
    else:
        document = plans[0].to_json() | {"targets": [plan.to_json() for plan in plans]}
        output.emit(document, lambda: _show_beside(output, plans, again))


def _options_for(settings: dict[str, str]) -> list[str]:
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


def _show_beside(output: Output, plans: list[Plan], again: list[str]) -> None:
    """The same job on several targets: a column for each."""
    from scaffold.hardware.machine import gigabytes

    preset = plans[0].settings.get("preset")
    output.line(f"{plans[0].template}" + (f", preset {preset}, as on the first target" if preset else ""), style="bold")
    output.line()
    rows: list[tuple[str | None, ...]] = [("machine", *(plan.machine_summary for plan in plans))]
    names = dict.fromkeys(name for plan in plans for name in plan.reasons if name != "preset")
    rows += [(name, *(_value(plan, name) for plan in plans)) for name in names]
    for name, key in (("memory of a process", "estimated_bytes"), ("of", "available_bytes")):
        sizes = [plan.memory[key] for plan in plans]
        rows.append((name, *(gigabytes(size) if size else None for size in sizes)))
    rows.append(("torch", *(plan.torch.index or plan.torch.build for plan in plans)))
    rows.append(("launch", *(plan.launch for plan in plans)))
    output.table(("", *(plan.target for plan in plans)), rows, ("bold", *("cyan" for _ in plans)))
    for plan in plans:
        for note in plan.notes:
            output.note(f"{plan.target}: {note}")
    output.next_steps(again)


def _value(plan: Plan, name: str) -> str | None:
    return str(plan.settings[name]) if name in plan.settings else None


def _new_command(plan: Plan, options: list[str]) -> str:
    """What makes a project with this plan."""
    from scaffold.programs import joined

    nodes = ["--nodes", str(plan.nodes)] if plan.nodes > 1 else []
    return joined(["scaffold", "new", plan.template, f"my-{plan.template}", *options, *nodes])


def _show(output: Output, plan: Plan, again: list[str], *, explain: bool) -> None:
    from scaffold.hardware.machine import gigabytes

    nodes = f"{plan.nodes} nodes, each with " if plan.nodes > 1 else ""
    output.line(f"{plan.template} on {nodes}{plan.machine_summary}", style="bold")
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
        of = f"{gigabytes(estimated)} of the {gigabytes(available)}"
        each = "each process" if plan.settings.get("world_size", 1) > 1 else "it"
        output.line(f"Training takes about {of} that {each} may use.")
    if plan.launch and plan.settings.get("world_size", 1) > 1:
        output.line(f"Starts with: {plan.launch}")
    if explain:
        output.heading("Memory of one training step, when it is fullest")
        rows = [(part, f"{size / 1024**2:,.0f} MB", how) for part, size, how in plan.explanation]
        output.table(("part", "size", "how"), rows, ("bold", "cyan", "dim"))
        if not rows:
            output.line("This starter keeps its data in memory and little else: there is nothing to compute.")
    for note in plan.notes:
        output.note(note)
    output.next_steps(again)
