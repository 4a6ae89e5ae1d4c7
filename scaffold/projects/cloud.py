"""Where a plan's job can run in the cloud: the machines that SkyPilot is asked for.

SkyPilot finds out only when it launches whether a card exists and a cloud has it; here both are looked up in
`skypilot.toml` and `instances.toml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from scaffold.errors import UsageError
from scaffold.hardware.machine import GIB, Accelerator, Machine
from scaffold.hardware.tables import table
from scaffold.hardware.targets import counts, load, place
from scaffold.hardware.torch_build import TorchBuild, choose

_CLUSTERS = ("kubernetes", "slurm")
_FILLED = 0.9  # share of a card's memory that a plan may fill
_NAMES = {
    "aws": "AWS", "gcp": "Google Cloud", "azure": "Azure", "lambda": "Lambda", "kubernetes": "Kubernetes",
    "slurm": "Slurm",
}  # fmt: skip


@dataclass(frozen=True)
class Offer:
    """One kind of machine that would do.

    Attributes:
        infra: the cloud or cluster, by SkyPilot's name.
        accelerator: the card by SkyPilot's name, None for a machine without.
        count: how many of it.
        spot: whether the cloud rents such machines out at short notice.
    """

    infra: str
    accelerator: str | None
    count: int
    spot: bool


@dataclass(frozen=True)
class Wanted:
    """What a job wants of a rented machine.

    Attributes:
        offers: kinds of machines, one for each place.
        torch: the build for them.
        cores, memory_gib: of a machine without accelerators.
        said: what they are, in words.
    """

    offers: tuple[Offer, ...]
    torch: TorchBuild
    cores: int
    memory_gib: int
    said: str

    def to_plain(self) -> dict[str, Any]:
        """As a template sees it."""
        return {
            "offers": [dict(offer.__dict__) for offer in self.offers],
            "torch": dict(self.torch.__dict__),
            "cores": self.cores,
            "memory_gib": self.memory_gib,
            "said": self.said,
            "clusters": list(_CLUSTERS),
        }


def check_place(target: str, machine: Machine) -> None:
    """Refuse a target whose cloud does not rent out its cards.

    Raises:
        UsageError: with the clouds that do.
    """
    (where, rest), card = place(target), machine.primary
    # A cloud's own name for a machine that SkyPilot doesn't know is one all the same.
    if where is None or where in _CLUSTERS or card is None or place(rest)[0] == where:
        return
    found = _find(card)
    if found is None:
        raise UsageError(f"{target}: SkyPilot has no name for {card.name}", hint="Leave the cloud's name out.")
    if not _has(found, where, card.count):
        with_it = [place for place in table("skypilot")["places"] if _has(found, place, card.count)]
        raise UsageError(
            f"{target}: SkyPilot finds no machine with {card.count} × {card.name} at {_NAMES[where]}",
            hint=f"It does at: {', '.join(with_it)}.",
        )


def in_parts(settings: dict[str, Any], nodes: int) -> bool:
    """Whether several nodes write one checkpoint, each its part, which takes a file system that all of them see."""
    return nodes > 1 and settings.get("strategy") == "fsdp"


def check_parts(target: str, settings: dict[str, Any], nodes: int) -> None:
    """Refuse a cloud for a job whose nodes have to share a file system.

    Raises:
        UsageError: with where it can run.
    """
    where, rest = place(target)
    if where and where not in _CLUSTERS and in_parts(settings, nodes):
        raise UsageError(
            f"{target}: with fsdp on {nodes} nodes each writes a part of every checkpoint, and machines that "
            f"{_NAMES[where]} rents out share no files",
            hint=f"Take one node, a model that fits each GPU (ddp), or --target kubernetes:{rest} or slurm:{rest}.",
        )


def wanted(
    machine: Machine, target: str, settings: dict[str, Any], memory: dict[str, int | None], nodes: int
) -> Wanted:
    """The machines to ask SkyPilot for, so that the plan's settings fit them.

    The plan's own card where SkyPilot knows it; where a cloud has none of it, the smallest card that holds the job.

    Args:
        machine: what the plan is for.
        target: its name; a cloud named in it is the only one.
        settings: the plan's; `precision` decides what else would do.
        memory: the plan's; a card must hold what a training step takes in each process.
        nodes: how many such machines.
    """
    card = machine.primary if settings["device"] != "cpu" else None
    places = _places(place(target)[0], card)
    if in_parts(settings, nodes):
        places = [where for where in places if where in _CLUSTERS]
    cores = machine.cpu.usable_cores or machine.cpu.logical_cores or 4
    gib = max(4, (machine.usable_memory_bytes or 8 * GIB) // GIB)
    if card is None:
        offers = tuple(Offer(where, None, 0, _spot(where)) for where in places)
        return Wanted(offers, choose(load("cpu-8gb")), cores, gib, f"{cores} cores, no GPU")
    count = card.count if card.vendor != "apple" else 1
    rented = _rented(places, card, count, settings["precision"], memory["estimated_bytes"] or 0)
    if not rented:
        offers = tuple(Offer(where, None, 0, _spot(where)) for where in places)
        return Wanted(offers, choose(load("cpu-8gb")), cores, gib, f"{cores} cores: no GPU there holds this job")
    build = choose(load(next(iter(rented.values()))))
    # One install for all of them.
    rented = {where: name for where, name in rented.items() if choose(load(name)).index == build.index}
    offers = tuple(Offer(where, _sky(name), count, _spot(where)) for where, name in rented.items())
    said = " or ".join(dict.fromkeys(f"{count} × {_sky(name)}" for name in rented.values()))
    return Wanted(offers, build, cores, gib, said)


def _places(only: str | None, card: Accelerator | None) -> list[str]:
    """Where to look: the place that was asked for, or else all but Slurm, whose machines keep files another way."""
    own = _find(card) if card else None
    if only and (card is None or only in _CLUSTERS or (own and _has(own, only, card.count))):
        return [only]
    return [where for where in table("skypilot")["places"] if where != "slurm"]


def _rented(places: list[str], card: Accelerator, count: int, precision: str, estimated: int) -> dict[str, str]:
    """Place → the card to rent there: the plan's own, or the nearest where no cloud has it."""
    own = _find(card)
    bought = bool(own) and not table("skypilot")["cards"][own]["clouds"] and card.vendor != "amd"
    if own and (not bought or any(where in _CLUSTERS for where in places[:1])):
        return {where: own for where in places if _has(own, where, count)}
    near = {where: _nearest(where, count, precision, estimated) for where in places if where not in _CLUSTERS}
    return {where: name for where, name in near.items() if name}


