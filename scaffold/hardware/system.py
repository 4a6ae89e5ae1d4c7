"""The system around the hardware: operating system, memory, container, WSL."""

from __future__ import annotations

import re
from typing import cast

from scaffold.hardware import cpu
from scaffold.hardware.cgroup import memory_limit
from scaffold.hardware.machine import Memory, OperatingSystem
from scaffold.hardware.parse import kibibytes, pairs
from scaffold.hardware.source import Source

_CONTAINER_GROUPS = re.compile(r"docker|kubepods|containerd|libpod|podman|lxc|/ecs/|garden")


def text_fact(source: Source, name: str) -> str | None:
    """A fact that is a text."""
    value = source.fact(name)
    return value if isinstance(value, str) and value else None


def number_fact(source: Source, name: str) -> int | None:
    """A fact that is a whole number."""
    value = source.fact(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def operating_system(source: Source, sysctl: dict[str, str]) -> OperatingSystem | None:
    """The system: said by the source, or given away by the files there are."""
    said = (text_fact(source, "os") or "").lower()
    if said in ("linux", "darwin", "windows"):
        return cast("OperatingSystem", said)
    if sysctl:
        return "darwin"
    linux_files = ("proc/cpuinfo", "proc/meminfo", "proc/driver/nvidia/version", "proc/self/cgroup")
    if any(source.read(path) for path in linux_files) or source.listdir("sys/class") or source.listdir("sys/devices"):
        return "linux"
    return None


def architecture(source: Source, sysctl: dict[str, str]) -> str | None:
    """The machine's architecture as its system names it."""
    said = text_fact(source, "arch")
    if sysctl.get("hw.optional.arm64") == "1" or sysctl.get("machdep.cpu.brand_string", "").startswith("Apple "):
        # Under Rosetta the platform claims to be an Intel Mac.
        return "arm64"
    if said:
        return said
    if sysctl.get("machdep.cpu.vendor") == "GenuineIntel":
        return "x86_64"
    blocks = cpu.cpuinfo(source)
    if blocks:
        return cpu.architecture(blocks[0])
    match = re.search(r"x86_64|aarch64", source.read("proc/driver/nvidia/version") or "")
    return match.group() if match else None


def python_architecture(source: Source, sysctl: dict[str, str], arch: str | None) -> str | None:
    """What Python was built for, where that is not the machine's own architecture."""
    said = text_fact(source, "arch")
    if arch == "arm64" and (sysctl.get("sysctl.proc_translated") == "1" or said == "x86_64"):
        return "x86_64"
    return text_fact(source, "python_arch")


def os_version(source: Source, sysctl: dict[str, str]) -> str | None:
    """macOS' or Windows' version, or the Linux distribution's."""
    release = pairs(source.read("etc/os-release"), "=").get("VERSION_ID", "").strip("\"'")
    return text_fact(source, "os_version") or sysctl.get("kern.osproductversion") or release or None


def memory(source: Source) -> Memory:
    """Main memory of a Linux or Windows machine; what is available also respects the control group's limit."""
    meminfo = pairs(source.read("proc/meminfo"))
    total = kibibytes(meminfo.get("MemTotal")) or number_fact(source, "memory_total_bytes")
    available = kibibytes(meminfo.get("MemAvailable"))
    if available is None:
        available = number_fact(source, "memory_available_bytes")
    limit, left = memory_limit(source)
    if left is not None:
        available = left if available is None else min(available, left)
    return Memory(total_bytes=total or None, available_bytes=available, limit_bytes=limit)


def is_wsl(source: Source) -> bool:
    """Whether this Linux runs inside Windows."""
    release = source.read("proc/sys/kernel/osrelease") or source.read("proc/version") or ""
    return "microsoft" in release.lower()


def is_container(source: Source) -> bool:
    """Whether this process runs in a container."""
    if source.exists(".dockerenv") or source.exists("run/.containerenv"):
        return True
    if source.environ.get("container") or source.environ.get("KUBERNETES_SERVICE_HOST"):
        return True
    groups = (source.read("proc/1/cgroup") or "") + (source.read("proc/self/cgroup") or "")
    return bool(_CONTAINER_GROUPS.search(groups))


def shared_memory_bytes(source: Source) -> int | None:
    """The size that /dev/shm was mounted with, which DataLoader workers share; ``None`` for the default."""
    for line in (source.read("proc/self/mounts") or source.read("proc/mounts") or "").splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[1] == "/dev/shm":
            match = re.search(r"(?:^|,)size=(\d+)([kmg]?)(?:,|$)", fields[3])
            scale = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
            return int(match[1]) * scale[match[2]] if match else None
    return None
