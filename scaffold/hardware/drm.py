"""The display adapters that Linux lists under ``/sys/class/drm``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scaffold.hardware.parse import integer
from scaffold.hardware.source import DRM, Source

AMD = 0x1002
INTEL = 0x8086
# Device memory comes in whole pages: any other number was cut off.
PAGE = 4096


@dataclass(frozen=True)
class Adapter:
    """One adapter: its folder in sysfs and its PCI device id."""

    folder: str
    device_id: int | None


def adapters(source: Source, vendor: int) -> Iterator[Adapter]:
    """The adapters of one vendor, in the order of their numbers."""
    cards = (re.fullmatch(r"card(\d+)", name) for name in source.listdir(DRM))
    for number in sorted(int(card[1]) for card in cards if card):
        folder = f"{DRM}/card{number}/device"
        if integer(source.read(f"{folder}/vendor")) == vendor:
            yield Adapter(folder, integer(source.read(f"{folder}/device")))


def memory(source: Source, folder: str) -> tuple[int | None, int | None]:
    """An AMD adapter's own memory and what of it is free, in bytes."""
    total = integer(source.read(f"{folder}/mem_info_vram_total"))
    used = integer(source.read(f"{folder}/mem_info_vram_used"))
    if not total or total < 0 or total % PAGE:
        return None, None
    whole = used is not None and 0 <= used <= total and used % PAGE == 0
    return total, total - used if used is not None and whole else None
