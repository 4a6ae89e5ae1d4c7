"""AMD GPUs: the kernel's KFD topology, which ROCm uses too; else rocm-smi's JSON, else the display adapters."""

from __future__ import annotations

import re
from typing import Any

from scaffold.hardware import drm
from scaffold.hardware.machine import Accelerator
from scaffold.hardware.parse import MOST_CARD_BYTES, integer, sane, shown_name, words
from scaffold.hardware.source import DRM, KFD_NODES, ROCM_SMI, Source
from scaffold.hardware.tables import table

_DEVICE_MEMORY = (1, 2)  # heap types of a card's own memory, public and private
_MAJORS = range(7, 20)
_GFX = r"gfx[0-9a-f]{3,5}"

Node = dict[str, int]


def probe(source: Source) -> tuple[tuple[Accelerator, ...], tuple[str, ...]]:
    """All AMD GPUs as a process sees them, and notes. A partition of a card counts as a GPU, as it does for torch."""
    nodes = _gpu_nodes(source)
    if nodes:
        boards = {node["unique_id"] for _, node in nodes if node.get("unique_id")}
        notes: tuple[str, ...] = ()
        if 0 < len(boards) < len(nodes):
            notes = (
                f"{len(boards)} AMD cards are partitioned into {len(nodes)} GPUs, each with its share of the memory.",
            )
        return tuple(_from_node(source, path, node) for path, node in nodes), notes
    cards = _from_rocm_smi(source)
    if cards:
        return cards, ()
    cards = tuple(_from_adapter(source, adapter) for adapter in drm.adapters(source, drm.AMD))
    if cards and source.exists(KFD_NODES) is False:
        names = ", ".join(card.name or "an AMD GPU" for card in cards)
        return (), (f"{names}: ROCm's kernel driver (/dev/kfd) isn't there, so torch can't use it.",)
    return cards, ()


def gfx_name(target_version: int | None) -> str | None:
    """The gfx name of KFD's ``gfx_target_version``: 90402 is gfx942, 90010 is gfx90a, 100300 is gfx1030."""
    if not target_version or target_version < 0:
        return None
    major, minor, step = target_version // 10000, target_version // 100 % 100, target_version % 100
    return f"gfx{major}{minor:x}{step:x}" if major in _MAJORS and max(minor, step) < 16 else None


def _gpu_nodes(source: Source) -> list[tuple[str, Node]]:
    numbers = sorted(int(name) for name in source.listdir(KFD_NODES) if name.isascii() and name.isdecimal())
    nodes = [(f"{KFD_NODES}/{number}", words(source.read(f"{KFD_NODES}/{number}/properties"))) for number in numbers]
    return [(path, node) for path, node in nodes if node.get("simd_count", 0) > 0]


def _from_node(source: Source, path: str, node: Node) -> Accelerator:
    known = _device(node.get("device_id"))
    gfx = gfx_name(node.get("gfx_target_version")) or known.get("gfx")
    adapter = f"{DRM}/renderD{node.get('drm_render_minor', 0)}/device"
    drm_total, free = drm.memory(source, adapter)
    total = _banks(source, path) or node.get("local_mem_size") or drm_total
    driver = source.read("sys/module/amdgpu/version")
    return _accelerator(known.get("name"), gfx, total, free, driver)


def _accelerator(
    name: str | None, gfx: str | None, total: int | None, free: int | None, driver: str | None
) -> Accelerator:
    unified = gfx in table("amd_gpus")["unified"]
    # What a processor's GPU calls its own is a small part carved out of the computer's memory, all of which it can use.
    total = None if unified else sane(total, MOST_CARD_BYTES)
    version = (driver or "").strip()
    return Accelerator(
        vendor="amd",
        name=shown_name(name),
        memory_bytes=total,
        memory_free_bytes=free if total is not None and free is not None and 0 <= free <= total else None,
        arch=gfx,
        driver=version if re.fullmatch(r"\d{1,3}(\.\d{1,4}){1,3}", version, re.ASCII) else None,
        unified=unified,
    )


def _banks(source: Source, path: str) -> int:
    banks = (words(source.read(f"{path}/mem_banks/{bank}/properties")) for bank in source.listdir(f"{path}/mem_banks"))
    sizes = [bank.get("size_in_bytes", 0) for bank in banks if bank.get("heap_type") in _DEVICE_MEMORY]
    return sum(sizes) if all(size >= 0 and size % drm.PAGE == 0 for size in sizes) else 0


def _from_adapter(source: Source, adapter: drm.Adapter) -> Accelerator:
    known = _device(adapter.device_id)
    total, free = drm.memory(source, adapter.folder)
    return _accelerator(known.get("name"), known.get("gfx"), total, free, None)


def _from_rocm_smi(source: Source) -> tuple[Accelerator, ...]:
    import json

    text = source.run(ROCM_SMI) or ""
    try:
        # Warnings may stand before the document.
        document = json.loads(text[max(0, text.find("{")) :])
    except (ValueError, RecursionError):
        return ()
    if not isinstance(document, dict):
        return ()
    system = document.get("system")
    driver = _text(system, "Driver version") if isinstance(system, dict) else None
    cards = [(key, value) for key, value in document.items() if key.startswith("card") and isinstance(value, dict)]
    return tuple(_from_json(card, driver) for _, card in cards)


def _from_json(card: dict[str, Any], driver: str | None) -> Accelerator:
    total, used = integer(card.get("VRAM Total Memory (B)")), integer(card.get("VRAM Total Used Memory (B)"))
    free = total - used if total is not None and used is not None and used >= 0 else None
    name = _text(card, "Card Series") or _text(card, "Card series") or _text(card, "Device Name")
    gfx = _text(card, "GFX Version")
    return _accelerator(name, gfx if gfx and re.fullmatch(_GFX, gfx) else None, total, free, driver)


def _text(card: dict[str, Any], key: str) -> str | None:
    value = card.get(key)
    return value.strip() or None if isinstance(value, str) and value.strip().upper() != "N/A" else None


def _device(device_id: int | None) -> dict[str, Any]:
    found: dict[str, Any] = table("amd_gpus")["device"].get(f"0x{device_id:04x}", {}) if device_id is not None else {}
    return found
