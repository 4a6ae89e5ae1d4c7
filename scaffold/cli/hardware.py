"""`scaffold hardware`: what this machine has, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli.machine import as_path, machine_for, target_options
from scaffold.cli.output import Output, output_options
from scaffold.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from scaffold.hardware.machine import Accelerator, Machine
    from scaffold.hardware.torch_build import TorchBuild


@click.command(
    epilog="Examples:  scaffold hardware   ·   scaffold hardware --target 8xh100   ·   scaffold hardware --record here"
)
@target_options
@click.option(
    "--record",
    "destination",
    metavar="DIR",
    type=click.Path(),
    callback=as_path,
    help="Write what the probes read to DIR, fit for a bug report: without serial numbers, host and user names.",
)
@output_options
@click.pass_obj
def command(output: Output, target: str, recording: Path | None, destination: Path | None) -> None:
    """Show what this machine has, what it is good for, and which torch to install on it."""
    from scaffold.hardware.torch_build import choose
    from scaffold.hardware.uses import good_for

    recorded: dict[str, Any] = {}
    if destination is None:
        machine = machine_for(target, recording)
    else:
        machine, recorded = _record(target, recording, destination)
    torch = choose(machine)
    uses = good_for(machine, torch)
    document = {"machine": machine.to_json(), "torch": torch.__dict__, "good_for": list(uses), **recorded}
    output.emit(document, lambda: _show(output, machine, torch, uses))
    if recorded:
        output.note(f"Recorded in {destination}: {len(recorded['recorded']['files'])} files. Look before you share.")


def _record(target: str, recording: Path | None, destination: Path) -> tuple[Machine, dict[str, Any]]:
    if target != "auto":
        raise UsageError("--record writes down a machine that is there, and a target is none", hint="Leave one out.")
    from scaffold.hardware.record import record
    from scaffold.hardware.recording import RecordedSource

    machine, files = record(destination, None if recording is None else RecordedSource(recording))
    return machine, {"recorded": {"path": str(destination), "files": list(files)}}


def _show(output: Output, machine: Machine, torch: TorchBuild, uses: Sequence[str]) -> None:
    from scaffold.hardware.machine import gigabytes

    rows = [("system", _system(machine)), ("processor", _processor(machine)), ("memory", _memory(machine))]
    if machine.disk_free_bytes is not None:
        rows.append(("disk", f"{gigabytes(machine.disk_free_bytes)} free"))
    rows += [("accelerator", _accelerator(card)) for card in machine.accelerators] or [("accelerator", "none found")]
    output.table(("part", "what it is"), rows, ("bold", ""))
    output.heading("What it is good for")
    for use in uses:
        output.line(f"  {use}")
    watch = [*machine.notes, *_torch_trouble(machine, torch)]
    if watch:
        output.heading("What to watch")
    for note in watch:
        output.line(f"! {note}", style="yellow")
    output.heading("torch")
    if torch.build == "none":
        output.line(f"No build works here: {torch.reason}.")
        return
    output.line(f"The {torch.index or torch.build} build: {torch.reason}.")
    index = f" --index-url {torch.index_url}" if torch.index_url else ""
    output.next_steps([f'pip install "{torch.requirement}"{index}', "scaffold templates"])


def _torch_trouble(machine: Machine, torch: TorchBuild) -> list[str]:
    """Why there is a GPU and torch won't use it: a driver too old, a card that no wheel has code for."""
    return [f"torch can't use the GPU: {torch.reason}."] if machine.accelerators and torch.build == "cpu" else []


def _system(machine: Machine) -> str:
    parts = [machine.os, machine.os_version, machine.arch, machine.libc, machine.python and f"Python {machine.python}"]
    special = [name for name, is_one in (("WSL", machine.wsl), ("container", machine.container)) if is_one]
    return ", ".join([part for part in parts if part] + special) or "unknown"


def _processor(machine: Machine) -> str:
    cpu = machine.cpu
    counts = [
        (cpu.sockets if cpu.sockets != 1 else None, "socket"),
        (cpu.physical_cores, "core"),
        (cpu.performance_cores, "fast core"),
        (cpu.logical_cores, "thread"),
    ]
    known = ", ".join(f"{count} {word}{'s' if count != 1 else ''}" for count, word in counts if count is not None)
    if cpu.usable_cores is not None and cpu.usable_cores != cpu.logical_cores:
        known += f", {cpu.usable_cores} usable"
    features = f" ({', '.join(cpu.features)})" if cpu.features else ""
    return (": ".join(part for part in (cpu.name, known) if part) or "unknown") + features


def _memory(machine: Machine) -> str:
    from scaffold.hardware.machine import gigabytes

    memory = machine.memory
    if memory.total_bytes is None:
        return "unknown"
    text = gigabytes(memory.total_bytes)
    if memory.available_bytes is not None:
        text += f", {gigabytes(memory.available_bytes)} available"
    if memory.limit_bytes is not None:
        text += f", limited to {gigabytes(memory.limit_bytes)}"
    return text


def _accelerator(card: Accelerator) -> str:
    from scaffold.hardware.machine import gigabytes

    parts = [f"{card.count} × {card.name}" if card.count > 1 else card.name or f"unknown {card.vendor} card"]
    if card.memory_bytes:
        parts.append(gigabytes(card.memory_bytes) + (" shared with the system" if card.unified else ""))
    if card.memory_free_bytes is not None:
        parts.append(f"{gigabytes(card.memory_free_bytes)} free")
    if card.compute_capability:
        parts.append(f"capability {card.compute_capability}")
    if card.arch:
        parts.append(card.arch)
    if card.driver:
        parts.append(f"driver {card.driver}")
    if card.mig:
        parts.append(f"{len(card.mig)} MIG instances")
    return ", ".join(parts)
