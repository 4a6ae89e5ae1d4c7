"""What this computer, or a recorded one, has. Imports nothing slow, and asks a GPU's tool only where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from scaffold.hardware import cpu, notes, nvidia, system
from scaffold.hardware.machine import Accelerator, Cpu, Machine, Memory, OperatingSystem, merge
from scaffold.hardware.source import DRM, KFD_NODES, ROCM_SMI, LiveSource, Source

if TYPE_CHECKING:
    from pathlib import Path


def detect(
    source: Source | None = None, *, disk_path: Path | None = None, said: Mapping[str, str] | None = None
) -> Machine:
    """Look at a machine.

    Args:
        source: where to read from; this computer by default.
        disk_path: whose disk's free space counts, by default the working directory's. Only used without a source.
        said: what to take as given instead of what is found, as ``overrides.parse`` returns it.

    Raises:
        UsageError: something said can't be.
    """
    source = source or LiveSource(disk_path)
    machine, troubles = _look(source)
    if not said:
        return notes.with_notes(source, machine, *troubles)
    from scaffold.hardware import overrides

    machine = overrides.apply(machine, said)
    return notes.with_notes(source, machine, *(troubles if "gpu" not in said else ()), *overrides.note(said))


def _look(source: Source) -> tuple[Machine, tuple[str, ...]]:
    sysctl = _sysctl(source)
    os = system.operating_system(source, sysctl)
    if os == "darwin":
        from scaffold.hardware import apple

        machine = _machine(source, sysctl, os, apple.cpu(sysctl), apple.memory(source, sysctl))
        return replace(machine, accelerators=apple.accelerators(machine)), ()
    cards, os, troubles, wsl = _gpus(source, os)
    machine = _machine(source, sysctl, os, cpu.probe(source, os), system.memory(source))
    machine = replace(machine, wsl=machine.wsl or (wsl and os == "linux"))
    shared = (_sharing(card, machine.memory) for card in cards)
    return replace(machine, accelerators=merge(shared)), troubles


def _sysctl(source: Source) -> dict[str, str]:
    if source.fact("os") not in ("darwin", None):
        return {}
    from scaffold.hardware import apple

    return apple.read_sysctl(source)


def _machine(
    source: Source, sysctl: dict[str, str], os: OperatingSystem | None, processor: Cpu, memory: Memory
) -> Machine:
    arch = system.architecture(source, sysctl)
    return Machine(
        os=os,
        arch=arch,
        cpu=processor,
        memory=memory,
        disk_free_bytes=system.number_fact(source, "disk_free_bytes"),
        python=system.text_fact(source, "python"),
        libc=system.text_fact(source, "libc"),
        os_version=system.os_version(source, sysctl),
        wsl=os == "linux" and system.is_wsl(source),
        container=os == "linux" and system.is_container(source),
        python_arch=system.python_architecture(source, sysctl, arch),
    )


def _gpus(
    source: Source, os: OperatingSystem | None
) -> tuple[list[Accelerator], OperatingSystem | None, tuple[str, ...], bool]:
    """The cards of a machine that is no Mac, its system where they give it away, what is wrong, and WSL's traces."""
    found = nvidia.probe(source)
    cards = list(found.accelerators)
    troubles = (found.trouble,) if found.trouble else ()
    if os == "windows":
        return cards, os, troubles, False
    if not (source.listdir(KFD_NODES) or source.listdir(DRM) or source.run(ROCM_SMI)):
        return cards, os or found.os, troubles, found.wsl
    from scaffold.hardware import amd, intel

    amd_cards, amd_notes = amd.probe(source)
    cards += [*amd_cards, *intel.probe(source)]
    return cards, os or found.os or ("linux" if amd_cards else None), (*troubles, *amd_notes), found.wsl


def _sharing(card: Accelerator, memory: Memory) -> Accelerator:
    """A GPU without memory of its own has the computer's."""
    if not card.unified or card.memory_bytes is not None:
        return card
    return replace(card, memory_bytes=memory.total_bytes, memory_free_bytes=memory.available_bytes)
