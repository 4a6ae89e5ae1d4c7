"""`scaffold hardware`: what this machine has, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaffold.cli.output import Output, output_options
from scaffold.cli.plan import machine_for, target_options

if TYPE_CHECKING:
    from scaffold.hardware.machine import Accelerator, Machine
    from scaffold.hardware.torch_build import TorchBuild


@click.command(epilog="Examples:  scaffold hardware   ·   scaffold hardware --target colab-t4")
@target_options
@output_options
@click.pass_obj
def command(output: Output, target: str, recording: Path | None) -> None:
    """Show what this machine has, and which torch to install on it."""
    from scaffold.hardware.torch_build import choose

    machine = machine_for(target, recording)
    torch = choose(machine)
    output.emit({"machine": machine.to_json(), "torch": torch.__dict__}, lambda: _show(output, machine, torch))


def _show(output: Output, machine: Machine, torch: TorchBuild) -> None:
    from scaffold.hardware.machine import gigabytes

    rows = [("system", _system(machine)), ("processor", _processor(machine)), ("memory", _memory(machine))]
    if machine.disk_free_bytes is not None:
        rows.append(("disk", f"{gigabytes(machine.disk_free_bytes)} free"))
    rows += [("accelerator", _accelerator(card)) for card in machine.accelerators] or [("accelerator", "none found")]
    output.table(("part", "what it is"), rows, ("bold", ""))
    for note in machine.notes:
        output.line(f"! {note}", style="yellow")
    output.heading("torch")
    if torch.build == "none":
        output.line(f"No build works here: {torch.reason}.")
        return
    output.line(f"The {torch.index or torch.build} build: {torch.reason}.")
    index = f" --index-url {torch.index_url}" if torch.index_url else ""
    output.next_steps([f'pip install "{torch.requirement}"{index}', "scaffold templates"])


def _system(machine: Machine) -> str:
    parts = [machine.os, machine.os_version, machine.arch, machine.libc, machine.python and f"Python {machine.python}"]
    special = [name for name, is_one in (("WSL", machine.wsl), ("container", machine.container)) if is_one]
    return ", ".join([part for part in parts if part] + special) or "unknown"


def _processor(machine: Machine) -> str:
    cpu = machine.cpu
    counts = [(cpu.physical_cores, "cores"), (cpu.logical_cores, "threads"), (cpu.usable_cores, "usable")]
    known = ", ".join(f"{count} {word}" for count, word in counts if count is not None)
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
