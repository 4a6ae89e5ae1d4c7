"""A folder that describes a machine, read as if it were that machine.

Files lie as under ``/`` (``proc/cpuinfo``, ``sys/…``) or anywhere else: those are recognised by what they hold, not by
their name. What the folder lacks is unknown; nothing is ever asked of the computer that reads it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from scaffold.errors import NotFoundError
from scaffold.hardware.source import COMMAND_LIMIT_SECONDS, READ_LIMIT_BYTES, Fact

_MOST_FILES = 50_000
_TREES = ("proc", "sys", "etc", "dev", "run")
# Trees that people copy without what lies above them.
_BARE_TREES = {"kfd": "sys/class/kfd/", "topology": "sys/class/kfd/kfd/", "drm": "sys/class/"}


class RecordedSource:
    """A recorded machine.

    Raises:
        NotFoundError: the folder doesn't exist or holds nothing that describes a machine.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotFoundError(f"{folder}: no such folder", hint="--from takes a folder that --record has written")
        self._files: dict[str, Path] = {}
        self._kinds: dict[str, str] = {}
        self._collect(folder)
        if not self._files and not self._kinds:
            raise NotFoundError(
                f"{folder}: nothing in it describes a machine",
                hint="record one with: scaffold hardware --record DIR",
            )

    @cached_property
    def environ(self) -> Mapping[str, str]:
        recorded = self._platform.get("environ")
        if not isinstance(recorded, dict):
            return {}
        return {str(name): value for name, value in recorded.items() if isinstance(value, str)}

    def read(self, path: str) -> str | None:
        file = self._files.get(path)
        return _text(file) if file is not None else self._kinds.get(path)

    def listdir(self, path: str) -> tuple[str, ...]:
        return tuple(sorted(self._folders.get(path, ())))

    def exists(self, path: str) -> bool | None:
        if path in self._files or path in self._folders:
            return True
        absent = self._platform.get("absent")
        return False if isinstance(absent, list) and path in absent else None

    def run(self, argv: Sequence[str], timeout: float = COMMAND_LIMIT_SECONDS) -> str | None:
        return self._kinds.get(_command_kind(argv))

    def fact(self, name: str) -> Fact:
        value = self._platform.get(name)
        shape = _SHAPES.get(name)
        if shape is not None:
            return value if isinstance(value, str) and re.fullmatch(shape, value) else None
        return value if isinstance(value, str | int) and not isinstance(value, bool) else None

    @cached_property
    def _platform(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._kinds.get("platform", "{}"))
        return document

    @cached_property
    def _folders(self) -> dict[str, set[str]]:
        folders: dict[str, set[str]] = {}
        for path in self._files:
            parts = path.split("/")
            for depth in range(1, len(parts)):
                folders.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
        return folders

    def _collect(self, folder: Path) -> None:
        count = 0
        for root, directories, names in os.walk(folder):
            directories.sort()
            for name in sorted(names):
                path = Path(root, name)
                count += 1
                if count > _MOST_FILES or path.is_symlink() or not path.is_file():
                    # A link could lead out of the folder and so show the reader's own machine.
                    continue
                self._add(path, path.relative_to(folder).parts)

    def _add(self, path: Path, parts: tuple[str, ...]) -> None:
        if parts[0] in _TREES or parts == (".dockerenv",):
            self._files["/".join(parts)] = path
        elif parts[0] in _BARE_TREES:
            self._files[_BARE_TREES[parts[0]] + "/".join(parts)] = path
        if parts[0] in ("sys", *_BARE_TREES):
            return
        text = _text(path) or ""
        for kind, holds in _KINDS:
            if holds(text):
                self._kinds.setdefault(kind, text)
                return


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(READ_LIMIT_BYTES)
    except OSError:
        return None
    # PowerShell's `>` writes UTF-16, and Windows' editors a mark before UTF-8.
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return data.decode(encoding, "replace").replace("\r\n", "\n")


def _command_kind(argv: Sequence[str]) -> str:
    if argv[0] == "nvidia-smi" and len(argv) > 1:
        return "nvidia-smi --query-gpu" if argv[1].startswith("--query-gpu") else " ".join(argv)
    return argv[0]


def _is_json(*keys: str) -> Callable[[str], bool]:
    def holds(text: str) -> bool:
        start = text.find("{")
        if start < 0 or text[:start].strip():
            return False
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return isinstance(document, dict) and any(re.match(key, name) for name in document for key in keys)

    return holds


def _matching(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda text: compiled.search(text) is not None


# A header, or a row without one: with a UUID, with memory in MiB, or with an index before NVIDIA's name.
_CSV = "|".join(
    (
        r"^[^|<\n]*\b(?:memory\.total|driver_version|compute_cap)\b[^|\n]*,",
        r"^[^|<\n]*\bGPU-[0-9a-f]{8}-[^|\n]*,",
        r"^[^|<:\n]*, *\d+ MiB *(?:,|$)",
        r"^(?:\d+, *)?(?:NVIDIA|GeForce|Tesla|Quadro|TITAN)\b[^|:\n]*,",
    )
)
# A value of another shape is damage, and so unknown.
_SHAPES = {
    "os": r"[A-Za-z]{3,10}",
    "arch": r"\w{2,20}",
    "python_arch": r"\w{2,20}",
    "python": r"\d\.\d{1,3}(?:\.\w{1,10})?",
    "libc": r"[A-Za-z]{2,10}(?:[ -]\d[\w.+-]{0,20})?",
    "os_version": r"[\w][\w .()/+:~-]{0,60}",
}
# What a file is, told by what it holds. A key is the path or the command whose answer it is.
_KINDS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("rocm-smi", _is_json(r"card\d+$")),
    ("platform", _is_json("os$", "arch$", "python$", "libc$", "os_version$")),
    ("nvidia-smi -q -x", _matching(r"<nvidia_smi_log")),
    (
        "nvidia-smi",
        _matching(r"^\| NVIDIA-SMI |^No devices were found|^NVIDIA-SMI has failed|^Failed to initialize NVML"),
    ),
    ("nvidia-smi -q", _matching(r"^=+NVSMI LOG=+")),
    ("nvidia-smi -L", _matching(r"^GPU \d+: .*\(UUID: ")),
    ("nvidia-smi --version", _matching(r"^NVIDIA-SMI version\s*:")),
    ("proc/driver/nvidia/version", _matching(r"^NVRM version:")),
    ("nvidia-smi --query-gpu", _matching(_CSV)),
    ("proc/cpuinfo", _matching(r"^processor\s*:\s*\d+\s*$")),
    ("proc/meminfo", _matching(r"^MemTotal:\s+\d+ kB")),
    ("proc/self/status", _matching(r"^Cpus_allowed_list:")),
    ("proc/self/cgroup", _matching(r"\A\d+:[\w,=.-]*:/")),
    ("sysctl", _matching(r"^(?:hw|machdep|kern)\.[\w.-]+(?:: | = )")),
    ("vm_stat", _matching(r"^Mach Virtual Memory Statistics")),
    ("etc/os-release", _matching(r"^PRETTY_NAME=")),
)
