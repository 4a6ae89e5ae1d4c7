"""The processor: its name, its cores as built and as usable here, and the instructions that torch makes use of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from scaffold.hardware.cgroup import cpu_quota
from scaffold.hardware.machine import Cpu
from scaffold.hardware.parse import cpu_list, finished_lines, integer, sane, shown_name, words
from scaffold.hardware.source import KFD_NODES, Source

# As the kernel spells them in /proc/cpuinfo; what torch's CPU kernels and oneDNN ask for.
_X86_FEATURES = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8",
)  # fmt: skip
_ARM_FEATURES = (
    "neon", "vfpv4", "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2", "svebf16", "sme", "sme2",
)  # fmt: skip
# One word for what has another name, or is a family of several.
_FAMILIES = (("avx512f", "avx512"), ("amx_tile", "amx"), ("asimd", "neon"))
_CPU_FOLDER = "sys/devices/system/cpu"
_MOST_CORES = 1 << 16

Block = dict[str, str]


def probe(source: Source, os: str | None) -> Cpu:
    """The processor of a Linux or Windows machine (Apple's is in ``apple.py``)."""
    if os == "windows":
        return _from_facts(source)
    blocks = cpuinfo(source)
    online = _online(source, blocks)
    logical = _logical_cores(source, blocks, online)
    physical = _physical_cores(source, blocks, online, logical)
    per_socket, threads = _socket(blocks[0] if blocks else {})
    sockets = _sockets(source, blocks, online, logical)
    return Cpu(
        name=_name(source, blocks),
        physical_cores=physical,
        logical_cores=logical,
        usable_cores=_usable_cores(source, online, logical),
        features=features(blocks[0] if blocks else {}),
        performance_cores=_performance_cores(source, online),
        sockets=sockets,
        cores_per_socket=per_socket,
        threads_per_core=threads,
    )


def cpuinfo(source: Source) -> list[Block]:
    """The processor blocks of ``/proc/cpuinfo``, without the footers that ARM and POWER kernels add."""
    blocks: list[Block] = []
    text = (source.read("proc/cpuinfo") or "").replace("\r\n", "\n")
    for paragraph in text.split("\n\n"):
        block: Block = {}
        for line in paragraph.splitlines():
            key, mark, value = line.partition(":")
            if mark:
                block.setdefault(key.strip(), value.strip())
        if block and text.endswith(paragraph) and not text.endswith("\n"):
            _distrust_end(block)
        # One that lost its number still counts as one: without it the others would look like all there are.
        if integer(block.get("processor")) is not None or {"BogoMIPS", "bogomips"} & block.keys():
            blocks.append(block)
    return blocks


def _distrust_end(block: Block) -> None:
    """The last line of a file that was cut off: a name may go on, and so may the last of several words."""
    key = next(reversed(block))
    if key in ("flags", "Features"):
        words = block.pop(key).split()[:-1]
        # Without these what is left would look like a 32-bit processor's whole list.
        if {"lm", "asimd"} & set(words):
            block[key] = " ".join(words)
    elif key in ("model name", "cpu", "isa", "siblings", "cpu cores", "core id", "physical id"):
        del block[key]


def architecture(block: Block) -> str | None:
    """The architecture that a processor block gives away."""
    flags, features = block.get("flags", "").split(), block.get("Features", "").split()
    if "lm" in flags:
        return "x86_64"
    if "fpu" in flags:
        return "i686"
    if "asimd" in features or "thumb" in features:
        return "aarch64" if "asimd" in features else "armv7l"
    if "isa" in block:
        return "riscv64" if block["isa"].startswith("rv64") else "riscv32"
    return "ppc64" if block.get("cpu", "").startswith("POWER") else None


def features(block: Block) -> tuple[str, ...]:
    """The features that matter, from one processor block; families are named too (``amx``, ``avx512``, ``neon``)."""
    # Each family has its own list: x86's "sme" encrypts memory, ARM's multiplies matrices.
    for key, known in (("flags", _X86_FEATURES), ("Features", _ARM_FEATURES)):
        if key in block:
            present = set(block[key].split())
            return with_families(feature for feature in known if feature in present)
    vector = re.match(r"rv\d+[a-z]*v", block.get("isa", ""))
    return ("rvv",) if vector else ()


def with_families(found: Iterable[str]) -> tuple[str, ...]:
    """The features, and the family's word for those that belong to one."""
    listed = list(found)
    return (*listed, *(family for member, family in _FAMILIES if member in listed and family not in listed))


def _name(source: Source, blocks: list[Block]) -> str | None:
    name = None
    if blocks:
        name = blocks[0].get("model name") or blocks[0].get("cpu")
    # Boards name themselves in the second place: "Raspberry Pi 5 Model B Rev 1.0".
    return shown_name(name) or shown_name(source.read("proc/device-tree/model"))


def _online(source: Source, blocks: list[Block]) -> frozenset[int] | None:
    text = source.read(f"{_CPU_FOLDER}/online")
    online = cpu_list(text)
    if online is None or (text or "").endswith("\n"):
        return online
    # It may have been cut off, unless something else knows as many.
    folders = [name for name in source.listdir(_CPU_FOLDER) if re.fullmatch(r"cpu\d+", name, re.ASCII)]
    return online if len(online) in (len(blocks), len(folders)) else None


def _logical_cores(source: Source, blocks: list[Block], online: frozenset[int] | None) -> int | None:
    if online is not None:
        return len(online)
    if blocks and _is_whole(blocks):
        return len(blocks)
    count = number_of(source, "logical_cores") or _kfd_cores(source)
    return sane(count, _MOST_CORES)


def _kfd_cores(source: Source) -> int | None:
    """The processors that AMD's GPU driver lists, where all of its nodes are there."""
    names = source.listdir(KFD_NODES)
    if set(names) != {str(number) for number in range(len(names))}:
        return None
    nodes = [words(source.read(f"{KFD_NODES}/{name}/properties")) for name in sorted(names, key=int)]
    # Processors come first: where a GPU follows them, none is missing.
    if (
        not nodes
        or not all({"cpu_cores_count", "simd_count"} <= node.keys() for node in nodes)
        or not nodes[-1]["simd_count"]
    ):
        return None
    return sum(node["cpu_cores_count"] for node in nodes)


def _is_whole(blocks: list[Block]) -> bool:
    """Whether these are all processors, not the first few of them as in a shortened recording."""
    if blocks[-1].keys() != blocks[0].keys() or [integer(block.get("processor")) for block in blocks] != [
        *range(len(blocks))
    ]:
        return False
    siblings = integer(blocks[0].get("siblings"))
    return len(blocks) > 1 if siblings is None else len(blocks) >= siblings


def _physical_cores(
    source: Source, blocks: list[Block], online: frozenset[int] | None, logical: int | None
) -> int | None:
    places = {(_place(block, "physical id"), _place(block, "core id")) for block in blocks}
    if logical == len(blocks) and places and not any(None in place for place in places):
        return len(places)
    cores = {_siblings(source, cpu) for cpu in online or ()}
    return len(cores) if cores and None not in cores else None


def _socket(block: Block) -> tuple[int | None, int | None]:
    """Cores in a socket and threads on a core, as one processor block tells both."""
    cores, threads = (sane(integer(block.get(key)), _MOST_CORES) for key in ("cpu cores", "siblings"))
    if cores is None or threads is None or threads % cores:
        # Fast cores with two threads beside slow ones with one: there is no one number.
        return cores, None
    return cores, threads // cores


def _sockets(source: Source, blocks: list[Block], online: frozenset[int] | None, logical: int | None) -> int | None:
    places = {_place(block, "physical id") for block in blocks}
    if logical == len(blocks) and places and None not in places:
        return len(places)
    packages = {integer(source.read(f"{_CPU_FOLDER}/cpu{cpu}/topology/physical_package_id")) for cpu in online or ()}
    return len(packages) if packages and None not in packages else None


def _place(block: Block, key: str) -> int | None:
    number = integer(block.get(key))
    return number if number is not None and 0 <= number < _MOST_CORES else None


def _siblings(source: Source, cpu: int) -> frozenset[int] | None:
    topology = f"{_CPU_FOLDER}/cpu{cpu}/topology"
    return cpu_list(source.read(f"{topology}/thread_siblings_list") or source.read(f"{topology}/core_cpus_list"))


def _usable_cores(source: Source, online: frozenset[int] | None, logical: int | None) -> int | None:
    limits: list[int] = []
    allowed = cpu_list(_status_field(source, "Cpus_allowed_list"))
    if allowed is not None:
        # The mask names every processor the kernel could ever have, not only those that are there.
        count = len(allowed & online) if online is not None else len(allowed)
        limits += [count] if count else []
    quota = cpu_quota(source)
    if quota is not None:
        limits.append(math.ceil(quota))
    if limits and logical is not None:
        limits.append(logical)
    return min(limits, default=None)


def _status_field(source: Source, name: str) -> str | None:
    for line in finished_lines(source.read("proc/self/status")):
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    return None


def _performance_cores(source: Source, online: frozenset[int] | None) -> int | None:
    """The fast cores where there are fast and slow ones: Intel's hybrid list, ARM's capacities."""
    fast = cpu_list(source.read("sys/devices/cpu_core/cpus"))
    if fast is None and online is not None and source.exists(f"{_CPU_FOLDER}/cpu0/cpu_capacity"):
        capacities = {cpu: integer(source.read(f"{_CPU_FOLDER}/cpu{cpu}/cpu_capacity")) for cpu in online}
        known = {capacity for capacity in capacities.values() if capacity is not None}
        if len(known) > 1 and None not in capacities.values():
            fast = frozenset(cpu for cpu, capacity in capacities.items() if capacity == max(known))
    if fast is None:
        return None
    cores = {_siblings(source, cpu) for cpu in fast}
    return len(cores) if None not in cores else None


def _from_facts(source: Source) -> Cpu:
    name = source.fact("cpu_name")
    logical = number_of(source, "logical_cores")
    return Cpu(
        name=shown_name(name) if isinstance(name, str) else None,
        physical_cores=number_of(source, "physical_cores"),
        logical_cores=logical,
        usable_cores=number_of(source, "usable_cores") or logical,
    )


def number_of(source: Source, name: str) -> int | None:
    """A count that the source knows without a file."""
    value = source.fact(name)
    return sane(value, _MOST_CORES) if isinstance(value, int) and not isinstance(value, bool) else None
