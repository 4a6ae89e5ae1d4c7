"""The torch build for a machine. The last column of each row says where the answer is written.

rule: the safe order that follows from NVIDIA's driver floors and the kernels in the wheels (torch_build.toml).
tags: the platforms that torch 2.13.0 and 2.14.1 have wheels for, as pip resolves them.
"""

from __future__ import annotations

from typing import Any

import pytest

from scaffold.hardware.machine import Accelerator, Machine
from scaffold.hardware.torch_build import choose, runs_code_for

ORDINARY = "torch>=2.13,<2.15"


def nvidia(capability: str | None, driver: str | None, **more: Any) -> Accelerator:
    return Accelerator("nvidia", name="card", compute_capability=capability, driver=driver, **more)


def amd(gfx: str | None) -> Accelerator:
    return Accelerator("amd", name="card", arch=gfx)


def linux(*cards: Accelerator, arch: str = "x86_64", **more: Any) -> Machine:
    return Machine(os="linux", arch=arch, accelerators=cards, **more)


def windows(*cards: Accelerator, arch: str = "AMD64", **more: Any) -> Machine:
    return Machine(os="windows", arch=arch, accelerators=cards, **more)


def mac(version: str | None = None, *, arch: str = "arm64", **more: Any) -> Machine:
    gpu = (Accelerator("apple", name="Apple M2", unified=True),) if arch == "arm64" else ()
    return Machine(os="darwin", arch=arch, os_version=version, accelerators=gpu, **more)


ARC = Accelerator("intel", name="Intel Arc B580", arch="Xe2")

