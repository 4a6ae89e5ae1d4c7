"""Named machines to generate a project for, without looking at the machine in front of us."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from scaffold.errors import UsageError
from scaffold.hardware.machine import GIB, Accelerator, Cpu, Machine, Memory

_MIB = 1024**2
_MOST_CARDS = 16


def names() -> tuple[str, ...]:
    """The names of all targets, in the order of the data file."""
    return tuple(_data())


def title(name: str) -> str:
    """What a target is, in a few words."""
    count, entry = _find(name)
    return f"{count} × {entry['title']}" if count > 1 else str(entry["title"])


def load(name: str) -> Machine:
    """The machine behind a target's name; ``8xh100`` is eight of its cards in one machine.

    Raises:
        UsageError: there is no such target, or it has no card to multiply.
    """
    count, entry = _find(name)
    hosts = count if entry.get("cards_scale_host") else 1
    memory_bytes = int(entry["memory_gib"] * GIB) * hosts
    logical = entry["logical_cores"] * hosts
    performance = entry.get("performance_cores")
    cpu = Cpu(
        name=entry.get("cpu"),
        physical_cores=entry["physical_cores"] * hosts,
        logical_cores=logical,
        usable_cores=logical,
        features=tuple(entry["features"]),
        performance_cores=performance,
    )
    return Machine(
        os=entry.get("os", "linux"),
        arch=entry.get("arch", "x86_64"),
        cpu=cpu,
        memory=Memory(total_bytes=memory_bytes),
        accelerators=_cards(entry, count, memory_bytes),
    )


def _cards(entry: dict[str, Any], count: int, memory_bytes: int) -> tuple[Accelerator, ...]:
    if "vendor" not in entry:
        return ()
    unified = "gpu_memory_mib" not in entry
    card = Accelerator(
        vendor=entry["vendor"],
        name=entry["gpu"],
        memory_bytes=memory_bytes if unified else entry["gpu_memory_mib"] * _MIB,
        compute_capability=entry.get("compute_capability"),
        arch=entry.get("gpu_arch"),
        count=entry.get("count", 1) * count,
        unified=unified,
    )
    return (card,)


def _find(name: str) -> tuple[int, dict[str, Any]]:
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    if wanted in _data():
        return 1, _data()[wanted]
    match = re.fullmatch(r"(\d{1,3})-?[x×*]-?(.+)", wanted)
    if match is None or match[2] not in _data():
        raise _unknown(name, match[2] if match else wanted)
    count, entry = int(match[1]), _data()[match[2]]
    if not 1 <= count <= _MOST_CARDS:
        raise UsageError(f"{name}: one machine has 1 to {_MOST_CARDS} cards", hint=f"for example 8x{match[2]}")
    if count > 1 and entry.get("vendor") in (None, "apple"):
        raise UsageError(f"{name}: {match[2]} has no GPU of which a machine can have several", hint=f"use {match[2]}")
    return count, entry


def _unknown(name: str, wanted: str) -> UsageError:
    import difflib

    near = difflib.get_close_matches(wanted, names(), n=3, cutoff=0.4) or list(names())
    return UsageError(f"there is no target {name!r}", hint=f"the nearest: {', '.join(near)}")


@cache
def _data() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
