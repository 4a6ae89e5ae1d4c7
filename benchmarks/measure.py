"""Measuring whole processes side by side: interleaved, so that a busy machine slows all alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def interleaved(
    commands: Mapping[str, Sequence[str]], rounds: int, environment: Mapping[str, str], folder: Path
) -> dict[str, float]:
    """Median wall time of each command in seconds, over `rounds` rounds that run all of them in turn.

    Raises:
        subprocess.CalledProcessError: if a command fails, with what it printed.
    """
    # Without compiled files every start is several times slower, and nobody's installation is like that.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"} | dict(environment)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(list(command), check=True, capture_output=True, env=env, cwd=folder)
            if number:  # the first round warms the caches
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def print_ratios(times: Mapping[str, float], floor: str, goals: Mapping[str, float]) -> None:
    """A table: each command's time, how many times the floor it is, and its goal."""
    width = max(len(name) for name in times)
    print(f"{'':{width}}  {'ms':>8}  {'× floor':>8}  goal")
    for name, seconds in times.items():
        ratio = seconds / times[floor]
        goal = f"≤ {goals[name]:g} {'ok' if ratio <= goals[name] else 'MISSED'}" if name in goals else ""
        print(f"{name:{width}}  {seconds * 1000:8.1f}  {ratio:8.2f}  {goal}")