ROWS = [
    # machine, build, index, requirement, source
    (linux(), "cpu", "cpu", ORDINARY, "PyPI's Linux wheel is CUDA; whl/cpu is not"),
    (linux(arch="aarch64"), "cpu", "cpu", ORDINARY, "2.15's aarch64 wheel on PyPI is CUDA too"),
    (windows(), "cpu", None, ORDINARY, "PyPI's win_amd64 wheel is +cpu"),
    (Machine(), "cpu", "cpu", ORDINARY, "nothing known: the CPU build runs everywhere"),
    # Drivers: floors of NVIDIA's release notes.
    (linux(nvidia("8.6", "470.57.02")), "cpu", "cpu", ORDINARY, "rule 1"),
    (linux(nvidia("8.0", "515.105.01")), "cpu", "cpu", ORDINARY, "rule 1"),
    (linux(nvidia("8.6", "525.60.12")), "cpu", "cpu", ORDINARY, "rule 1, one below the floor"),
    (linux(nvidia("8.6", "525.60.13")), "cuda", "cu126", ORDINARY, "rule 3, at the floor"),
    (linux(nvidia("8.0", "550.54.14")), "cuda", "cu126", ORDINARY, "rule 3"),
    (linux(nvidia("8.6", "575.51.03")), "cuda", "cu126", ORDINARY, "rule 3"),
    (linux(nvidia("8.6", "580.65.06")), "cuda", "cu130", ORDINARY, "rule 4"),
    (linux(nvidia("9.0", "590.48.01")), "cuda", "cu130", ORDINARY, "rule 4"),
    (linux(nvidia("7.5", "595.71.05")), "cuda", "cu130", ORDINARY, "rule 4: Turing is in CUDA 13"),
    (linux(nvidia("8.9", "610.10")), "cuda", "cu130", ORDINARY, "rule 4, newer than any table"),
    (windows(nvidia("8.6", "528.32")), "cpu", None, ORDINARY, "rule 1, Windows' floor"),
    (windows(nvidia("8.6", "528.33")), "cuda", "cu126", ORDINARY, "rule 3, Windows' floor"),
    (windows(nvidia("8.9", "580.88")), "cuda", "cu130", ORDINARY, "rule 4"),
    (linux(nvidia("8.6", "526.98"), wsl=True), "cpu", "cpu", ORDINARY, "WSL shows Windows' driver"),
    (linux(nvidia("8.6", "560.94"), wsl=True), "cuda", "cu126", ORDINARY, "WSL shows Windows' driver"),
    (linux(nvidia("8.9", "591.86"), wsl=True), "cuda", "cu130", ORDINARY, "WSL shows Windows' driver"),
    # Capabilities: kernels in the wheels. uv's automatic choice is wrong for the old cards.
    (linux(nvidia("6.1", "580.82.07")), "cuda", "cu126", ORDINARY, "rule 3: GTX 10xx on a new driver"),
    (linux(nvidia("6.0", "535.183.01")), "cuda", "cu126", ORDINARY, "rule 3: P100"),
    (linux(nvidia("5.2", "580.95.05")), "cuda", "cu126", ORDINARY, "rule 3: Maxwell"),
    (linux(nvidia("7.0", "580.95.05")), "cuda", "cu126", ORDINARY, "rule 3: V100"),
    (linux(nvidia("6.1", "510.47.03")), "cpu", "cpu", ORDINARY, "rule 1 before rule 3"),
    (linux(nvidia("3.7", "470.256.02")), "cpu", "cpu", ORDINARY, "no wheel has Kepler code"),
    (linux(nvidia("3.5", "580.65.06")), "cpu", "cpu", ORDINARY, "no wheel has Kepler code"),
    (linux(nvidia("12.0", "570.86.10")), "cuda", "cu128", "torch>=2.11,<2.12", "rule 2"),
    (linux(nvidia("10.0", "570.133.20")), "cuda", "cu128", "torch>=2.11,<2.12", "rule 2"),
    (linux(nvidia("12.0", "565.57.01")), "cpu", "cpu", ORDINARY, "rule 2: the driver doesn't know the card"),
    (linux(nvidia("12.0", "580.65.06")), "cuda", "cu130", ORDINARY, "rule 4"),
    (linux(nvidia("10.3", "580.95.05")), "cuda", "cu130", ORDINARY, "10.0 code runs on 10.3"),
    (windows(nvidia("12.0", "572.16")), "cuda", "cu128", "torch>=2.11,<2.12", "rule 2"),
    # What is not known.
    (linux(nvidia(None, "550.144.03")), "cuda", "cu126", ORDINARY, "no card before 570 is newer than Hopper"),
    (linux(nvidia(None, "515.65.01")), "cpu", "cpu", ORDINARY, "rule 1 needs no capability"),
    (linux(nvidia(None, "590.48.01")), "cuda", "cu130", ORDINARY, "590 dropped Maxwell to Volta"),
    (linux(nvidia(None, "580.65.06", arch="Pascal")), "cuda", "cu126", ORDINARY, "the architecture's name decides"),
    (linux(nvidia("8.6", None)), "cuda", "cu126", ORDINARY, "the build that asks least of the driver"),
    (linux(nvidia("12.0", None)), "cuda", "cu130", ORDINARY, "the only ordinary build with its code"),
    # ARM servers and boards.
    (linux(nvidia("9.0", "580.65.06"), arch="aarch64"), "cuda", "cu130", ORDINARY, "GH200: aarch64 has 9.0"),
    (linux(nvidia("9.0", "550.54.14"), arch="aarch64"), "cuda", "cu126", ORDINARY, "aarch64 cu126 has 8.0 and 9.0"),
    (linux(nvidia("12.1", "580.95.05"), arch="aarch64"), "cuda", "cu130", ORDINARY, "GB10: 12.0 code runs on 12.1"),
    (linux(nvidia("11.0", "580.00"), arch="aarch64"), "cuda", "cu130", ORDINARY, "Thor: aarch64 has 11.0"),
    (linux(nvidia("7.5", "580.65.06"), arch="aarch64"), "cpu", "cpu", ORDINARY, "T4G: aarch64 starts at 8.0"),
    (linux(nvidia("8.7", "540.4.0"), arch="aarch64"), "cpu", "cpu", ORDINARY, "Orin: Tegra runs no desktop code"),
    # Several cards.
    (
        linux(nvidia("8.9", "580.65.06"), nvidia("6.1", "580.65.06")),
        "cuda",
        "cu126",
        ORDINARY,
        "one build for both: cu126 has 6.0 and 8.6",
    ),
    (
        linux(nvidia("12.0", "580.65.06", memory_bytes=32), nvidia("6.1", "580.65.06", memory_bytes=8)),
        "cuda",
        "cu130",
        ORDINARY,
        "no build has both: the larger card's",
    ),
    (linux(nvidia("8.6", "580.65.06"), amd("gfx1100")), "cuda", "cu130", ORDINARY, "NVIDIA before AMD, as uv"),
    (linux(nvidia("8.6", "580.65.06"), ARC), "cuda", "cu130", ORDINARY, "NVIDIA before Intel, as uv"),
    # AMD: uv pull request 18730.
    (linux(amd("gfx942")), "rocm", "rocm7.2", ORDINARY, "in rocm7.2"),
    (linux(amd("gfx90a")), "rocm", "rocm7.2", ORDINARY, "in rocm7.2"),
    (linux(amd("gfx1100")), "rocm", "rocm7.2", ORDINARY, "in rocm7.2"),
    (linux(amd("gfx1201")), "rocm", "rocm7.2", ORDINARY, "in rocm7.2"),
    (linux(amd("gfx1151")), "rocm", "rocm7.2", ORDINARY, "in rocm7.2 only"),
    (linux(amd("gfx1031")), "cpu", "cpu", ORDINARY, "in no official index: pytorch issue 179653"),
    (linux(amd("gfx1103")), "cpu", "cpu", ORDINARY, "in no official index: pytorch issue 179653"),
    (linux(amd(None)), "cpu", "cpu", ORDINARY, "unknown architecture"),
    (windows(amd("gfx1100")), "cpu", None, ORDINARY, "ROCm wheels are for Linux only"),
    (linux(amd("gfx942"), arch="aarch64"), "cpu", "cpu", ORDINARY, "ROCm wheels are for x86_64 only"),
    # Intel: torch 2.15's page on Intel GPUs.
    (linux(ARC), "xpu", "xpu", ORDINARY, "Arc B on Linux"),
    (windows(ARC), "xpu", "xpu", ORDINARY, "Arc B on Windows"),
    (linux(ARC, wsl=True), "xpu", "xpu", ORDINARY, "Arc B in WSL2"),
    # Apple: torch 2.15's page on MPS and the wheels' tags.
    (mac("15.1"), "mps", None, ORDINARY, "MPS asks for macOS 15"),
    (mac("26.0"), "mps", None, ORDINARY, "MPS asks for macOS 15"),
    (mac(), "mps", None, ORDINARY, "unknown macOS"),
    (mac("14.7"), "cpu", None, ORDINARY, "the wheel installs on 14, MPS doesn't"),
    (mac("13.6"), "none", None, ORDINARY, "tags: macosx_14_0"),
    (mac("12.5", arch="x86_64"), "none", None, ORDINARY, "tags: no Intel Mac"),
    (mac("15.1", python_arch="x86_64"), "none", None, ORDINARY, "tags: Rosetta's Python is an Intel one"),
    # Systems without wheels.
    (linux(libc="musl 1.2.5"), "none", None, ORDINARY, "tags: no musl"),
    (linux(nvidia("9.0", "590.48.01"), libc="musl 1.2.5"), "none", None, ORDINARY, "a GPU doesn't help musl"),
    (linux(libc="glibc 2.17"), "none", None, ORDINARY, "tags: manylinux_2_28"),
    (linux(libc="glibc 2.28"), "cpu", "cpu", ORDINARY, "tags: manylinux_2_28"),
    (linux(libc="glibc 2.36"), "cpu", "cpu", ORDINARY, "tags: manylinux_2_28"),
    (linux(arch="armv7l"), "none", None, ORDINARY, "tags: no 32-bit ARM"),
    (linux(arch="aarch64", python_arch="armv7l"), "none", None, ORDINARY, "a 32-bit Python on a 64-bit kernel"),
    (linux(arch="i686"), "none", None, ORDINARY, "tags: no 32-bit x86"),
    (linux(arch="riscv64"), "none", None, ORDINARY, "tags: no RISC-V"),
    (linux(arch="ppc64le"), "none", None, ORDINARY, "tags: no POWER"),
    (windows(arch="ARM64"), "none", None, ORDINARY, "tags: no win_arm64"),
    (windows(arch="ARM64", python_arch="AMD64"), "cpu", None, ORDINARY, "an x64 Python runs in emulation"),
    (linux(python="3.9"), "none", None, ORDINARY, "tags: cp310 to cp314"),
    (linux(python="3.10"), "cpu", "cpu", ORDINARY, "tags: cp310 to cp314"),
    (linux(python="3.14.2"), "cpu", "cpu", ORDINARY, "tags: cp310 to cp314"),
    (linux(python="3.15"), "none", None, ORDINARY, "tags: cp310 to cp314"),
]


