"""k updates, an end of any kind, and k more: bit for bit what 2k updates in one go give."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import KEPT, passes, small_run, write_data
from safetensors.torch import load_file

from runtime.core import Metrics


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, with something to learn from. Curves take most of a small run's time: none is drawn."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Metrics, "plot", lambda *_, **__: None)
    write_data(tmp_path)


def never() -> bool:
    return False


def saved(folder: Path) -> list[str]:
    """What a run left: weights, optimizer, scheduler and random numbers, to the last bit."""
    states = [load_file(folder / name / "model.safetensors") for name in ("last", KEPT)]
    states.append(torch.load(folder / "last" / "state.pt", weights_only=True))
    torch.set_printoptions(threshold=10**9, precision=20)
    try:
        return [str(sorted(state.items())) for state in states]
    finally:
        torch.set_printoptions(profile="default")


class Killed(BaseException):
    """Ends a run where it stands, as a power cut would."""


def dies_at(run: Any, writes: int) -> Any:
    """The same run; it is killed when it has written that many rows of metrics."""
    write, left = run.metrics.write, iter(range(writes - 1))

    def write_or_die(**values: float) -> None:
        write(**values)
        if next(left, None) is None:
            raise Killed

    run.metrics.write = write_or_die
    return run


def test_stopped_anywhere_a_run_goes_on_as_if_it_had_not_been() -> None:
    plan = {"steps": 48, "every": 16, "dropout": 0.2}
    whole = small_run("whole", **plan)
    whole.train(never)
    assert passes(whole) > 2  # the ends of rounds are crossed
    half = small_run("half", **plan)
    half.train(lambda: half.step >= 19)
    random.seed(99)  # what happened in between must not matter
    torch.manual_seed(99)
    resumed = small_run("half", **plan, resume=True)
    assert resumed.step == 19
    resumed.train(never)
    assert saved(whole.folder) == saved(resumed.folder)
    assert resumed.best == whole.best
    rows = resumed.metrics.rows()
    assert all(row in rows for row in whole.metrics.rows())


@pytest.mark.parametrize("writes", [1, 2, 4])
def test_killed_while_it_writes_it_does_all_of_it_again(writes: int) -> None:
    plan = {"steps": 15, "every": 5, "dropout": 0.2}
    whole = small_run("whole", **plan)
    whole.train(never)
    killed = dies_at(small_run("killed", **plan), writes)
    with pytest.raises(Killed):
        killed.train(never)
    begun = (killed.folder / "last").exists()
    if begun:
        (killed.folder / "last").rename(killed.folder / "last.old")  # killed between two renames
    resumed = small_run("killed", **plan, resume=begun)
    assert resumed.step == 5 * (writes > 1) + 5 * (writes > 3)
    resumed.train(never)
    assert saved(whole.folder) == saved(resumed.folder)
    texts = [run.metrics.path.read_bytes() for run in (whole, resumed)]
    assert texts[0] == texts[1]


def test_a_run_that_has_ended_learns_no_more() -> None:
    plan = {"steps": 8, "every": 4}
    run = small_run("run", **plan)
    run.train(never)
    ended = saved(run.folder)
    resumed = small_run("run", **plan, resume=True)
    resumed.train(never)
    assert resumed.step == 8
    assert saved(resumed.folder) == ended
