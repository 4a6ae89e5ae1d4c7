"""NVIDIA GPUs: nvidia-smi where there is one, otherwise what the driver leaves under /proc."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scaffold.hardware.machine import Accelerator, OperatingSystem
from scaffold.hardware.parse import pairs, shown_name
from scaffold.hardware.source import Source
from scaffold.hardware.tables import table

if TYPE_CHECKING:
    from scaffold.hardware.nvidia_smi import Card

_FIELDS = "index,uuid,name,memory.total,memory.free,driver_version"
_QUERIES = (
    ("nvidia-smi", f"--query-gpu={_FIELDS},compute_cap,mig.mode.current,driver_model.current", "--format=csv"),
    # Drivers before about 510 don't know compute_cap and refuse the whole question.
    ("nvidia-smi", f"--query-gpu={_FIELDS}", "--format=csv"),
)
_XML = ("nvidia-smi", "-q", "-x")
_TABLE = ("nvidia-smi",)
# What a recording may hold instead.
_LIST, _VERSION = ("nvidia-smi", "-L"), ("nvidia-smi", "--version")
_TEXTS = (("nvidia-smi", "-q"), _TABLE, _LIST, _VERSION)

# What nvidia-smi prints when it can't answer, and what that means.
_TROUBLE = (
    ("No devices were found", "The NVIDIA driver is there but finds no card."),
    ("Driver/library version mismatch", "The NVIDIA driver was updated and isn't loaded yet: restart the computer."),
    ("couldn't communicate with the NVIDIA driver", "nvidia-smi is there, but the NVIDIA driver isn't loaded."),
    ("Insufficient Permissions", "This user may not read the NVIDIA card: a permission is missing."),
    ("GPU is lost", "An NVIDIA card has fallen off the bus: restart the computer."),
    ("Failed to initialize NVML", "The NVIDIA driver doesn't answer; in a container, restart the container."),
)


@dataclass(frozen=True)
class Found:
    """What the probe found: cards, the system that they imply where nothing else tells it, and what is wrong."""

    accelerators: tuple[Accelerator, ...] = ()
    os: OperatingSystem | None = None
    trouble: str | None = None
    wsl: bool = False


def probe(source: Source) -> Found:
    """All NVIDIA GPUs of a machine, whether or not CUDA_VISIBLE_DEVICES hides some."""
    cards, trouble = _ask_nvidia_smi(source)
    if not cards:
        return _without_nvidia_smi(source, trouble)
    driver = _driver_from_proc(source)
    models = {card.driver_model for card in cards} - {None}
    os: OperatingSystem | None = None if not models else ("linux" if models == {"N/A"} else "windows")
    return Found(tuple(_accelerator(card, driver) for card in cards), os, None, os != "windows" and _shows_wsl(source))


def _ask_nvidia_smi(source: Source) -> tuple[list[Card], str | None]:
    """The cards, each figure from the first output that tells it, and what is wrong."""
    cards: list[Card] = []
    for command in (*_QUERIES, _XML, *_TEXTS):
        text = source.run(command)
        if not text:
            continue
        found = _read(command, text)
        if any(map(_says_something, found)):
            cards = _completed(cards, found) if cards else found
        elif not cards and (trouble := next((meaning for sign, meaning in _TROUBLE if sign in text), None)):
            return [], trouble
        if cards and all(map(_is_complete, cards)):
            break
    return cards, None


def _read(command: tuple[str, ...], text: str) -> list[Card]:
    # Imported when there is something to read: most machines have no nvidia-smi.
    from scaffold.hardware import nvidia_smi as programs
    from scaffold.hardware import nvidia_text as people

    if command in _QUERIES:
        return programs.read_csv(text)
    if command == _XML:
        return programs.read_xml(text)
    if command == _TABLE:
        return people.read_table(text)
    if command == _LIST:
        return people.read_list(text)
    return people.read_version(text) if command == _VERSION else people.read_query(text)


def _shows_wsl(source: Source) -> bool:
    """Whether recorded output is from WSL, where the recording lacks the kernel's own word for it."""
    if source.read("proc/sys/kernel/osrelease") or source.read("proc/version"):
        return False
    from scaffold.hardware.nvidia_text import is_from_wsl

    return any(is_from_wsl(source.run(command) or "") for command in (_TABLE, _VERSION))


