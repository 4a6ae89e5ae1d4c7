"""How much memory training really took, beside what runtime/memory.py predicts.

On a GPU the device's own statistics tell; on Linux's CPU side the system counts what the process holds at most.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from pathlib import Path

import torch

from runtime.core import Device
from runtime.memory import Training

_M_MMAP_THRESHOLD = -3  # mallopt's name for the size from which glibc gives a block back as soon as it is free
_SMALLEST_BLOCK = 64 * 1024
# What torch loads with the first update, measured: its compiler, unless that is there already, and the rest.
_COMPILER = 72 * 1024**2
_LIBRARIES = 18 * 1024**2


def return_blocks_at_once() -> None:
    """Let glibc give freed blocks back at once. It saves a third of the memory and more, and costs time.

    Left alone, its heap keeps holes between the long-lived blocks. Where there is no glibc, this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_MMAP_THRESHOLD, _SMALLEST_BLOCK)


def give_back(device: torch.device) -> None:
    """Let a GPU's memory that nothing needs count as free: what torch keeps for later, and what an earlier training in
    this process left in objects that know each other."""
    if device.type != "cpu":
        gc.collect()
        torch.get_device_module(device).empty_cache()  # torch.accelerator's own knows nothing of Apple's memory


def training_on(dev: Device, dropout: float, *, checkpointing: bool, accumulating: bool, shards: int = 1) -> Training:
    """What runtime/memory.py has to know about how this run trains.

    On a CPU torch's fused attention works without dropout only; of GPUs, NVIDIA's are sure to have it.
    """
    kind = dev.device.type
    fused = not dropout if kind == "cpu" else kind == "cuda" and torch.version.hip is None
    return Training(kind, dev.precision, checkpointing, accumulating, fused, shards)


class PeakMemory:
    """Measures from where it is made until `stop()`; of the model, `already` bytes may lie in memory before."""

    def __init__(self, device: torch.device, already: int = 0) -> None:
        self.device = device
        self.most: int | None = None
        self.before = 0
        self.stopped = False
        if device.type in ("cuda", "xpu"):
            torch.accelerator.reset_peak_memory_stats(device)
        elif device.type == "cpu":
            loading = _LIBRARIES + (0 if "torch._dynamo" in sys.modules else _COMPILER)
            self.before = (_resident("VmRSS") or 0) - already + loading
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak of the start

    def stop(self) -> None:
        """Take the reading; later calls change nothing. Judging a model takes memory too, but other memory."""
        if self.stopped:
            return
        self.stopped = True
        if self.device.type in ("cuda", "xpu"):
            self.most = int(torch.accelerator.max_memory_allocated(self.device))
        elif self.device.type == "cpu":
            self.most = _resident("VmHWM")

    def report(self, predicted: int) -> str:
        """One line: measured and predicted, `predicted` being the bytes of a step without the process itself."""
        wanted = f"predicted {_megabytes(self.before + predicted)}"
        if not self.stopped:
            return f"memory: {wanted}; not measured, for no update was left to make"
        if self.most is None:
            return f"memory: {wanted}; {self.device.type} on {sys.platform} does not tell what was used"
        process = f", of which Python and its libraries {_megabytes(self.before)}" if self.before else ""
        off = (self.before + predicted) / self.most - 1
        return f"memory: at most {_megabytes(self.most)} in training, {wanted} ({off:+.0%}){process}"


def _resident(key: str) -> int | None:
    """A figure of this process's memory in bytes, None where the system has no such file."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)


def _megabytes(size: int) -> str:
    return f"{size / 1024**2:,.0f} MB"
