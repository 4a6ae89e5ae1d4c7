"""Training learns, loses nothing when it is interrupted, and is judged honestly."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import SMALL, MakeConfig

from data import PAD, collate
from evaluate import evaluating, load_translator, score, translate, validation_loss
from learning import learning_rate_at, make_optimizer, summed_loss
from runtime.core import choose_device
from runtime.findings import FILE, WIDTHS, Findings, keep
from runtime.settings import UserError
from train import RUNS, Run, describe, find_learning_rate

CPU = choose_device("cpu", "fp32")


def never() -> bool:
    return False


def stop_after(updates: int) -> Callable[[], bool]:
    """A stop() that says yes after so many updates."""
    asked = iter(range(1, 10**9))
    return lambda: next(asked) >= updates


def weights(run: Run) -> list[torch.Tensor]:
    return [weight.detach() for weight in run.trainer.model.parameters()]


def test_it_learns_to_reverse_words_it_never_saw(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(train={"steps": 500, "batch_size": 32, "learning_rate": 0.005})
    run = Run(config, tmp_path / "runs")
    run.train(never)
    model, vocabulary = load_translator(tmp_path / "runs" / "best", CPU)
    predictions = translate(model, vocabulary, [source for source, _ in run.split.heldout], CPU)
    assert score("exact", predictions, [target for _, target in run.split.heldout]) > 80
    assert run.best[0] > 80


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_filler_in_the_labels_counts_nothing(make_config: MakeConfig, tmp_path: Path, smoothing: float) -> None:
    run = Run(make_config(), tmp_path)
    pairs = sorted(run.train_data, key=lambda pair: len(pair[1]))
    chosen = [pairs[0], pairs[-1]]
    together = summed_loss(run.trainer.model, *collate(chosen), smoothing)
    alone = sum(summed_loss(run.trainer.model, *collate([pair]), smoothing) for pair in chosen)
    assert torch.allclose(together, torch.as_tensor(alone), rtol=1e-4)


def test_the_decoder_reads_one_symbol_behind_what_it_must_say() -> None:
    seen: list[torch.Tensor] = []

    class Knows(torch.nn.Module):
        """Says with certainty what follows in the alphabet."""

        def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            seen.append(target)
            return torch.nn.functional.one_hot(target + 1, 12).float() * 100

    target = torch.tensor([[4, 5, 6, 7, 8]])
    assert summed_loss(Knows(), target, target, 0.0) < 1e-3
    assert seen[0].tolist() == [[4, 5, 6, 7]]


def test_parts_of_a_batch_give_the_gradients_of_the_whole(make_config: MakeConfig, tmp_path: Path) -> None:
    run = Run(make_config(), tmp_path)
    source, target = collate(run.train_data[:10])
    grads = []
    for size in (10, 3):
        run.trainer.micro_batch = size
        run.trainer.optimizer.zero_grad()
        run.trainer.gradients(source, target)
        grads.append([weight.grad.clone() for weight in run.trainer.model.parameters() if weight.grad is not None])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*grads, strict=True))


def test_what_this_machine_measured_is_trained_with(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = {
        f"step {name} core {width}": speed for width in WIDTHS for name, speed in (("fp32", 10.0), ("bf16", 30.0))
    }
    keep(Findings(figures, ""), RUNS / FILE)
    run = Run(make_config(machine={"probe": True}), tmp_path)
    assert run.dev.precision == "bf16"
    assert "bf16 measured 3 x fp32 here" in describe(run)
    assert Run(make_config(), tmp_path).dev.precision == "fp32"


def test_looking_for_a_learning_rate_touches_no_run(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = make_config(train={"steps": 1})
    Run(config, RUNS).train(never)
    before = {path: path.read_bytes() for path in sorted(RUNS.rglob("*")) if path.is_file()}
    assert "Suggestion: train.learning_rate = " in find_learning_rate(config)
    after = {path: path.read_bytes() for path in sorted(RUNS.rglob("*")) if path.is_file()}
    assert after.pop(RUNS / "find-lr.png").startswith(b"\x89PNG")
    assert after == before


def test_resuming_with_another_model_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    Run(make_config(train={"steps": 1}), tmp_path / "runs").train(never)
    with pytest.raises(UserError, match=r"\[model\] settings changed since"):
        Run(make_config(model={"d_model": 64}), tmp_path / "runs", resume=True)
    with pytest.raises(UserError, match="no checkpoint"):
        Run(make_config(), tmp_path / "elsewhere", resume=True)


def test_translating_uses_no_dropout(make_config: MakeConfig, tmp_path: Path) -> None:
    run = Run(make_config(model={"dropout": 0.5}, train={"steps": 30}), tmp_path)
    run.train(never)
    model, vocabulary = load_translator(tmp_path / "best", CPU)
    sentences = [source for source, _ in run.split.train[:50]]
    first = translate(model, vocabulary, sentences, CPU)
    assert all(translate(model, vocabulary, sentences, CPU) == first for _ in range(3))
    assert translate(model.train(), vocabulary, sentences, CPU) == first
    assert not load_translator(tmp_path / "best", CPU)[0].training


def test_validation_loss_is_the_mean_over_real_symbols_and_knows_no_dropout(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run = Run(make_config(model={"dropout": 0.5}), tmp_path)
    model, data = run.trainer.model.train(), run.validation_data
    loss = validation_loss(model, data, CPU)
    assert loss == validation_loss(model, data, CPU)
    with evaluating(model):
        summed = sum(summed_loss(model, *collate([pair]), 0.0).item() for pair in data)
    assert loss == pytest.approx(summed / sum(len(target) - 1 for _, target in data), rel=1e-4)


def test_a_loss_that_is_no_number_ends_the_run_and_costs_no_checkpoint(make_config: MakeConfig, tmp_path: Path) -> None:
    run = Run(make_config(), tmp_path)
    run.train(stop_after(4))
    saved = {file.name: file.read_bytes() for file in (tmp_path / "last").iterdir()}
    with torch.no_grad():
        next(run.trainer.model.parameters()).fill_(math.nan)
    with pytest.raises(UserError, match=r"by step \d+ the loss is not a number .* Lower train\.learning_rate"):
        run.train(lambda: False)
    assert {file.name: file.read_bytes() for file in (tmp_path / "last").iterdir()} == saved
    assert "NaN" not in run.metrics.path.read_text(encoding="utf-8")


def test_long_gradients_are_shortened(make_config: MakeConfig, tmp_path: Path) -> None:
    run, lengths = Run(make_config(train={"clip": 0.01}), tmp_path), []
    weights = list(run.trainer.model.parameters())
    run.trainer.optimizer.register_step_pre_hook(
        lambda *_: lengths.append(torch.cat([w.grad.flatten() for w in weights if w.grad is not None]).norm().item())
    )
    run.trainer.update(*collate(run.train_data[:8]))
    assert lengths == [pytest.approx(0.01, rel=1e-3)]


def test_an_update_leaves_no_gradient_for_the_next(make_config: MakeConfig, tmp_path: Path) -> None:
    run = Run(make_config(), tmp_path)
    run.trainer.update(*collate(run.train_data[:8]))
    assert all(weight.grad is None or not weight.grad.any() for weight in run.trainer.model.parameters())


def test_answers_come_in_the_order_of_the_questions(make_config: MakeConfig, tmp_path: Path) -> None:
    run = Run(make_config(model={"tied_head": False}), tmp_path)
    with torch.no_grad():
        for weight in run.trainer.model.parameters():
            weight *= 1 + 2 * (weight.dim() > 1)  # an untrained model that answers variously
    sentences = ["abcdefghij", "a", "cdefg", "hij", "ba", "jihgfedcba", "c"]
    together = translate(run.trainer.model, run.vocabulary, sentences, CPU)
    assert len(set(together)) > 3
    assert together == [translate(run.trainer.model, run.vocabulary, [sentence], CPU)[0] for sentence in sentences]
    with pytest.raises(UserError, match=r"has 17 symbols, more than model\.max_length \(16\)"):
        translate(run.trainer.model, run.vocabulary, ["a", "a" * 16], CPU)


def test_only_matrices_decay(make_config: MakeConfig, tmp_path: Path) -> None:
    model = Run(make_config(model={"positions": "learned", "tied_head": False}), tmp_path).trainer.model
    decayed, spared = make_optimizer(model, SMALL.train).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (SMALL.train.weight_decay, 0.0)
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    assert all(weight.dim() == 2 for weight in decayed["params"])
    tables = {names[id(weight)] for weight in spared["params"] if weight.dim() == 2}
    assert tables == {"embedding.weight", "positions"}


def test_judging_leaves_the_model_in_training() -> None:
    model = torch.nn.Dropout()
    with evaluating(model):
        assert not model.training
    assert model.training


def test_the_learning_rate_rises_and_falls() -> None:
    config = SMALL.train
    rates = [learning_rate_at(step, config) for step in range(config.steps + 1)]
    assert 0 < rates[0] < 1
    assert max(rates) == 1.0
    assert rates[-1] == 0.0
    top = rates.index(1.0)
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)


def test_scores() -> None:
    assert score("exact", ["a b", "c", "a b", "a b c"], ["a b", "d", "a b c", "a b"]) == 25
    pytest.importorskip("sacrebleu")
    for metric in ("chrf", "bleu"):
        assert score(metric, ["the cat sat on the mat"], ["the cat sat on the mat"]) == pytest.approx(100)
        assert score(metric, ["no dogs here at all"], ["the cat sat on the mat"]) < 30
    less, more = ["the cat sat"], ["the cat sat on the mat"]
    assert score("chrf", less, more) < score("chrf", more, less)  # what is missing counts more than what is too much


def test_one_file_of_metrics_becomes_curves(make_config: MakeConfig, tmp_path: Path) -> None:
    run = Run(make_config(train={"steps": 12, "evaluate_every": 5}), tmp_path)
    run.train(never)
    rows = run.metrics.rows()
    assert [row["step"] for row in rows if "score" in row] == [5, 10, 12]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_padding_is_symbol_zero() -> None:
    assert PAD == 0  # nn.Embedding's padding_idx and pad_sequence agree
