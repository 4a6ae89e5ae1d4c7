"""A small GPT-2 and small settings for the tests. Nothing here or in the tests asks the network."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read by the libraries when they are imported

import pytest
import torch
from torch import Tensor

import train
from config import (
    Config,
    DataConfig,
    FinetuneConfig,
    GenerateConfig,
    LoraConfig,
    MachineConfig,
    ModelConfig,
    ScratchConfig,
    TrainConfig,
)
from decoding import Engine
from engine_hf import HfEngine, hf_text
from engine_torch import TorchEngine
from engines import Writer
from folders import RUNS, Shape
from models import load_pretrained, new_model, save_pretrained, train_tokenizer
from runtime.core import Device
from runtime.distributed import ALONE, Ranks
from trainer import Run

TEXT = "\n\n".join(
    f"The {animal} number {number} went to the {place} and came back with {number + 1} stones."
    for number in range(12)
    for animal in ("cat", "heron", "old dog")
    for place in ("river", "market")
)
SHAPE = ScratchConfig(n_layer=2, n_head=2, n_embd=32, vocab_size=320, steps=60, learning_rate=0.01)
SIZE = Shape(SHAPE.n_layer, SHAPE.n_head, SHAPE.n_embd, 64, 1e-5, "gelu")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test in a folder of its own, on one thread, with a hub that is switched off."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def dev() -> Device:
    return Device(torch.device("cpu"), "fp32", torch.float32, None)


@pytest.fixture(scope="session")
def shape() -> ScratchConfig:
    return SHAPE


@pytest.fixture(scope="session")
def text() -> str:
    return TEXT


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return train_tokenizer([TEXT], SHAPE.vocab_size)


@pytest.fixture
def model(tokenizer: Any) -> Any:
    """Random weights, larger than usual so that every token and position tells, and exact enough to compare texts."""
    torch.manual_seed(1)
    made = new_model(SHAPE, 64, tokenizer).double()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.2)
    made.generation_config.eos_token_id = None  # it writes on until it is told to stop
    return made.eval()


@pytest.fixture
def engines(model: Any, dev: Device, tmp_path: Path) -> Callable[[str], Engine]:
    """engines("torch"): the model as each engine computes it."""

    def engine(name: str) -> Engine:
        if name == "hf":
            return HfEngine(model, dev)
        if name == "onnx":
            return onnx_engine(model, tmp_path / "exact.onnx")
        return TorchEngine(bare_weights(model), SIZE)

    return engine


def bare_weights(model: Any) -> dict[str, torch.Tensor]:
    return {name.removeprefix("transformer."): weight for name, weight in model.state_dict().items()}


def onnx_engine(model: Any, file: Path) -> Engine:
    """The graph for ONNX Runtime, with its matrices as they are."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from engine_onnx import OnnxEngine
    from onnx_graph import write_graph

    weights = {name: weight.float().numpy() for name, weight in bare_weights(model).items()}
    write_graph(file, weights, SIZE, eight_bits=False)
    return OnnxEngine(file, SIZE, threads=1)


@pytest.fixture
def writer(engines: Callable[[str], Engine], model: Any, tokenizer: Any) -> Writer:
    """The model as generate.py would have it."""
    return Writer(engines("torch"), hf_text(model, tokenizer), "")


@pytest.fixture
def folder(model: Any, tokenizer: Any, tmp_path: Path) -> Path:
    """The model as an ordinary Hugging Face folder."""
    save_pretrained(tmp_path / "made", model, tokenizer)
    return tmp_path / "made"


OPTIONS = GenerateConfig(
    engine="auto",
    max_new_tokens=12,
    do_sample=True,
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    repetition_penalty=1.0,
    num=1,
    batch_size=8,
)
SMALL = Config(
    model=ModelConfig(name="openai-community/gpt2", revision=""),
    scratch=SHAPE,
    finetune=FinetuneConfig(method="full", steps=10, learning_rate=0.001),
    lora=LoraConfig(rank=4, alpha=8.0, targets="all", learning_rate=0.01),
    data=DataConfig(path="text.txt", validation_share=0.1),
    train=TrainConfig(
        context=32,
        batch_size=8,
        grad_accumulation=1,
        dropout=0.1,
        warmup_share=0.1,
        weight_decay=0.1,
        clip=1.0,
        evaluations=2,
        patience=0,
        seed=1,
    ),
    generate=OPTIONS,
    machine=MachineConfig(
        device="cpu",
        precision="fp32",
        tf32=False,
        compile=False,
        checkpointing=False,
        threads=1,
        probe=False,
        strategy="none",
    ),
)


@pytest.fixture(scope="session")
def options() -> GenerateConfig:
    return OPTIONS


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return dataclasses.replace(SMALL, data=dataclasses.replace(SMALL.data, path=str(folder / "text.txt")))


# What the tests ask for that are the same in every project of this kind: test_resume.py and test_distributed.py.
KEPT = "model"  # the folder in a run's that holds the best model


def write_data(folder: Path) -> None:
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")


def small_run(
    name: str, *, steps: int, every: int, dropout: float = 0.0, resume: bool = False, ranks: Ranks = ALONE
) -> Run:
    """A run in runs/NAME on this folder's data, judged `every` so many steps, that begins or goes on."""
    changed = {"batch_size": 4, "grad_accumulation": 2, "dropout": dropout, "evaluations": steps // every}
    scratch = dataclasses.replace(SHAPE, steps=steps)
    config = dataclasses.replace(SMALL, scratch=scratch, train=dataclasses.replace(SMALL.train, **changed))
    return train.resume(config, name, ranks) if resume else Run(config, scratch, RUNS / name, ranks=ranks)


def passes(run: Run) -> float:
    """How often a run has seen all of its text."""
    return run.step * run.blocks.size / run.blocks.per_round


def says(folder: Path) -> Tensor:
    """What the model in a folder makes of some input."""
    return load_pretrained(str(folder))[0](torch.arange(20).view(2, 10)).logits


@pytest.fixture
def change() -> Callable[..., Config]:
    """change(config, "train", dropout=0.5): a config with some settings of one section changed."""

    def changed(config: Config, section: str, **values: Any) -> Config:
        return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})

    return changed


@pytest.fixture
def begin(config: Config) -> Callable[..., Run]:
    """begin("name", settings): a run on the test's text from a new model."""

    def begun(name: str = "run", settings: Config = config) -> Run:
        return Run(settings, settings.scratch, RUNS / name)

    return begun


@pytest.fixture
def with_text(config: Config, change: Callable[..., Config], tmp_path: Path) -> Callable[[str], Config]:
    """with_text("..."): the settings for another text."""

    def with_it(text: str) -> Config:
        (tmp_path / "other.txt").write_text(text, encoding="utf-8")
        return change(config, "data", path=str(tmp_path / "other.txt"))

    return with_it
