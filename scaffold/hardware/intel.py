"""Intel GPUs that PyTorch's XPU build runs on. Every other Intel adapter only drives a display."""

from __future__ import annotations

from typing import Any

from scaffold.hardware import drm
from scaffold.hardware.machine import GIB, Accelerator
from scaffold.hardware.parse import integer
from scaffold.hardware.source import Source
from scaffold.hardware.tables import table


def probe(source: Source) -> tuple[Accelerator, ...]:
    """The Intel GPUs of a Linux machine that are in ``intel_gpus.toml``."""
    found = []
    for adapter in drm.adapters(source, drm.INTEL):
        known = (
            table("intel_gpus")["device"].get(f"0x{adapter.device_id:04x}") if adapter.device_id is not None else None
        )
        if known is not None:
            found.append(_accelerator(source, adapter, known))
    return tuple(found)


def _accelerator(source: Source, adapter: drm.Adapter, known: dict[str, Any]) -> Accelerator:
    # The xe driver tells a card's memory tile by tile; i915 doesn't.
    tiles = [name for name in source.listdir(adapter.folder) if name.startswith("tile")]
    sizes = [integer(source.read(f"{adapter.folder}/{tile}/physical_vram_size_bytes")) for tile in tiles]
    measured = sum(size for size in sizes if size and size > 0)
    listed = known.get("memory_gib")
    return Accelerator(
        vendor="intel",
        name=known["name"],
        memory_bytes=measured or (listed * GIB if listed else None),
        arch=known["arch"],
        driver=None,
        unified=known.get("unified", False),
    )
