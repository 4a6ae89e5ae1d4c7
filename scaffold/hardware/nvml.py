"""NVIDIA's management library, asked where nvidia-smi is missing but the driver is there (slim containers)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

_MIB = 1024**2
_COLUMNS = "index, name, memory.total [MiB], memory.free [MiB], driver_version, compute_cap, mig.mode.current"


def answer(argv: Sequence[str]) -> str | None:
    """Answer ``nvidia-smi --query-gpu`` as that tool would, in CSV with a header; ``None`` for any other question."""
    if not any(argument.startswith("--query-gpu") for argument in argv):
        return None
    try:
        library: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        return f"Failed to initialize NVML: {error}"
    try:
        rows = [_row(library, index) for index in range(library.nvmlDeviceGetCount())]
    except library.NVMLError as error:
        return f"Failed to initialize NVML: {error}"
    finally:
        library.nvmlShutdown()
    return "\n".join([_COLUMNS, *rows]) if rows else "No devices were found"


def _row(library: Any, index: int) -> str:
    device = library.nvmlDeviceGetHandleByIndex(index)

    def ask(question: Callable[[], Any]) -> Any:
        try:
            return question()
        except library.NVMLError:
            return None

    memory = ask(lambda: library.nvmlDeviceGetMemoryInfo(device))
    capability = ask(lambda: library.nvmlDeviceGetCudaComputeCapability(device))
    mig = ask(lambda: library.nvmlDeviceGetMigMode(device))
    name = ask(lambda: library.nvmlDeviceGetName(device))
    driver = ask(library.nvmlSystemGetDriverVersion)
    fields = (
        str(index),
        _text(name),
        "[N/A]" if memory is None else f"{memory.total // _MIB} MiB",
        "[N/A]" if memory is None else f"{memory.free // _MIB} MiB",
        _text(driver),
        "[N/A]" if capability is None else f"{capability[0]}.{capability[1]}",
        "[N/A]" if mig is None else ("Enabled" if mig[0] else "Disabled"),
    )
    return ", ".join(fields)


def _text(value: Any) -> str:
    if value is None:
        return "[N/A]"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
