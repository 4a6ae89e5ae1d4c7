"""Small readers of the formats that kernels print. Each answers ``None`` for what it can't read."""

from __future__ import annotations

import re

_MAX_CPUS = 1 << 16


def integer(text: object) -> int | None:
    """A whole number, decimal or hexadecimal with ``0x``."""
    try:
        return int(str(text).strip(), 0)
    except ValueError:
        return None


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
    for line in (text or "").splitlines():
        key, _, value = line.strip().partition(" ")
        number = integer(value)
        if number is not None:
            found[key] = number
    return found


def kibibytes(text: str | None) -> int | None:
    """Bytes of a ``/proc/meminfo`` value such as ``24684096 kB``."""
    match = re.fullmatch(r"(\d+) kB", text or "")
    return int(match[1]) * 1024 if match else None


def cpu_list(text: str | None) -> frozenset[int] | None:
    """The numbers in a kernel list such as ``0-3,8``; ``None`` where it is empty or not one."""
    numbers: set[int] = set()
    for part in (text or "").strip().split(","):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part.strip())
        if match is None:
            return None
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first > _MAX_CPUS:
            return None
        numbers.update(range(first, last + 1))
    return frozenset(numbers) or None
