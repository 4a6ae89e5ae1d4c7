"""What Windows knows: it has no files to read, so psutil and the registry answer. Imported on Windows only."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any


def fact(name: str) -> str | int | None:
    """One of ``Source.fact``'s Windows names; ``None`` for any other."""
    psutil: Any = importlib.import_module("psutil")
    if name == "memory_total_bytes":
        return int(psutil.virtual_memory().total)
    if name == "memory_available_bytes":
        return int(psutil.virtual_memory().available)
    if name in ("physical_cores", "logical_cores"):
        count = psutil.cpu_count(logical=name == "logical_cores")
        return None if count is None else int(count)
    if name == "usable_cores":
        return len(psutil.Process().cpu_affinity())
    if name == "cpu_name":
        return _cpu_name()
    return None


def _cpu_name() -> str | None:
    winreg: Any = importlib.import_module("winreg")
    with contextlib.suppress(OSError):
        key = winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0")
        return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    return None
