"""Named machines to generate a project for, without looking at the machine in front of us."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from scaffold.errors import UsageError
from scaffold.hardware.machine import GIB, Accelerator, Cpu, Machine, Memory
from scaffold.hardware.tables import table

_MIB = 1024**2
_MOST_CARDS = 16
_MOST_HINTS = 6
# What may stand before a target's name, `lambda:gpu_8x_h100`: where such machines are to be rented or reached.
_PLACES = {
    "aws": "aws",
    "amazon": "aws",
    "azure": "azure",
    "gcp": "gcp",
    "google": "gcp",
    "lambda": "lambda",
    "kubernetes": "kubernetes",
    "k8s": "kubernetes",
    "slurm": "slurm",
}
# Eight of a card, as people write it: 8xh100, 8 × h100, h100x8, and h100:8 as SkyPilot does.
_SEVERAL = (r"(?P<count>\d{1,3})-?[x×*]-?(?P<name>.+)", r"(?P<name>.+?)-?[x×*:]-?(?P<count>\d{1,3})")


def names() -> tuple[str, ...]:
    """The names of all targets, in the order of the data file."""
    return tuple(table("targets"))


def instances() -> tuple[str, ...]:
    """The clouds' names for machines, as each cloud writes them."""
    return tuple(name for rows in table("instances").values() for name in rows)


def place(name: str) -> tuple[str | None, str]:
    """A target's cloud or cluster, None where none is named, and the rest: `lambda:8xh100` → `("lambda", "8xh100")`.

    A cloud's own instance name, such as `g5.xlarge`, names the cloud as well.
    """
    before, colon, rest = name.partition(":")
    cloud = _PLACES.get(before.strip().lower())
    if colon and cloud:
        return cloud, rest
    owner = _owners().get(_normal(name))
    return (_PLACES[owner] if owner else None), name


@cache
def _owners() -> dict[str, str]:
    return {_normal(name): owner for owner, rows in table("instances").items() for name in rows}


def counts(name: str) -> dict[str, set[int]]:
    """Cloud → how many of a target's card its instances have."""
    found: dict[str, set[int]] = {}
    for owner, rows in table("instances").items():
        for row in rows.values():
            if row["target"] == name:
                found.setdefault(_PLACES[owner], set()).add(row["count"])
    return found


def title(name: str) -> str:
    """What a target is, in a few words."""
    count, entry = _find(name)
    return f"{count} × {entry['title']}" if count > 1 else str(entry["title"])


def load(name: str) -> Machine:
    """The machine behind a target's or a cloud instance's name; ``8xh100`` is eight of its cards in one machine.

    Raises:
        UsageError: there is no such target, or it has no card to multiply.
    """
    count, entry = _find(name)
    hosts = count if entry.get("cards_scale_host") else 1
    memory_bytes = int(entry["memory_gib"] * GIB) * hosts
    logical = entry["logical_cores"] * hosts
    cpu = Cpu(
        name=entry.get("cpu"),
        physical_cores=entry["physical_cores"] * hosts,
        logical_cores=logical,
        usable_cores=logical,
        features=tuple(entry["features"]),
        performance_cores=entry.get("performance_cores"),
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
    cloud, bare = place(name)
    wanted, targets = _normal(bare), table("targets")
    if wanted in targets:
        return 1, targets[wanted]
    instance = _instance_name(wanted, cloud)
    if instance is not None:
        return 1, _instance(instance)
    for shape in _SEVERAL:
        match = re.fullmatch(shape, wanted)
        if match is not None and match["name"] in targets:
            return _several(name, match["name"], int(match["count"]))
    raise _unknown(name, wanted)


def _instance_name(wanted: str, cloud: str | None) -> str | None:
    """A cloud's own name for an instance; with the cloud given, its beginning is enough where only one begins so."""
    known = _instances_of(cloud)
    exact = [name for name in known if _normal(name) == wanted]
    begun = [name for name in known if cloud and wanted and _normal(name).startswith(f"{wanted}-")]
    return exact[0] if exact else begun[0] if len(begun) == 1 else None


def _instances_of(cloud: str | None) -> list[str]:
    return [name for owner, rows in table("instances").items() if cloud in (None, _PLACES[owner]) for name in rows]


def _normal(name: str) -> str:
    return re.sub(r"[ _]", "-", name.strip().lower())


def _instance(name: str) -> dict[str, Any]:
    cloud, row = next((cloud, rows[name]) for cloud, rows in table("instances").items() if name in rows)
    entry = {key: value for key, value in table("targets")[row["target"]].items() if key != "cards_scale_host"}
    title = f"{cloud.capitalize()}'s {name} with {row['count']} × {entry['gpu']}"
    return {**entry, "physical_cores": row["logical_cores"] // 2, "title": title, **row}


def _several(name: str, target: str, count: int) -> tuple[int, dict[str, Any]]:
    entry = table("targets")[target]
    if not 1 <= count <= _MOST_CARDS:
        raise UsageError(f"{name}: one machine has 1 to {_MOST_CARDS} cards", hint=f"for example 8x{target}")
    if count > 1 and entry.get("vendor") in (None, "apple"):
        raise UsageError(f"{name}: {target} has no GPU of which a machine can have several", hint=f"use {target}")
    return count, entry


def _unknown(name: str, wanted: str) -> UsageError:
    before, colon, _ = name.partition(":")
    if colon and _normal(before) not in {*_PLACES, *table("targets")}:
        clouds = ", ".join(dict.fromkeys(_PLACES.values()))
        return UsageError(f"there is no target {name!r}", hint=f"before the colon can stand: {clouds}")
    near = _nearest(wanted, place(name)[0])
    return UsageError(f"there is no target {name!r}", hint=f"the nearest: {', '.join(near)}")


def _nearest(wanted: str, cloud: str | None) -> list[str]:
    """Targets and the cloud's instances that begin so, then those that it begins with, else those written alike."""
    import difflib

    match = next(filter(None, (re.fullmatch(shape, wanted) for shape in _SEVERAL)), None)
    known = {_normal(known): known for known in (*names(), *_instances_of(cloud))}
    if match and (int(match["count"]) > _MOST_CARDS or any(key.startswith(wanted) for key in known)):
        match = None  # the x is a letter of the name: rtx-409
    bare, several = (match["name"], f"{match['count']}x") if match else (wanted, "")
    begun = [key for key in known if bare and key.startswith(bare)] or [
        key for key in known if bare.startswith(f"{key}-")
    ]
    near = begun[:_MOST_HINTS] or difflib.get_close_matches(bare, known, n=3, cutoff=0.4)
    return [f"{several}{key}" if key in table("targets") else known[key] for key in near] or list(names())