def _says_something(card: Card) -> bool:
    return any(value not in (None, (), False, "N/A") for value in vars(card).values())


def _is_complete(card: Card) -> bool:
    whole = not card.mig_enabled or bool(card.mig)
    return whole and None not in (card.name, card.memory_bytes, card.memory_free_bytes, card.driver)


def _completed(cards: list[Card], found: list[Card]) -> list[Card]:
    """The cards, with what they lack from another output about the same ones."""
    if len(found) == 1 and found[0].name is None and found[0].memory_bytes is None:
        found = found * len(cards)  # the driver alone, which is the same for all
    names = [(card.name, other.name) for card, other in zip(cards, found, strict=False)]
    if len(cards) != len(found) or any(None not in pair and pair[0] != pair[1] for pair in names):
        return cards
    return [_with_gaps_filled(card, other) for card, other in zip(cards, found, strict=True)]


def _with_gaps_filled(card: Card, other: Card) -> Card:
    missing = {key: vars(other)[key] for key, value in vars(card).items() if value in (None, (), False)}
    merged = replace(card, **missing)
    free = merged.memory_free_bytes
    if free is not None and (merged.memory_bytes is None or free > merged.memory_bytes):
        merged = replace(merged, memory_free_bytes=None)
    return merged


def _without_nvidia_smi(source: Source, trouble: str | None) -> Found:
    driver = _driver_from_proc(source)
    if trouble is not None:
        return Found(trouble=trouble)
    if driver is None:
        return _jetson(source)
    devices = source.listdir("dev")
    if devices and "nvidiactl" not in devices:
        return Found(trouble=f"NVIDIA driver {driver} is loaded, but no card is within reach (no /dev/nvidiactl).")
    names = [
        shown_name(pairs(source.read(f"proc/driver/nvidia/gpus/{folder}/information")).get("Model"))
        for folder in source.listdir("proc/driver/nvidia/gpus")
    ]
    cards = tuple(_named(name, driver) for name in names or [None])
    return Found(cards, trouble="nvidia-smi gave no answer, so the NVIDIA card's memory is not known.")


def _driver_from_proc(source: Source) -> str | None:
    for path in ("proc/driver/nvidia/version", "sys/module/nvidia/version"):
        match = re.search(r"(?:Kernel Module.*?\s|^)(\d{3,4}\.\d{1,3}(?:\.\d{1,3})?)\s", source.read(path) or "")
        if match:
            return match[1]
    return None


def _jetson(source: Source) -> Found:
    model = (source.read("proc/device-tree/model") or "").strip("\0\n ")
    if "jetson" in model.lower() and (capability := capability_from_name(model)):
        return Found((Accelerator("nvidia", name=model, compute_capability=capability, unified=True),))
    return Found()


def _accelerator(card: Card, driver: str | None) -> Accelerator:
    name = card.name
    return Accelerator(
        vendor="nvidia",
        name=name,
        memory_bytes=card.memory_bytes,
        memory_free_bytes=card.memory_free_bytes,
        compute_capability=card.compute_capability or capability_from_name(name),
        arch=card.architecture,
        driver=card.driver or driver,
        mig=card.mig if card.mig_enabled else None,
        unified=card.memory_bytes is None and bool(name and _matches(table("nvidia_gpus")["unified"], name)),
    )


def _named(name: str | None, driver: str) -> Accelerator:
    return Accelerator("nvidia", name, compute_capability=capability_from_name(name), driver=driver)


def capability_from_name(name: str | None) -> str | None:
    """The CUDA compute capability that a product name implies; ``None`` where the name is not in the table."""
    if not name:
        return None
    return next((entry["capability"] for entry in table("nvidia_gpus")["gpu"] if _matches(entry["names"], name)), None)


def _matches(pattern: str, name: str) -> bool:
    return re.search(rf"(?<![\w-])(?:{pattern})(?![\w])", name, re.IGNORECASE) is not None
