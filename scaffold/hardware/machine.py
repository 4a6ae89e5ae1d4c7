"""What a computer has, as plain data. Every field may be ``None``, which means unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Vendor = Literal["nvidia", "amd", "intel", "apple"]
OperatingSystem = Literal["linux", "darwin", "windows"]

GIB = 1024**3
_VENDOR_ORDER: tuple[Vendor, ...] = ("nvidia", "apple", "amd", "intel")
_AMD_WITH_BF16 = ("gfx908", "gfx90a", "gfx94", "gfx95", "gfx11", "gfx12")


@dataclass(frozen=True)
class Cpu:
    """The processor. ``usable_cores`` is what this process may use: affinity and container quota count.

    ``cores_per_socket`` and ``threads_per_core`` are told even where the number of sockets is not.
    """

    name: str | None = None
    physical_cores: int | None = None
    logical_cores: int | None = None
    usable_cores: int | None = None
    features: tuple[str, ...] = ()
    performance_cores: int | None = None
    sockets: int | None = None
    cores_per_socket: int | None = None
    threads_per_core: int | None = None


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes. ``limit_bytes`` is the smallest cgroup limit, ``None`` where there is none."""

    total_bytes: int | None = None
    available_bytes: int | None = None
    limit_bytes: int | None = None


@dataclass(frozen=True)
class Accelerator:
    """A GPU, or ``count`` equal ones.

    ``arch`` is AMD's gfx name, or the architecture a vendor names ("Ampere"). ``mig`` is ``None`` where the card is
    whole or can't say, else the instances it is cut into (of unknown size where only the mode is known).
    ``unified`` memory is the computer's own memory.
    """

    vendor: Vendor
    name: str | None = None
    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    compute_capability: str | None = None
    arch: str | None = None
    driver: str | None = None
    count: int = 1
    mig: tuple[dict[str, Any], ...] | None = None
    unified: bool = False

    @property
    def capability(self) -> tuple[int, int] | None:
        """The CUDA compute capability as numbers, ``(8, 6)`` for ``"8.6"``."""
        if self.compute_capability is None:
            return None
        major, _, minor = self.compute_capability.partition(".")
        return int(major), int(minor or 0)

    @property
    def computes_bf16(self) -> bool | None:
        """Whether it has units for bf16; None where its capability or architecture is unknown.

        NVIDIA from Ampere on; AMD's CDNA from the MI100 on and RDNA from 3 on. Elsewhere torch emulates it, slowly.
        """
        if self.vendor == "nvidia":
            return None if self.capability is None else self.capability >= (8, 0)
        if self.vendor == "amd":
            return None if self.arch is None else self.arch.startswith(_AMD_WITH_BF16)
        return True

    @property
    def process_memory_bytes(self) -> int | None:
        """What one process can get: the largest MIG instance where the card is cut up, else the card's memory."""
        if self.mig is not None:
            sizes = [instance["memory_bytes"] for instance in self.mig if instance.get("memory_bytes")]
            return max(sizes, default=None)
        return self.memory_bytes


@dataclass(frozen=True)
class Machine:
    """A computer: detected, recorded or a named target.

    ``arch`` is the hardware's; ``python_arch`` is set only where Python was built for another one (Rosetta, a 32-bit
    Python on a 64-bit kernel).
    """

    os: OperatingSystem | None = None
    arch: str | None = None
    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    disk_free_bytes: int | None = None
    accelerators: tuple[Accelerator, ...] = ()
    notes: tuple[str, ...] = ()
    python: str | None = None
    libc: str | None = None
    os_version: str | None = None
    wsl: bool = False
    container: bool = False
    python_arch: str | None = None

    @property
    def usable_memory_bytes(self) -> int | None:
        """The smaller of the memory that is built in and the limit that is set."""
        return min(
            (size for size in (self.memory.total_bytes, self.memory.limit_bytes) if size is not None), default=None
        )

    @property
    def primary(self) -> Accelerator | None:
        """The accelerator to train on: the largest of the first vendor, equal cards counted together.

        Its ``memory_free_bytes`` is that of the fullest of the equal cards.
        """
        for vendor in _VENDOR_ORDER:
            cards = _alike(card for card in self.accelerators if card.vendor == vendor)
            if cards:
                # A processor's own GPU shares all of the memory: that makes it no larger than a card beside it.
                return max(
                    cards,
                    key=lambda card: (
                        not card.unified,
                        card.process_memory_bytes or 0,
                        card.capability or (0, 0),
                        card.count,
                    ),
                )
        return None

    def to_json(self) -> dict[str, Any]:
        """The ``machine`` document of the JSON contract."""
        document = asdict(self)
        document["accelerators"] = [_plain(card) for card in document["accelerators"]]
        document["cpu"]["features"] = list(self.cpu.features)
        document["notes"] = list(self.notes)
        return document

    def summary(self) -> str:
        """One line in coarse words, free of figures that change from minute to minute."""
        parts = [_describe(card) for card in _alike(self.accelerators)]
        shared = any(card.unified for card in self.accelerators)
        cores = self.cpu.usable_cores or self.cpu.logical_cores
        if cores:
            parts.append(f"{cores} core{'s' if cores > 1 else ''}")
        if self.usable_memory_bytes:
            parts.append(f"{gigabytes(self.usable_memory_bytes)} of {'shared ' if shared else ''}memory")
        if not self.accelerators:
            parts.append("no GPU")
        return ", ".join(parts)


def merge(cards: Iterable[Accelerator]) -> tuple[Accelerator, ...]:
    """Count equal cards as one row, in the order in which each kind appears first."""
    return _grouped(cards, lambda card: replace(card, count=1))


def _alike(cards: Iterable[Accelerator]) -> tuple[Accelerator, ...]:
    """Count cards of one kind together, however full each is; the row has what the smallest and fullest has."""

    def kind(card: Accelerator) -> object:
        size = gigabytes(card.process_memory_bytes or 0)
        return card.vendor, card.name, card.compute_capability, card.arch, card.mig is None, size

    return _grouped(cards, kind)


def _grouped(cards: Iterable[Accelerator], kind: Callable[[Accelerator], object]) -> tuple[Accelerator, ...]:
    rows: list[Accelerator] = []
    for card in cards:
        position = next((i for i, row in enumerate(rows) if kind(row) == kind(card)), None)
        if position is None:
            rows.append(card)
            continue
        row = rows[position]
        rows[position] = replace(
            row,
            count=row.count + card.count,
            memory_bytes=_smaller(row.memory_bytes, card.memory_bytes),
            memory_free_bytes=_smaller(row.memory_free_bytes, card.memory_free_bytes),
        )
    return tuple(rows)


def _smaller(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else min(first, second)


def gigabytes(size: int) -> str:
    """Memory in the words of a data sheet: ``24 GB``; ``0.5 GB`` below one."""
    gib = size / GIB
    return f"{gib:.0f} GB" if gib >= 1 else f"{gib:.1f} GB"


def _describe(card: Accelerator) -> str:
    fallback = {"nvidia": "an NVIDIA GPU", "amd": "an AMD GPU", "intel": "an Intel GPU", "apple": "an Apple GPU"}
    text = card.name or fallback[card.vendor]
    if card.count > 1:
        text = f"{card.count} × {text}"
    memory = card.process_memory_bytes
    if memory and not card.unified:
        text += f" with {gigabytes(memory)}" + (" each" if card.count > 1 else "")
        text += " (one MIG instance)" if card.mig else ""
    return text


def _plain(card: dict[str, Any]) -> dict[str, Any]:
    if card["mig"] is not None:
        card["mig"] = list(card["mig"])
    return card
