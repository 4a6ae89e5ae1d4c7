"""Named machines."""

from __future__ import annotations

import builtins
import os
from typing import Any

import pytest

from scaffold.errors import UsageError
from scaffold.hardware import targets
from scaffold.hardware.nvidia import capability_from_name
from scaffold.hardware.torch_build import choose

PROMISED = {
    "cpu-4gb", "cpu-8gb", "cpu-amx", "colab-t4", "kaggle-t4x2", "rtx-3060", "rtx-4090", "rtx-5090", "a10g", "l4",
    "a100-40gb", "a100-80gb", "h100", "h200", "b200", "mi300x", "rx-7900xtx", "arc-b580", "m2-16gb", "m4-max-64gb",
    "raspberry-pi-5",
}  # fmt: skip


def test_every_promised_target_is_there() -> None:
    assert set(targets.names()) >= PROMISED


@pytest.mark.parametrize("name", targets.names())
def test_a_target_is_a_whole_machine(name: str) -> None:
    machine = targets.load(name)
    assert machine.os
    assert machine.arch
    assert machine.usable_memory_bytes
    assert machine.cpu.usable_cores
    assert machine.summary()
    assert targets.title(name)
    assert choose(machine).build == {"nvidia": "cuda", "amd": "rocm", "intel": "xpu", "apple": "mps"}.get(
        machine.accelerators[0].vendor if machine.accelerators else "", "cpu"
    )
    for card in machine.accelerators:
        assert card.memory_bytes
        if card.vendor == "nvidia":
            assert card.compute_capability == capability_from_name(card.name)


def test_several_cards() -> None:
    one, eight = targets.load("h100"), targets.load("8xh100")
    assert eight.accelerators[0].count == 8
    assert eight.accelerators[0].memory_bytes == one.accelerators[0].memory_bytes
    assert (eight.usable_memory_bytes or 0) == 8 * (one.usable_memory_bytes or 0)
    assert targets.load("2xrtx-4090").usable_memory_bytes == targets.load("rtx-4090").usable_memory_bytes
    assert targets.load("2xkaggle-t4x2").accelerators[0].count == 4
    assert targets.load(" RTX_4090 ") == targets.load("rtx-4090")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("rtx4090", "rtx-4090"), ("h10", "h100"), ("8xh10", "h100"), ("17xh100", "8xh100"), ("0xh100", "8xh100"),
     ("2xcpu-8gb", "cpu-8gb"),
     ("g5.xlage", "g5.xlarge"), ("h10x8", "h100"), ("2xg5.xlarge", "g5.xlarge"), ("2xm2-16gb", "m2-16gb"),
     ("", "colab-t4"), ("8xa100", "nearest: 8xa100-40gb, 8xa100-80gb"), ("v100", "nearest: v100-16gb, v100-32gb"),
     ("h100-sxm5", "nearest: h100"), ("gcp:a3", "nearest: a3-highgpu-1g"), ("oci:8xh100", "can stand: aws, azure"),
     ("rtx-409", "nearest: rtx-4090"), ("rtx-5", "nearest: rtx-5090")],
)  # fmt: skip
def test_an_unknown_target_names_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        targets.load(name)
    assert hint in (error.value.hint or "")


@pytest.mark.parametrize("name", targets.instances())
def test_a_clouds_instance_is_a_whole_machine(name: str) -> None:
    machine = targets.load(name)
    (card,) = machine.accelerators
    assert machine.usable_memory_bytes
    assert (machine.cpu.physical_cores or 0) <= (machine.cpu.logical_cores or 0)
    assert 1 <= card.count <= 16
    assert card.memory_bytes
    assert choose(machine).build == ("rocm" if card.vendor == "amd" else "cuda")
    assert name in targets.title(name)


@pytest.mark.parametrize(
    ("name", "card", "count", "memory_gib", "cores"),
    [
        ("g5.xlarge", "NVIDIA A10G", 1, 16, 4),
        ("g5.48xlarge", "NVIDIA A10G", 8, 768, 192),
        ("P5.48xlarge", "NVIDIA H100 80GB HBM3", 8, 2048, 192),
        ("a2-highgpu-1g", "NVIDIA A100-SXM4-40GB", 1, 85, 12),
        ("standard_nc24ads_a100_v4", "NVIDIA A100-SXM4-80GB", 1, 220, 24),
        ("Standard_ND96isr_MI300X_v5", "AMD Instinct MI300X", 8, 1850, 96),
        ("gpu_8x_h100_sxm5", "NVIDIA H100 80GB HBM3", 8, 1800, 208),
    ],
)
def test_instances_by_name(name: str, card: str, count: int, memory_gib: int, cores: int) -> None:
    machine = targets.load(name)
    assert [(row.name, row.count) for row in machine.accelerators] == [(card, count)]
    assert (machine.memory.total_bytes, machine.cpu.logical_cores) == (memory_gib * 1024**3, cores)


@pytest.mark.parametrize("name", ["8xh100", "8 x h100", "8×H100", "h100x8", "h100:8", "8*h100"])
def test_eight_cards_as_people_write_them(name: str) -> None:
    assert targets.load(name) == targets.load("8xh100")
    assert targets.load(name).accelerators[0].count == 8


def test_loading_a_target_reads_nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    targets.load("g5.xlarge")  # the data files themselves are read once

    def refuse(*args: Any, **more: Any) -> Any:
        raise AssertionError(f"a target looked at this machine: {args}")

    for holder, name in ((builtins, "open"), (os, "listdir"), (os, "uname"), (os, "cpu_count")):
        monkeypatch.setattr(holder, name, refuse)
    assert targets.load("4xa100-80gb").accelerators[0].count == 4
