"""What a training script needs around its model: device, memory, metrics, progress.

Nothing in this file knows which model is trained. Skim it; the lesson is in the other files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import math
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from runtime.settings import DivergedError

TENSOR_CORES = (7, 0)  # the compute capability of the first NVIDIA cards that have them


@dataclasses.dataclass(frozen=True)
class Device:
    """Where the model runs and in which numbers; `note` says what had to differ from the settings, and why."""

    device: torch.device
    precision: str  # fp32, bf16 or fp16
    dtype: torch.dtype  # what autocast computes in
    note: str | None
    compile: bool = False  # whether torch.compile is wanted and possible


def choose_device(
    device: str, precision: str, *, tf32: bool = False, compile: bool = False, measured: bool = False
) -> Device:
    """The configured device, precision and compiling, or the nearest that this machine really has.

    bf16 counts only where the hardware has units for it (emulated it is slower than fp32), on a CPU also where what was
    `measured` did not speak against it; fp16 stays off the CPU.
    """
    notes = []
    found = torch.accelerator.current_accelerator(check_available=True)
    kind = found.type if found and device != "cpu" else "cpu"
    if kind != device:
        notes.append(f"config.toml asks for {device}, which torch does not find here: running on {kind}")
    if not _pays(precision, kind, measured=measured):
        tensor_cores = kind == "cuda" and torch.cuda.get_device_capability() >= TENSOR_CORES
        nearest = "fp16" if tensor_cores else "bf16" if kind == "xpu" else "fp32"
        notes.append(f"config.toml asks for {precision}, which does not suit this {kind}: computing in {nearest}")
        precision = nearest
    if compile and (trouble := _compiling_trouble(kind)):
        notes.append(f"config.toml asks for compile, but {trouble}: running without")
        compile = False
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return Device(torch.device(kind), precision, dtype, "; ".join(notes) or None, compile)


def _pays(precision: str, kind: str, *, measured: bool) -> bool:
    if precision == "fp32":
        return True
    if kind == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.cuda.get_device_capability() >= TENSOR_CORES and (precision == "fp16" or has_bf16)
    if kind == "cpu" and precision == "bf16":
        return measured or any(torch.cpu.get_capabilities().get(it) for it in ("avx512_bf16", "amx_bf16", "bf16"))
    return precision == "bf16" or kind == "mps"  # scaling the loss of fp16 takes fp64, which some of Intel's lack


def _compiling_trouble(kind: str) -> str | None:
    """Why torch.compile can't work. On a GPU it goes through Triton, which looks for tensor cores and a C compiler."""
    if kind in ("cuda", "xpu") and not importlib.util.find_spec("triton"):
        return "Triton is not installed here"
    if kind == "cuda" and not torch.version.hip and torch.cuda.get_device_capability() < TENSOR_CORES:
        return "this GPU is too old for it"
    return None if find_compiler(kind) else "no C++ compiler is installed here"


def find_compiler(kind: str) -> str | None:
    """The compiler that torch.compile would call: C++ for a CPU, C for a GPU's launchers. CXX and CC name another."""
    variable, usual = ("CXX", ("g++", "clang++", "c++")) if kind == "cpu" else ("CC", ("gcc", "clang", "cc"))
    names = (os.environ.get(variable) or "", "cl") if os.name == "nt" else (os.environ.get(variable) or "", *usual)
    return next(filter(None, (shutil.which(name) for name in names if name)), None)


def autocast(dev: Device) -> torch.autocast:
    """A context that computes in the device's precision; with fp32 it does nothing."""
    return torch.autocast(dev.device.type, dtype=dev.dtype, enabled=dev.precision != "fp32")


def scaler_for(dev: Device) -> torch.amp.GradScaler:
    """fp16 gradients vanish unless the loss is scaled up first; for other precisions the scaler does nothing."""
    return torch.amp.GradScaler(dev.device.type, enabled=dev.precision == "fp16")


