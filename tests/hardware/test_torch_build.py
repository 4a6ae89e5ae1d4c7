"""The torch build for a machine. The last column of each row says where the answer is written."""

from __future__ import annotations

from typing import Any

import pytest

from scaffold.hardware.machine import Accelerator, Machine
from scaffold.hardware.torch_build import choose, runs_code_for, served

ORDINARY = "torch>=2.13,<2.15"
ONLY_128 = "torch>=2.11,<2.12"

# Where the answers are written.
FLOORS = "CUDA release notes, minor-version compatibility: CUDA 12 from 525.60.13 (Windows 528.33), CUDA 13 from 580"
TOOLKIT_128 = "CUDA 12.8 release notes: its driver is 570.26, the first that knows Blackwell"
KERNELS = "torch/cuda/__init__.py of 2.15.0: architectures of each CUDA build, for x86_64 and aarch64"
RUNS_ON = "torch/cuda/__init__.py of 2.15.0: code for X.Y runs on X.Y to X.9, except on Tegra chips before CUDA 13.2"
LAST_128 = "PyTorch's release matrix: 2.11 is the last release with CUDA 12.8, the first CUDA with Blackwell code"
LAST_OLD_DRIVER = "NVIDIA's Unix driver branches: 580 is the last one for Maxwell, Pascal and Volta"
WSL = "CUDA on WSL user guide: the driver inside is Windows' own, so Windows' floors count"
PYPI = "wheels of 2.14.1 and 2.15.0 on PyPI: Linux brings CUDA on both architectures, Windows is +cpu"
TAGS = "tags of the wheels of 2.13.0 and 2.14.1: cp310 to cp314, manylinux_2_28, win_amd64, macosx_14_0_arm64"
UV_ORDER = "crates/uv-torch/src/accelerator.rs: NVIDIA is asked before AMD and Intel"
GFX = "astral-sh/uv pull request 18730: what the rocm7.2 wheels report"
NO_GFX = "pytorch issue 179653: gfx1031 to gfx1036 and gfx1103 are in no official index"
ROCM_TAGS = "uv's PyTorch guide: ROCm wheels are for Linux on x86_64"
XPU = "torch 2.15 documentation, Getting started on Intel GPU"
MPS = "torch 2.15 documentation, notes/mps: macOS 15"


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
    (linux(), "cpu", "cpu", ORDINARY, PYPI),
    (linux(arch="aarch64"), "cpu", "cpu", ORDINARY, PYPI),
    (windows(), "cpu", None, ORDINARY, PYPI),
    (Machine(), "cpu", "cpu", ORDINARY, PYPI + ": nothing known, so the build that runs anywhere"),
    # Drivers: floors of NVIDIA's release notes.
    (linux(nvidia("8.6", "470.57.02")), "cpu", "cpu", ORDINARY, FLOORS),
    (linux(nvidia("8.0", "515.105.01")), "cpu", "cpu", ORDINARY, FLOORS),
    (linux(nvidia("8.6", "525.60.12")), "cpu", "cpu", ORDINARY, FLOORS + ": one below"),
    (linux(nvidia("8.6", "525.60.13")), "cuda", "cu126", ORDINARY, FLOORS + ": met exactly"),
    (linux(nvidia("8.0", "550.54.14")), "cuda", "cu126", ORDINARY, FLOORS + ": CUDA 12 below 580"),
    (linux(nvidia("8.6", "575.51.03")), "cuda", "cu126", ORDINARY, FLOORS + ": CUDA 12 below 580"),
    (linux(nvidia("8.6", "580.65.06")), "cuda", "cu130", ORDINARY, FLOORS),
    (linux(nvidia("9.0", "590.48.01")), "cuda", "cu130", ORDINARY, FLOORS),
    (linux(nvidia("7.5", "595.71.05")), "cuda", "cu130", ORDINARY, KERNELS + ": Turing is in 13.0"),
    (linux(nvidia("8.9", "610.10")), "cuda", "cu130", ORDINARY, FLOORS + ": a floor, not a ceiling"),
    (windows(nvidia("8.6", "528.32")), "cpu", None, ORDINARY, FLOORS + ": Windows' own"),
    (windows(nvidia("8.6", "528.33")), "cuda", "cu126", ORDINARY, FLOORS + ": Windows' own, met exactly"),
    (windows(nvidia("8.9", "580.88")), "cuda", "cu130", ORDINARY, FLOORS),
    (linux(nvidia("8.6", "526.98"), wsl=True), "cpu", "cpu", ORDINARY, WSL),
    (linux(nvidia("8.6", "560.94"), wsl=True), "cuda", "cu126", ORDINARY, WSL),
    (linux(nvidia("8.9", "591.86"), wsl=True), "cuda", "cu130", ORDINARY, WSL),
    # Capabilities: kernels in the wheels. uv's automatic choice is wrong for the old cards.
    (linux(nvidia("6.1", "580.82.07")), "cuda", "cu126", ORDINARY, KERNELS + ": Pascal is in 12.6 only"),
    (linux(nvidia("6.0", "535.183.01")), "cuda", "cu126", ORDINARY, KERNELS + ": Pascal is in 12.6 only"),
    (linux(nvidia("5.2", "580.95.05")), "cuda", "cu126", ORDINARY, KERNELS + ": Maxwell is in 12.6 only"),
    (linux(nvidia("7.0", "580.95.05")), "cuda", "cu126", ORDINARY, KERNELS + ": Volta is in 12.6 only"),
    (linux(nvidia("6.1", "510.47.03")), "cpu", "cpu", ORDINARY, FLOORS + " come before kernels"),
    (linux(nvidia("3.7", "470.256.02")), "cpu", "cpu", ORDINARY, KERNELS + ": Kepler is in none"),
    (linux(nvidia("3.5", "580.65.06")), "cpu", "cpu", ORDINARY, KERNELS + ": Kepler is in none"),
    (linux(nvidia("12.0", "570.86.10")), "cuda", "cu128", ONLY_128, LAST_128),
    (linux(nvidia("10.0", "570.133.20")), "cuda", "cu128", ONLY_128, LAST_128),
    (linux(nvidia("12.0", "565.57.01")), "cpu", "cpu", ORDINARY, TOOLKIT_128 + ": the driver doesn't know the card"),
    (linux(nvidia("12.0", "580.65.06")), "cuda", "cu130", ORDINARY, FLOORS),
    (linux(nvidia("10.3", "580.95.05")), "cuda", "cu130", ORDINARY, RUNS_ON + ": 10.0 code on 10.3"),
    (windows(nvidia("12.0", "572.16")), "cuda", "cu128", ONLY_128, LAST_128),
    # What is not known.
    (
        linux(nvidia(None, "550.144.03")),
        "cuda",
        "cu126",
        ORDINARY,
        TOOLKIT_128 + ": no card on an older driver is newer than Hopper",
    ),
    (linux(nvidia(None, "515.65.01")), "cpu", "cpu", ORDINARY, FLOORS + " need no capability"),
    (linux(nvidia(None, "590.48.01")), "cuda", "cu130", ORDINARY, LAST_OLD_DRIVER),
    (
        linux(nvidia(None, "580.65.06", arch="Pascal")),
        "cuda",
        "cu126",
        ORDINARY,
        KERNELS + ": the architecture's name tells as much",
    ),
    (linux(nvidia("8.6", None)), "cuda", "cu126", ORDINARY, FLOORS + ": unknown driver, the lowest floor"),
    (linux(nvidia("12.0", None)), "cuda", "cu130", ORDINARY, KERNELS + ": the only one within the range"),
    # ARM servers and boards.
    (linux(nvidia("9.0", "580.65.06"), arch="aarch64"), "cuda", "cu130", ORDINARY, KERNELS + ": GH200"),
    (
        linux(nvidia("9.0", "550.54.14"), arch="aarch64"),
        "cuda",
        "cu126",
        ORDINARY,
        KERNELS + ": 12.6 on aarch64 has 8.0 and 9.0",
    ),
    (
        linux(nvidia("12.1", "580.95.05"), arch="aarch64"),
        "cuda",
        "cu130",
        ORDINARY,
        RUNS_ON + ": GB10, 12.0 code on 12.1",
    ),
    (
        linux(nvidia("11.0", "580.00"), arch="aarch64"),
        "cuda",
        "cu130",
        ORDINARY,
        KERNELS + ": Thor, 11.0 on aarch64 only",
    ),
    (
        linux(nvidia("7.5", "580.65.06"), arch="aarch64"),
        "cpu",
        "cpu",
        ORDINARY,
        KERNELS + ": T4G, aarch64 starts at 8.0",
    ),
    (
        linux(nvidia("8.7", "540.4.0"), arch="aarch64"),
        "cpu",
        "cpu",
        ORDINARY,
        RUNS_ON + ": Orin, a Tegra, is an exception",
    ),
    # Several cards.
    (
        linux(nvidia("8.9", "580.65.06"), nvidia("6.1", "580.65.06")),
        "cuda",
        "cu126",
        ORDINARY,
        KERNELS + ": 12.6 has both",
    ),
    (
        linux(nvidia("12.0", "580.65.06", memory_bytes=32), nvidia("6.1", "580.65.06", memory_bytes=8)),
        "cuda",
        "cu130",
        ORDINARY,
        KERNELS + ": none has both, the larger card's",
    ),
    (linux(nvidia("8.6", "580.65.06"), amd("gfx1100")), "cuda", "cu130", ORDINARY, UV_ORDER),
    (linux(nvidia("8.6", "580.65.06"), ARC), "cuda", "cu130", ORDINARY, UV_ORDER),
    # AMD: uv pull request 18730.
    (linux(amd("gfx942")), "rocm", "rocm7.2", ORDINARY, GFX),
    (linux(amd("gfx90a")), "rocm", "rocm7.2", ORDINARY, GFX),
    (linux(amd("gfx1100")), "rocm", "rocm7.2", ORDINARY, GFX),
    (linux(amd("gfx1201")), "rocm", "rocm7.2", ORDINARY, GFX),
    (linux(amd("gfx1151")), "rocm", "rocm7.2", ORDINARY, GFX),
    (linux(amd("gfx1031")), "cpu", "cpu", ORDINARY, NO_GFX),
    (linux(amd("gfx1103")), "cpu", "cpu", ORDINARY, NO_GFX),
    (linux(amd(None)), "cpu", "cpu", ORDINARY, GFX + ": unknown is in no list"),
    (windows(amd("gfx1100")), "cpu", None, ORDINARY, ROCM_TAGS),
    (linux(amd("gfx942"), arch="aarch64"), "cpu", "cpu", ORDINARY, ROCM_TAGS),
    # Intel: torch 2.15's page on Intel GPUs.
    (linux(ARC), "xpu", "xpu", ORDINARY, XPU),
    (windows(ARC), "xpu", "xpu", ORDINARY, XPU),
    (linux(ARC, wsl=True), "xpu", "xpu", ORDINARY, XPU),
    # Apple: torch 2.15's page on MPS and the wheels' tags.
    (mac("15.1"), "mps", None, ORDINARY, MPS),
    (mac("26.0"), "mps", None, ORDINARY, MPS),
    (mac(), "mps", None, ORDINARY, MPS + ": unknown counts as new enough"),
    (mac("14.7"), "cpu", None, ORDINARY, MPS + ": the wheel installs on 14 and computes on the CPU"),
    (mac("13.6"), "none", None, ORDINARY, TAGS + ": macosx_14_0"),
    (mac("12.5", arch="x86_64"), "none", None, ORDINARY, TAGS + ": no Intel Mac"),
    (mac("15.1", python_arch="x86_64"), "none", None, ORDINARY, TAGS + ": Rosetta's Python is an Intel one"),
    # Systems without wheels.
    (linux(libc="musl 1.2.5"), "none", None, ORDINARY, TAGS + ": no musl"),
    (linux(nvidia("9.0", "590.48.01"), libc="musl 1.2.5"), "none", None, ORDINARY, TAGS + ": a GPU doesn't help musl"),
    (linux(libc="glibc 2.17"), "none", None, ORDINARY, TAGS + ": manylinux_2_28"),
    (linux(libc="glibc 2.28"), "cpu", "cpu", ORDINARY, TAGS + ": manylinux_2_28"),
    (linux(libc="glibc 2.36"), "cpu", "cpu", ORDINARY, TAGS + ": manylinux_2_28"),
    (linux(arch="armv7l"), "none", None, ORDINARY, TAGS + ": no 32-bit ARM"),
    (
        linux(arch="aarch64", python_arch="armv7l"),
        "none",
        None,
        ORDINARY,
        TAGS + ": a 32-bit Python on a 64-bit kernel",
    ),
    (linux(arch="i686"), "none", None, ORDINARY, TAGS + ": no 32-bit x86"),
    (linux(arch="riscv64"), "none", None, ORDINARY, TAGS + ": no RISC-V"),
    (linux(arch="ppc64le"), "none", None, ORDINARY, TAGS + ": no POWER"),
    (windows(arch="ARM64"), "none", None, ORDINARY, TAGS + ": no win_arm64"),
    (
        windows(arch="ARM64", python_arch="AMD64"),
        "cpu",
        None,
        ORDINARY,
        TAGS + ": an x64 Python in emulation takes the x64 wheel",
    ),
    (linux(python="3.9"), "none", None, ORDINARY, TAGS + ": cp310 to cp314"),
    (linux(python="3.10"), "cpu", "cpu", ORDINARY, TAGS + ": cp310 to cp314"),
    (linux(python="3.14.2"), "cpu", "cpu", ORDINARY, TAGS + ": cp310 to cp314"),
    (linux(python="3.15"), "none", None, ORDINARY, TAGS + ": cp310 to cp314"),
    # Still more of each kind.
    (
        linux(nvidia("8.0", "525.147.05"), arch="aarch64"),
        "cuda",
        "cu126",
        ORDINARY,
        KERNELS + ": A100 in an ARM server",
    ),
    (linux(nvidia("10.0", "570.124.06"), arch="aarch64"), "cuda", "cu128", ONLY_128, KERNELS + ": GB200"),
    (linux(nvidia("8.6", "580.95.05"), arch="aarch64"), "cuda", "cu130", ORDINARY, RUNS_ON + ": 8.0 code on 8.6"),
    (linux(nvidia("7.0", "580.65.06"), arch="aarch64"), "cpu", "cpu", ORDINARY, KERNELS + ": no Volta on aarch64"),
    (linux(nvidia("8.7", "580.00"), arch="aarch64"), "cpu", "cpu", ORDINARY, RUNS_ON + ": Orin, below CUDA 13.2"),
    (linux(nvidia("9.0", "530.30.02")), "cuda", "cu126", ORDINARY, FLOORS + ": minor versions are compatible"),
    (linux(nvidia("8.9", "579.99")), "cuda", "cu126", ORDINARY, FLOORS + ": CUDA 12 below 580"),
    (linux(nvidia("12.0", "579.99")), "cuda", "cu128", ONLY_128, LAST_128),
    (linux(nvidia("12.0", "572.83"), wsl=True), "cuda", "cu128", ONLY_128, LAST_128 + "; " + WSL),
    (linux(nvidia("6.1", "581.57"), wsl=True), "cuda", "cu126", ORDINARY, KERNELS + ": Pascal in WSL"),
    (windows(nvidia("6.1", "581.57")), "cuda", "cu126", ORDINARY, KERNELS + ": Pascal on Windows"),
    (windows(nvidia("5.0", "474.44")), "cpu", None, ORDINARY, FLOORS),
    (linux(nvidia("8.6", "N/A")), "cuda", "cu126", ORDINARY, FLOORS + ": unreadable driver, the lowest floor"),
    (linux(nvidia("8.6", "580.65.06"), libc="glibc 2.27"), "none", None, ORDINARY, TAGS + ": Ubuntu 18.04"),
    (linux(nvidia("8.6", "580.65.06"), python="3.9.18"), "none", None, ORDINARY, TAGS + ": a GPU doesn't help"),
    (windows(arch="x86"), "none", None, ORDINARY, TAGS + ": no 32-bit Windows"),
    (windows(arch="AMD64", python_arch="x86"), "none", None, ORDINARY, TAGS + ": a 32-bit Python on Windows"),
    (linux(arch="aarch64", libc="musl 1.2.4"), "none", None, ORDINARY, TAGS + ": no musl on ARM"),
    (linux(arch="s390x"), "none", None, ORDINARY, TAGS + ": no mainframe"),
    (linux(amd("gfx906")), "rocm", "rocm7.2", ORDINARY, GFX),
    (linux(amd("gfx950")), "rocm", "rocm7.2", ORDINARY, GFX),
    (
        linux(amd("gfx1036"), amd("gfx1100")),
        "rocm",
        "rocm7.2",
        ORDINARY,
        GFX + ": the card, not the processor's graphics",
    ),
    (linux(nvidia("3.7", "470.256.02"), amd("gfx1100")), "rocm", "rocm7.2", ORDINARY, GFX + ": Kepler is in no wheel"),
    (linux(nvidia("8.6", "470.57.02"), ARC), "xpu", "xpu", ORDINARY, XPU + ": the NVIDIA driver is too old"),
    (linux(amd("gfx1031"), ARC), "xpu", "xpu", ORDINARY, XPU + ": " + NO_GFX),
    (windows(amd("gfx1100"), nvidia("8.9", "581.57")), "cuda", "cu130", ORDINARY, UV_ORDER),
    (linux(ARC, arch="aarch64"), "cpu", "cpu", ORDINARY, XPU + ": x86_64 only"),
    (mac("15.0"), "mps", None, ORDINARY, MPS + ": met exactly"),
    (mac("14.0", python="3.13"), "cpu", None, ORDINARY, MPS),
]


