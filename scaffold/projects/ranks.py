"""How many processes train together, and how they share the work: one for each accelerator, on one or several nodes.

The effective batch is what a job is about, so it stays the same whatever the number of processes. It only grows where
there are more of them than samples in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaffold.errors import UsageError
from scaffold.hardware.machine import Accelerator, Machine
from scaffold.projects.template import Template

PORT = 29500  # where the first node listens: torch's own default
PATIENCE = 40  # seconds for the nodes to find each other, with loading torch under a minute; torchrun's own are 10 min
_WORDS = {"cuda": "GPU", "xpu": "GPU", "mps": "GPU", "cpu": "CPU core"}


@dataclass(frozen=True)
class Room:
    """What there is for processes.

    Attributes:
        device: cpu, cuda, mps or xpu.
        each: processes that one node has a device for.
        usual: processes that a node gets unless the user says otherwise.
        nodes: machines like this one.
        alone: why there can be only one process, None where there can be more.
    """

    device: str
    each: int
    usual: int
    nodes: int = 1
    alone: str | None = None

    @property
    def most(self) -> int:
        """Processes on all nodes together."""
        return self.each * self.nodes


@dataclass(frozen=True)
class Ranks:
    """The processes of a job: how many on how many nodes, why, and the effective batch that they share."""

    nodes: int
    per_node: int
    effective: int
    reason: str
    note: str | None = None

    @property
    def world(self) -> int:
        """All processes."""
        return self.nodes * self.per_node


def distributes(template: Template) -> bool:
    """Whether a template's training can be shared among processes."""
    return "strategy" in template.settings


def room_for(template: Template, machine: Machine, card: Accelerator | None, device: str, nodes: int) -> Room:
    """The processes that a machine, or several like it, have devices for.

    Raises:
        UsageError: for several nodes where only one process can train.
    """
    alone = None
    if not distributes(template):
        alone = "this starter trains in one process"
    elif device == "mps":
        alone = "Apple's GPU is one device, and torch has no way for several to work together"
    elif machine.os == "windows" and device != "cpu":
        alone = "torch for Windows comes without what lets several GPUs work together; WSL 2 has it"
    if alone and nodes > 1:
        raise UsageError(f"--nodes {nodes}: {alone}", hint="Leave --nodes out.")
    if alone:
        return Room(device, 1, 1, alone=alone)
    if device == "cpu":
        return Room(device, cores_of(machine), 1, nodes)
    cards = 1 if card is None or card.mig is not None else card.count
    return Room(device, cards, cards, nodes)


def cores_of(machine: Machine) -> int:
    """Physical cores that may be used; of two kinds the faster ones."""
    cpu = machine.cpu
    usable = cpu.usable_cores or cpu.logical_cores or 1
    physical = cpu.performance_cores or cpu.physical_cores or usable
    return max(1, min(usable, physical))


def choose_ranks(room: Room, effective: int, chosen: Mapping[str, Any]) -> Ranks:
    """How many processes train, each with an equal part of the effective batch.

    Args:
        room: what there is.
        effective: samples of one update.
        chosen: the user's `--set` values; `world_size` and `strategy` matter.

    Raises:
        UsageError: for more processes than devices, or a number that does not divide the batch, with what fits.
    """
    if "world_size" in chosen:
        return _as_chosen(room, effective, int(chosen["world_size"]))
    if room.alone or chosen.get("strategy") == "none":
        return Ranks(room.nodes, 1, effective, room.alone or "strategy none is for one process")
    if room.usual * room.nodes == 1:
        reason = "one GPU: one process" if room.device != "cpu" else "one process computes with all cores"
        return Ranks(1, 1, effective, reason)
    return _usual(room, effective)


def _usual(room: Room, effective: int) -> Ranks:
    nodes, word = room.nodes, "a process for each GPU" if room.device != "cpu" else "a process for each node"
    count = f"{nodes} nodes × {room.usual}" if nodes > 1 else str(room.usual)
    world = nodes * room.usual
    if world >= effective or effective % world == 0:
        return Ranks(nodes, room.usual, *_grown(world, effective, f"{word}: {count}"))
    fitting = next((each for each in range(room.usual, 0, -1) if effective % (each * nodes) == 0), None)
    if fitting is None:
        raise UsageError(
            f"{nodes} nodes can't share the effective batch of {effective} equally",
            hint=f"{_listed(_near(effective, nodes))} can; or --set effective_batch={-(-effective // world) * world}.",
        )
    better = -(-effective // world) * world
    note = (
        f"{fitting} of {room.usual} GPUs in each node are used: all of them can't share the effective batch of "
        f"{effective} equally; with --set effective_batch={better} they can"
    )
    return Ranks(nodes, fitting, effective, f"as many GPUs as can share the batch of {effective} equally", note)


def _as_chosen(room: Room, effective: int, world: int) -> Ranks:
    reason = "chosen by you with --set"
    if room.alone and world > 1:
        raise UsageError(f"world_size must be 1: {room.alone}")
    if world > room.most:
        word = _WORDS[room.device] + ("" if room.most == 1 else "s")
        where = f" on {room.nodes} nodes" if room.nodes > 1 else ""
        raise UsageError(
            f"world_size {world} is more processes than there are {_WORDS[room.device]}s: {room.most}{where}",
            hint=f"--set world_size={room.most} uses all {word}; or give --nodes, or another --target.",
        )
    if world % room.nodes:
        raise UsageError(
            f"{world} processes are not as many on each of {room.nodes} nodes",
            hint=f"Choose world_size as a multiple of {room.nodes}, up to {room.most}.",
        )
    if world < effective and effective % world:
        fits = [number for number in _divisors(effective, 1, room.most) if number % room.nodes == 0]
        raise UsageError(
            f"{world} processes can't share the effective batch of {effective} equally",
            hint=(f"world_size can be {_listed(fits)}; or " if fits else "")
            + f"--set effective_batch={-(-effective // world) * world}.",
        )
    return Ranks(room.nodes, world // room.nodes, *_grown(world, effective, reason))


def _grown(world: int, effective: int, reason: str) -> tuple[int, str, str | None]:
    """The effective batch with at least one sample for each process, the reason, and a note where it had to grow."""
    if world <= effective:
        return effective, reason, None
    note = (
        f"the effective batch grows from {effective} to {world}, one sample for each process: with fewer processes it "
        "would stay, and with more samples an update may bear a higher learning rate"
    )
    return world, reason, note


def launch_command(template: Template, nodes: int, per_node: int) -> str | None:
    """What starts the training: python alone, or torchrun; on several nodes the same on each, with its own RANK.

    None for a template that does not train with `train.py`.
    """
    train = next((command for command in template.run if command.startswith("python train.py")), None)
    if train is None or nodes * per_node == 1:
        return train
    script = train.removeprefix("python ")
    if nodes == 1:
        return f"torchrun --standalone --nproc-per-node={per_node} {script}"
    where = f"--nnodes={nodes} --nproc-per-node={per_node} --node-rank=RANK --master-addr=HEAD --master-port={PORT}"
    return f"torchrun {where} --rdzv-conf=timeout={PATIENCE} {script}"


def _divisors(number: int, least: int, most: int) -> list[int]:
    return [part for part in range(least, min(number, most) + 1) if number % part == 0]


def _near(number: int, nodes: int) -> list[int]:
    """The divisors on both sides of `nodes`."""
    parts = _divisors(number, 1, number)
    return [*[part for part in parts if part < nodes][-1:], *[part for part in parts if part > nodes][:1]]


def _listed(numbers: Sequence[int]) -> str:
    words = [str(number) for number in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
