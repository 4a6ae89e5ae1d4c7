"""Recordings of real machines against what is known of each: those in the folder SCAFFOLD_HARDWARE_SAMPLES names.

The folder holds one recording a machine, and a ``manifest.jsonl`` that says line by line what a right answer is.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scaffold.errors import NotFoundError
from scaffold.hardware.detect import detect
from scaffold.hardware.machine import Machine
from scaffold.hardware.record import record
from scaffold.hardware.recording import RecordedSource

SAMPLES = Path(os.environ.get("SCAFFOLD_HARDWARE_SAMPLES", ""))
MANIFEST = SAMPLES / "manifest.jsonl"
MIB = 1024**2

pytestmark = pytest.mark.skipif(not MANIFEST.exists(), reason="SCAFFOLD_HARDWARE_SAMPLES names no folder of recordings")


def expectations() -> dict[str, dict[str, Any]]:
    if not MANIFEST.exists():
        return {}
    entries = map(json.loads, MANIFEST.read_text("utf-8").splitlines())
    return {entry["machine"]: entry["expected"] for entry in entries}


@cache
def machine(name: str) -> Machine:
    return detect(RecordedSource(SAMPLES / name))


def of_vendor(*vendors: str) -> list[str]:
    return [name for name, expected in expectations().items() if expected.get("vendor") in vendors]


@pytest.mark.parametrize("name", expectations())
def test_system_and_processor(name: str) -> None:
    expected, found = expectations()[name], machine(name)
    if "os" in expected:
        assert found.os == expected["os"]
    if "arch" in expected:
        assert found.arch == expected["arch"]
    assert set(expected.get("flags_present", ())) <= set(found.cpu.features)
    for key in ("model_name", "cpu"):
        if key in expected:
            assert found.cpu.name is None or found.cpu.name == expected[key]
            assert expected[key] is None or found.cpu.name == expected[key]
    for key, value in (
        ("logical_cpus", found.cpu.logical_cores),
        ("logical_cores", found.cpu.logical_cores),
        ("physical_cores", found.cpu.physical_cores),
        ("performance_cores", found.cpu.performance_cores),
        ("sockets", found.cpu.sockets),
        ("cores_per_socket", found.cpu.cores_per_socket),
        ("threads_per_core", found.cpu.threads_per_core),
        ("smt", found.cpu.threads_per_core),
        ("cpu_cores_sum", found.cpu.logical_cores),
        ("memory_bytes", found.memory.total_bytes),
    ):
        if key in expected:
            assert value == expected[key], key
    if "mem_total_kb" in expected:
        assert found.memory.total_bytes == expected["mem_total_kb"] * 1024
    if "bf16" in expected:
        assert ("bf16" in found.cpu.features) == bool(expected["bf16"])
    if "apple_silicon" in expected:
        assert [card.vendor for card in found.accelerators] == (["apple"] if expected["apple_silicon"] else [])
    if expected.get("cores_per_socket", 0) is None and "logical_cpus" not in expected:
        assert found.cpu.physical_cores is None


def size(card: dict[str, Any], kind: str) -> int | None:
    if f"memory_{kind}_mib" in card:
        return int(card[f"memory_{kind}_mib"]) * MIB
    match = re.fullmatch(r"(\d+) MiB", str(card.get(f"memory_{kind}", "")))
    return int(match[1]) * MIB if match else None


@pytest.mark.parametrize("name", of_vendor("nvidia"))
def test_nvidia(name: str) -> None:
    expected, found = expectations()[name], machine(name)
    cards = found.accelerators
    if expected.get("gpu_count") == 0:
        assert cards == ()
        return
    assert {card.vendor for card in cards} == {"nvidia"}
    if "raw" in expected:
        _, _, product, driver, capability = expected["raw"].split(", ")
        assert [(card.name, card.driver, card.compute_capability) for card in cards] == [(product, driver, capability)]
        return
    drivers = {expected["driver_version"]} if "driver_version" in expected else set()
    drivers |= {card["driver_version"] for card in expected.get("gpus", ()) if "driver_version" in card}
    assert {card.driver for card in cards} == drivers
    for card, wanted in zip(cards, expected.get("gpus", cards[:0]), strict=bool(expected.get("gpus"))):
        assert card.memory_bytes == size(wanted, "total")
        if size(wanted, "free") is not None:
            assert card.memory_free_bytes == size(wanted, "free")
        if "name" in wanted:
            assert card.name == wanted["name"]
            assert card.compute_capability == wanted.get(
                "compute_capability", wanted.get("compute_capability_from_name")
            )
        if wanted.get("mig_mode") != "Enabled":
            assert card.mig is None


@pytest.mark.parametrize("name", expectations())
def test_any_of_the_files_alone_says_nothing_else(name: str, tmp_path: Path) -> None:
    whole = machine(name)
    files = [path for path in (SAMPLES / name).rglob("*") if path.is_file()]
    if not 2 <= len(files) <= 20:
        pytest.skip("one file, or a tree")
    for number, file in enumerate(files):
        folder = tmp_path / str(number) / file.relative_to(SAMPLES / name).parent
        folder.mkdir(parents=True)
        (folder / file.name).write_bytes(file.read_bytes())
        try:
            found = detect(RecordedSource(tmp_path / str(number)))
        except NotFoundError:
            continue
        assert found.os in (None, whole.os)
        assert found.cpu.logical_cores in (None, whole.cpu.logical_cores)
        assert found.memory.total_bytes in (None, whole.memory.total_bytes)
        for card, known in zip(found.accelerators, whole.accelerators, strict=False):
            for figure in ("name", "memory_bytes", "memory_free_bytes", "compute_capability", "driver"):
                assert getattr(card, figure) in (None, getattr(known, figure))


@pytest.mark.parametrize("name", expectations())
def test_a_recording_of_a_recording_gives_the_same_answer(name: str, tmp_path: Path) -> None:
    assert record(tmp_path / "again", RecordedSource(SAMPLES / name))[0] == machine(name)
    assert detect(RecordedSource(tmp_path / "again")) == machine(name)


@pytest.mark.parametrize("name", of_vendor("amd"))
def test_amd(name: str) -> None:
    expected, cards = expectations()[name], machine(name).accelerators
    assert sum(card.count for card in cards) == expected.get("kfd_gpu_nodes", expected.get("gpu_count"))
    if "gfx" in expected:
        assert {card.arch for card in cards} == set(expected["gfx"])
        assert {card.memory_bytes or 0 for card in cards} == set(expected["vram_bytes_per_node"])
    for wanted in expected.get("gpus", ()):
        total, used = int(wanted["vram_total_bytes"]), int(wanted["vram_used_bytes"])
        figures = (wanted["name"], wanted["gfx"], total, total - used, expected["driver_version"])
        assert figures in {
            (card.name, card.arch, card.memory_bytes, card.memory_free_bytes, card.driver) for card in cards
        }
    if "vram_total_bytes" in expected:
        assert [str(card.memory_bytes) for card in cards] == list(expected["vram_total_bytes"].values())
