"""What to know about a machine besides its figures: one plain sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from scaffold.hardware.machine import Accelerator, Machine, gigabytes
from scaffold.hardware.source import Source
from scaffold.hardware.system import shared_memory_bytes

_FULL_SHARE = 0.5
_LITTLE_SHARE = 0.1
_LITTLE_DISK = 10 * 1024**3
_DOCKER_SHARED_MEMORY = 64 * 1024**2


def observe(source: Source, machine: Machine) -> Iterator[str]:
    """The notes on a machine, what limits everything first."""
    yield from _surroundings(source, machine)
    yield from _limits(machine)
    yield from _at_the_moment(machine)
    for card in machine.accelerators:
        yield from _card(card)
    yield from _environment(source, machine)


def _surroundings(source: Source, machine: Machine) -> Iterator[str]:
    if machine.wsl:
        yield "This is Linux inside Windows (WSL): .wslconfig limits its memory, and the NVIDIA driver is Windows' own."
    if machine.container:
        yield "This is a container: what is written outside its mounted folders is gone when it is removed."
    if machine.os == "windows" and not machine.accelerators:
        yield "On Windows only NVIDIA's GPUs are found; AMD's and Intel's stay unused."
    if machine.python_arch is not None:
        yield f"Python was built for {machine.python_arch}, and the machine is {machine.arch}."
    size = shared_memory_bytes(source)
    if size is not None and size <= _DOCKER_SHARED_MEMORY:
        yield (
            f"/dev/shm holds only {size // 1024**2} MB: data loader workers can run out of it. "
            "Start the container with --shm-size=8g or --ipc=host."
        )


def _limits(machine: Machine) -> Iterator[str]:
    cpu, memory = machine.cpu, machine.memory
    if cpu.usable_cores and cpu.logical_cores and cpu.usable_cores < cpu.logical_cores:
        yield (
            f"{cpu.usable_cores} of {cpu.logical_cores} cores may be used here (a container's or a process's limit): "
            f"programs that count all {cpu.logical_cores} start too many threads."
        )
    if memory.limit_bytes and memory.total_bytes and memory.limit_bytes < memory.total_bytes:
        yield f"Memory is limited to {gigabytes(memory.limit_bytes)} of {gigabytes(memory.total_bytes)}."
    if {"avx", "fma"} & set(cpu.features) and "avx2" not in cpu.features:
        yield "The processor has no AVX2: torch runs, but several times slower than on newer ones."


def _at_the_moment(machine: Machine) -> Iterator[str]:
    usable, available = machine.usable_memory_bytes, machine.memory.available_bytes
    if usable and available is not None and available < usable * _LITTLE_SHARE:
        yield f"Only {gigabytes(available)} of {gigabytes(usable)} memory is free at the moment: close other programs."
    if machine.disk_free_bytes is not None and machine.disk_free_bytes < _LITTLE_DISK:
        yield f"Only {gigabytes(machine.disk_free_bytes)} of disk is free: torch with CUDA alone takes about 6 GB."


def _card(card: Accelerator) -> Iterator[str]:
    name = card.name or "The GPU"
    if card.vendor == "nvidia" and card.capability is not None and card.capability < (8, 0):
        yield f"{name} has no bf16 of its own (torch only emulates it): " + (
            "train in fp16 with a gradient scaler." if card.capability >= (7, 0) else "train in fp32."
        )
    if card.vendor == "amd" and card.computes_bf16 is False:
        yield f"{name} has no bf16 of its own: train in fp16 with a gradient scaler."
    if card.mig is not None:
        yield (
            f"{name} is cut into MIG instances: a process gets one, with {gigabytes(card.process_memory_bytes or 0)}."
            if card.mig
            else f"{name} has MIG on and no instance of it was seen: nothing can run on it until there is one."
        )
    if card.memory_bytes and card.memory_free_bytes is not None and not card.unified and not card.mig:
        used = 1 - card.memory_free_bytes / card.memory_bytes
        if used > _FULL_SHARE:
            free = gigabytes(card.memory_free_bytes)
            yield f"{name} is {used:.0%} full at the moment: {free} of {gigabytes(card.memory_bytes)} is free."
    if card.unified:
        yield f"{name} shares the computer's memory."


def _environment(source: Source, machine: Machine) -> Iterator[str]:
    visible = source.environ.get("CUDA_VISIBLE_DEVICES")
    cards = sum(card.count for card in machine.accelerators if card.vendor == "nvidia")
    if cards and visible is not None:
        named = [part for part in visible.split(",") if part.strip() and part.strip() != "-1"]
        if len(named) < cards:
            shown = "hides every card" if not named else f"shows {len(named)} of {cards} cards"
            yield f"CUDA_VISIBLE_DEVICES={visible!r} {shown}."
    override = source.environ.get("HSA_OVERRIDE_GFX_VERSION")
    if override and any(card.vendor == "amd" for card in machine.accelerators):
        yield f"HSA_OVERRIDE_GFX_VERSION={override} makes ROCm take the GPU for another one."


def with_machine_notes(machine: Machine, *more: str) -> Machine:
    """A machine that nobody looks at, a named one, with the notes that follow from what it has."""
    found = [*_limits(machine), *(note for card in machine.accelerators for note in _card(card))]
    return replace(machine, notes=tuple(dict.fromkeys([*found, *more])))


def with_notes(source: Source, machine: Machine, *more: str) -> Machine:
    """The machine with its notes, each once."""
    return replace(machine, notes=tuple(dict.fromkeys([*observe(source, machine), *more])))
