from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from config import Config
from models import load_pretrained, save_pretrained
from runtime.settings import UserError
from trainer import Run

pytest.importorskip("peft", reason="LoRA is an extra: python -m pip install peft")

Change = Callable[..., Config]


@pytest.fixture
def lora(config: Config, change: Change) -> Config:
    return change(config, "finetune", method="lora", steps=6)


@pytest.fixture
def begin(folder: Path) -> Callable[..., Run]:
    """begin(settings, "name"): a run that starts from a model folder."""
    return lambda settings, name=None: train.begin(settings, str(folder), name)


Begin = Callable[..., Run]


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def test_only_the_adapters_learn_and_all_of_them(begin: Begin, lora: Config) -> None:
    run = begin(lora)
    before = weights_of(run.model)
    optimized = {id(weight) for group in run.optimizer.param_groups for weight in group["params"]}
    assert optimized == {id(weight) for name, weight in run.model.named_parameters() if ".lora_" in name}
    run.train(lambda: False)
    for name, weight in run.model.state_dict().items():
        assert torch.equal(weight, before[name]) == (".lora_" not in name), name
    assert run.recipe.learning_rate == lora.lora.learning_rate


def test_it_learns(begin: Begin, lora: Config, change: Change) -> None:
    run = begin(change(lora, "finetune", steps=40))
    run.train(lambda: False)
    assert run.judged.before is not None
    assert run.best < run.judged.before - 0.3


@pytest.mark.parametrize(("targets", "layers"), [("attention", 2), ("all", 8)])
def test_adapters_are_where_the_settings_put_them(
    begin: Begin, lora: Config, change: Change, targets: str, layers: int
) -> None:
    run = begin(change(lora, "lora", targets=targets))
    assert len([name for name, _ in run.learned.named_parameters() if "/lora_A/" in name]) == layers
    scalings = [module.scaling["default"] for module in run.model.modules() if hasattr(module, "lora_A")]
    assert scalings == [lora.lora.alpha / lora.lora.rank] * layers


def test_the_merged_folder_is_the_model_with_its_adapters(begin: Begin, lora: Config, text: str) -> None:
    run = begin(lora)
    run.train(lambda: False)
    frozen = weights_of(run.model)
    run.keep()
    assert all(torch.equal(weight, frozen[name]) for name, weight in run.model.state_dict().items())
    merged, tokenizer = load_pretrained(str(run.folder / "model"))
    tokens = torch.tensor([tokenizer.encode(text)[:30]])
    run.model.eval()
    torch.testing.assert_close(merged(tokens).logits, run.model(tokens).logits, rtol=1e-3, atol=1e-3)
    start, _ = load_pretrained(run.origin[0])
    assert (merged(tokens).logits - start(tokens).logits).abs().max() > 0.1
    assert {name for name, _ in merged.named_parameters()} == {name for name, _ in start.named_parameters()}


def test_the_merged_folder_needs_no_peft(begin: Begin, lora: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(lora)
    run.keep()
    monkeypatch.setitem(sys.modules, "peft", None)
    model, _ = load_pretrained(str(run.folder / "model"))
    assert type(model).__name__ == "GPT2LMHeadModel"
    with pytest.raises(ImportError):
        import peft  # noqa: F401


def test_the_adapters_alone_are_no_model(begin: Begin, lora: Config) -> None:
    run = begin(lora)
    run.keep()
    with pytest.raises(UserError, match=r"holds LoRA's adapters alone; the model that has them is runs.finetune.model"):
        load_pretrained(str(run.folder / "adapter"))


def test_the_saved_adapters_are_those_of_the_best_step(
    begin: Begin, lora: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    import peft

    run = begin(lora)
    losses = iter([2.5, 2.0, 3.0])
    monkeypatch.setattr("trainer.validation_loss", lambda *_: next(losses))
    for run.step in (1, 2):
        run.update(run.blocks.batch(run.step))
        run.evaluate()
    best = {name: weight.clone() for name, weight in run.learned.named_parameters()}
    run.update(run.blocks.batch(3))
    run.evaluate()
    start, _ = load_pretrained(run.origin[0])
    loaded = peft.PeftModel.from_pretrained(start, str(run.folder / "adapter"))
    saved = {name: weight for name, weight in loaded.named_parameters() if "lora_" in name}
    assert len(saved) == len(best)
    for name, weight in saved.items():
        assert torch.equal(weight, best[name.removeprefix("base_model.model.").replace(".", "/")]), name
    held = json.loads((run.folder / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert held["base_model_name_or_path"] == run.origin[0]


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(begin: Begin, lora: Config) -> None:
    whole = begin(lora, "whole")
    whole.train(lambda: False)
    halves = begin(lora, "halves")
    halves.train(lambda: halves.step >= 3)
    plain = dataclasses.replace(lora, finetune=dataclasses.replace(lora.finetune, method="full"))
    resumed = train.resume(plain, "halves")  # how it began counts, not what the settings say now
    assert (resumed.step, resumed.method) == (3, "lora")
    resumed.train(lambda: False)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name
    assert (resumed.folder / "last" / "model.safetensors").stat().st_size < 0.5 * (
        resumed.folder / "model" / "model.safetensors"
    ).stat().st_size


def test_another_start_model_is_noticed(begin: Begin, lora: Config, model: Any, tokenizer: Any, folder: Path) -> None:
    begin(lora).train(lambda: True)
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.bias[0] += 1
    save_pretrained(folder, model, tokenizer)
    with pytest.raises(UserError, match="start_model has changed"):
        train.resume(lora, None)


def test_another_rank_or_alpha_is_noticed(begin: Begin, lora: Config, change: Change) -> None:
    begin(lora).train(lambda: True)
    with pytest.raises(UserError, match="alpha has changed"):
        train.resume(change(lora, "lora", alpha=9.0), None)
    with pytest.raises(UserError, match="does not fit the settings"):
        train.resume(change(lora, "lora", rank=5), None)


def test_dropout_acts_on_the_adapters_alone(begin: Begin, lora: Config, change: Change) -> None:
    run = begin(change(lora, "train", dropout=0.5))
    shares = {name: module.p for name, module in run.model.named_modules() if isinstance(module, torch.nn.Dropout)}
    assert {share for name, share in shares.items() if "lora_dropout" in name} == {0.5}
    assert {share for name, share in shares.items() if "lora_dropout" not in name} == {0.0}


def test_recomputed_activations_change_no_result(begin: Begin, lora: Config, change: Change) -> None:
    settings = change(lora, "train", dropout=0.0)
    plain, recomputing = begin(settings), begin(change(settings, "machine", checkpointing=True))
    for number in range(2):
        batch = plain.blocks.batch(number)
        assert plain.update(batch).item() == pytest.approx(recomputing.update(batch).item(), rel=1e-5)


def test_a_new_model_and_lora_do_not_go_together(config: Config, lora: Config, change: Change) -> None:
    with pytest.raises(UserError, match="--model scratch"):
        train.begin(lora, None, None)  # the hub is switched off
    assert train.begin(lora, "scratch", None).method == "scratch"  # asked for by name


def test_less_memory_is_predicted_than_for_all_weights(
    begin: Begin, lora: Config, config: Config, change: Change
) -> None:
    run, full = begin(change(lora, "train", dropout=0.0)), begin(change(config, "train", dropout=0.0))
    weights = sum(weight.nbytes for weight in full.model.parameters())
    saved = full.training_bytes(8) - run.training_bytes(8)
    assert saved == pytest.approx(1.35 * 2 * weights, rel=0.5)  # AdamW's moments, and what the allocator holds for them
