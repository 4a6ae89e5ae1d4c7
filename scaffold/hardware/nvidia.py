"""NVIDIA GPUs: nvidia-smi where there is one, otherwise what the driver leaves under /proc."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from scaffold.hardware.machine import Accelerator, OperatingSystem
from scaffold.hardware.nvidia_smi import Card, read_csv, read_table, read_xml
from scaffold.hardware.parse import pairs
from scaffold.hardware.source import Source

_FIELDS = "index,uuid,name,memory.total,memory.free,driver_version"
_QUERIES = (
    ("nvidia-smi", f"--query-gpu={_FIELDS},compute_cap,mig.mode.current,driver_model.current", "--format=csv"),
    # Drivers before about 510 don't know compute_cap and refuse the whole question.
    ("nvidia-smi", f"--query-gpu={_FIELDS}", "--format=csv"),
)
_XML = ("nvidia-smi", "-q", "-x")
_TABLE = ("nvidia-smi",)

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


def probe(source: Source) -> Found:
    """All NVIDIA GPUs of a machine, whether or not CUDA_VISIBLE_DEVICES hides some."""
    cards, trouble = _ask_nvidia_smi(source)
    if not cards:
        return _without_nvidia_smi(source, trouble)
    if any(card.mig_enabled and not card.mig for card in cards):
        cards = _with_instances(source, cards)
    driver = _driver_from_proc(source)
    models = {card.driver_model for card in cards} - {None}
    os: OperatingSystem | None = None if not models else ("linux" if models == {"N/A"} else "windows")
    return Found(tuple(_accelerator(card, driver) for card in cards), os, None)


def _ask_nvidia_smi(source: Source) -> tuple[list[Card], str | None]:
    trouble = None
    readers: tuple[tuple[tuple[str, ...], Callable[[str], list[Card]]], ...] = (
        *((query, read_csv) for query in _QUERIES),
        (_XML, read_xml),
        (_TABLE, read_table),
    )
    for command, reader in readers:
        text = source.run(command)
        cards = reader(text) if text else []
        if any(card != Card() for card in cards):
            return cards, None
        trouble = trouble or next((meaning for sign, meaning in _TROUBLE if text and sign in text), None)
        if trouble:
            break
    return [], trouble


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
        pairs(source.read(f"proc/driver/nvidia/gpus/{folder}/information")).get("Model")
        for folder in source.listdir("proc/driver/nvidia/gpus")
    ]
    cards = tuple(_accelerator(Card(name=name, driver=driver), driver) for name in names or [None])
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


def _with_instances(source: Source, cards: list[Card]) -> list[Card]:
    """The cards with the MIG instances that only the XML lists."""
    detailed = read_xml(source.run(_XML) or "")
    if len(detailed) != len(cards):
        return cards
    return [replace(card, mig=detail.mig) for card, detail in zip(cards, detailed, strict=True)]


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
        unified=card.memory_bytes is None and bool(name and _matches(_names()["unified"], name)),
    )


def capability_from_name(name: str | None) -> str | None:
    """The CUDA compute capability that a product name implies; ``None`` where the name is not in the table."""
    if not name:
        return None
    return next((entry["capability"] for entry in _names()["gpu"] if _matches(entry["names"], name)), None)


def _matches(pattern: str, name: str) -> bool:
    return re.search(rf"(?<![\w-])(?:{pattern})(?![\w])", name, re.IGNORECASE) is not None


@cache
def _names() -> dict[str, Any]:
    import tomllib

    return tomllib.loads(Path(__file__).with_name("nvidia_gpus.toml").read_text("utf-8"))
