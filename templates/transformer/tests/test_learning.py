"""Each update is what the settings say, the best model is kept, and what was held out stays so when a run goes on."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeConfig

import evaluate
import train
from data import collate
from evaluate import load_translator, unseen_pairs, validation_loss
from learning import Trainer, learning_rate_at, summed_loss
from runtime.checkpoints import read_checkpoint
from runtime.core import Device, Metrics, choose_device
from runtime.settings import UserError
from train import Run

CPU = choose_device("cpu", "fp32")
FP16 = Device(torch.device("cpu"), "fp16", torch.float16, None)


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Metrics, "plot", lambda *_, **__: None)


def never() -> bool:
    return False


def test_each_update_goes_as_far_as_planned_over_a_whole_batch(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(train={"steps": 6, "batch_size": 4, "grad_accumulation": 3, "learning_rate": 0.02})
    run, rates, batches = Run(config, tmp_path), [], []
    run.trainer.optimizer.register_step_pre_hook(lambda it, *_: rates.append(it.param_groups[0]["lr"]))
    run.trainer.model.register_forward_hook(
        lambda model, given, _: batches.append(len(given[0])) if model.training else None
    )
    run.train(never)
    assert rates == [0.02 * learning_rate_at(step, config.train) for step in range(6)]
    assert batches == [4] * 3 * 6
    assert type(run.trainer.optimizer) is torch.optim.AdamW


@pytest.mark.filterwarnings("error")
def test_memory_is_pinned_for_a_gpu_only(make_config: MakeConfig, tmp_path: Path) -> None:
    """A project that was made for a machine with a GPU also runs elsewhere, and torch has nothing to warn of."""
    Run(make_config(train={"steps": 1}, machine={"pin_memory": True}), tmp_path).train(never)


def test_a_layer_is_computed_again_as_its_device_needs_it(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(train, "recomputing", lambda device: seen.append(device.type) or {})
    Run(make_config(machine={"checkpointing": True}), tmp_path)
    assert seen == ["cpu"]


def test_the_loss_is_the_mean_over_what_must_be_said(make_config: MakeConfig, tmp_path: Path) -> None:
    run = Run(make_config(train={"batch_size": 3, "grad_accumulation": 2}), tmp_path)
    chosen = sorted(run.train_data, key=lambda pair: len(pair[1]))
    source, target = collate([*chosen[:3], *chosen[-3:]])
    summed = summed_loss(run.trainer.model, source, target, 0.0).item()
    wanted = summed / sum(len(answer) - 1 for _, answer in [*chosen[:3], *chosen[-3:]])
    assert run.trainer.gradients(source, target).item() == pytest.approx(wanted, rel=1e-4)


def test_smoothing_takes_its_share_of_certainty() -> None:
    class Sure(torch.nn.Module):
        def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(target + 1, 12).float() * 100

    target = torch.tensor([[4, 5, 6, 7, 8]])
    assert summed_loss(Sure(), target, target, 0.1) == pytest.approx(4 * 0.1 * 100 * 11 / 12, rel=1e-3)


def test_16_bits_are_computed_with_and_their_gradients_clipped_at_their_true_length(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run, kinds, lengths = Run(make_config(), tmp_path), [], []
    model, batch = run.trainer.model, collate(run.train_data[:8])

    def note(*_: object) -> None:
        grads = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
        lengths.append(torch.cat(grads).norm().item())

    run.trainer.gradients(*batch)
    note()
    model.head.register_forward_hook(lambda *given: kinds.append(given[-1].dtype))
    for clip in (1e9, 0.01):
        run.trainer.optimizer.zero_grad()
        trainer = Trainer(model, make_config(train={"clip": clip, "learning_rate": 1e-8}), FP16, micro_batch=8)
        trainer.optimizer.register_step_pre_hook(note)
        trainer.update(*batch)
    assert lengths[1:] == [pytest.approx(lengths[0], rel=0.05), pytest.approx(0.01, rel=0.02)]
    validation_loss(model, run.validation_data, FP16)
    assert set(kinds) == {torch.float16}


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("MPS backend out of memory (MPS")]
)
def test_out_of_memory_an_update_begins_again_in_smaller_parts_with_all_memory_free(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    run = Run(make_config(), tmp_path)
    batch, gradients, found = collate(run.train_data[:8]), Trainer.gradients, []
    kept: list[weakref.ref[torch.Tensor]] = []

    def scarce(self: Trainer, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        assert not any(tensor() is not None for tensor in kept), "what the first attempt computed is still there"
        loss = gradients(self, source, target)
        kept.append(weakref.ref(loss))
        if self.micro_batch > 4:
            raise type(error)(*error.args)
        found.append(torch.cat([w.grad.flatten() for w in self.model.parameters() if w.grad is not None]))
        return loss

    gradients(run.trainer, *batch)
    wanted = torch.cat([w.grad.flatten() for w in run.trainer.model.parameters() if w.grad is not None])
    run.trainer.optimizer.zero_grad()
    monkeypatch.setattr(Trainer, "gradients", scarce)
    run.trainer.update(*batch)
    assert run.trainer.micro_batch == 4
    torch.testing.assert_close(found, [wanted], rtol=1e-3, atol=1e-5)


def test_the_best_model_is_the_one_that_scored_most_and_among_equals_lost_least(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([(10.0, 3.0), (30.0, 2.0), (30.0, 1.5), (30.0, 1.8), (20.0, 1.0), (25.0, 0.5)])
    seen: list[Any] = []

    def loss(*_: object) -> float:
        seen.append(next(looks))
        return seen[-1][1]

    monkeypatch.setattr(train, "validation_loss", loss)
    monkeypatch.setattr(train, "translate", lambda *given: given[2])
    monkeypatch.setattr(train, "score", lambda *_: seen[-1][0])
    config = make_config(train={"steps": 6, "evaluate_every": 1})
    run = Run(config, tmp_path)
    run.train(lambda: run.step == 5)
    assert (read_checkpoint(tmp_path / "best")[0], run.best) == (3, (30.0, -1.5))
    resumed = Run(config, tmp_path, resume=True)
    resumed.train(never)
    assert (read_checkpoint(tmp_path / "best")[0], resumed.best) == (3, (30.0, -1.5))
    assert read_checkpoint(tmp_path / "last")[0] == 6


def test_judging_in_several_batches_counts_all_of_them(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(make_config(), tmp_path)
    data = sorted(run.validation_data, key=lambda pair: len(pair[1]))
    whole = validation_loss(run.trainer.model, data, CPU)
    monkeypatch.setattr(evaluate, "BATCH", 7)
    assert len(data) % 7
    assert validation_loss(run.trainer.model, data, CPU) == pytest.approx(whole, rel=1e-5)


OTHER_PAIRS = r"the pairs, their shares or train\.seed changed since"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"train": {"seed": 1}}, OTHER_PAIRS),
        ({"data": {"heldout_share": 0.2}}, OTHER_PAIRS),
        ({"data": {"reverse": True}}, OTHER_PAIRS),
        ({"data": {"lowercase": False}}, r"data\.tokenizer, lowercase or vocabulary_size changed"),
        ({"train": {"metric": "chrf"}}, r"train\.metric changed"),
    ],
)
def test_what_is_held_out_stays_held_out(
    make_config: MakeConfig, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    """Neither a run that goes on nor a judge takes pairs for unseen that were learned from."""
    Run(make_config(train={"steps": 1}), tmp_path).train(never)
    unseen_pairs(make_config(), tmp_path / "best")
    with pytest.raises(UserError, match=complaint):
        Run(make_config(**changes), tmp_path, resume=True)
    if complaint == OTHER_PAIRS:
        with pytest.raises(UserError, match="may have learned from those that are held out now"):
            unseen_pairs(make_config(**changes), tmp_path / "best")


def test_what_is_set_when_a_run_goes_on_counts(make_config: MakeConfig, tmp_path: Path) -> None:
    Run(make_config(train={"steps": 4}), tmp_path).train(lambda: True)
    changed = make_config(train={"steps": 8, "learning_rate": 0.1, "weight_decay": 0.5})
    run, rates = Run(changed, tmp_path, resume=True), []
    run.trainer.optimizer.register_step_pre_hook(lambda it, *_: rates.append([g["lr"] for g in it.param_groups]))
    run.train(never)
    assert rates == [[0.1 * learning_rate_at(step, changed.train)] * 2 for step in range(1, 8)]
    assert [group["weight_decay"] for group in run.trainer.optimizer.param_groups] == [0.5, 0.0]


def test_a_checkpoint_of_something_else_is_told(make_config: MakeConfig, tmp_path: Path) -> None:
    Run(make_config(train={"steps": 1}), tmp_path).train(never)
    (tmp_path / "best" / "checkpoint.json").write_text('{"step": 1, "extra": {}}', encoding="utf-8")
    with pytest.raises(UserError, match="holds is no translator"):
        load_translator(tmp_path / "best", CPU)
