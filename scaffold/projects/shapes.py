"""A preset's dimensions as the memory formulas want them, and sizes in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaffold.hardware.memory import GIB, Shape


@dataclass(frozen=True)
class Finetuning:
    """Fine-tuning a ready-made model beside the plan's own: its name, shape, micro-batch, memory with the process.

    `lora` is the memory with adapters alone and one block at a time.
    """

    name: str
    shape: Shape
    micro: int
    estimated: int
    fits: bool
    lora: int
    lora_fits: bool

    @property
    def note(self) -> str | None:
        """What to know where not even one block fits."""
        if self.fits:
            return None
        way = f"with --lora about {size_text(self.lora)}" if self.lora_fits else "the new small model trains"
        return (
            f"fine-tuning {self.name} takes about {size_text(self.estimated)} even with one block at a time: "
            f"too much here; {way}"
        )

    @property
    def row(self) -> tuple[str, int, str]:
        """Its line in the arithmetic."""
        tokens = f"{self.micro} × {self.shape.length} tokens at a time"
        how = f"not in the sum: all of it for {self.shape.parameters:,} weights, {tokens}"
        return (f"fine-tuning {self.name}", self.estimated, how)


def adapters_of(shape: Shape, rank: int) -> tuple[int, int]:
    """LoRA beside all four matrices of every decoder layer: weights, and numbers kept per token and layer."""
    dropped = 2 * (3 * shape.width + shape.feedforward) if shape.dropout else 0
    return shape.decoder_layers * rank * (8 * shape.width + 2 * shape.feedforward), 4 * rank + dropped


def shape_of(preset: dict[str, Any]) -> Shape:
    """A preset's dimensions; decoders use GPT-2's names for them."""
    width = width_of(preset)
    return Shape(
        width=width,
        encoder_layers=int(preset.get("encoder_layers", 0)),
        decoder_layers=int(preset.get("decoder_layers", preset.get("n_layer", 0))),
        feedforward=int(preset.get("feedforward", 4 * width)),
        vocabulary=int(preset.get("vocab_size", preset.get("vocabulary_size", 0))),
        length=int(preset.get("max_length", preset.get("context", 0))),
        heads=int(preset.get("heads", preset.get("n_head", 1))),
        dropout=float(preset.get("dropout", 0.0)),
        tied=bool(preset.get("tied_head", True)),
    )


def width_of(dimensions: dict[str, Any]) -> int:
    """d_model of a preset, by whichever name."""
    return int(dimensions.get("d_model", dimensions.get("n_embd", 0)))


def size_text(size: int) -> str:
    """Bytes in gigabytes, as exact as a plan is."""
    return f"{size / GIB:.0f} GB" if size >= 10 * GIB else f"{size / GIB:.1f} GB"
