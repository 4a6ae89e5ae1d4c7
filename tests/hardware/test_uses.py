"""What a person reads: what the machine has, what it is good for, and what to watch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scaffold.hardware.machine import GIB, Accelerator, Machine, Memory
from scaffold.hardware.targets import load, names
from scaffold.hardware.torch_build import choose
from scaffold.hardware.uses import good_for
from tests.conftest import Answer

Look = Callable[[dict[str, str]], Machine]
Scaffold = Callable[..., Answer]
HEADER = "index, name, memory.total [MiB], memory.free [MiB], driver_version, compute_cap\n"


def said(machine: Machine) -> str:
    return " ".join(good_for(machine, choose(machine)))


@pytest.mark.parametrize("name", names())
def test_every_target_is_good_for_something(name: str) -> None:
    assert said(load(name))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("colab-t4", "fp16 with a gradient scaler"),
        ("rtx-4090", "bf16 with tensor cores"),
        ("mi300x", "bf16 on the GPU"),
        ("m2-16gb", "Metal (MPS)"),
        ("cpu-8gb", "in fp32"),
        ("cpu-amx", "bf16 (this processor has units for it)"),
        ("8xh100", "--nproc-per-node=8"),
    ],
)
def test_the_kind_of_training(name: str, words: str) -> None:
    assert words in said(load(name))


def test_more_memory_is_good_for_larger_models() -> None:
    def generating(name: str) -> float:
        number, unit = said(load(name)).split("16 bits, ")[1].split()[:2]
        return float(number) * {"million": 1e6, "billion": 1e9}[unit]

    sizes = [generating(name) for name in ("rtx-3060", "rtx-4090", "a100-80gb", "h200")]
    assert sizes == sorted(sizes)
    # A model in 4 bits takes more than half a byte a parameter, and must leave some of the card free.
    assert 12 * GIB * 0.9 / sizes[0] > 0.55


def test_unknown_memory_promises_no_size() -> None:
    machine = Machine(
        os="linux", accelerators=(Accelerator("nvidia", "NVIDIA L4", None, None, "8.9", driver="580.65"),)
    )
    assert "not known" in said(machine)
    assert "billion" not in said(machine)


def test_a_small_shared_memory_is_noted(look: Look) -> None:
    mounts = {"proc/self/mounts": "shm /dev/shm tmpfs rw,nosuid,size=65536k 0 0\n"}
    assert any("64 MB" in note and "--shm-size" in note for note in look(mounts).notes)


def test_two_of_sixty_four_cores_are_noted(look: Look) -> None:
    machine = look(
        {
            "sys/devices/system/cpu/online": "0-63\n",
            "sys/fs/cgroup/cpu.max": "200000 100000\n",
            "proc/self/cgroup": "0::/\n",
        }
    )
    assert machine.cpu.usable_cores == 2
    assert any("2 of 64 cores" in note for note in machine.notes)


def test_little_memory_and_little_disk_are_noted(look: Look) -> None:
    platform = json.dumps({"os": "linux", "disk_free_bytes": 3 * GIB})
    notes = " ".join(
        look({"proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 524288 kB\n", "platform.json": platform}).notes
    )
    assert "0.5 GB of 16 GB memory is free" in notes
    assert "3 GB of disk is free" in notes
    assert not Machine(memory=Memory(16 * GIB, 8 * GIB), disk_free_bytes=100 * GIB).notes


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"q.csv": f"{HEADER}0, Tesla T4, 15360 MiB, 600 MiB, 580.65.06, 7.5\n"}, ("96% full", "only emulates it")),
        ({"q.csv": f"{HEADER}0, NVIDIA L4, 23034 MiB, 22000 MiB, 470.57.02, 8.9\n"}, ("too old", "update the driver")),
        ({"proc/self/mounts": "shm /dev/shm tmpfs rw,size=65536k 0 0\n"}, ("64 MB",)),
    ],
)
def test_what_to_watch_is_shown(
    files: dict[str, str], words: tuple[str, ...], scaffold: Scaffold, tmp_path: Path
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    out = scaffold("hardware", "--from", tmp_path).out
    watch = out.split("What to watch")[1].split("\ntorch\n")[0]
    for word in words:
        assert word in watch


def test_the_page_reads_from_having_to_doing(scaffold: Scaffold) -> None:
    out = scaffold("hardware", "--target", "8xh100").out
    parts = ["NVIDIA H100", "What it is good for", "\ntorch\n", "Next", "pip install"]
    places = [out.index(part) for part in parts]
    assert places == sorted(places)
    assert "What to watch" not in out
