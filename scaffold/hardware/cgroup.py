"""The limits a container or a service manager sets: control groups, versions 1 and 2.

A limit may be set at any level, so each probe walks up from this process's group and takes the tightest. Hosts with
both versions print a version 2 group (``0::/``) that holds no limits; reading both finds whichever counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scaffold.hardware.parse import integer, words
from scaffold.hardware.source import Source

_V2_ROOTS = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
_V1_ROOTS = {
    "cpu": ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"),
    "memory": ("sys/fs/cgroup/memory",),
}
ROOTS = (*_V2_ROOTS, *(root for roots in _V1_ROOTS.values() for root in roots))
# Version 1 writes "no limit" as the largest multiple of a page: 9223372036854771712.
_NO_LIMIT = 1 << 60
_PERIODS = (1_000, 1_000_000)  # microseconds that the kernel takes
_PAGE = 4096  # limits are whole pages: any other number was cut off


def cpu_quota(source: Source) -> float | None:
    """How many cores' worth of time the quota grants; ``None`` where there is none."""
    quotas = [_v2_quota(source.read(f"{folder}/cpu.max")) for folder in _folders(source, None)]
    for folder in _folders(source, "cpu"):
        quota = integer(source.read(f"{folder}/cpu.cfs_quota_us"))
        period = integer(source.read(f"{folder}/cpu.cfs_period_us"))
        quotas.append(quota / period if quota and period and quota > 0 and period > 0 else None)
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit(source: Source) -> tuple[int | None, int | None]:
    """The tightest memory limit and what is left of it, in bytes; ``None`` where there is none.

    Page cache counts as used in a group, but the kernel gives it back under pressure: inactive files count as free.
    """
    limits: list[tuple[int, int | None]] = []
    for controller, limit_file, usage_file, cache_key in (
        (None, "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for folder in _folders(source, controller):
            limit = integer(source.read(f"{folder}/{limit_file}"))
            if limit is None or not 0 < limit < _NO_LIMIT or limit % _PAGE:
                continue
            usage = integer(source.read(f"{folder}/{usage_file}"))
            cache = words(source.read(f"{folder}/memory.stat")).get(cache_key, 0)
            left = None if usage is None else max(0, min(limit, limit - usage + cache))
            limits.append((limit, left))
    return min(limits, key=lambda pair: pair[0], default=(None, None))


def _v2_quota(text: str | None) -> float | None:
    match = re.fullmatch(r"(\d{1,12}) (\d{1,12})", (text or "").strip(), re.ASCII)
    if match is None or int(match[1]) == 0 or not _PERIODS[0] <= int(match[2]) <= _PERIODS[1]:
        return None
    if not (text or "").endswith("\n") and match[2] != "100000":
        return None  # the usual period, or one that was cut off
    return int(match[1]) / int(match[2])


def _folders(source: Source, controller: str | None) -> Iterator[str]:
    """This process's group and those above it; ``None`` as the controller means version 2."""
    path = _group(source, controller)
    parts = [part for part in path.split("/") if part]
    if ".." in parts:
        # The group lies outside of what this container may see: only the mount's own root is readable.
        parts = []
    for root in _V2_ROOTS if controller is None else _V1_ROOTS[controller]:
        for length in range(len(parts), -1, -1):
            yield "/".join([root, *parts[:length]])


def _group(source: Source, controller: str | None) -> str:
    for line in (source.read("proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, mark, path = rest.partition(":")
        if mark and (controllers == "" if controller is None else controller in controllers.split(",")):
            return path
    return "/"
