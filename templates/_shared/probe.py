"""What this machine really does: `python probe.py` measures it in about two seconds and says what follows for training.

config.toml was planned from what a processor is called and which instructions it lists. Whether 16-bit numbers and a
second thread pay is another matter: it depends on the width of the model, and on who else is computing. So the first
training measures too, keeps the result in runs/probe.json, and lets it overrule `precision` and `threads` where the
difference is large. `probe = false` in config.toml keeps what stands there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runtime.settings import main_guard  # isort: skip (before torch: see there)

import torch
from torch import nn

from runtime.core import Device, choose_device, find_compiler, set_threads
from runtime.findings import FILE, WIDTHS, Findings, keep, kept, overrule, this_machine, thread_counts
from runtime.peak import give_back

SECONDS = 2.0  # for all of it together
ROUNDS, PATIENCE = 6, 3  # so many rounds where that takes no more than PATIENCE x SECONDS: on a busy machine all differ
SIZE = 768  # of the square matrices: big enough for full speed, small enough for slow machines
TOKENS = dict(zip(WIDTHS, (512, 256, 128, 64), strict=True))  # width of a layer -> tokens in a step
READ = 2**25  # numbers of 4 bytes: more than processors keep close at hand


@dataclasses.dataclass
class Job:
    """Something to time: how many billions of operations or bytes it is, and on how many threads it runs."""

    work: float
    threads: int
    run: Callable[[], object]
    times: list[float] = dataclasses.field(default_factory=list)
    worked: list[float] = dataclasses.field(default_factory=list)  # the time without waiting for a processor

    def measure(self) -> None:
        torch.set_num_threads(self.threads)
        begin, processor = time.perf_counter(), time.process_time()
        self.run()
        self.times.append(time.perf_counter() - begin)
        self.worked.append(time.process_time() - processor)

    @property
    def speed(self) -> float:
        return self.work / statistics.median(self.times[1:] or self.times)  # the first one also prepares

    @property
    def core_speed(self) -> float:
        """What one core does whatever else the machine does: right for comparing kinds of work, on one thread."""
        return self.work / max(statistics.median(self.worked[1:] or self.worked), 1e-9)


def measure(seconds: float = SECONDS) -> Findings:
    """Time every job in turn, round after round, so that a neighbour's work slows all of them alike."""
    threads = torch.get_num_threads()
    found = torch.accelerator.current_accelerator(check_available=True)
    devices = [torch.accelerator.current_device_index()] if found else []
    with torch.random.fork_rng(devices=devices):  # training's random numbers stay as they are
        begun = time.perf_counter()
        jobs = dict(_all_jobs())
        for number in range(10**9):
            late = (time.perf_counter() - begun) / max(seconds, 1e-9)
            if number >= 2 and (late > PATIENCE or (late > 1 and number >= ROUNDS)):
                break
            for job in jobs.values():
                job.measure()
    torch.set_num_threads(threads)
    figures = {name: _rounded(job.speed) for name, job in jobs.items()}
    for precision in ("fp32", "bf16"):
        for width in WIDTHS:
            figures[f"step {precision} core {width}"] = _rounded(jobs[f"step {precision} 1 {width}"].core_speed)
    return Findings(figures, compiler_trouble())


def _all_jobs() -> Iterator[tuple[str, Job]]:
    cpu = torch.device("cpu")
    for count in thread_counts():
        for precision in ("fp32", "bf16"):
            yield f"product {precision} {count}", _product(cpu, precision, count)
        numbers = torch.ones(READ)
        yield f"read {count}", Job(numbers.nbytes / 1e9, count, numbers.sum)
        for width, tokens in TOKENS.items():
            yield f"step fp32 {count} {width}", _step(cpu, "fp32", count, width, tokens)
    for width, tokens in TOKENS.items():
        yield f"step bf16 1 {width}", _step(cpu, "bf16", 1, width, tokens)
    found = torch.accelerator.current_accelerator(check_available=True)
    if found:
        for precision in ("fp32", "bf16", "fp16"):
            with contextlib.suppress(RuntimeError, TypeError):  # not every device knows every type
                job = _product(found, precision, 1, size=4 * SIZE)
                job.run()
                yield f"product {precision} {found.type}", job
            for width, tokens in TOKENS.items():
                with contextlib.suppress(RuntimeError, TypeError):
                    job = _step(found, precision, 1, width, 32 * tokens)
                    job.run()
                    yield f"step {precision} {found.type} {width}", job


def _rounded(speed: float) -> float:
    return round(speed, 1) if speed < 100 else round(speed)


def _dtype(precision: str) -> torch.dtype:
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _product(device: torch.device, precision: str, threads: int, size: int = SIZE) -> Job:
    matrix = torch.randn(size, size, device=device, dtype=_dtype(precision))

    def run() -> None:
        matrix @ matrix
        _wait(device)

    return Job(2 * size**3 / 1e9, threads, run)


