"""The settings of config.toml: their names, types and bounds. What each one means is written in config.toml."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.settings import load_config, setting

ENGINES = ("auto", "torch", "int8", "onnx", "transformers")  # what may compute the model while it writes


@dataclass(frozen=True)
class ModelConfig:
    name: str
    revision: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError('name is empty; give a hub id, a model folder, or "scratch"')


@dataclass(frozen=True)
class ScratchConfig:
    n_layer: int = setting(minimum=1)
    n_head: int = setting(minimum=1)
    n_embd: int = setting(minimum=2)
    vocab_size: int = setting(minimum=257)
    steps: int = setting(minimum=1)
    learning_rate: float = setting(minimum=1e-8, maximum=1.0)

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd ({self.n_embd}) must be a multiple of n_head ({self.n_head})")


@dataclass(frozen=True)
class FinetuneConfig:
    method: str = setting(choices=("full", "lora"))
    steps: int = setting(minimum=1)
    learning_rate: float = setting(minimum=1e-8, maximum=1.0)


@dataclass(frozen=True)
class LoraConfig:
    rank: int = setting(minimum=1)
    alpha: float = setting(minimum=1e-6)
    targets: str = setting(choices=("attention", "all"))
    learning_rate: float = setting(minimum=1e-8, maximum=1.0)


@dataclass(frozen=True)
class DataConfig:
    path: str
    validation_share: float = setting(minimum=0.001, maximum=0.5)


@dataclass(frozen=True)
class TrainConfig:
    context: int = setting(minimum=8)
    batch_size: int = setting(minimum=1)
    grad_accumulation: int = setting(minimum=1)
    dropout: float = setting(minimum=0.0, maximum=0.9)
    warmup_share: float = setting(minimum=0.0, maximum=0.9)
    weight_decay: float = setting(minimum=0.0, maximum=1.0)
    clip: float = setting(minimum=1e-6)
    evaluations: int = setting(minimum=1)
    patience: int = setting(minimum=0)
    seed: int = setting(minimum=0, maximum=2**32 - 1)


@dataclass(frozen=True)
class GenerateConfig:
    engine: str
    max_new_tokens: int
    do_sample: bool
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    num: int
    batch_size: int

    def __post_init__(self) -> None:
        """Checked here and not by `setting`, so that the command line's values are held to the same bounds."""
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {self.engine}")
        for key in ("max_new_tokens", "num", "batch_size"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be at least 1, not {getattr(self, key)}")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be above 0, not {self.temperature}; for no randomness take greedy")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (off) or more, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1 (off), not {self.top_p}")
        if not 0 < self.repetition_penalty < float("inf"):
            raise ValueError(f"repetition_penalty must be above 0 (1 is off), not {self.repetition_penalty}")
        if self.num > 1 and not self.do_sample:
            raise ValueError(f"greedy writes the same text every time: with num {self.num}, sample")

    def steered(self, changes: Mapping[str, Any], *, greedy: bool) -> GenerateConfig:
        """These settings with what somebody wants otherwise. Raises ValueError for what makes no sense."""
        sampling = sorted({"temperature", "top_k", "top_p"} & changes.keys())
        if greedy and sampling:
            raise ValueError(f"greedy always takes the likeliest token: {sampling[0]} would change nothing")
        if greedy:
            changes = {"num": 1} | dict(changes) | {"do_sample": False}
        elif sampling:
            changes = dict(changes) | {"do_sample": True}
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class MachineConfig:
    device: str = setting(choices=("cpu", "cuda", "mps", "xpu"))
    precision: str = setting(choices=("fp32", "bf16", "fp16"))
    tf32: bool
    compile: bool
    checkpointing: bool
    threads: int = setting(minimum=0)
    probe: bool
    strategy: str = setting(choices=("none", "ddp", "fsdp"))


@dataclass(frozen=True)
class Config:
    model: ModelConfig
    scratch: ScratchConfig
    finetune: FinetuneConfig
    lora: LoraConfig
    data: DataConfig
    train: TrainConfig
    generate: GenerateConfig
    machine: MachineConfig

    def finetuning(self, method: str) -> FinetuneConfig:
        """How to fine-tune by a method: [finetune], and with LoRA its own learning rate."""
        if method == "full":
            return dataclasses.replace(self.finetune, method=method)
        return dataclasses.replace(self.finetune, method=method, learning_rate=self.lora.learning_rate)


def read_config(path: Path) -> Config:
    """The settings in `path`. Raises settings.ConfigError, which names the setting that is wrong."""
    return load_config(path, Config)
