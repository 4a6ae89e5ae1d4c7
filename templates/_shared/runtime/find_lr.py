"""A good learning rate, found by trying: `python train.py --find-lr`.

The rate rises by the same factor at every update, over six powers of ten. Far too small, nothing is learned; then the
loss falls, ever faster; then updates get too long, and it rises and breaks away. The right rate lies well before that.
The idea is Leslie N. Smith's ("Cyclical learning rates for training neural networks", 2015).
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from runtime.core import Progress
from runtime.settings import UserError

LOW, HIGH, UPDATES = 1e-6, 1.0, 100
DIVERGED = 1.5  # times the lowest loss so far: it will not come back
SAFETY = 3  # the lowest loss is reached on the edge of breaking away; training needs distance from it
HALF = 4  # updates to either side that are averaged; before the rate has an effect, batches differ more than that


@dataclass(frozen=True)
class Sweep:
    """The rates that were tried, the loss at each, and the loss smoothed."""

    rates: list[float]
    losses: list[float]
    smooth: list[float]
    stopped: bool  # whether the loss broke away before the highest rate

    @property
    def lowest(self) -> int:
        """Where the smoothed loss is lowest."""
        return min(range(len(self.smooth)), key=self.smooth.__getitem__)

    @property
    def steepest(self) -> int:
        """Where it falls fastest on the way there."""
        slopes = [after - before for before, after in zip(self.smooth, self.smooth[1:], strict=False)]
        return min(range(max(1, self.lowest)), key=slopes.__getitem__)

    @property
    def suggestion(self) -> float:
        """A third of the rate of the lowest loss, to one significant digit."""
        rate = self.rates[self.lowest] / SAFETY
        power = 10.0 ** math.floor(math.log10(rate))
        return float(f"{round(rate / power) * power:.0e}")


def sweep(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any], update: Callable[[], float]
) -> Sweep:
    """Call `update()`, which trains on the next batch and returns the loss, with ever higher rates.

    `state` holds the optimizer, the scheduler and what else training keeps. Model, state and random numbers are
    afterwards as they were. Raises UserError when the loss never falls.
    """
    before = copy.deepcopy((model.state_dict(), {name: it.state_dict() for name, it in state.items()}))
    kind = next(model.parameters()).device.type
    devices = [] if kind == "cpu" else [torch.accelerator.current_device_index()]
    python = random.getstate()
    try:
        with torch.random.fork_rng(devices=devices, device_type=kind):
            found = _climb(optimizer, update)
    finally:
        random.setstate(python)
        model.load_state_dict(before[0])
        for name, it in state.items():
            it.load_state_dict(before[1][name])
    if found.lowest < HALF or not found.smooth[found.lowest] < found.smooth[0]:
        raise UserError("the loss never falls: look at the data and the model before the learning rate")
    return found


def _climb(optimizer: torch.optim.Optimizer, update: Callable[[], float]) -> Sweep:
    rates: list[float] = []
    losses: list[float] = []
    stopped, progress = False, Progress(UPDATES, unit="updates")
    for number in range(UPDATES):
        rate = LOW * (HIGH / LOW) ** (number / (UPDATES - 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = update()
        if not math.isfinite(loss):
            stopped = True
            break
        rates.append(rate)
        losses.append(loss)
        progress.update(number + 1, loss, 1)
        recent = sum(losses[-HALF:]) / len(losses[-HALF:])
        if number >= 2 * HALF and recent > DIVERGED * min(smoothed(losses)[:-HALF]):
            stopped = True
            break
    return Sweep(rates, losses, smoothed(losses), stopped)


def smoothed(losses: Sequence[float]) -> list[float]:
    """Each loss averaged with its neighbours on both sides: an average of those before it alone would lag behind."""
    parts = [losses[max(0, at - HALF) : at + HALF + 1] for at in range(len(losses))]
    return [sum(part) / len(part) for part in parts]


def report(found: Sweep, key: str, configured: float, png: Path) -> str:
    """Draw the curve and say what follows from it; `key` is the setting in config.toml and `configured` its value."""
    draw(found, key, configured, png)
    end = f"broke away at {found.rates[-1]:.1e}" if found.stopped else f"had not broken away by {found.rates[-1]:.1e}"
    return (
        f"\nThe loss began to fall fastest at {found.rates[found.steepest]:.1e}, was lowest at "
        f"{found.rates[found.lowest]:.1e} and {end}.\n"
        f"Suggestion: {key} = {found.suggestion:g}, a third of where it was lowest: fast, and off the edge.\n"
        f"config.toml says {configured:g}. Nothing was changed. The curve: {png}"
    )


def draw(found: Sweep, key: str, configured: float, png: Path) -> None:
    """Draw the losses, the smoothed curve, the suggestion and what config.toml says."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.semilogx(found.rates, found.losses, ".", color="tab:blue", alpha=0.35, label="loss of each batch")
    axes.semilogx(found.rates, found.smooth, color="tab:blue", label="smoothed")
    axes.axvline(found.suggestion, color="tab:green", label=f"suggestion {found.suggestion:g}")
    axes.axvline(configured, color="tab:gray", linestyle="--", label=f"config.toml {configured:g}")
    low, high = min(found.losses), max(found.smooth[: found.lowest + 1])
    axes.set_ylim(low - 0.1 * (high - low), high + 0.4 * (high - low))
    axes.set(xlabel=key, ylabel="loss", title="Loss while the learning rate rises")
    axes.grid(alpha=0.3)
    axes.legend()
    png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=120)
    pyplot.close(figure)