def _step(device: torch.device, precision: str, threads: int, width: int, tokens: int) -> Job:
    """Forward and backward through one layer of a transformer: what training really does, small operations and all."""
    layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True, norm_first=True).to(device)
    batch = torch.randn(tokens // 32, 32, width, device=device)

    def run() -> None:
        with torch.autocast(device.type, dtype=_dtype(precision), enabled=precision != "fp32"):
            loss = layer(batch).float().square().mean()
        loss.backward()
        layer.zero_grad(set_to_none=True)
        _wait(device)

    weights = sum(weight.numel() for weight in layer.parameters())
    return Job(6 * weights * tokens / 1e9, threads, run)


def compiler_trouble() -> str:
    """Why torch.compile would fail here, "" if it would not: build what it builds, a library that Python can load.

    The usual trouble is a compiler without Python's header files.
    """
    found = torch.accelerator.current_accelerator(check_available=True)
    kind = found.type if found else "cpu"
    compiler = find_compiler(kind)
    if compiler is None:
        return "no compiler is installed"
    if os.name == "nt":
        return ""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cpp" if kind == "cpu" else "probe.c")
        source.write_text("#include <Python.h>\nint probe(void) { return 0; }\n", encoding="ascii")
        openmp = ["-fopenmp"] if kind == "cpu" and sys.platform == "linux" else []
        include = f"-I{sysconfig.get_path('include')}"
        command = [compiler, *openmp, include, "-shared", "-fPIC", str(source), "-o", str(source.with_suffix(".so"))]
        if sys.platform == "darwin":
            command += ["-undefined", "dynamic_lookup"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    complaint = next((line for line in answer.stderr.splitlines() if "error" in line), "the compiler failed")
    return complaint.split("error: ", 1)[-1] if answer.returncode else ""


def settle(machine: Any, width: int, folder: Path) -> Device:
    """Set the threads and return the device to train a model of this width on, by the [machine] settings.

    What was measured here may overrule these; the device's note tells. The first time this measures, and keeps the
    findings in `folder`. Processes that train together (torchrun) would only measure each other: they take what is
    kept, or the plan.
    """
    wanted, findings = machine, None
    notes: list[str] = []
    if wanted.probe:
        findings = kept(folder / FILE)
        if findings is None and int(os.environ.get("WORLD_SIZE", "1")) == 1:
            print("measuring what this machine does best, this once (python probe.py shows it)", flush=True)
            findings = measure()
            keep(findings, folder / FILE)
    if findings:
        wanted, notes = overrule(wanted, width, findings)
    set_threads(wanted.threads)
    compile, measured = wanted.compile, findings is not None
    dev = choose_device(wanted.device, wanted.precision, tf32=wanted.tf32, compile=compile, measured=measured)
    give_back(dev.device)  # what measuring or an earlier trial took: the micro-batch goes by what is free
    return dataclasses.replace(dev, note="; ".join(filter(None, [*notes, dev.note])) or None)


def table(findings: Findings) -> str:
    """The findings as a person reads them."""
    found = torch.accelerator.current_accelerator(check_available=True)
    places = {str(count): f"{count} thread{'s' * (count > 1)}" for count in thread_counts()}
    places |= {found.type: found.type} if found else {}
    rows = [
        ("matrix products in fp32 (32 bits)", "product fp32 {}", "GFLOP/s"),
        ("matrix products in bf16 (16 bits)", "product bf16 {}", "GFLOP/s"),
        *((f"training a layer {width} wide, {name}", f"step {name} {{}} {width}", "GFLOP/s")
          for width in TOKENS for name in ("fp32", "bf16")),
        ("reading memory", "read {}", "GB/s"),
    ]  # fmt: skip
    lines = [f"{'':36}" + "".join(f"{name:>12}" for name in places.values())]
    for title, key, unit in rows:
        cells = [findings.get(key.format(place)) for place in places]
        lines.append(f"{title:36}" + "".join(f"{cell or '-':>12}" for cell in cells) + f"  {unit}")
    lines.append(f"torch.compile: {findings.compiler or 'a compiler is here and builds what it writes'}")
    return "\n".join(lines)


def main() -> int:
    print(f"{this_machine()}\n", flush=True)
    findings = measure()
    keep(findings, Path("runs") / FILE)
    print(table(findings))
    print(
        "\nGFLOP/s are billions of multiplications and additions a second; training is little else. Reading memory\n"
        "bounds writing text: a model reads all its weights for every token. Narrow layers are too small for 16 bits\n"
        "or a second thread to pay, wide ones may gain much. train.py goes by these figures from now on, unless\n"
        "config.toml says probe = false. Were other programs busy just now? Then measure again when they are done."
    )
    return 0


if __name__ == "__main__":
    main_guard(main)
