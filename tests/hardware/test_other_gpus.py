"""AMD through the kernel's topology, Intel by device id, Apple through sysctl."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from scaffold.hardware.amd import gfx_name
from scaffold.hardware.machine import Machine

Look = Callable[[dict[str, str]], Machine]
GIB = 1024**3


def node(**properties: int) -> str:
    values = {
        "simd_count": 416,
        "gfx_target_version": 90402,
        "device_id": 0x74A1,
        "drm_render_minor": 128,
        **properties,
    }
    return "".join(f"{key} {value}\n" for key, value in values.items())


@pytest.mark.parametrize(
    ("number", "name"),
    [(90402, "gfx942"), (90010, "gfx90a"), (100300, "gfx1030"), (110501, "gfx1151"), (120001, "gfx1201"), (0, None)],
)
def test_gfx_names(number: int, name: str | None) -> None:
    assert gfx_name(number) == name


def test_kfd_lists_gpus_and_leaves_processors_out(look: Look) -> None:
    nodes = "sys/class/kfd/kfd/topology/nodes"
    machine = look(
        {
            f"{nodes}/0/properties": node(simd_count=0),
            f"{nodes}/1/properties": node(),
            f"{nodes}/1/mem_banks/0/properties": f"heap_type 1\nsize_in_bytes {192 * GIB}\n",
            f"{nodes}/10/properties": node(),
            f"{nodes}/10/mem_banks/0/properties": f"heap_type 0\nsize_in_bytes {2 * GIB}\n",
        }
    )
    assert [(card.name, card.arch, card.memory_bytes) for card in machine.accelerators] == [
        ("AMD Instinct MI300X", "gfx942", 192 * GIB),
        ("AMD Instinct MI300X", "gfx942", None),
    ]


def test_kfd_memory_from_the_display_driver(look: Look) -> None:
    device = "sys/class/drm/renderD128/device"
    (card,) = look(
        {
            "kfd/topology/nodes/1/properties": node(local_mem_size=0),
            f"{device}/mem_info_vram_total": f"{64 * GIB}\n",
            f"{device}/mem_info_vram_used": f"{GIB}\n",
        }
    ).accelerators
    assert (card.memory_bytes, card.memory_free_bytes) == (64 * GIB, 63 * GIB)


def test_partitions_count_as_gpus_and_are_noted(look: Look) -> None:
    files = {f"kfd/topology/nodes/{i}/properties": node(unique_id=7 + i // 4) for i in range(8)}
    machine = look(files)
    assert sum(card.count for card in machine.accelerators) == 8
    assert any("2 AMD cards are partitioned into 8" in note for note in machine.notes)


def test_rocm_smi(look: Look) -> None:
    card = {
        "Card Series": "Navi 22",
        "GFX Version": "gfx1031",
        "VRAM Total Memory (B)": str(12 * GIB),
        "VRAM Total Used Memory (B)": str(GIB),
    }
    unknown = {"Card series": "N/A", "GFX Version": "N/A", "VRAM Total Memory (B)": "N/A"}
    document = {"card0": card, "card1": unknown, "system": {"Driver version": "6.3.6"}}
    first, second = look({"rocm.json": json.dumps(document)}).accelerators
    assert (first.name, first.arch, first.memory_bytes, first.memory_free_bytes, first.driver) == (
        "Navi 22",
        "gfx1031",
        12 * GIB,
        11 * GIB,
        "6.3.6",
    )
    assert (second.name, second.arch, second.memory_bytes) == (None, None, None)


def test_only_intel_gpus_that_xpu_runs_on_are_accelerators(look: Look) -> None:
    def adapter(number: int, device: str) -> dict[str, str]:
        folder = f"sys/class/drm/card{number}/device"
        return {f"{folder}/vendor": "0x8086\n", f"{folder}/device": f"{device}\n"}

    machine = look(adapter(0, "0x9a49") | adapter(1, "0xe20b"))  # Iris Xe in the processor, and an Arc B580
    (card,) = machine.accelerators
    assert (card.vendor, card.name, card.memory_bytes) == ("intel", "Intel Arc B580", 12 * GIB)


SYSCTL = """\
hw.memsize: 17179869184
hw.physicalcpu: 8
hw.logicalcpu: 8
hw.nperflevels: 2
hw.perflevel0.physicalcpu: 4
hw.optional.arm64: 1
hw.optional.neon: 1
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_SME: 0
machdep.cpu.brand_string: Apple M2
kern.osproductversion: 15.1
"""


def test_apple_silicon(look: Look) -> None:
    machine = look({"sysctl.txt": SYSCTL})
    assert (machine.os, machine.arch, machine.os_version) == ("darwin", "arm64", "15.1")
    assert (machine.cpu.name, machine.cpu.physical_cores, machine.cpu.performance_cores) == ("Apple M2", 8, 4)
    assert {"neon", "bf16"} <= set(machine.cpu.features)
    assert "sme" not in machine.cpu.features
    (gpu,) = machine.accelerators
    assert (gpu.vendor, gpu.unified, gpu.memory_bytes) == ("apple", True, 16 * GIB)
    assert machine.summary() == "Apple M2, 8 cores, 16 GB of shared memory"


@pytest.mark.parametrize(
    "files",
    [
        {"platform.json": '{"os": "darwin", "arch": "arm64"}'},
        {"sysctl.txt": "machdep.cpu.brand_string: Apple M2\nhw.ncpu: 8\n"},
    ],
    ids=["platform alone", "sysctl in part"],
)
def test_apple_silicon_is_told_by_less(look: Look, files: dict[str, str]) -> None:
    machine = look(files)
    assert (machine.os, machine.arch) == ("darwin", "arm64")
    assert [card.vendor for card in machine.accelerators] == ["apple"]


def test_free_memory_of_a_mac_counts_inactive_pages(look: Look) -> None:
    vm_stat = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:          65536.\nPages active:   1.\nPages inactive:  65536.\n"
    )
    assert look({"sysctl.txt": SYSCTL, "vm.txt": vm_stat}).memory.available_bytes == 2 * GIB


def test_rosetta_is_seen(look: Look) -> None:
    platform = '{"os": "darwin", "arch": "x86_64", "python": "3.12"}'
    machine = look({"sysctl.txt": SYSCTL + "sysctl.proc_translated: 1\n", "platform.json": platform})
    assert (machine.arch, machine.python_arch) == ("arm64", "x86_64")


def test_an_intel_mac_has_no_accelerator(look: Look) -> None:
    text = "machdep.cpu.vendor: GenuineIntel\nmachdep.cpu.leaf7_features: BMI1 AVX2\nmachdep.cpu.brand_string: i7\n"
    machine = look({"sysctl.txt": text})
    assert (machine.os, machine.arch, machine.accelerators) == ("darwin", "x86_64", ())
    assert machine.cpu.features == ("avx2",)
