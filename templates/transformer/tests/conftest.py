"""A configuration small enough to train in a second, and data to go with it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from config import Config, DataConfig, MachineConfig, ModelConfig, TrainConfig
from data import BOS, EOS
from evaluate import load_translator
from runtime.core import choose_device, seed_everything
from runtime.distributed import ALONE, Ranks
from train import RUNS, Run

SMALL = Config(
    data=DataConfig(
        file="pairs.tsv",
        target_file="",
        reverse=False,
        tokenizer="character",
        lowercase=True,
        vocabulary_size=100,
        validation_share=0.1,
        heldout_share=0.1,
    ),
    model=ModelConfig(
        d_model=32,
        heads=4,
        encoder_layers=1,
        decoder_layers=1,
        feedforward=64,
        dropout=0.0,
        max_length=16,
        norm_first=True,
        positions="sinusoidal",
        tied_head=True,
    ),
    train=TrainConfig(
        steps=20,
        batch_size=16,
        grad_accumulation=1,
        learning_rate=0.003,
        warmup_share=0.1,
        weight_decay=0.01,
        clip=1.0,
        label_smoothing=0.0,
        evaluate_every=1000,
        metric="exact",
        seed=0,
    ),
    machine=MachineConfig(
        device="cpu",
        precision="fp32",
        tf32=False,
        compile=False,
        checkpointing=False,
        threads=1,
        probe=False,
        workers=0,
        pin_memory=False,
        strategy="none",
    ),
)

MakeConfig = Callable[..., Config]


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.set_num_threads(1)
    seed_everything(0)


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """make_config(data={...}, model={...}, train={...}): SMALL with other values, on a file of reversed words."""
    words = ["".join(letters) for length in (2, 3) for letters in itertools.product("abcdefghij", repeat=length)]
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")

    def make(**changes: dict[str, Any]) -> Config:
        changes = {"data": {}, **changes}
        changes["data"] = {"file": str(file), **changes["data"]}
        sections = {name: dataclasses.replace(getattr(SMALL, name), **values) for name, values in changes.items()}
        return dataclasses.replace(SMALL, **sections)

    return make


# What the tests ask for that are the same in every project of this kind: test_resume.py and test_distributed.py.
KEPT = "best"  # the folder in a run's that holds the best model


def write_data(folder: Path) -> None:
    """Pairs of many lengths."""
    words = [a * (1 + place % 5) + b for a in "abcdefgh" for place, b in enumerate("ijklmnop")]
    (folder / "pairs.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")


def small_run(
    name: str, *, steps: int, every: int, dropout: float = 0.0, resume: bool = False, ranks: Ranks = ALONE
) -> Run:
    """A run in runs/NAME on this folder's data, judged `every` so many steps, that begins or goes on."""
    changed = {"steps": steps, "evaluate_every": every, "batch_size": 4, "grad_accumulation": 2}
    model, train = dataclasses.replace(SMALL.model, dropout=dropout), dataclasses.replace(SMALL.train, **changed)
    return Run(dataclasses.replace(SMALL, model=model, train=train), RUNS / name, resume=resume, ranks=ranks)


def passes(run: Run) -> float:
    """How often a run has seen all of its pairs."""
    return run.step * run.config.train.batch_size * run.config.train.grad_accumulation / len(run.train_data)


def says(folder: Path) -> Tensor:
    """What the model in a folder makes of some input."""
    model, _ = load_translator(folder, choose_device("cpu", "fp32"))
    return model(torch.tensor([[5, 6, 7, EOS]]), torch.tensor([[BOS, 7, 6]]))
