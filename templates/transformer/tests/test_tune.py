"""A search for settings can be killed at any moment, judges by validation pairs only and writes what it found."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import MakeConfig

from config import read_config
from evaluate import validation_loss
from runtime.core import check_loss
from runtime.settings import UserError
from runtime.study import Report, Search, with_values, write_config

pytest.importorskip("optuna")

import tune

PROJECT = Path(__file__).parent.parent
SPACE = {"train.learning_rate": (1e-4, 1e-1), "model.dropout": [0.0, 0.1, 0.2]}
FIRST = {"train.learning_rate": 0.1, "model.dropout": 0.2}


def valley(values: dict[str, object], report: Report) -> float:
    """Best at a learning rate of 0.003 and dropout 0.1."""
    loss = abs(math.log10(float(str(values["train.learning_rate"])) / 0.003)) + abs(values["model.dropout"] - 0.1)  # type: ignore[operator]
    for number in range(1, 5):
        report(number, loss + 1 / number)
    return loss


def tried(search: Search) -> list[tuple[str, dict[str, object]]]:
    return [(trial.state.name, trial.params) for trial in search.finished()]


def test_a_killed_search_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole = Search(tmp_path / "whole.db", "same", SPACE, FIRST, seed=1)
    whole.run(valley, trials=9)
    program = f"""
from __future__ import annotations
import math, os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(PROJECT)!r})
from runtime.study import Search
SPACE, FIRST, count = {SPACE!r}, {FIRST!r}, 0
{inspect.getsource(valley)}
def deadly(values, report):
    global count
    count += 1
    if count == int(sys.argv[1]):
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return valley(values, report)
Search(Path({str(tmp_path / "parts.db")!r}), "same", SPACE, FIRST, seed=1).run(deadly, trials=9)
"""
    for survived in (0, 3):  # killed in its very first trial, then in its fourth
        answer = subprocess.run([sys.executable, "-c", program, str(survived + 1)], capture_output=True, text=True)
        assert answer.returncode in (-9, 15), answer.stderr  # as Linux and Windows tell it
    parts = Search(tmp_path / "parts.db", "same", SPACE, FIRST, seed=1)
    assert len(parts.finished()) == 3
    parts.run(valley, trials=9)
    assert tried(parts) == tried(whole)
    assert tried(parts)[0][1] == FIRST
    assert len({str(values) for _, values in tried(parts)}) == 9


def test_bad_trials_are_given_up_and_the_best_is_found(tmp_path: Path) -> None:
    search = Search(tmp_path / "trials.db", "any", SPACE, FIRST, seed=0)
    search.run(valley, trials=15)
    found = search.best()
    assert found is not None
    assert found[1] < 0.5
    assert len(search.complete()) < len(search.finished()) == 15
    search.plot(tmp_path / "tuning.png", "loss")
    assert (tmp_path / "tuning.png").stat().st_size > 10_000
    other = Search(tmp_path / "trials.db", "other data", SPACE, FIRST, seed=0)
    assert other.finished() == []
    assert other.best() is None


def test_a_damaged_file_of_trials_is_told(tmp_path: Path) -> None:
    (tmp_path / "trials.db").write_bytes(b"something else")
    with pytest.raises(UserError, match=r"trials\.db can't be used: file is not a database\. Is the disk full"):
        Search(tmp_path / "trials.db", "any", SPACE, FIRST, seed=0)


def test_a_file_of_trials_that_can_t_be_written_any_more_is_told(tmp_path: Path) -> None:
    search = Search(tmp_path / "trials.db", "any", SPACE, FIRST, seed=0)
    search.run(valley, trials=1)
    (tmp_path / "trials.db").write_bytes(b"")
    with pytest.raises(UserError, match=r"trials\.db can't be used: no such table"):
        search.run(valley, trials=2)


@pytest.mark.parametrize("noticed", ["reported", "by training", "in the end"])
def test_a_loss_that_is_no_number_is_a_bad_trial_and_no_end(tmp_path: Path, noticed: str) -> None:
    def score(values: dict[str, object], report: Report) -> float:
        if noticed == "reported":
            report(1, math.nan)
        if noticed == "by training":
            check_loss(math.nan, 1, "train.learning_rate")
        return math.nan

    search = Search(tmp_path / "trials.db", "any", SPACE, FIRST, seed=0)
    search.run(score, trials=3)
    assert [trial.state.name for trial in search.finished()] == ["PRUNED"] * 3
    assert search.best() is None


def test_trials_train_and_the_best_settings_become_a_file(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = make_config(train={"steps": 16})
    search = tune.open_search(config, tmp_path / "tuning", 16)
    tune.tune(search, config, tmp_path / "tuning", 2, 16)
    tune.finish(search, config, PROJECT / "config.toml", tmp_path / "tuning")
    values, loss = search.best() or ({}, math.nan)
    assert loss < 5
    best = read_config(tmp_path / "tuning" / "best.toml")
    assert best == with_values(read_config(PROJECT / "config.toml"), tune.with_followers(values, config))
    said = [
        [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        for path in (PROJECT / "config.toml", tmp_path / "tuning" / "best.toml")
    ]
    assert said[0] == said[1]
    assert sorted(path.name for path in (tmp_path / "tuning").iterdir()) == ["best.toml", "trials.db", "tuning.png"]


def test_a_smaller_batch_gets_more_updates_in_the_end_as_well(make_config: MakeConfig) -> None:
    config = make_config(train={"steps": 100, "batch_size": 8, "evaluate_every": 20})
    first = {name: getattr(getattr(config, name.split(".")[0]), name.split(".")[1]) for name in tune.space(config)}
    half = with_values(config, tune.with_followers(first | {"train.batch_size": 4}, config))
    assert (half.train.steps, half.train.evaluate_every) == (200, 40)
    assert with_values(config, tune.with_followers(first, config)) == config


def test_every_trial_sees_as_many_pairs_and_never_the_held_out_ones(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(train={"steps": 100})
    for batch_size in (8, 16, 32):
        values = {"train.batch_size": batch_size, "model.d_model": 64}
        made = tune.trial_config(config, values, 80)
        assert made.train.steps * batch_size == 80 * 16
        assert made.model.feedforward == 2 * made.model.d_model
    trial = tune.Trial(tune.trial_config(config, values, 16), tmp_path / "trial")
    trial.report = lambda number, loss: None
    heldout = set(trial.split.heldout)
    assert not heldout & set(trial.split.validation)
    before = [weight.clone() for weight in trial.trainer.model.parameters()]
    trial.evaluate()
    assert trial.loss == validation_loss(trial.trainer.model, trial.validation_data, trial.dev)
    assert all(torch.equal(a, b) for a, b in zip(before, trial.trainer.model.parameters(), strict=True))


def test_a_setting_without_a_line_of_its_own_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[model]\nheads = 4\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"does not have train\.heads"):
        write_config(tmp_path / "config.toml", tmp_path / "best.toml", {"train.heads": 8})
    assert not (tmp_path / "best.toml").exists()
