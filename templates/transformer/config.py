"""The settings of config.toml: their names, types and bounds. What each one means is written in config.toml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime.settings import load_config, setting


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    file: str
    target_file: str
    reverse: bool
    tokenizer: str = setting(choices=("auto", "character", "word", "bpe"))
    lowercase: bool
    vocabulary_size: int = setting(minimum=8)
    validation_share: float = setting(minimum=0.001, maximum=0.4)
    heldout_share: float = setting(minimum=0.001, maximum=0.4)

    def __post_init__(self) -> None:
        if self.target_file and not self.file:
            raise ValueError("target_file needs file, the same sentences in the other language")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    d_model: int = setting(minimum=2)
    heads: int = setting(minimum=1)
    encoder_layers: int = setting(minimum=1)
    decoder_layers: int = setting(minimum=1)
    feedforward: int = setting(minimum=1)
    dropout: float = setting(minimum=0.0, maximum=0.9)
    max_length: int = setting(minimum=4)
    norm_first: bool
    positions: str = setting(choices=("sinusoidal", "learned"))
    tied_head: bool

    def __post_init__(self) -> None:
        if self.d_model % self.heads or self.d_model % 2:
            raise ValueError(f"d_model ({self.d_model}) must be even and a multiple of heads ({self.heads})")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    steps: int = setting(minimum=1)
    batch_size: int = setting(minimum=1)
    grad_accumulation: int = setting(minimum=1)
    learning_rate: float = setting(minimum=1e-8, maximum=1.0)
    warmup_share: float = setting(minimum=0.0, maximum=0.9)
    weight_decay: float = setting(minimum=0.0, maximum=1.0)
    clip: float = setting(minimum=1e-6)
    label_smoothing: float = setting(minimum=0.0, maximum=0.5)
    evaluate_every: int = setting(minimum=1)
    metric: str = setting(choices=("auto", "exact", "chrf", "bleu"))
    seed: int = setting(minimum=0, maximum=2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class MachineConfig:
    device: str = setting(choices=("cpu", "cuda", "mps", "xpu"))
    precision: str = setting(choices=("fp32", "bf16", "fp16"))
    tf32: bool
    compile: bool
    checkpointing: bool
    threads: int = setting(minimum=0)
    probe: bool
    workers: int = setting(minimum=0)
    pin_memory: bool
    strategy: str = setting(choices=("none", "ddp", "fsdp"))


@dataclass(frozen=True, kw_only=True)
class Config:
    data: DataConfig
    model: ModelConfig
    train: TrainConfig
    machine: MachineConfig

    @property
    def metric(self) -> str:
        """What decides which checkpoint is best. The sample has one right answer each, sentences have many."""
        if self.train.metric != "auto":
            return self.train.metric
        return "chrf" if self.data.file else "exact"


def read_config(path: Path) -> Config:
    """The settings in `path`. Raises settings.ConfigError, which names the setting that is wrong."""
    return load_config(path, Config)
