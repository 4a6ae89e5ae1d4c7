"""How a repository is run, as a few lines for people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scaffold.cli.output import Output

if TYPE_CHECKING:
    from scaffold.references.howto import HowTo
    from scaffold.references.howto.model import Command, PythonWanted

_COMMANDS = 8
_SCRIPTS = 4
_FLAGS = 10


def read_reference(folder: Path) -> HowTo | None:
    """What the files of a reference say, for this Python and this machine; `None` where it is not on the disk."""
    if not folder.is_dir():
        return None
    from scaffold.cli.machine import machine_for
    from scaffold.references.howto import read_howto

    return read_howto(folder, python=(sys.version_info.major, sys.version_info.minor), machine=machine_for("auto"))


def show_howto(output: Output, howto: HowTo, folder: Path) -> None:
    """How it is installed and used, what it wants, and what to know before.

    Args:
        output: where it goes.
        howto: what was read.
        folder: the reference, as the user would type it.
    """
    output.heading("How to run")
    output.table(("fact", "value"), _facts(howto), ("dim", ""))
    if howto.install is None:
        output.line("Its files do not say how it is installed.")
    for flag in howto.flags[:_FLAGS]:
        output.line(f"! {flag.text}", style="yellow")
    if howto.install is not None:
        _commands(output, f"Install it (from {howto.install.source})", howto.install.commands, folder)
    started = [script.command for script in howto.scripts[:_SCRIPTS]]
    if howto.usage:
        _commands(output, "Use it", howto.usage[:_COMMANDS])
    elif started:
        output.next_steps(started, "Use it")


def _commands(output: Output, title: str, commands: tuple[Command, ...], folder: Path | None = None) -> None:
    from scaffold.programs import quoted

    first = [f"cd {quoted(str(folder))}"] if folder is not None else []
    output.next_steps([*first, *(command.text for command in commands)], title)


def _facts(howto: HowTo) -> list[tuple[str, str]]:
    hardware = howto.hardware
    cuda = {True: "needs it", False: "does without", None: "expects it" if hardware.expects_cuda else "unknown"}
    others = [f"{way.tool} ({way.source})" for way in howto.alternatives]
    facts = [
        ("kind", howto.kind),
        ("name", howto.name),
        ("Python", _python(howto.python)),
        ("builds on", ", ".join(f"{item.name}{item.wanted or ''}" for item in howto.frameworks) or "unknown"),
        ("CUDA", cuda[hardware.needs_cuda] + (f": {hardware.reasons[0].text[:100]}" if hardware.reasons else "")),
        ("fits here", hardware.fits + (f": {hardware.why}" if hardware.why else "")),
        ("notebooks", ", ".join(notebook.path for notebook in howto.notebooks[:3]) or None),
        ("other ways", ", ".join(others) or None),
        ("not read", ", ".join(f"{item.path} ({item.reason})" for item in howto.skipped[:3]) or None),
    ]
    return [(name, value) for name, value in facts if value]


def _python(python: PythonWanted) -> str:
    if python.wanted is None:
        return "unknown"
    fits = {True: "this one fits", False: "this one does not", None: "whether this one fits is unknown"}
    return f"{python.wanted} ({python.source}; {fits[python.fits]})"
