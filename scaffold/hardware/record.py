"""Writes down what the probes read, so that somebody else can see this machine: fit for a bug report.

Serial numbers, UUIDs, host and user names are replaced on the way (``anonymous.py``). ``RecordedSource`` reads the
folder back and gives the same answer.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scaffold.errors import ScaffoldError, UsageError
from scaffold.hardware import anonymous
from scaffold.hardware.detect import detect
from scaffold.hardware.machine import Machine
from scaffold.hardware.source import COMMAND_LIMIT_SECONDS, Fact, LiveSource, Source

_COMMAND_FILES = {
    "nvidia-smi -q -x": "nvidia-smi-q-x.xml",
    "nvidia-smi -q": "nvidia-smi-q.txt",
    "nvidia-smi -L": "nvidia-smi-L.txt",
    "nvidia-smi --version": "nvidia-smi--version.txt",
    "nvidia-smi": "nvidia-smi.txt",
    "rocm-smi": "rocm-smi.json",
    "sysctl": "sysctl.txt",
    "vm_stat": "vm_stat.txt",
}
_QUERY_FILE = "nvidia-smi-query-gpu.csv"
# Asked for even where the first answer was enough: whoever looks into a bug wants to see them.
_MORE_COMMANDS = (("nvidia-smi", "-q", "-x"), ("nvidia-smi",))
# What matters of a folder with many more names in it; device names can hold the host's.
_LISTED = {"dev": ("null", "nvidiactl", "nvidia0", "dxg", "kfd")}
_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION", "KUBERNETES_SERVICE_HOST", "container")


class _Listener:
    """A source that keeps what it was asked and what it answered."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.files: dict[str, str] = {}
        self.folders: dict[str, tuple[str, ...]] = {}
        self.absent: list[str] = []
        self.outputs: dict[str, str] = {}
        self.facts: dict[str, Fact] = {}

    @property
    def environ(self) -> Mapping[str, str]:
        return self._source.environ

    def read(self, path: str) -> str | None:
        text = self._source.read(path)
        if text is not None:
            self.files[path] = text
        return text

    def listdir(self, path: str) -> tuple[str, ...]:
        self.folders[path] = self._source.listdir(path)
        return self.folders[path]

    def exists(self, path: str) -> bool | None:
        answer = self._source.exists(path)
        if answer is False:
            self.absent.append(path)
        elif answer and not self._source.listdir(path):
            self.files.setdefault(path, "")
        return answer

    def run(self, argv: Sequence[str], timeout: float = COMMAND_LIMIT_SECONDS) -> str | None:
        text = self._source.run(argv, timeout)
        if text:
            is_query = len(argv) > 1 and argv[1].startswith("--query-gpu")
            name = _QUERY_FILE if is_query else _COMMAND_FILES.get(" ".join(argv), _COMMAND_FILES.get(argv[0]))
            if name is not None:
                self.outputs[name] = text
        return text

    def fact(self, name: str) -> Fact:
        self.facts[name] = self._source.fact(name)
        return self.facts[name]


def record(folder: Path, source: Source | None = None) -> tuple[Machine, tuple[str, ...]]:
    """Look at a machine and write down what was read.

    Args:
        folder: a new or empty folder.
        source: where to read from; this computer by default.

    Returns:
        The machine, and the files that were written, as paths in the folder.

    Raises:
        UsageError: the folder holds something already.
        ScaffoldError: it can't be written.
    """
    listener = _Listener(source or LiveSource())
    machine = detect(listener)
    if listener.outputs:
        for command in _MORE_COMMANDS:
            listener.run(command)
    files = _documents(listener)
    _write(folder, files)
    return machine, tuple(sorted(files))


def _documents(listener: _Listener) -> dict[str, str]:
    mask = anonymous.Mask.of_this_computer()
    files = {mask.path(path): mask.file(path, text) for path, text in listener.files.items() if path not in _LISTED}
    for folder, wanted in _LISTED.items():
        present = listener.folders.get(folder, ())
        files |= {f"{folder}/{name}": "" for name in wanted if name in present}
    files |= {name: mask.output(name, text) for name, text in listener.outputs.items()}
    files["platform.json"] = json.dumps(_platform(listener, mask), indent=2, ensure_ascii=False) + "\n"
    return files


def _platform(listener: _Listener, mask: anonymous.Mask) -> dict[str, Any]:
    document: dict[str, Any] = {"os": None, "arch": None, "python": None}
    document |= {name: value for name, value in listener.facts.items() if value is not None}
    environment = {name: listener.environ[name] for name in _ENVIRONMENT if name in listener.environ}
    if environment:
        document["environ"] = {name: mask.variable(name, value) for name, value in environment.items()}
    if listener.absent:
        document["absent"] = sorted(set(listener.absent))
    return document


def _write(folder: Path, files: dict[str, str]) -> None:
    import tempfile

    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not empty", hint="--record takes a new or an empty folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".scaffold-recording-", dir=folder.parent) as staging:
            made = Path(staging, "recording")
            for name, text in files.items():
                path = made / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()
            made.rename(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ScaffoldError(f"{folder} can't be written: {reason}", hint="Choose another folder.") from error
