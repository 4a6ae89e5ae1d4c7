"""Where probes read from: this computer, or (``recording.py``) a folder that describes another one.

A probe touches the operating system through a ``Source`` only, so that nothing of the local machine can leak into an
answer about another.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import Popen

COMMAND_LIMIT_SECONDS = 2.0
READ_LIMIT_BYTES = 8 * 1024 * 1024
# Where GPUs other than NVIDIA's show. A machine without any of these needs no probe for them.
KFD_NODES = "sys/class/kfd/kfd/topology/nodes"
DRM = "sys/class/drm"
ROCM_SMI = ("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--showdriverversion", "--json")

Fact = str | int | None


class Source(Protocol):
    """What a probe may ask. Paths lie under ``/`` and are written without it: ``proc/cpuinfo``."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables; empty where they are not known."""

    def read(self, path: str) -> str | None:
        """The text of a file, ``None`` where it can't be read."""

    def listdir(self, path: str) -> tuple[str, ...]:
        """The sorted names in a folder; none where it can't be read."""

    def exists(self, path: str) -> bool | None:
        """Whether something lies there; ``None`` where the source can't know."""

    def run(self, argv: Sequence[str], timeout: float = COMMAND_LIMIT_SECONDS) -> str | None:
        """What a command prints, whatever its exit code; ``None`` where it is missing or too slow."""

    def fact(self, name: str) -> Fact:
        """What no file and no command tells.

        ``os``, ``arch``, ``python``, ``python_arch``, ``libc``, ``os_version``, ``disk_free_bytes``; on Windows also
        ``cpu_name``, ``physical_cores``, ``logical_cores``, ``usable_cores``, ``memory_total_bytes`` and
        ``memory_available_bytes``.
        """


class LiveSource:
    """This computer.

    Args:
        disk_path: where the free space is asked for; the nearest folder that exists counts.
    """

    def __init__(self, disk_path: Path | None = None) -> None:
        self._disk_path = disk_path
        self._spent: dict[str, float] = {}
        self._found: dict[str, str | None] = {}
        self._facts: dict[str, Callable[[], Fact]] = {
            "os": _os,
            "arch": _arch,
            "python": lambda: f"{sys.version_info.major}.{sys.version_info.minor}",
            "python_arch": _python_arch,
            "libc": _libc,
            "os_version": _os_version,
            "logical_cores": os.cpu_count,
            "disk_free_bytes": self._disk_free,
        }

    @property
    def environ(self) -> Mapping[str, str]:
        return os.environ

    def read(self, path: str) -> str | None:
        try:
            with open(f"/{path}", "rb") as file:  # noqa: PTH123 - pathlib is slower, and probes read many small files
                return file.read(READ_LIMIT_BYTES).decode("utf-8", "replace")
        except OSError:
            return None

    def listdir(self, path: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(f"/{path}")))  # noqa: PTH208
        except OSError:
            return ()

    def exists(self, path: str) -> bool | None:
        return os.path.lexists(f"/{path}")

    def run(self, argv: Sequence[str], timeout: float = COMMAND_LIMIT_SECONDS) -> str | None:
        program = argv[0]
        if program not in self._found:
            self._found[program] = _which(program)
        found = self._found[program]
        if found is not None:
            # The limit is for all questions to one program together: a sick driver makes each of them slow.
            left = timeout - self._spent.get(program, 0.0)
            start = time.monotonic()
            output = _run([found, *argv[1:]], left) if left > 0 else None
            self._spent[program] = timeout if output is None else self._spent.get(program, 0.0) + _since(start)
            return output
        if program == "nvidia-smi" and any(map(os.path.lexists, _NVIDIA_DEVICES)):
            from scaffold.hardware import nvml

            return nvml.answer(argv)
        return None

    def fact(self, name: str) -> Fact:
        probe = self._facts.get(name)
        if sys.platform == "win32" and (probe is None or name == "logical_cores"):
            from scaffold.hardware import windows

            return windows.fact(name)
        return probe() if probe is not None else None

    def _disk_free(self) -> int | None:
        folder = os.path.abspath(self._disk_path or os.curdir)  # noqa: PTH100 - pathlib costs a third of a start
        while True:
            with contextlib.suppress(OSError):
                return _free_bytes(folder)
            above = os.path.dirname(folder)  # noqa: PTH120
            if above == folder:
                return None
            folder = above


def _since(start: float) -> float:
    return time.monotonic() - start


def _run(argv: list[str], timeout: float) -> str | None:
    import subprocess

    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError:
        return None
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _kill(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            # A process that waits on a sick driver does not even die: leave it behind then.
            process.communicate(timeout=0.2)
        return None
    except BaseException:
        _kill(process)
        raise
    return output[:READ_LIMIT_BYTES].decode("utf-8", "replace")


def _kill(process: Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, 9)


def _which(program: str) -> str | None:
    # shutil.which would do the same after importing four compression modules.
    name = f"{program}.exe" if sys.platform == "win32" else program
    for folder in (*os.environ.get("PATH", "").split(os.pathsep), *_EXTRA_FOLDERS):
        path = os.path.join(folder, name)  # noqa: PTH118
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113
            return path
    return None


_NVIDIA_DEVICES = ("/dev/nvidiactl", "/dev/dxg")
# WSL keeps nvidia-smi off the PATH of some shells, and cron and IDEs run without /usr/sbin, where sysctl lies.
_EXTRA_FOLDERS = ("/usr/lib/wsl/lib", "/usr/sbin", "/opt/rocm/bin", r"C:\Windows\System32")


def _os() -> Fact:
    if sys.platform.startswith("linux"):
        return "linux"
    return {"darwin": "darwin", "win32": "windows"}.get(sys.platform)


def _arch() -> Fact:
    if sys.platform == "win32":
        # A Python that Windows emulates sees its own architecture in the first and the machine's in the second.
        return os.environ.get("PROCESSOR_ARCHITEW6432") or os.environ.get("PROCESSOR_ARCHITECTURE")
    return os.uname().machine


def _python_arch() -> Fact:
    """What Python was built for, where that is not the machine's architecture."""
    arch = str(_arch() or "")
    if sys.maxsize < 1 << 32:
        return {"aarch64": "armv7l", "arm64": "armv7l", "x86_64": "i686", "AMD64": "x86"}.get(arch)
    if sys.platform == "win32" and arch == "ARM64" and "AMD64" in sys.version:
        return "AMD64"
    return None


def _libc() -> Fact:
    if not sys.platform.startswith("linux"):
        return None
    with contextlib.suppress(ValueError, OSError):
        version = os.confstr("CS_GNU_LIBC_VERSION")
        if version:
            return version
    return "musl" if "musl" in getattr(sys.implementation, "_multiarch", "") else None


def _os_version() -> Fact:
    if sys.platform == "win32":
        return ".".join(str(part) for part in sys.getwindowsversion().platform_version)
    return None


def _free_bytes(folder: str) -> int:
    if sys.platform == "win32":
        import shutil

        return shutil.disk_usage(folder).free
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize
