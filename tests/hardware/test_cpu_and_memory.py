"""Cores, features and memory: as built, and as this process may use them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scaffold.hardware.machine import Machine

Look = Callable[[dict[str, str]], Machine]
GIB = 1024**3


def x86(cores: int, *, threads: int = 1, flags: str = "fpu lm avx2", blocks: int | None = None) -> str:
    """A cpuinfo of one socket; ``blocks`` cuts it after so many processors."""
    texts = [
        f"processor\t: {cpu}\nvendor_id\t: GenuineIntel\nmodel name\t: Test CPU\nphysical id\t: 0\n"
        f"siblings\t: {cores * threads}\ncore id\t\t: {cpu % cores}\ncpu cores\t: {cores}\nflags\t\t: {flags}\n"
        for cpu in range(cores * threads)
    ]
    return "\n".join(texts[:blocks])


def arm(cores: int, features: str = "fp asimd") -> str:
    return "\n".join(f"processor\t: {cpu}\nFeatures\t: {features}\nCPU part\t: 0xd0c\n" for cpu in range(cores))


def test_threads_are_not_cores(look: Look) -> None:
    cpu = look({"proc/cpuinfo": x86(4, threads=2)}).cpu
    assert (cpu.physical_cores, cpu.logical_cores, cpu.name) == (4, 8, "Test CPU")


def test_a_shortened_cpuinfo_leaves_the_counts_unknown(look: Look) -> None:
    machine = look({"cpuinfo": x86(8, threads=2, blocks=1)})
    assert (machine.cpu.physical_cores, machine.cpu.logical_cores) == (None, None)
    assert machine.arch == "x86_64"


def test_arm_counts_cores_from_the_topology(look: Look) -> None:
    files = {"proc/cpuinfo": arm(4), "sys/devices/system/cpu/online": "0-3\n"}
    for cpu in range(4):
        files[f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{cpu}\n"
        files[f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity"] = "1024\n" if cpu < 2 else "446\n"
    cpu = look(files).cpu
    assert (cpu.physical_cores, cpu.logical_cores, cpu.performance_cores) == (4, 4, 2)


def test_arm_without_a_topology_does_not_guess_physical_cores(look: Look) -> None:
    cpu = look({"proc/cpuinfo": arm(8)}).cpu
    assert (cpu.physical_cores, cpu.logical_cores) == (None, 8)


@pytest.mark.parametrize(
    ("text", "arch", "present", "absent"),
    [
        (x86(1, flags="lm avx512f amx_tile amx_bf16"), "x86_64", {"avx512", "amx", "amx_bf16"}, {"avx2", "neon"}),
        (x86(1, flags="lm sme avx2"), "x86_64", {"avx2"}, {"sme"}),  # AMD's memory encryption, not ARM's matrices
        (x86(1, flags="fpu sse2"), "i686", set(), {"avx2"}),
        (arm(2, "fp asimd asimddp bf16 sve"), "aarch64", {"neon", "bf16", "sve"}, {"avx2"}),
        (arm(2, "half thumb neon vfpv4"), "armv7l", {"neon"}, {"asimd"}),
        ("processor\t: 0\nisa\t: rv64imafdcv_zba\n", "riscv64", {"rvv"}, {"neon"}),
        ("processor\t: 0\nisa\t: rv64imafdc_zve\n", "riscv64", set(), {"rvv"}),
        ("processor\t: 0\ncpu\t: POWER9, altivec supported\n", "ppc64", set(), {"avx2"}),
    ],
)
def test_features_and_architecture(look: Look, text: str, arch: str, present: set[str], absent: set[str]) -> None:
    machine = look({"proc/cpuinfo": text})
    assert machine.arch == arch
    assert present <= set(machine.cpu.features)
    assert not absent & set(machine.cpu.features)


AFFINITY = {"proc/self/status": "Name:\tpython\nCpus_allowed_list:\t0-3\n"}
ONLINE = {"sys/devices/system/cpu/online": "0-7\n"}


@pytest.mark.parametrize(
    ("files", "usable"),
    [
        ({}, None),
        (AFFINITY, 4),
        # The mask of a virtual machine names processors that aren't there.
        ({"proc/self/status": "Cpus_allowed_list:\t0-127\n"}, 8),
        (AFFINITY | {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        (AFFINITY | {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 4),
        # A limit further up holds too, and so does half a core.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000",
                "sys/fs/cgroup/a/cpu.max": "250000 100000",
            },
            3,
        ),
        ({"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        # Version 1, beside a version 2 tree without limits.
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, None),
    ],
)
def test_usable_cores(look: Look, files: dict[str, str], usable: int | None) -> None:
    machine = look({"proc/cpuinfo": x86(8)} | ONLINE | files)
    assert machine.cpu.usable_cores == usable
    assert any("of 8 cores" in note for note in machine.notes) == (usable not in (None, 8))


MEMINFO = "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n"


@pytest.mark.parametrize(
    ("files", "limit", "available", "usable"),
    [
        ({}, None, 8 * GIB, 16 * GIB),
        ({"sys/fs/cgroup/memory.max": "max\n"}, None, 8 * GIB, 16 * GIB),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, None, 8 * GIB, 16 * GIB),
        ({"sys/fs/cgroup/memory.max": f"{4 * GIB}\n"}, 4 * GIB, 8 * GIB, 4 * GIB),
        # What the group uses is not available; cached files in it are.
        (
            {
                "proc/self/cgroup": "0::/app\n",
                "sys/fs/cgroup/app/memory.max": f"{4 * GIB}\n",
                "sys/fs/cgroup/app/memory.current": f"{3 * GIB}\n",
                "sys/fs/cgroup/app/memory.stat": f"anon 1\ninactive_file {GIB}\n",
            },
            4 * GIB,
            2 * GIB,
            4 * GIB,
        ),
        (
            {
                "proc/self/cgroup": "9:memory:/k8s/pod\n",
                "sys/fs/cgroup/memory/k8s/memory.limit_in_bytes": f"{6 * GIB}\n",
                "sys/fs/cgroup/memory/k8s/memory.usage_in_bytes": f"{5 * GIB}\n",
                "sys/fs/cgroup/memory/k8s/pod/memory.limit_in_bytes": "9223372036854771712\n",
            },
            6 * GIB,
            GIB,
            6 * GIB,
        ),
    ],
)
def test_memory(look: Look, files: dict[str, str], limit: int | None, available: int, usable: int) -> None:
    machine = look({"proc/meminfo": MEMINFO} | files)
    assert machine.memory.total_bytes == 16 * GIB
    assert machine.memory.limit_bytes == limit
    assert machine.memory.available_bytes == available
    assert machine.usable_memory_bytes == usable


def test_wsl_container_and_small_shared_memory_are_noted(look: Look) -> None:
    machine = look(
        {
            "proc/version": "Linux version 5.15.167.4-microsoft-standard-WSL2\n",
            "proc/self/cgroup": "5:memory:/docker/0123\n",
            "proc/self/mounts": "shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k 0 0\n",
        }
    )
    assert machine.wsl
    assert machine.container
    assert any("/dev/shm holds only 64 MB" in note for note in machine.notes)


def test_hybrid_intel_counts_its_performance_cores(look: Look) -> None:
    files = {"proc/cpuinfo": x86(4), "sys/devices/system/cpu/online": "0-3", "sys/devices/cpu_core/cpus": "0-1\n"}
    for cpu in range(4):
        files[f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = "0-1" if cpu < 2 else str(cpu)
    assert look(files).cpu.performance_cores == 1
