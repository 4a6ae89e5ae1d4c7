"""k updates, an end of any kind, and k more: bit for bit what 2k updates in one go give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import MakeConfig
from safetensors.torch import load_file

from train import Run


def never() -> bool:
    return False


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


def test_stopped_anywhere_a_run_goes_on_as_if_it_had_not_been(make_config: MakeConfig, tmp_path: Path) -> None:
    train = {"steps": 24, "evaluate_every": 7, "batch_size": 32, "grad_accumulation": 2}
    config = make_config(model={"dropout": 0.2}, train=train)
    whole = Run(config, tmp_path / "whole")
    assert len(whole.train_data) // 64 < 15  # updates to an epoch: its end is crossed
    whole.train(never)
    parts = Run(config, tmp_path / "parts")
    parts.train(lambda: parts.step >= 11)
    torch.manual_seed(999)  # what happened in between must not matter
    resumed = Run(config, tmp_path / "parts", resume=True)
    assert resumed.step == 11
    resumed.train(never)
    assert saved(tmp_path / "whole", "last", "best") == saved(tmp_path / "parts", "last", "best")
    rows = resumed.metrics.rows()
    assert all(row in rows for row in whole.metrics.rows())


@pytest.mark.parametrize("writes", [1, 2, 4])
def test_killed_while_it_writes_it_does_all_of_it_again(make_config: MakeConfig, tmp_path: Path, writes: int) -> None:
    config = make_config(model={"dropout": 0.2}, train={"steps": 15, "evaluate_every": 5})
    Run(config, tmp_path / "whole").train(never)
    killed = dies_at(Run(config, tmp_path / "killed"), writes)
    with pytest.raises(Killed):
        killed.train(never)
    begun = (tmp_path / "killed" / "last").exists()
    if begun:
        (tmp_path / "killed" / "last").rename(tmp_path / "killed" / "last.old")  # killed between two renames
    resumed = Run(config, tmp_path / "killed", resume=begun)
    assert resumed.step == 5 * (writes > 1) + 5 * (writes > 3)
    resumed.train(never)
    assert saved(tmp_path / "whole", "last", "best") == saved(tmp_path / "killed", "last", "best")
    texts = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "killed")]
    assert texts[0] == texts[1]