@pytest.mark.parametrize(("machine", "build", "index", "requirement", "source"), ROWS)
def test_the_build(machine: Machine, build: str, index: str | None, requirement: str, source: str) -> None:
    chosen = choose(machine)
    assert (chosen.build, chosen.index, chosen.requirement) == (build, index, requirement), source
    assert chosen.index_url == (f"https://download.pytorch.org/whl/{index}" if index else None)


def test_the_table_is_long_and_names_its_sources() -> None:
    assert len({repr(row[:4]) for row in ROWS}) >= 60
    assert all(any(place in row[4] for place in ("NVIDIA", "CUDA", "torch", "PyPI", "uv", "wheels")) for row in ROWS)


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ((nvidia("3.7", "580.1", memory_bytes=24), nvidia("8.6", "580.1", memory_bytes=8)), "8.6"),
        ((nvidia("6.1", "580.1", memory_bytes=8), nvidia("12.0", "580.1", memory_bytes=32)), "12.0"),
        ((nvidia("6.1", "580.1", memory_bytes=24), nvidia("8.9", "580.1", memory_bytes=12)), "6.1"),
        ((nvidia("8.6", "470.57.02", memory_bytes=24),), None),
    ],
)
def test_the_card_that_a_process_gets_is_one_that_the_build_runs_on(
    cards: tuple[Accelerator, ...], expected: str | None
) -> None:
    machine = linux(*cards)
    card = served(machine, choose(machine))
    assert (card and card.compute_capability) == expected


def test_what_is_not_used_is_told() -> None:
    reason = choose(linux(nvidia("8.6", "470.57.02"), ARC)).reason
    assert "XPU" in reason
    assert "update the driver to 525.60.13" in reason


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
