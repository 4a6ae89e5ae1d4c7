"""k updates, an end of any kind, and k more: bit for bit what 2k updates in one go give."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train
from config import Config
from folders import RUNS
from trainer import Run

Change = Callable[..., Config]


def never() -> bool:
    return False


def begin(name: str, config: Config) -> Run:
    return Run(config, config.scratch, RUNS / name)


def saved(folder: Path, *names: str) -> list[str]:
    """What a run left: weights, optimizer, scheduler and random numbers, to the last bit."""
    states = [load_file(folder / name / "model.safetensors") for name in names]
    states.append(torch.load(folder / "last" / "state.pt", weights_only=True))
    torch.set_printoptions(threshold=10**9, precision=20)
    try:
        return [str(sorted(state.items())) for state in states]
    finally:
        torch.set_printoptions(profile="default")


class Killed(BaseException):
    """Ends a run where it stands, as a power cut would."""


def dies_at(run: Run, writes: int) -> Run:
    """The same run; it is killed when it has written that many rows of metrics."""
    write, left = run.metrics.write, iter(range(writes - 1))

    def write_or_die(**values: float) -> None:
        write(**values)
        if next(left, None) is None:
            raise Killed

    run.metrics.write = write_or_die  # type: ignore[method-assign]
    return run


def test_stopped_anywhere_a_run_goes_on_as_if_it_had_not_been(config: Config, change: Change) -> None:
    config = change(config, "train", batch_size=4, grad_accumulation=2)
    whole = begin("whole", config)
    whole.train(never)
    assert whole.step * whole.blocks.size > 2 * whole.blocks.per_round  # the ends of rounds are crossed
    halves = begin("halves", config)
    halves.train(lambda: halves.step >= 25)
    assert halves.step == 25
    random.seed(99)  # what happened in between must not matter
    torch.manual_seed(99)
    resumed = train.resume(config, "halves")
    assert resumed.step == 25
    resumed.train(never)
    assert saved(whole.folder, "last", "model") == saved(resumed.folder, "last", "model")
    assert resumed.best == whole.best
    rows = resumed.metrics.rows()
    assert all(row in rows for row in whole.metrics.rows())


@pytest.mark.parametrize("writes", [2, 4])
def test_killed_while_it_writes_it_does_all_of_it_again(config: Config, change: Change, writes: int) -> None:
    config = change(change(config, "scratch", steps=15), "train", evaluations=3)
    whole = begin("whole", config)
    whole.train(never)
    killed = dies_at(begin("killed", config), writes)
    with pytest.raises(Killed):
        killed.train(never)
    (killed.folder / "last").rename(killed.folder / "last.old")  # killed between two renames
    resumed = train.resume(config, "killed")
    assert resumed.step == 5 * (1 + (writes > 3))
    resumed.train(never)
    assert saved(whole.folder, "last", "model") == saved(resumed.folder, "last", "model")
    texts = [run.metrics.path.read_bytes() for run in (whole, resumed)]
    assert texts[0] == texts[1]
