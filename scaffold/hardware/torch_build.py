"""Which torch to install on a machine, and why: one decision from driver, capability, system, Python and libc.

The facts are in ``torch_build.toml``, each with its source. It is right where ``uv --torch-backend=auto`` is not: an
old card with a new driver, any Intel graphics adapter, and WSL, where the driver number is Windows' own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from scaffold.hardware.machine import Accelerator, Machine
from scaffold.hardware.tables import table

Build = Literal["cpu", "cuda", "rocm", "xpu", "mps", "none"]
Version = tuple[int, ...]


@dataclass(frozen=True)
class TorchBuild:
    """One decision. ``index`` and ``index_url`` are ``None`` for plain PyPI; ``none`` means that no wheel works."""

    build: Build
    index: str | None
    index_url: str | None
    requirement: str
    reason: str


def choose(machine: Machine) -> TorchBuild:
    """Choose the torch build for a machine.

    An unknown libc counts as glibc, and an unknown Python as a supported one.
    """
    refusal = _refusal(machine)
    if refusal:
        return TorchBuild("none", None, None, _data()["requirement"], f"no torch wheel will work: {refusal}")
    without: list[TorchBuild] = []
    for vendor, decide in (("nvidia", _cuda), ("apple", _mps), ("amd", _rocm), ("intel", _xpu)):
        cards = [card for card in machine.accelerators if card.vendor == vendor]
        if not cards:
            continue
        decision = decide(machine, cards)
        if decision.build != "cpu":
            reasons = [decision.reason, *(f"not used: {refused.reason}" for refused in without)]
            return replace(decision, reason="; ".join(reasons))
        without.append(decision)
    return without[0] if without else _cpu(machine, "no GPU was found that torch can use")


def served(machine: Machine, torch: TorchBuild) -> Accelerator | None:
    """The card that a process on this build trains on: the largest one the build has code for."""
    vendor = {"cuda": "nvidia", "rocm": "amd", "xpu": "intel", "mps": "apple"}.get(torch.build)
    cards = [card for card in machine.accelerators if card.vendor == vendor]
    if torch.build == "cuda":
        build = next((build for build in _data()["cuda"] if build["index"] == torch.index), None)
        cards = [card for card in cards if build is None or _runs_on(machine, build, card)]
    elif torch.build == "rocm":
        cards = [card for card in cards if card.arch in _data()["rocm"]["gfx"]]
    return replace(machine, accelerators=tuple(cards)).primary


def version(text: str | None) -> Version | None:
    """The leading numbers of a version, ``(580, 65, 6)`` for ``"580.65.06"``; ``None`` where there are none."""
    match = re.match(r"\d+(?:\.\d+)*", text or "")
    return tuple(int(part) for part in match.group().split(".")) if match else None


def runs_code_for(device: Version, kernel: Version) -> bool:
    """Whether a device of one CUDA capability runs code that was built for another."""
    if ".".join(map(str, device)) in _data()["nvidia"]["tegra"]:
        return False
    return device[0] == kernel[0] and device[1] >= kernel[1]


def _data() -> dict[str, Any]:
    return table("torch_build")


def normal_arch(arch: str | None) -> str | None:
    """One name for each architecture: ``AMD64`` is ``x86_64``, ``arm64`` is ``aarch64``."""
    if arch is None:
        return None
    lowered = arch.lower()
    return {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}.get(lowered, lowered)


# --- What rules out every wheel -----------------------------------------------------------------------------------


def _refusal(machine: Machine) -> str | None:
    wheels = _data()["wheels"]
    arch = normal_arch(machine.python_arch or machine.arch)
    if machine.os is not None and arch is not None and f"{machine.os} {arch}" not in wheels["platforms"]:
        return _no_platform(machine, arch)
    if arch is not None and not any(platform.endswith(f" {arch}") for platform in wheels["platforms"]):
        return f"there is none for {arch} processors"
    return _python_refusal(machine) or _system_refusal(machine)


def _no_platform(machine: Machine, arch: str) -> str:
    if machine.os == "darwin":
        if machine.python_arch is not None and normal_arch(machine.arch) == "aarch64":
            return "this Python was built for Intel and runs under Rosetta; install a Python for Apple silicon"
        return "there is none for Intel Macs since torch 2.2"
    if machine.os == "windows" and arch == "aarch64":
        return "there is none for Windows on ARM; a 64-bit Intel (x64) Python runs there in emulation"
    if machine.python_arch is not None:
        return f"this Python is a {machine.python_arch} build; install a 64-bit Python for {machine.arch}"
    return f"there is none for {arch} processors on {machine.os}"


def _python_refusal(machine: Machine) -> str | None:
    lowest, highest = _data()["wheels"]["python"]
    python = version(machine.python)
    if not _below(python, lowest) and not _below(version(highest), ".".join(map(str, (python or ())[:2]))):
        return None
    return f"there is none for Python {machine.python}; use {lowest} to {highest}"


def _system_refusal(machine: Machine) -> str | None:
    wheels = _data()["wheels"]
    if machine.os in ("linux", None) and machine.libc is not None:
        name, _, number = machine.libc.partition(" ")
        if name.lower() == "musl":
            return "this system uses musl (Alpine), and the wheels need glibc; use a Debian or Ubuntu image"
        if _below(version(number), wheels["glibc"]):
            return f"the wheels need glibc {wheels['glibc']} or newer, and this system has {number}"
    if machine.os == "darwin" and _below(version(machine.os_version), wheels["macos"]):
        return f"the wheels need macOS {wheels['macos']} or newer, and this is {machine.os_version}"
    return None


def _below(found: Version | None, minimum: str) -> bool:
    wanted = version(minimum)
    return found is not None and wanted is not None and found[: len(wanted)] < wanted


# --- One decision for each kind of machine ------------------------------------------------------------------------


def _indexed(build: Build, index: str, reason: str, requirement: str | None = None) -> TorchBuild:
    data = _data()
    return TorchBuild(build, index, data["base_url"] + index, requirement or data["requirement"], reason)


def _cpu(machine: Machine, reason: str) -> TorchBuild:
    if machine.os in ("darwin", "windows"):
        # PyPI's wheels hold no CUDA there; on Linux they bring gigabytes of it.
        return TorchBuild("cpu", None, None, _data()["requirement"], reason)
    return _indexed("cpu", "cpu", reason)


def _cuda(machine: Machine, cards: list[Accelerator]) -> TorchBuild:
    chosen = _first_build(machine, cards)
    if chosen is not None:
        return _indexed("cuda", chosen["index"], _why(machine, chosen, cards[0]), chosen.get("requirement"))
    by_size = sorted(cards, key=lambda card: (card.process_memory_bytes or 0, _capability(card) or ()), reverse=True)
    for card in by_size:
        chosen = _first_build(machine, [card])
        if chosen is not None:
            reason = f"{_why(machine, chosen, card)}; no single build runs all the cards in this machine"
            return _indexed("cuda", chosen["index"], reason, chosen.get("requirement"))
    return _cpu(machine, _why_no_cuda(machine, by_size[0]))


def _first_build(machine: Machine, cards: list[Accelerator]) -> dict[str, Any] | None:
    """The first build whose driver floor every card meets and that has code for every card."""
    builds: list[dict[str, Any]] = _data()["cuda"]
    if all(version(card.driver) is None for card in cards):
        # Nothing says that the driver is a new one, so the build that asks least of it comes first.
        builds = sorted(builds, key=lambda build: ("requirement" in build, version(_floor(machine, build))))
    for build in builds:
        if all(_runs_on(machine, build, card) for card in cards):
            return build
    return None


def _runs_on(machine: Machine, build: dict[str, Any], card: Accelerator) -> bool:
    too_old = _below(version(card.driver), _floor(machine, build))
    return not too_old and _has_code_for(machine, build, _capability(card))


def _floor(machine: Machine, build: dict[str, Any]) -> str:
    # nvidia-smi inside WSL prints the driver of the Windows around it.
    return str(build["driver"]["windows" if machine.os == "windows" or machine.wsl else "linux"])


def _kernels(machine: Machine, build: dict[str, Any]) -> list[Version]:
    texts = build["kernels"].get(normal_arch(machine.arch) or "x86_64", ())
    return [kernel for kernel in map(version, texts) if kernel is not None]


def _has_code_for(machine: Machine, build: dict[str, Any], capability: Version | None) -> bool:
    return capability is None or any(runs_code_for(capability, kernel) for kernel in _kernels(machine, build))


def _capability(card: Accelerator) -> Version | None:
    architectures: dict[str, str] = _data()["nvidia"]["architectures"]
    return card.capability or version(architectures.get(card.arch or ""))


def _why(machine: Machine, build: dict[str, Any], card: Accelerator) -> str:
    index, floor = build["index"], _floor(machine, build)
    name = card.name or "the NVIDIA GPU"
    where = " (Windows' own, seen from WSL)" if machine.wsl else ""
    driver = f"this is {card.driver}{where}" if version(card.driver) else "which driver it has is not known"
    reason = f"{name}: {index} asks for driver {floor} or newer, and {driver}"
    if card.compute_capability is None:
        return f"{reason}; the card's compute capability is not known"
    reason = f"{reason}; it has code for compute capability {card.compute_capability}"
    if index == "cu128":
        return f"{reason}; with driver 580 or newer a newer torch would run"
    newest = _data()["cuda"][0]
    if build is not newest and not _has_code_for(machine, newest, _capability(card)):
        return f"{reason}, which CUDA 13 builds lack, so torch ends at 2.14 on this card"
    return reason


def _why_no_cuda(machine: Machine, card: Accelerator) -> str:
    name, capability = card.name or "the NVIDIA GPU", _capability(card)
    if capability is not None and ".".join(map(str, capability)) in _data()["nvidia"]["tegra"]:
        return (
            f"{name} is a Tegra chip (Jetson), which ordinary wheels don't run on; NVIDIA has wheels of its own for it"
        )
    fitting = [build for build in _data()["cuda"] if _has_code_for(machine, build, capability)]
    if not fitting:
        arch = normal_arch(machine.arch) or "x86_64"
        return f"no current torch for {arch} has code for {name} (compute capability {card.compute_capability})"
    ordinary = [build for build in fitting if "requirement" not in build] or fitting
    wanted = min((_floor(machine, build) for build in ordinary), key=lambda floor: version(floor) or ())
    return f"driver {card.driver} is too old for {name}: update the driver to {wanted} or newer to use the GPU"


def _mps(machine: Machine, cards: list[Accelerator]) -> TorchBuild:
    data = _data()
    wanted = data["wheels"]["mps_macos"]
    if _below(version(machine.os_version), wanted):
        reason = f"Metal (MPS) needs macOS {wanted} or newer and this is {machine.os_version}, so torch runs on the CPU"
        return _cpu(machine, reason)
    return TorchBuild("mps", None, None, data["requirement"], "Apple silicon: PyPI's ordinary wheel holds Metal (MPS)")


def _rocm(machine: Machine, cards: list[Accelerator]) -> TorchBuild:
    rocm = _data()["rocm"]
    name = cards[0].name or "the AMD GPU"
    if machine.os != "linux" and machine.os is not None:
        return _cpu(machine, f"{name}: PyTorch's ROCm wheels are for Linux only")
    if normal_arch(machine.arch) not in ("x86_64", None):
        return _cpu(machine, f"{name}: PyTorch's ROCm wheels are for x86_64 processors only")
    supported = [card for card in cards if card.arch in rocm["gfx"]]
    if supported:
        card = supported[0]
        return _indexed("rocm", rocm["index"], f"{card.name or name}: {rocm['index']} has code for {card.arch}")
    known = [card.arch for card in cards if card.arch]
    if not known:
        return _cpu(machine, f"{name}: its gfx architecture is not known, so no ROCm build can be chosen")
    return _cpu(
        machine,
        f"{name}: no official ROCm build has code for {known[0]}; AMD's own package index (repo.amd.com) may have one",
    )


def _xpu(machine: Machine, cards: list[Accelerator]) -> TorchBuild:
    if normal_arch(machine.arch) not in ("x86_64", None):
        return _cpu(machine, "PyTorch's XPU wheels are for x86_64 processors only")
    return _indexed(
        "xpu", _data()["xpu"]["index"], f"{cards[0].name or 'the Intel GPU'} is one that PyTorch's XPU runs on"
    )