@pytest.mark.parametrize(("machine", "build", "index", "requirement", "source"), ROWS)
def test_the_build(machine: Machine, build: str, index: str | None, requirement: str, source: str) -> None:
    chosen = choose(machine)
    assert (chosen.build, chosen.index, chosen.requirement) == (build, index, requirement), source
    assert chosen.index_url == (f"https://download.pytorch.org/whl/{index}" if index else None)


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (linux(nvidia("8.6", "470.57.02")), "update the driver to 525.60.13"),
        (linux(nvidia("12.0", "565.57.01")), "update the driver to 580"),
        (linux(nvidia("3.5", "580.65.06")), "compute capability 3.5"),
        (linux(nvidia("6.1", "580.82.07")), "torch ends at 2.14"),
        (linux(nvidia("12.0", "570.86.10")), "driver 580 or newer"),
        (linux(nvidia("8.7", "540.4.0"), arch="aarch64"), "Jetson"),
        (linux(amd("gfx1031")), "gfx1031"),
        (linux(libc="musl 1.2.5"), "glibc"),
        (mac("14.7"), "macOS 15"),
        (mac("15.1", python_arch="x86_64"), "Rosetta"),
        (linux(python="3.15"), "3.10 to 3.14"),
    ],
)
def test_the_reason_says_what_to_do(machine: Machine, words: str) -> None:
    assert words in choose(machine).reason


@pytest.mark.parametrize(
    ("device", "kernel", "runs"),
    [
        ((6, 1), (6, 0), True),
        ((8, 9), (8, 6), True),
        ((8, 0), (8, 6), False),
        ((9, 0), (8, 6), False),
        ((12, 1), (12, 0), True),
        ((8, 7), (8, 6), False),
        ((7, 2), (7, 0), False),
    ],
)
def test_binary_compatibility_ends_at_the_major_version(
    device: tuple[int, int], kernel: tuple[int, int], runs: bool
) -> None:
    assert runs_code_for(device, kernel) == runs
