"""A search for settings judges by the held-out text, keeps nothing but losses, and goes on where it was stopped."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from config import Config, read_config
from models import save_pretrained

pytest.importorskip("optuna", reason="tune.py is an extra: python -m pip install optuna")

import tune
from runtime.settings import UserError
from trainer import Run

PROJECT = Path(__file__).parent.parent


def options(**values: Any) -> argparse.Namespace:
    return argparse.Namespace(**({"model": "scratch", "lora": False, "trials": 2, "steps": 10} | values))


def tuned(task: tune.Task, folder: Path, trials: int) -> tuple[dict[str, Any], float]:
    search = tune.open_search(task, folder)
    search.run(task.score, trials)
    tune.finish(search, task, PROJECT / "config.toml", folder)
    found = search.best()
    assert found is not None
    return found


def test_the_best_settings_of_a_new_model_become_a_file(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values, loss = tuned(tune.task(config, options()), tmp_path / "tuning", 2)
    assert loss < math.log(config.scratch.vocab_size)
    best = read_config(tmp_path / "tuning" / "best.toml")
    assert (best.scratch.n_layer, best.train.dropout) == (values["scratch.n_layer"], values["train.dropout"])
    assert best.finetune == read_config(PROJECT / "config.toml").finetune
    assert sorted(path.name for path in (tmp_path / "tuning").iterdir()) == ["best.toml", "trials.db", "tuning.png"]
    assert '--model "scratch"' in capsys.readouterr().out
    assert len(tune.open_search(tune.task(config, options()), tmp_path / "tuning").finished()) == 2  # it would go on


def test_the_best_settings_of_lora_become_a_file(config: Config, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    task = tune.task(config, options(model=str(folder), lora=True))
    values, _ = tuned(task, tmp_path / "tuning", 1)
    best = read_config(tmp_path / "tuning" / "best.toml")
    assert (best.finetune.method, best.lora.rank) == ("lora", values["lora.rank"])
    assert best.lora.alpha / best.lora.rank == config.lora.alpha / config.lora.rank
    assert best.lora.learning_rate == values["lora.learning_rate"]


def test_a_trial_is_judged_by_the_held_out_text_and_changes_nothing(config: Config, tmp_path: Path) -> None:
    whole = Run(config, config.scratch, tmp_path / "whole")
    trial = tune.Trial(config, config.scratch, tmp_path / "trial")
    told: list[tuple[int, float]] = []
    trial.report = lambda number, loss: told.append((number, loss))
    assert torch.equal(trial.validation, whole.validation)
    assert trial.split == whole.split
    trial.evaluate()
    assert told == []  # before the first step there is nothing to compare
    trial.step = 7
    before = [weight.clone() for weight in trial.model.parameters()]
    trial.evaluate()
    assert all(torch.equal(a, b) for a, b in zip(before, trial.model.parameters(), strict=True))
    assert told == [(1, pytest.approx(tune.validation_loss(whole.model, whole.validation, whole.dev, 8)))]
    trial.save()
    assert sorted(path.name for path in (tmp_path / "trial").iterdir()) == ["metrics.jsonl"]


def test_another_text_or_model_begins_another_search(
    config: Config, change: Callable[..., Config], folder: Path, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    (tmp_path / "other.txt").write_text("Other text. " * 100, encoding="utf-8")
    first = tune.task(config, options()).identity()
    assert tune.task(change(config, "generate", top_k=3), options()).identity() == first
    assert tune.task(change(config, "scratch", learning_rate=0.5), options()).identity() == first  # it is searched
    assert tune.task(change(config, "data", path=str(tmp_path / "other.txt")), options()).identity() != first
    tuned = tune.task(config, options(model=str(folder)))
    before = tuned.identity()
    assert before != first
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.bias[0] += 1
    save_pretrained(folder, model, tokenizer)
    assert tuned.identity() != before


def test_alpha_follows_the_rank(config: Config) -> None:
    assert tune.with_followers({"lora.rank": 8}, config) == {"lora.rank": 8, "lora.alpha": 16.0}
    assert tune.with_followers({"scratch.n_layer": 3}, config) == {"scratch.n_layer": 3}


def test_what_makes_no_sense_is_refused(config: Config) -> None:
    with pytest.raises(UserError, match="--steps"):
        tune.task(config, options(steps=2))
    with pytest.raises(UserError, match="nothing yet"):
        tune.task(config, options(lora=True))
    with pytest.raises(UserError, match="--model scratch"):
        tune.task(config, options(model="openai-community/gpt2"))
    assert tune.task(config, options(model=None)).method == "scratch"  # the hub is switched off
