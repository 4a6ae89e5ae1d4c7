"""Macs: one ``sysctl -a`` tells the processor, its kinds of cores, the memory and, with Apple silicon, the GPU."""

from __future__ import annotations

import re

from scaffold.hardware.cpu import with_families
from scaffold.hardware.machine import Accelerator, Cpu, Machine, Memory
from scaffold.hardware.parse import MOST_MEMORY_BYTES, integer, sane, shown_name
from scaffold.hardware.source import Source

_PAGE = 16384
_MOST_CORES = 1024
_ARM_FLAGS = (
    ("hw.optional.neon", "neon"),
    ("hw.optional.AdvSIMD", "neon"),
    ("hw.optional.arm.FEAT_DotProd", "asimddp"),
    ("hw.optional.arm.FEAT_BF16", "bf16"),
    ("hw.optional.arm.FEAT_I8MM", "i8mm"),
    ("hw.optional.arm.FEAT_SME", "sme"),
    ("hw.optional.arm.FEAT_SME2", "sme2"),
)
_INTEL_FLAGS = (
    ("AVX1.0", "avx"),
    ("AVX2", "avx2"),
    ("FMA", "fma"),
    ("F16C", "f16c"),
    ("AVX512F", "avx512f"),
    ("AVX512BW", "avx512bw"),
    ("AVX512DQ", "avx512dq"),
    ("AVX512VL", "avx512vl"),
)


def read_sysctl(source: Source) -> dict[str, str]:
    """``sysctl -a`` as a dictionary; empty where that is not a Mac's."""
    found: dict[str, str] = {}
    for line in (source.run(("sysctl", "-a")) or "").splitlines(keepends=True):
        match = re.match(r"([a-z][\w]*(?:\.[\w-]+)+)(?:: | = |:$)(.*)", line)
        if match and (line.endswith("\n") or _is_whole(match[1], match[2].strip())):
            found.setdefault(match[1], match[2].strip())
    return found if any(key.startswith(("hw.", "machdep.cpu.")) for key in found) else {}


def _is_whole(key: str, value: str) -> bool:
    """Whether a last line without an end can still be believed: a flag, or a size in whole pages."""
    number = integer(value)
    return key.startswith("hw.optional.") or (key == "hw.memsize" and number is not None and number % _PAGE == 0)


def cpu(sysctl: dict[str, str]) -> Cpu:
    """The processor. macOS has no affinity, so every core is usable."""
    logical = sane(_positive(sysctl, "hw.logicalcpu", "hw.ncpu", "machdep.cpu.thread_count"), _MOST_CORES)
    physical = sane(_positive(sysctl, "hw.physicalcpu", "machdep.cpu.core_count"), logical or _MOST_CORES)
    levels = _positive(sysctl, "hw.nperflevels")
    performance = _positive(sysctl, "hw.perflevel0.physicalcpu") if levels != 1 else None
    return Cpu(
        name=shown_name(sysctl.get("machdep.cpu.brand_string")),
        physical_cores=physical,
        logical_cores=logical,
        usable_cores=logical,
        features=_features(sysctl),
        performance_cores=sane(performance, physical or _MOST_CORES),
    )


def memory(source: Source, sysctl: dict[str, str]) -> Memory:
    """Main memory; what is available is counted as Activity Monitor does: free and inactive pages."""
    total = sane(_positive(sysctl, "hw.memsize"), MOST_MEMORY_BYTES)
    total = None if total is not None and total % _PAGE else total
    available = _available(source)
    return Memory(total, available if available is None or total is None or available <= total else None)


def accelerators(machine: Machine) -> tuple[Accelerator, ...]:
    """The GPU of Apple silicon, which shares the computer's memory; nothing on an Intel Mac."""
    if machine.arch != "arm64":
        return ()
    gpu = Accelerator(
        vendor="apple",
        name=machine.cpu.name,
        memory_bytes=machine.memory.total_bytes,
        memory_free_bytes=machine.memory.available_bytes,
        unified=True,
    )
    return (gpu,)


def _features(sysctl: dict[str, str]) -> tuple[str, ...]:
    arm = [feature for key, feature in _ARM_FLAGS if sysctl.get(key) == "1"]
    words = " ".join(sysctl.get(f"machdep.cpu.{key}", "") for key in ("features", "leaf7_features")).split()
    intel = [feature for word, feature in _INTEL_FLAGS if word in words]
    return with_families(dict.fromkeys([*arm, *intel]))


def _available(source: Source) -> int | None:
    text = source.run(("vm_stat",)) or ""
    page = re.search(r"page size of (\d{4,6}) bytes", text)
    counts = [re.search(rf"^Pages {kind}:\s+(\d{{1,15}})\.", text, re.MULTILINE) for kind in ("free", "inactive")]
    if page is None or None in counts:
        return None
    return int(page[1]) * sum(int(count[1]) for count in counts if count)


def _positive(sysctl: dict[str, str], *keys: str) -> int | None:
    for key in keys:
        number = integer(sysctl.get(key))
        if number is not None and number > 0:
            return number
    return None
