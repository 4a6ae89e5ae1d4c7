"""--find-lr finds the edge, keeps its distance, and leaves everything as it was."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import pytest
import torch

from runtime.find_lr import HIGH, LOW, SAFETY, UPDATES, Sweep, report, smoothed, sweep
from runtime.settings import UserError


class Slope:
    """A linear model that learns to halve, as `sweep` wants it."""

    def __init__(self, noise: float = 0.0) -> None:
        torch.manual_seed(0)
        self.noise = noise
        self.model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.1))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.5, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1 / (step + 1))
        self.state = {"optimizer": self.optimizer, "scheduler": self.scheduler}
        self.rates: list[float] = []

    def update(self) -> float:
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        batch = torch.randn(64, 8)
        loss = (self.model(batch) - batch / 2).square().mean()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()  # sets the rate of its own next step, as in training
        self.optimizer.zero_grad()
        return loss.item() + self.noise * random.random()

    def everything(self) -> list[object]:
        states = [it.state_dict() for it in (self.model, self.optimizer, self.scheduler)]
        return copy.deepcopy([*states, torch.get_rng_state().tolist(), random.getstate()])


def test_nothing_is_changed() -> None:
    slope = Slope()
    for _ in range(3):
        slope.update()
    before = slope.everything()
    sweep(slope.model, slope.optimizer, slope.state, slope.update)
    assert str(slope.everything()) == str(before)


def test_the_rates_rise_by_one_factor_and_end_where_the_loss_breaks_away() -> None:
    slope = Slope()
    found = sweep(slope.model, slope.optimizer, slope.state, slope.update)
    factors = [after / before for before, after in zip(slope.rates, slope.rates[1:], strict=False)]
    assert slope.rates[0] == LOW
    assert factors == pytest.approx([(HIGH / LOW) ** (1 / (UPDATES - 1))] * len(factors))
    assert found.stopped
    assert len(found.rates) < UPDATES
    assert found.smooth[-1] > min(found.smooth)


def test_the_suggestion_really_trains_and_the_edge_does_not() -> None:
    found = sweep(*[getattr(Slope(), name) for name in ("model", "optimizer", "state")], Slope().update)
    results = {}
    for rate in (found.suggestion, 100 * found.rates[found.lowest]):
        slope = Slope()
        for _ in range(200):
            slope.optimizer.param_groups[0]["lr"] = rate
            loss = slope.update()
        results[rate] = loss
    assert results[found.suggestion] < 0.1
    assert not results[100 * found.rates[found.lowest]] < 1


def test_a_loss_that_is_no_number_ends_the_climb() -> None:
    slope = Slope()
    numbers = iter([*([3.0] * 5), *(3.0 - step / 50 for step in range(40)), float("nan")])
    found = sweep(slope.model, slope.optimizer, slope.state, lambda: next(numbers))
    assert found.stopped
    assert len(found.losses) == 45


def test_a_loss_that_never_falls_is_no_suggestion() -> None:
    slope = Slope()
    rising = iter(range(1, 200))
    with pytest.raises(UserError, match="never falls"):
        sweep(slope.model, slope.optimizer, slope.state, lambda: float(next(rising)))


def test_what_is_suggested_and_why(tmp_path: Path) -> None:
    rates = [10.0 ** (power / 4 - 6) for power in range(24)]
    losses = [5.0] * 8 + [5.0 - step for step in (0.2, 0.5, 1.5, 2.0, 2.4, 2.6, 2.7, 2.8)] + [2.2, 2.3, *range(4, 10)]
    found = Sweep(rates, losses, smoothed(losses), True)
    assert 1e-3 <= rates[found.lowest] <= 1e-2
    assert found.steepest < found.lowest
    assert found.suggestion == pytest.approx(rates[found.lowest] / SAFETY, rel=0.3)
    assert float(f"{found.suggestion:.0e}") == found.suggestion  # one digit: more would pretend to know
    told = report(found, "train.learning_rate", 0.002, tmp_path / "runs" / "find-lr.png")
    assert f"Suggestion: train.learning_rate = {found.suggestion:g}" in told
    assert "config.toml says 0.002" in told
    assert (tmp_path / "runs" / "find-lr.png").read_bytes().startswith(b"\x89PNG")
