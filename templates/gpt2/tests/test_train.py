from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
import trainer
from config import Config
from engines import writer_from
from folders import RUNS
from generate import continue_prompts
from learning import (
    Judgement,
    in_words,
    language_loss,
    learning_rate_at,
    make_optimizer,
    validation_loss,
)
from models import load_pretrained
from runtime.findings import FILE, WIDTHS, Findings, keep
from runtime.settings import UserError
from trainer import Run


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def trained(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that came to its end."""
    torch.set_num_threads(1)
    run = Run(config, config.scratch, tmp_path_factory.mktemp("runs") / "trained")
    run.train(never)
    return run


Begin = Callable[..., Run]
Change = Callable[..., Config]


def test_the_loss_is_that_of_each_token_given_those_before_it(model: Any) -> None:
    blocks = torch.randint(300, (2, 10))
    logits = model(blocks).logits
    expected = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), blocks[:, 1:].flatten())
    torch.testing.assert_close(language_loss(model, blocks).double(), expected, rtol=1e-5, atol=1e-5)


def test_training_lowers_the_loss_on_text_that_it_has_not_seen(trained: Run) -> None:
    assert trained.step == trained.recipe.steps
    assert trained.best < 0.4 * math.log(len(trained.tokenizer))  # what guessing would give


def test_the_trained_folder_writes_what_it_learned(trained: Run, config: Config) -> None:
    """Greedy, it must say the sentence as it stands in the text: no word left out, none twice."""
    writer = writer_from(trained.folder / "model", config)
    greedy = dataclasses.replace(config.generate, do_sample=False, max_new_tokens=10)
    [[text]] = continue_prompts(writer, ["The old dog number 3 went to the"], greedy, seed=1)
    assert " and came back with" in text


def test_the_held_out_text_is_not_learned_from(begin: Begin, text: str, with_text: Callable[[str], Config]) -> None:
    run = begin(settings=with_text(text + "\n\n" + "zyzzyva quixotic " * 40))
    assert "zyzzyva" not in run.tokenizer.decode(run.blocks.tokens.tolist())
    assert "zyzzyva" in run.tokenizer.decode(run.validation.flatten().tolist())
    assert not [token for token in run.tokenizer.get_vocab() if "zyz" in token]  # the tokenizer hasn't seen it either


def test_dropout_is_off_while_judging_and_on_again_after(begin: Begin, config: Config, change: Change) -> None:
    run = begin(settings=change(config, "train", dropout=0.5))
    first, second = (validation_loss(run.model, run.validation, run.dev, 4) for _ in range(2))
    assert first == second
    assert run.model.training
    losses = {language_loss(run.model, run.validation).item() for _ in range(2)}
    assert len(losses) == 2  # with dropout no two are alike


def test_what_this_machine_measured_is_trained_with(begin: Begin, config: Config, change: Change) -> None:
    figures = {
        f"step {name} core {width}": speed for width in WIDTHS for name, speed in (("fp32", 10.0), ("bf16", 30.0))
    }
    keep(Findings(figures, ""), RUNS / FILE)
    run = begin(settings=change(config, "machine", probe=True))
    assert run.dev.precision == "bf16"
    said = train.describe(run)
    assert "bf16 measured 3 x fp32 here" in said
    kinds: list[torch.dtype] = []
    run.model.transformer.h[0].mlp.c_fc.register_forward_hook(lambda *made: kinds.append(made[-1].dtype))
    run.update(run.blocks.batch(0))
    validation_loss(run.model, run.validation[:1], run.dev, 4)
    assert kinds == [torch.bfloat16] * 2
    assert {weight.dtype for weight in run.model.parameters()} == {torch.float32}
    times = run.recipe.steps * run.blocks.size * run.blocks.length / len(run.blocks.tokens)
    assert f"all of the text {times:.3g} times" in said
    assert begin().dev.precision == "fp32"


def test_a_sample_leaves_the_random_numbers_alone(begin: Begin) -> None:
    run = begin()
    before = torch.get_rng_state()
    assert run.sample() == run.sample()
    assert torch.equal(torch.get_rng_state(), before)
    assert run.model.training


def test_every_update_learns_from_another_batch(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin()
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(run, "update", lambda batch: seen.append(batch) or torch.tensor(1.0))
    run.train(lambda: len(seen) == 4)
    assert len(torch.stack(seen).unique(dim=0)) == 4


def test_a_batch_in_parts_gives_the_same_update(begin: Begin, config: Config, change: Change) -> None:
    settings = change(config, "train", dropout=0.0)
    whole, parts = begin("whole", settings), begin("parts", settings)
    parts.micro_batch = 2
    for number in range(3):
        batch = whole.blocks.batch(number)
        assert whole.update(batch).item() == pytest.approx(parts.update(batch).item(), rel=1e-4)


def test_the_settings_reach_the_batches(begin: Begin, config: Config, change: Change, folder: Path) -> None:
    run = begin("one", change(config, "train", batch_size=4, grad_accumulation=3, context=16))
    assert (run.blocks.batch(0).shape, run.micro_batch) == ((12, 16), 4)
    assert run.model.config.n_positions == 16
    other = begin("two", change(config, "train", batch_size=4, grad_accumulation=3, context=16, seed=2))
    assert not torch.equal(run.blocks.batch(0), other.blocks.batch(0))
    assert train.begin(change(config, "train", context=500), str(folder), None).blocks.length == 64  # its positions


def test_every_update_has_the_learning_rate_of_its_step(folder: Path, config: Config, change: Change) -> None:
    run = train.begin(change(config, "train", warmup_share=0.5), str(folder), None)
    rates = []
    for number in range(4):
        rates.append([group["lr"] for group in run.optimizer.param_groups])
        run.update(run.blocks.batch(number))
    expected = [config.finetune.learning_rate * learning_rate_at(step, config.finetune.steps, 0.5) for step in range(4)]
    assert rates == [[pytest.approx(rate)] * 2 for rate in expected]
    assert [group["weight_decay"] for group in run.optimizer.param_groups] == [config.train.weight_decay, 0.0]


def test_longer_gradients_are_cut_before_the_step(begin: Begin, config: Config, change: Change) -> None:
    run = begin(settings=change(config, "train", clip=0.01))
    lengths = []

    def measure(*_: Any) -> None:
        lengths.append(torch.nn.utils.get_total_norm([weight.grad for weight in run.model.parameters()]).item())

    run.optimizer.register_step_pre_hook(measure)
    run.update(run.blocks.batch(0))
    assert lengths == [pytest.approx(0.01, rel=1e-3)]


def test_every_held_out_block_counts_alike(model: Any, dev: Any) -> None:
    blocks = torch.randint(300, (5, 10))
    alone = [language_loss(model, block[None]).item() for block in blocks]
    assert validation_loss(model, blocks, dev, 2) == pytest.approx(sum(alone) / 5)


def test_the_time_that_is_given_ends_a_run_with_a_model(begin: Begin) -> None:
    run = begin()
    assert not run.train(never, seconds=0.0)
    assert run.step == 1
    assert load_pretrained(str(run.folder / "model"))
    assert train.resume(run.config, "run").step == 1


def test_the_best_model_is_kept_not_the_last(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin()
    losses = iter([2.0, 3.0])
    monkeypatch.setattr("trainer.validation_loss", lambda *_: next(losses))
    run.step = 1
    run.evaluate()
    kept = {name: weight.clone() for name, weight in run.model.state_dict().items()}
    run.update(run.blocks.batch(0))
    run.evaluate()
    loaded, _ = load_pretrained(str(run.folder / "model"))
    assert run.best == 2.0
    assert all(torch.equal(weight, kept[name]) for name, weight in loaded.state_dict().items())


def test_training_stops_early_and_the_best_model_is_kept(
    begin: Begin, config: Config, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = change(change(config, "train", evaluations=20, patience=3), "scratch", steps=40)
    run = begin(settings=settings)
    losses = iter([3.0, 2.0, 2.5, 1.9, 2.1, 2.1, 2.1, 1.0])
    monkeypatch.setattr("trainer.validation_loss", lambda *_: next(losses))
    run.train(never)
    assert (run.step, run.judged.step, run.best) == (14, 8, 1.9)
    resumed = train.resume(settings, "run")
    resumed.train(never)
    assert resumed.step == 14  # it has ended
    patient = train.resume(change(settings, "train", patience=4), "run")
    patient.train(lambda: patient.step == 15)
    assert (patient.step, patient.best, patient.judged.waited) == (15, 1.9, 3)  # stopped by hand between two judgements


def test_fine_tuning_is_judged_before_it_begins(folder: Path, config: Config, change: Change) -> None:
    run = train.begin(change(config, "finetune", steps=30, learning_rate=0.01), str(folder), None)
    expected = validation_loss(load_pretrained(str(folder))[0], run.validation, run.dev, 8)
    run.train(never)
    assert run.judged.before == pytest.approx(expected, rel=1e-5)
    assert run.metrics.rows()[0]["validation_loss"] == run.judged.before
    assert f"before fine-tuning {run.judged.before:.4f} ({math.exp(run.judged.before):,.1f})" in run.judged.outcome()
    assert run.best < run.judged.before
    assert run.judged.step > 0


def test_a_loss_that_is_no_number_ends_the_run_and_costs_no_checkpoint(begin: Begin) -> None:
    run = begin()
    run.train(lambda: run.step == 4)
    saved = {file.name: file.read_bytes() for file in (run.folder / "last").iterdir()}
    with torch.no_grad():
        next(run.model.parameters())[0, 0] = math.nan
    with pytest.raises(UserError, match=r"by step \d+ the loss is not a number .* Lower scratch\.learning_rate"):
        run.train(lambda: False)
    assert {file.name: file.read_bytes() for file in (run.folder / "last").iterdir()} == saved
    assert "NaN" not in run.metrics.path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("loss", "said"), [(2.0, "7.4"), (14.0, "1.2e+06"), (900.0, "1.0e+304")])
def test_a_perplexity_is_said_however_large(loss: float, said: str) -> None:
    assert in_words(loss) == said


def test_no_progress_is_said() -> None:
    judged = Judgement(before=2.0)
    judged.add(2.5, 10, due=True)
    assert "no step was better than the beginning" in judged.outcome()
    assert not judged.add(2.6, 15, due=False)
    assert judged.waited == 0  # out of turn
    assert not judged.add(2.6, 20, due=True)
    assert judged.waited == 1


def test_metrics_and_curves_are_written(trained: Run) -> None:
    rows = [row for row in trained.metrics.rows() if "validation_loss" in row]
    assert [row["step"] for row in rows] == [30, 60]
    assert rows[-1]["score"] == pytest.approx(math.exp(rows[-1]["validation_loss"]))
    assert (trained.folder / "curves.png").stat().st_size > 5000


def test_a_full_disk_is_told_in_one_line_and_costs_no_checkpoint(begin: Begin) -> None:
    resource = pytest.importorskip("resource")  # no such thing on Windows
    run = begin()
    run.train(lambda: True)
    before = {path: path.read_bytes() for path in sorted(run.folder.rglob("*")) if path.is_file()}
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (100_000, 200_000):  # too little for the weights; then for what the optimizer knows
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
        try:
            with pytest.raises(UserError, match=r"last can't be written, .* What was saved there before is whole"):
                run.save()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert {path: path.read_bytes() for path in sorted(run.folder.rglob("*")) if path.is_file()} == before


def test_only_matrices_decay(model: Any) -> None:
    decayed, others = make_optimizer(model, 0.1, 0.2).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.2, 0.0)
    assert all(weight.dim() >= 2 for weight in decayed["params"])
    assert all(weight.dim() == 1 for weight in others["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(list(model.parameters()))


def test_the_learning_rate_rises_then_falls() -> None:
    shares = [learning_rate_at(step, 100, 0.1) for step in range(100)]
    assert shares.index(max(shares)) in (9, 10)
    assert max(shares) == 1.0
    assert 0 < shares[0] <= 0.1
    assert shares[55] == pytest.approx(0.5)  # half-way between warm-up and end
    assert shares[-1] < 0.01


def test_recomputed_activations_change_no_result(
    begin: Begin, config: Config, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[str] = []
    monkeypatch.setattr(trainer, "recomputing", lambda device: kinds.append(device.type) or {})
    settings = change(config, "train", dropout=0.0)
    plain, recomputing = begin("plain", settings), begin("other", change(settings, "machine", checkpointing=True))
    assert recomputing.model.is_activation_checkpointing
    for number in range(3):
        batch = plain.blocks.batch(number)
        assert plain.update(batch).item() == pytest.approx(recomputing.update(batch).item(), rel=1e-5)
    assert kinds == ["cpu"]


def test_a_text_that_is_too_short_is_refused(begin: Begin, with_text: Callable[[str], Config]) -> None:
    with pytest.raises(UserError, match="too short"):
        begin(settings=with_text("Hello."))


def test_changed_settings_of_the_optimizer_count_when_going_on(begin: Begin, config: Config, change: Change) -> None:
    begin().train(lambda: True)
    settings = change(change(config, "scratch", learning_rate=0.001), "train", weight_decay=0.3)
    resumed = train.resume(settings, None)
    for step in (1, 2):
        rate = pytest.approx(0.001 * learning_rate_at(step, config.scratch.steps, config.train.warmup_share))
        assert [(group["lr"], group["weight_decay"]) for group in resumed.optimizer.param_groups] == [
            (rate, 0.3),
            (rate, 0.0),
        ]
        resumed.update(resumed.blocks.batch(step))