def _nearest(where: str, count: int, precision: str, estimated: int) -> str | None:
    """The smallest NVIDIA card of a cloud that computes in the plan's precision and holds its step."""
    least = (8, 0) if precision == "bf16" else (7, 0)
    fitting = []
    for name, _ in _cards():
        card = load(name).accelerators[0]
        size = card.memory_bytes or 0
        if card.vendor == "nvidia" and (card.capability or (0, 0)) >= least and size * _FILLED >= estimated:
            fitting.append((size, name))
    return next((name for _, name in sorted(fitting) if _has(name, where, count)), None)


def _find(card: Accelerator) -> str | None:
    """The row of a card; longer patterns stand before those they contain."""
    return next((name for name, row in _cards() if re.search(row["name"], card.name or "")), None)


def _has(name: str, where: str, count: int) -> bool:
    if where in _CLUSTERS:
        return True
    known = counts(name).get(where)
    return where in table("skypilot")["cards"][name]["clouds"] and (known is None or count in known)


def _cards() -> list[tuple[str, dict[str, Any]]]:
    return list(table("skypilot")["cards"].items())


def _sky(name: str) -> str:
    return str(table("skypilot")["cards"][name]["sky"])


def _spot(where: str) -> bool:
    return where in table("skypilot")["spot"]
