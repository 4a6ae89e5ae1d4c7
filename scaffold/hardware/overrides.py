"""What a user says about a machine instead of what was found: by flag or by environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import cast

from scaffold.errors import UsageError
from scaffold.hardware.machine import GIB, Accelerator, Machine, OperatingSystem
from scaffold.hardware.parse import MOST_CARD_BYTES, MOST_MEMORY_BYTES

VARIABLE = "SCAFFOLD_HARDWARE"
_UNITS = {"": GIB, "k": 1024, "m": 1024**2, "g": GIB, "t": 1024**4}
_MOST_CORES = 4096
_MOST_CARDS = 64


def parse(texts: Iterable[str], environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """``KEY=VALUE`` texts, also several with commas between. A later one wins, and each over the environment's.

    Raises:
        UsageError: one has no ``=``, or a key that there is not.
    """
    named = [(VARIABLE, part) for part in (environ or {}).get(VARIABLE, "").split(",") if part.strip()]
    found: dict[str, str] = {}
    for origin, text in [*named, *(("--with", part) for given in texts for part in given.split(","))]:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not value:
            raise UsageError(f"{origin} {text}: expected KEY=VALUE", hint=f"for example {origin} memory=8GB")
        if key not in KEYS:
            raise UsageError(f"{origin} {text}: there is no {key!r} to set", hint=f"there are: {', '.join(KEYS)}")
        found[key] = value
    return found


def apply(machine: Machine, chosen: Mapping[str, str]) -> Machine:
    """The machine as the user says it is. Its notes are those of before.

    Raises:
        UsageError: a value has not the shape of its key, or speaks of a card that there is not.
    """
    # The card first: the other keys may be about it.
    for key in sorted(chosen, key=list(KEYS).index):
        machine = KEYS[key](machine, key, chosen[key])
    return machine


def note(chosen: Mapping[str, str]) -> tuple[str, ...]:
    """A note that says what was not found but set."""
    return (f"Set by you: {', '.join(f'{key}={value}' for key, value in chosen.items())}.",) if chosen else ()


def size(text: str) -> int | None:
    """Bytes of ``8``, ``8GB``, ``7.5GiB`` or ``512MB``; a number alone is GB, and every unit a power of 1024."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?) ?([kmgt]?)i?b?", text.strip().lower(), re.ASCII)
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def _gpu(machine: Machine, key: str, value: str) -> Machine:
    if value.lower() in ("none", "no", "0"):
        return replace(machine, accelerators=())
    from scaffold.hardware.nvidia import capability_from_name
    from scaffold.hardware.targets import load

    capability = capability_from_name(value)
    if capability is not None and " " in value:
        return replace(machine, accelerators=(Accelerator("nvidia", value, compute_capability=capability),))
    cards = load(value).accelerators
    if not cards:
        raise UsageError(f"{key}={value}: that target has no GPU", hint=f"without one: {key}=none")
    return replace(machine, accelerators=cards)


def _cards(machine: Machine, key: str, value: str, change: Callable[[Accelerator], Accelerator]) -> Machine:
    if not machine.accelerators:
        raise UsageError(
            f"{key}={value}: there is no GPU here", hint=f"name one, for example gpu=rtx-3060,{key}={value}"
        )
    return replace(machine, accelerators=tuple(map(change, machine.accelerators)))


def _count(machine: Machine, key: str, value: str) -> Machine:
    number = _number(key, value, _MOST_CARDS)
    machine = _cards(machine, key, value, lambda card: card)
    return replace(machine, accelerators=(replace(machine.primary or machine.accelerators[0], count=number),))


def _gpu_memory(machine: Machine, key: str, value: str) -> Machine:
    total = _size(key, value, MOST_CARD_BYTES)

    def change(card: Accelerator) -> Accelerator:
        free = card.memory_free_bytes
        return replace(card, memory_bytes=total, memory_free_bytes=None if free is None or free > total else free)

    return _cards(machine, key, value, change)


def _capability(machine: Machine, key: str, value: str) -> Machine:
    _shaped(key, value, r"[1-9]\d?\.\d", "8.6")
    return _cards(machine, key, value, lambda card: replace(card, compute_capability=value))


def _gfx(machine: Machine, key: str, value: str) -> Machine:
    _shaped(key, value, r"gfx[0-9a-f]{3,5}", "gfx1100")
    return _cards(machine, key, value, lambda card: replace(card, arch=value))


def _driver(machine: Machine, key: str, value: str) -> Machine:
    _shaped(key, value, r"\d{3,4}(?:\.\d{1,3}){0,2}", "580.65.06")
    return _cards(machine, key, value, lambda card: replace(card, driver=value))


def _memory(machine: Machine, key: str, value: str) -> Machine:
    total = _size(key, value, MOST_MEMORY_BYTES)
    available = machine.memory.available_bytes
    memory = replace(
        machine.memory, limit_bytes=total, available_bytes=None if available is None else min(available, total)
    )
    return replace(machine, memory=memory)


def _cores(machine: Machine, key: str, value: str) -> Machine:
    return replace(machine, cpu=replace(machine.cpu, usable_cores=_number(key, value, _MOST_CORES)))


def _os(machine: Machine, key: str, value: str) -> Machine:
    lowered = value.lower()
    if lowered not in ("linux", "darwin", "windows"):
        raise UsageError(f"{key}={value}: not a system", hint="there are: linux, darwin (macOS), windows")
    return replace(machine, os=cast("OperatingSystem", lowered))


def _text(field: str, shape: str, example: str) -> Callable[[Machine, str, str], Machine]:
    def change(machine: Machine, key: str, value: str) -> Machine:
        _shaped(key, value, shape, example)
        return replace(machine, **{field: value})  # type: ignore[arg-type]

    return change


def _shaped(key: str, value: str, shape: str, example: str) -> None:
    if not re.fullmatch(shape, value, re.ASCII):
        raise UsageError(f"{key}={value}: not of the right shape", hint=f"for example {key}={example}")


def _size(key: str, value: str, most: int) -> int:
    found = size(value)
    if found is None or not 0 < found <= most:
        raise UsageError(f"{key}={value}: not a size", hint=f"for example {key}=8GB")
    return found


def _number(key: str, value: str, most: int) -> int:
    if not value.isdecimal() or not 0 < int(value[:9]) <= most:
        raise UsageError(f"{key}={value}: not a number from 1 to {most}", hint=f"for example {key}=4")
    return int(value)


KEYS: dict[str, Callable[[Machine, str, str], Machine]] = {
    "os": _os,
    "arch": _text("arch", r"\w{2,20}", "x86_64"),
    "python": _text("python", r"\d\.\d{1,2}", "3.12"),
    "libc": _text("libc", r"[a-z]{2,10}( \d[\w.]*)?", "glibc 2.36"),
    "gpu": _gpu,
    "gpus": _count,
    "gpu-memory": _gpu_memory,
    "capability": _capability,
    "gfx": _gfx,
    "driver": _driver,
    "memory": _memory,
    "cores": _cores,
}