def usable_threads() -> int:
    """How many threads this process can really run at once: what the system allows, and a container's share of it."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # the word "max" means that there is no limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        usable = min(usable, max(1, round(int(quota) / int(period))))
    return usable


def set_threads(count: int) -> int:
    """Compute on `count` CPU threads (0: torch decides) and return the number in use.

    OMP_NUM_THREADS in the environment wins, so that a busy machine can be spared without an edit.
    """
    if count > 0 and not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(min(count, usable_threads()))
    return torch.get_num_threads()


def free_memory(dev: Device) -> int | None:
    """Bytes that are free on the device right now; None where the system does not tell."""
    try:
        if dev.device.type in ("cuda", "xpu"):
            return int(torch.get_device_module(dev.device).mem_get_info()[0])
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except (OSError, RuntimeError):  # the latter for some of Intel's GPUs
        return None
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    with contextlib.suppress(OSError, ValueError):  # a container's limit; the word "max" means that there is none
        group = Path("/sys/fs/cgroup")
        cache = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        used = int((group / "memory.current").read_text(encoding="ascii")) - int(cache["inactive_file"])
        free = min(free, int((group / "memory.max").read_text(encoding="ascii")) - used)
    return free


def fit_micro_batch(effective: int, micro: int, needs: Callable[[int], int], dev: Device, sharing: int = 1) -> int:
    """The largest micro-batch, at most `micro`, that divides the effective batch and fits into free memory.

    `needs(n)` estimates the bytes that n samples take. Gradients are summed over effective / micro steps, so a smaller
    micro-batch costs speed and changes nothing else. `sharing` processes need so much at once, each on a device of its
    own unless that is the CPU.
    """
    free = free_memory(dev)
    if free is not None and dev.device.type == "cpu":
        free //= sharing
    sizes = [size for size in range(min(micro, effective), 0, -1) if effective % size == 0]
    return next((size for size in sizes if free is None or needs(size) <= 0.8 * free), 1)


def seed_everything(seed: int) -> None:
    """Start the random generators of Python and torch (on every device) from one number."""
    random.seed(seed)
    torch.manual_seed(seed)


def check_loss(loss: float, step: int, setting: str) -> None:
    """Raise DivergedError where the loss is not a number: the weights are spoilt, and saving would spoil what is kept.

    `setting` names the learning rate in config.toml.
    """
    if not math.isfinite(loss):
        raise DivergedError(
            f"by step {step} the loss is not a number any more ({loss}), as happens when updates are too large; what "
            f"was saved before is whole. Lower {setting} (python train.py --find-lr suggests one)"
        )


class Metrics:
    """A file of one JSON object per line, and the curves drawn from it.

    The keys that `plot` knows are step, train_loss, validation_loss and score.
    """

    def __init__(self, path: Path, *, resume: bool = False, step: int | None = None, quiet: bool = False) -> None:
        """Begin the file, or with `resume` go on with it after `step`: what a killed run wrote later comes again."""
        self.path, self.quiet = path, quiet  # quiet: of several processes, only one writes
        path.parent.mkdir(parents=True, exist_ok=True)
        if quiet:
            return
        kept = [row for row in self._read() if step is None or row["step"] <= step] if resume else []
        fresh = path.with_name(path.name + ".new")
        fresh.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        fresh.replace(path)

    def write(self, **values: float) -> None:
        """Append one row; it is on the disk when this returns."""
        if self.quiet:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def rows(self) -> list[dict[str, float]]:
        """The rows in order of step. A step that was repeated after a resume counts once."""
        rows: dict[float, dict[str, float]] = {}
        for row in self._read():
            rows[row["step"]] = rows.get(row["step"], {}) | row
        return [rows[step] for step in sorted(rows)]

    def _read(self) -> list[dict[str, float]]:
        """Every whole line. The last one may be half, of a run that was killed while it wrote."""
        rows: list[dict[str, float]] = []
        with contextlib.suppress(ValueError, FileNotFoundError):
            rows.extend(map(json.loads, self.path.read_text(encoding="utf-8").splitlines()))
        return rows

    def plot(self, png: Path, *, score: str, training: str = "training", magnitudes: bool = False) -> None:
        """Draw training and validation loss and, where rows have one, the score called `score`.

        `training` names the training's loss, where it is not counted like the other. `magnitudes`: the score may span
        some, and is then drawn by them.
        """
        if self.quiet:
            return
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
        for axes, key in ((left, "train_loss"), (left, "validation_loss"), (right, "score")):
            points = [(row["step"], row[key]) for row in self.rows() if key in row]
            if points:
                label = training if key == "train_loss" else "validation"
                axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 50 else "")
        for axes, name in ((left, "loss"), (right, score)):
            axes.set(xlabel="step", ylabel=name, title=f"{name} by step")
            axes.grid(alpha=0.3)
            low, high = axes.dataLim.intervaly
            if magnitudes and axes is right and axes.lines and high > 10 * low > 0:
                axes.set_yscale("log")
            if axes.lines:
                axes.legend()
        figure.savefig(png, dpi=120)
        pyplot.close(figure)


class Progress:
    """How far, how fast, how long still: one line kept up to date at a terminal, else a line every ten seconds."""

    def __init__(self, total: int, *, start: int = 0, unit: str = "tokens", quiet: bool = False) -> None:
        self.total, self.unit, self.quiet = total, unit, quiet  # quiet: of several processes, only one speaks
        self.live = sys.stderr.isatty()
        self.every = 0.2 if self.live else 10.0
        self.begun = self.shown = time.monotonic()
        self.start, self.amount, self.width = start, 0.0, 0

    def update(self, step: int, loss: float, amount: float, *, seconds_left: float | None = None) -> None:
        """Count `amount` more units; `seconds_left` is the time limit's rest, when there is a limit."""
        self.amount += amount
        if self.quiet:
            return
        now = time.monotonic()
        if now - self.shown < self.every and step < self.total:
            return
        self.shown, elapsed = now, max(now - self.begun, 1e-9)
        left = elapsed / max(step - self.start, 1) * (self.total - step)
        left = left if seconds_left is None else max(0.0, min(left, seconds_left))
        self._write(
            f"step {step}/{self.total}  loss {loss:.4f}  {self.amount / elapsed:,.0f} {self.unit}/s  "
            f"{int(left) // 60}:{int(left) % 60:02d} left"
        )

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self.quiet:
            return
        if self.live:
            sys.stderr.write(f"\r{' ' * self.width}\r")
            sys.stderr.flush()
        print(text, flush=True)

    def _write(self, line: str) -> None:
        # Blanks cover what stood there: a console of Windows' may show the sign that erases a line instead of obeying.
        sys.stderr.write(f"\r{line:<{self.width}}" if self.live else f"{line}\n")
        sys.stderr.flush()
        self.width = len(line)


class StopRequest:
    """Set by Ctrl-C or a polite kill, so that a loop can end between two steps and save; a second one ends at once."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, *_: object) -> None:
        if self.requested and "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun may pass on what came here already
            raise KeyboardInterrupt
        self.requested = True
