"""LoRA: the model's own weights stay as they are, and small matrices beside them learn.

Beside a frozen matrix W lie two thin ones: A takes what goes in down to `rank` numbers, B takes those up again, and the
layer gives W x + (alpha / rank) B A x. B begins as zeros, so at first nothing is different. AdamW then keeps its two
moments for some hundredths of the weights only, what was learned is a file of a few megabytes, and added to W it costs
nothing when the model writes. The work is done by the library peft.
"""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from config import LoraConfig
from runtime.extras import need

# Which matrices get adapters: those that compute query, key and value, or all matrices of every layer.
TARGETS = {"attention": ["c_attn"], "all": "all-linear"}


class Adapters:
    """The adapters that are put into `model`; from then on they alone learn.

    The dropout acts on what goes into the adapters. In the frozen layers there is nothing to be kept from learning by
    heart, so theirs is off: it would only cost time and memory.
    """

    def __init__(self, model: Any, settings: LoraConfig, dropout: float) -> None:
        need("peft", "LoRA")
        import peft

        self.fingerprint = fingerprint(model)
        targets = TARGETS[settings.targets] if model.config.model_type == "gpt2" else "all-linear"
        self.model, self.settings, self.dropout = model, settings, dropout
        adapters = peft.LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=dropout,
            target_modules=targets,
            fan_in_fan_out=model.config.model_type == "gpt2",  # GPT-2 keeps its matrices the other way round
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft uses a name that transformers will rename
            self.wrapped = peft.get_peft_model(model, adapters)
        self.learned = Learned(model)

    @property
    def description(self) -> dict[str, Any]:
        """What must be the same for a run to go on: the frozen weights are not in its checkpoints."""
        return {"start_model": self.fingerprint, "rank": self.settings.rank, "alpha": self.settings.alpha}

    @property
    def values_per_layer(self) -> int:
        """Numbers per token that a layer's adapters keep for the backward pass: A's output, and what dropout makes."""
        from peft.tuners.lora import LoraLayer

        layers = [layer for layer in self.model.modules() if isinstance(layer, LoraLayer)]
        inputs = sum(layer.in_features for layer in layers) * (2 if self.dropout else 0)
        return (inputs + len(layers) * self.settings.rank) // self.model.config.num_hidden_layers

    def save(self, folder: Path) -> None:
        """Write the adapters alone, as peft and other programs read them."""
        self.wrapped.save_pretrained(str(folder), save_embedding_layers=False)

    def save_merged(self, folder: Path, tokenizer: Any) -> None:
        """Write an ordinary model folder in which the adapters are added to the weights; peft is not needed for it."""
        self.model.save_pretrained(folder, state_dict=self.merged_weights())
        tokenizer.save_pretrained(folder)

    @torch.no_grad()
    def merged_weights(self) -> dict[str, Tensor]:
        """W + (alpha / rank) B A for each matrix with an adapter, and every other weight as it is.

        In new tensors: adding and then subtracting again would leave rounding errors in the frozen weights.
        """
        from peft.tuners.lora import LoraLayer

        weights = {name: weight for name, weight in self.model.state_dict().items() if ".lora_" not in name}
        for name, layer in self.model.named_modules():
            if isinstance(layer, LoraLayer):
                weights[f"{name}.base_layer.weight"] = layer.base_layer.weight + layer.get_delta_weight("default")
        return {name.replace(".base_layer.", "."): weight for name, weight in weights.items()}


class Learned(nn.Module):
    """Only those weights of a model that learn, under names of their own: a checkpoint needs no others."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                self.register_parameter(name.replace(".", "/"), weight)


def fingerprint(model: nn.Module) -> int:
    """A number that is another one as soon as any weight is."""
    number = 0
    for weight in model.parameters():
        number = zlib.crc32(weight.detach().cpu().contiguous().view(torch.uint8).numpy(), number)
    return number
