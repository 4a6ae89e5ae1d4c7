"""Two processes against one: how many more symbols a second the transformer starter learns from, one thread each.

Run: python benchmarks/ranks.py [--pairs N] [--steps N] [--set KEY=VALUE ...]

Both run in turn, N times, as whole processes that report their own rate after their first updates. The effective batch
is the same. The machine needs two cores that nothing else keeps busy; where others do, the ratio says how much of them
was free rather than what DDP costs, so the load is printed as well. Goal: at least 1.6.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from scaffold.hardware.targets import load
from scaffold.projects.create import Choices, create
from scaffold.projects.template import load_template

GOAL = 1.6
# Times a run's updates between the tenth and the last, with nothing else: no judging, no saving.
TIMING = """
import sys, time
from pathlib import Path
from runtime.settings import main_guard
from config import read_config
from data import BucketSampler, training_batches
from runtime.distributed import together
from train import Run

def main():
    config = read_config(Path("config.toml"))
    with together("none", "cpu") as ranks:
        run = Run(config, Path("out"), ranks=ranks)
        effective = config.train.batch_size * config.train.grad_accumulation
        sampler = BucketSampler(run.train_data, effective, config.train.seed, ranks=ranks)
        batches = training_batches(run.train_data, sampler, 0, pin=False)
        run.trainer.model.train()
        seen = 0
        for step in range(int(sys.argv[1])):
            if step == 10:
                ranks.wait()
                begun, busy = time.perf_counter(), time.process_time()
            source, target = next(batches)
            run.trainer.update(source, target)
            seen += (step >= 10) * int((source != 0).sum() + (target != 0).sum())
        ranks.wait()
        took = time.perf_counter() - begun
        [all_seen, shares] = ranks.total(seen, (time.process_time() - busy) / took)
        print("rate", all_seen / took, shares / ranks.size)

main_guard(main)
"""


def project(folder: Path, settings: dict[str, str]) -> Path:
    """A transformer project whose driver is timing.py."""
    create(
        load_template("transformer"), folder, load("cpu-8gb"), [], Choices(target="cpu-8gb", git=False, set=settings)
    )
    text = (folder / "config.toml").read_text(encoding="utf-8").replace("probe = true", "probe = false")
    (folder / "config.toml").write_text(text, encoding="utf-8")
    (folder / "timing.py").write_text(TIMING, encoding="utf-8")
    return folder


def measure(folder: Path, processes: int, steps: int) -> tuple[float, float]:
    """(symbols a second, share of a core that each process got)."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    answer = subprocess.run(
        [*launcher, "timing.py", str(steps)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^rate (\S+) (\S+)$", answer.stdout, re.MULTILINE)
    if not found:
        raise SystemExit(answer.stdout + answer.stderr)
    return float(found[1]), float(found[2])


def main() -> None:
    parser = argparse.ArgumentParser(description="Two processes against one, a thread each.")
    parser.add_argument("--pairs", type=int, default=5, help="how often each runs")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--set", nargs="*", default=["preset=small", "batch_size=32"], help="the project's settings")
    options = parser.parse_args()
    settings = dict(pair.split("=", 1) for pair in options.set)
    with tempfile.TemporaryDirectory() as parent:
        folder = project(Path(parent) / "project", settings)
        print(f"{' '.join(options.set)}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
        ratios = []
        for _ in range(options.pairs):
            (one, share), (two, shares) = (measure(folder, count, options.steps) for count in (1, 2))
            ratios.append(two / one)
            print(
                f"one process {one:8,.0f} symbols/s ({share:.0%} of a core), two {two:8,.0f} ({shares:.0%} of a core "
                f"each): {two / one:.2f} x, load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    print(f"median {statistics.median(ratios):.2f} x, goal {GOAL}")


if __name__ == "__main__":
    main()
