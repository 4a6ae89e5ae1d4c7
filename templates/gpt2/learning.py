"""How a GPT-2 learns: the loss, the optimizer, the learning rate over time, and what an update takes in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from runtime.core import Device, autocast
from runtime.distributed import ALONE, Ranks
from runtime.memory import Shape, Training


def learning_rate_at(step: int, steps: int, warmup_share: float) -> float:
    """The share of the full learning rate at a step: a straight warm-up, then half a cosine down to zero.

    Adam's first estimates of the gradient are poor, so full steps at the start would spoil the weights; the slow end
    lets them settle.
    """
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def make_optimizer(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW; matrices are pulled a little towards zero at every step, biases and layer norms are left alone."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.dim() >= 2], "weight_decay": weight_decay},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)


def follow_settings(
    scheduler: torch.optim.lr_scheduler.LambdaLR, learning_rate: float, weight_decay: float, step: int
) -> None:
    """Go on with these settings after `step`: a checkpoint brings those of the time when it was written."""
    scheduler.base_lrs = [learning_rate] * 2
    share = scheduler.lr_lambdas[0](step)
    for group, decay in zip(scheduler.optimizer.param_groups, (weight_decay, 0.0), strict=True):  # make_optimizer's
        group.update(lr=learning_rate * share, initial_lr=learning_rate, weight_decay=decay)


def language_loss(model: Any, blocks: Tensor) -> Tensor:
    """Mean cross-entropy of every token of blocks [N, T] given those before it.

    The labels are the blocks themselves: the model shifts them by one. Shifted here too, it would learn to leave out
    every second word.
    """
    return model(input_ids=blocks, labels=blocks, use_cache=False).loss


@torch.no_grad()
def validation_loss(model: Any, blocks: Tensor, dev: Device, size: int, ranks: Ranks = ALONE) -> float:
    """Mean loss over blocks [N, T], `size` of them at a time, without dropout. exp(loss) is the perplexity."""
    model.eval()
    total, mine = 0.0, blocks[ranks.rank :: ranks.size]
    for part in mine.split(size):
        with autocast(dev):
            total += language_loss(model, part.to(dev.device)).item() * len(part)
    model.train()
    return ranks.total(total)[0] / len(blocks)


def perplexity(loss: float) -> float:
    """Among how many tokens, equally likely, the model hesitates: e to the loss. At most e^700, a float's range."""
    return math.exp(min(loss, 700.0))


def rate_setting(method: str) -> str:
    """Where config.toml has the learning rate of a method (scratch, full or lora)."""
    return f"{'finetune' if method == 'full' else method}.learning_rate"


def in_words(loss: float) -> str:
    """A loss's perplexity for people: beyond a million its magnitude is enough."""
    value = perplexity(loss)
    return f"{value:,.1f}" if value < 1e6 else f"{value:.1e}"


@dataclass
class Judgement:
    """How a run does on the held-out text: its best loss, at which step, and for how many judgements it has not fallen.

    `before` is the loss of the model that fine-tuning began with.
    """

    best: float = math.inf
    step: int = 0
    waited: int = 0
    before: float | None = None

    def add(self, loss: float, step: int, *, due: bool) -> bool:
        """Whether `loss` is the best yet. `due` is False for a judgement out of turn, which shortens no patience."""
        if loss < self.best:
            self.best, self.step, self.waited = loss, step, 0
            return True
        self.waited += due
        return False

    def outcome(self) -> str:
        """What the training came to, in a line or two."""
        text = f"best validation loss {self.best:.4f} (perplexity {in_words(self.best)}) at step {self.step}"
        if self.before is None:
            return text
        text += f"; before fine-tuning {self.before:.4f} ({in_words(self.before)})"
        if self.best < self.before:
            return text
        return f"{text}\nno step was better than the beginning: take a smaller learning rate, or more text"


def set_dropout(model: nn.Module, share: float) -> None:
    """Switch off this share of the activations at random while training; a model folder's own choice is overruled."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share


def training_bytes(model: Any, blocks: int, length: int, training: Training, dropout: float) -> int:
    """Memory of an update with `blocks` blocks of `length` tokens at a time (runtime/memory.py has the sums)."""
    config = model.config
    shape = Shape(
        width=config.hidden_size,
        encoder_layers=0,
        decoder_layers=config.num_hidden_layers,
        feedforward=getattr(config, "n_inner", None) or 4 * config.hidden_size,
        vocabulary=config.vocab_size,
        length=length,
        heads=config.num_attention_heads,
        dropout=dropout,
    )
    return shape.step(blocks, training).total
