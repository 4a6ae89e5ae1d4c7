"""Which machine a command is about: this one, a named one or a recorded one, and what the user says of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from scaffold.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from scaffold.hardware.machine import Machine

_WITH = "scaffold.cli.machine.with"
_MOST_NODES = 1024


def as_path(context: click.Context, _: click.Parameter, value: str | None) -> Path | None:
    """An option's value as a path. Only one that is given costs the import of pathlib."""
    if value is None:
        return None
    from pathlib import Path

    return Path(value)


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--target`, `--from` and `--with`, which every command that asks about a machine has."""
    return _options(command, several=False)


def targets_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same where `--target` may be given several times."""
    return _options(command, several=True)


def nodes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--nodes`, which `plan`, `new` and `start` share."""
    kind = click.IntRange(1, _MOST_NODES)
    text = "Machines like it that train together."
    return click.option("--nodes", type=kind, default=1, show_default=True, metavar="N", help=text)(command)


def _options(command: Callable[..., Any], *, several: bool) -> Callable[..., Any]:

    def keep(context: click.Context, _: click.Parameter, values: tuple[str, ...]) -> None:
        context.meta[_WITH] = values

    def named(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        source = context.get_parameter_source(parameter.name or "")
        # A recording that is named on the command line wins over a target in the environment.
        from_environment = source is click.core.ParameterSource.ENVIRONMENT
        return parameter.default if from_environment and context.params.get("recording") else value

    target = click.option(
        "--target",
        "targets" if several else "target",
        default=("auto",) if several else "auto",
        show_default="auto",
        multiple=several,
        envvar="SCAFFOLD_TARGET",
        callback=named,
        help="A named machine instead of this one" + ("; several stand side by side." if several else "."),
    )
    recording = click.option(
        "--from",
        "recording",
        metavar="DIR",
        is_eager=True,
        type=click.Path(),
        callback=as_path,
        help="A recorded machine instead.",
    )
    said = click.option(
        "--with",
        "said",
        multiple=True,
        metavar="KEY=VALUE",
        expose_value=False,
        callback=keep,
        help="What to take as given: gpu=none, memory=8GB, cores=4, driver=580.65, …",
    )
    return target(recording(said(command)))


def machine_for(target: str, recording: Path | None = None) -> Machine:
    """The machine that was asked for, as the user says it is: this one for `auto`, the named one, or a recorded one.

    Raises:
        UsageError: for an unknown name, a name together with a recording, or something said that can't be.
        NotFoundError: if the folder holds no recording.
    """
    if recording is not None and target != "auto":
        raise UsageError("--target and --from name two machines", hint="Give one of them.")
    said = _said()
    if target != "auto":
        return _adjusted_target(target, said)
    from scaffold.hardware.detect import detect

    if recording is None:
        return detect(said=said)
    from scaffold.hardware.recording import RecordedSource

    return detect(RecordedSource(recording), said=said)


def same_machine(target: str, recording: Path | None = None) -> list[str]:
    """The options that name this machine once more."""
    texts = click.get_current_context().meta.get(_WITH, ())
    said = [word for text in texts for word in ("--with", text)]
    recorded = [] if recording is None else ["--from", str(recording)]
    return [*([] if target == "auto" else ["--target", target]), *recorded, *said]


def _said() -> dict[str, str]:
    context = click.get_current_context(silent=True)
    texts = context.meta.get(_WITH, ()) if context is not None else ()
    if not texts and not os.environ.get("SCAFFOLD_HARDWARE"):
        return {}
    from scaffold.hardware.overrides import parse

    return parse(texts, os.environ)


def _adjusted_target(target: str, said: dict[str, str]) -> Machine:
    from scaffold.hardware.notes import with_machine_notes
    from scaffold.hardware.targets import load

    machine = load(target)
    if not said:
        return with_machine_notes(machine)
    from scaffold.hardware.overrides import apply, note

    return with_machine_notes(apply(machine, said), *note(said))
