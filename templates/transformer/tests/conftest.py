"""A configuration small enough to train in a second, and data to go with it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from config import Config, DataConfig, MachineConfig, ModelConfig, TrainConfig
from runtime.core import seed_everything

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
