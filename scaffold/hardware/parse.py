"""Small readers of the formats that kernels print. Each answers ``None`` for what it can't read."""

from __future__ import annotations

import re

_MAX_CPUS = 1 << 16
# No computer has more: a larger number is damage, not a size.
MOST_MEMORY_BYTES = 1 << 50
MOST_CARD_BYTES = 1 << 43
_NO_NAMES = (
    "N/A", "NAN", "NONE", "NULL", "UNKNOWN", "ERR!", "UNKNOWN ERROR", "NOT SUPPORTED", "INSUFFICIENT PERMISSIONS",
    "FUNCTION NOT FOUND", "TO BE FILLED BY O.E.M.",
)  # fmt: skip


def integer(text: object) -> int | None:
    """A whole number of at most twenty digits, decimal or hexadecimal with ``0x``."""
    value = str(text).strip()
    if not re.fullmatch(r"-?\d{1,20}|0x[0-9a-fA-F]{1,16}", value, re.ASCII):
        return None
    return int(value, 16 if value.startswith("0x") else 10)


def pairs(text: str | None, separator: str = ":") -> dict[str, str]:
    """Lines of ``key: value``; the first line with a key counts."""
    found: dict[str, str] = {}
    for line in (text or "").splitlines():
        key, mark, value = line.partition(separator)
        if mark:
            found.setdefault(key.strip(), value.strip())
    return found


def words(text: str | None) -> dict[str, int]:
    """Lines of ``key number``, as the KFD topology and cgroup statistics have them."""
    found: dict[str, int] = {}
    for line in finished_lines(text):
        key, _, value = line.strip().partition(" ")
        number = integer(value)
        if number is not None:
            found[key] = number
    return found


def shown_name(text: str | None) -> str | None:
    """A product's name; ``None`` for what no maker would print: nothing, damage, or a word for "unknown"."""
    name = (text or "").strip("\0\n\t ")
    if not 0 < len(name) <= 120 or not name.isprintable() or "\ufffd" in name or name.startswith("["):
        return None
    if re.fullmatch(r"[-+]?[\d.,]+ ?[A-Za-z%]{0,3}", name):  # a quantity that slipped into the wrong place
        return None
    looks_like_one = re.search(r"[A-Z]", name) and re.search(r"[A-Za-z]{3}", name)
    return name if looks_like_one and name.upper() not in _NO_NAMES else None


def finished_lines(text: str | None) -> list[str]:
    """The lines that have an end. What stands after the last one may have been cut off in the middle."""
    lines = (text or "").splitlines(keepends=True)
    return [line.rstrip("\r\n") for line in lines if line.endswith("\n")]


def kibibytes(text: str | None) -> int | None:
    """Bytes of a ``/proc/meminfo`` value such as ``24684096 kB``."""
    match = re.fullmatch(r"(\d{1,15}) kB", text or "", re.ASCII)
    return sane(int(match[1]) * 1024, MOST_MEMORY_BYTES) if match else None


def sane(number: int | None, most: int) -> int | None:
    """The number where a machine can have it: above zero and no more than ``most``."""
    return number if number is not None and 0 < number <= most else None


def cpu_list(text: str | None) -> frozenset[int] | None:
    """The numbers in a kernel list such as ``0-3,8``; ``None`` where it is empty or not one."""
    numbers: set[int] = set()
    for part in (text or "").strip().split(","):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part.strip(), re.ASCII)
        if match is None:
            return None
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last >= _MAX_CPUS:
            return None
        numbers.update(range(first, last + 1))
    return frozenset(numbers) or None
