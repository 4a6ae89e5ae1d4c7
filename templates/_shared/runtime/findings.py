"""What probe.py measured on this machine: kept in runs/probe.json, and what it changes of the plan in config.toml."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import platform
from pathlib import Path
from typing import Any, TypeVar

import torch

from runtime.core import usable_threads

PAYS = 1.3  # times faster before the plan is overruled: noise and close calls leave it as it is
WIDTHS = (64, 128, 256, 512)  # of the layers that are timed
FILE = "probe.json"

M = TypeVar("M")


@dataclasses.dataclass(frozen=True)
class Findings:
    """What was measured.

    `figures` maps names such as "product fp32 2" (on two threads) and "step bf16 cuda 512" (a layer 512 wide) to
    billions a second: multiplications and additions in products and steps, bytes in reading. "core" in place of the
    threads counts the time of one processor, without waiting for it. `compiler` says what keeps torch.compile from
    working; empty, nothing does.
    """

    figures: dict[str, float]
    compiler: str

    def get(self, *key: object) -> float | None:
        return self.figures.get(" ".join(map(str, key)))


def thread_counts() -> list[int]:
    """One, all that may be used, and half of them where two threads may share a core."""
    usable = usable_threads()
    return sorted({1, usable // 2 if usable >= 4 else 1, usable})


def this_machine() -> str:
    """What the findings belong to. A name would tell more about the owner, and less about the speed."""
    found = torch.accelerator.current_accelerator(check_available=True)
    device = "no accelerator"
    if found:
        module = torch.get_device_module(found)
        device = module.get_device_name() if hasattr(module, "get_device_name") else found.type
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{_processor()}, {usable_threads()} threads, {instructions}, {device}, torch {torch.__version__}"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def kept(file: Path) -> Findings | None:
    """The findings about this machine in `file`; None where there are none, or where the file is damaged."""
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))[this_machine()]
        figures = {str(name): float(value) for name, value in entry["figures"].items()}
        whole = min(figures.values()) > 0 and "step fp32 core 64" in figures
        return Findings(figures, str(entry["compiler"])) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def keep(findings: Findings, file: Path) -> None:
    """Add the findings to those of other machines that use this folder. Where nothing can be written, nothing is."""
    others: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        read = json.loads(file.read_text(encoding="utf-8"))
        others = read if isinstance(read, dict) else {}
    text = json.dumps(others | {this_machine(): dataclasses.asdict(findings)}, ensure_ascii=False, indent=1)
    fresh = file.with_name(f"{file.name}.{os.getpid()}.new")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(file)


def overrule(machine: M, width: int, findings: Findings) -> tuple[M, list[str]]:
    """The [machine] settings with what the findings clearly speak against changed, and a line about each change."""
    plan: Any = machine
    width = max((known for known in WIDTHS if known <= width), default=min(WIDTHS))
    found = torch.accelerator.current_accelerator(check_available=True)
    where = found.type if found and plan.device != "cpu" else "cpu"
    changes: dict[str, Any] = {}
    notes = []
    precision, gain = _better_precision(plan.precision, where, width, findings)
    if precision != plan.precision:
        changes["precision"] = precision
        names = (precision, plan.precision) if plan.precision == "fp32" else (plan.precision, precision)
        ratio = gain if plan.precision == "fp32" else 1 / gain
        notes.append(f"{names[0]} measured {ratio:.2g} x {names[1]} here: computing in {precision}")
    if where == "cpu" and not os.environ.get("OMP_NUM_THREADS"):
        planned = min(plan.threads or torch.get_num_threads(), usable_threads())
        threads, gain = _better_threads(planned, width, findings)
        if threads != planned:
            changes["threads"] = threads
            notes.append(f"{_threads(planned)} measured {1 / gain:.2g} x of {threads}: training on {threads}")
    if plan.compile and findings.compiler:
        changes["compile"] = False
        notes.append(f"torch.compile would fail here ({findings.compiler}): running without")
    return dataclasses.replace(plan, **changes), notes


def _better_precision(plan: str, where: str, width: int, findings: Findings) -> tuple[str, float]:
    """(the precision to compute in, how many times faster than the planned one it is).

    A GPU keeps 16 bits that were planned: it is done with a layer before the next call comes, so that what was timed is
    mostly the calls, and 16 bits take more of them.
    """
    if where != "cpu" and plan != "fp32":
        return plan, 1.0
    place = "core" if where == "cpu" else where
    speeds = {name: findings.get("step", name, place, width) or 0.0 for name in ("fp32", "bf16", plan)}
    best = max(("fp32", "bf16"), key=lambda name: speeds[name])
    return (best, speeds[best] / speeds[plan]) if 0 < PAYS * speeds[plan] <= speeds[best] else (plan, 1.0)


def _better_threads(planned: int, width: int, findings: Findings) -> tuple[int, float]:
    """(how many threads to train on, how many times faster than on the planned number that is).

    It is the mean over layers about this wide: threads that wait for a busy processor make single figures jump.
    """
    near = [known for known in WIDTHS if width // 2 <= known <= 2 * width]
    speeds = {}
    for count in thread_counts():
        figures = [findings.get("step fp32", count, known) or 0.0 for known in near]
        speeds[count] = math.prod(figures) ** (1 / len(figures))
    mine = speeds[min(speeds, key=lambda count: abs(count - planned))]
    best = max(speeds, key=lambda count: speeds[count])
    return (best, speeds[best] / mine) if 0 < PAYS * mine <= speeds[best] else (planned, 1.0)


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"
