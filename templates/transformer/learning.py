"""How the model learns: the loss, the optimizer, the learning rate over time, and one update."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from config import Config, TrainConfig
from data import PAD
from model import Translator
from runtime.checkpoints import load_checkpoint
from runtime.core import Device, autocast, scaler_for
from runtime.distributed import ALONE, Ranks
from runtime.dropout import quicken_dropout
from runtime.peak import give_back
from runtime.settings import UserError, is_about_memory


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """The share of the full learning rate at a step: a straight warm-up, then half a cosine down to zero.

    Adam's first estimates of the gradient are poor, so full steps at the start would spoil the weights; the slow end
    lets them settle.
    """
    warmup = max(1, round(config.steps * config.warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, config.steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; biases, norms, embeddings and positions are not decayed towards zero, only the matrices that multiply."""
    tables = ("embedding.weight", "positions")
    matrices = [w for name, w in model.named_parameters() if w.dim() > 1 and not name.endswith(tables)]
    others = [w for name, w in model.named_parameters() if w.dim() < 2 or name.endswith(tables)]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)


def summed_loss(model: nn.Module, source: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy summed over the real target symbols of sources [B, S] and targets [B, T].

    The decoder reads `BOS a b c` and must say `a b c EOS`: its input lacks the last symbol, its labels the first.
    """
    scores = model(source, target[:, :-1])
    labels = target[:, 1:]
    return nn.functional.cross_entropy(
        scores.flatten(0, 1), labels.flatten(), ignore_index=PAD, label_smoothing=smoothing, reduction="sum"
    )


@dataclasses.dataclass
class Trainer:
    """All that one update needs."""

    model: Translator
    config: Config
    dev: Device
    micro_batch: int
    ranks: Ranks = ALONE
    longest: int = 0  # symbols of the longest sentence so far: it decides how much memory an update takes

    def __post_init__(self) -> None:
        quicken_dropout(self.model, self.dev)
        self.parallel = self.ranks.wrap(self.model)
        self.optimizer = make_optimizer(self.model, self.config.train)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: learning_rate_at(step, self.config.train)
        )
        self.scaler = scaler_for(self.dev)

    @property
    def state(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer, "scheduler": self.scheduler, "scaler": self.scaler}

    def resume(self, checkpoint: Path) -> int:
        """Go on from a checkpoint; returns its step. The rate and the decay are those of config.toml as it is now."""
        rates, decays = self.scheduler.base_lrs, [group["weight_decay"] for group in self.optimizer.param_groups]
        step, _ = load_checkpoint(checkpoint, model=self.model, **self.state)
        self.scheduler.base_lrs = rates
        for group, rate, decay in zip(self.optimizer.param_groups, rates, decays, strict=True):
            group["lr"], group["weight_decay"] = rate * learning_rate_at(step, self.config.train), decay
        return step

    def gradients(self, source: Tensor, target: Tensor) -> Tensor:
        """Add the gradients of a whole batch, computed in parts that fit; returns the mean loss per target symbol.

        With several processes, source and target are this one's part of the batch, and so is the loss: a sum, divided
        by the symbols of all parts. They exchange the mean of their gradients; times their number it is the sum.
        """
        [symbols] = self.ranks.total(int((target[:, 1:] != PAD).sum()))
        source, target = (side.to(self.dev.device, non_blocking=True) for side in (source, target))
        total = torch.zeros((), device=self.dev.device)
        parts = list(zip(source.split(self.micro_batch), target.split(self.micro_batch), strict=True))
        for number, (part, answer) in enumerate(parts, 1):
            with self.ranks.exchanging(self.parallel, last=number == len(parts)):
                with autocast(self.dev):
                    loss = summed_loss(self.parallel, part, answer, self.config.train.label_smoothing) / symbols
                self.scaler.scale(loss * self.ranks.size).backward()
            total += loss.detach()
        return total

    def update(self, source: Tensor, target: Tensor) -> Tensor:
        """One step down the gradient; returns the loss before it. Out of memory, it goes on with smaller parts."""
        self.longest = max(self.longest, source.shape[1], target.shape[1] - 1)
        loss = None
        try:
            loss = self.gradients(source, target)
        except RuntimeError as error:  # a GPU's OutOfMemoryError is one; Apple's and the CPU's are nothing more
            if not is_about_memory(error):
                raise
            self._compute_less_at_once()
        if loss is None:  # not in the block above: until its end the error holds all that the attempt had in memory
            give_back(self.dev.device)
            return self.update(source, target)
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)  # gradients add up until they are cleared
        return loss

    def _compute_less_at_once(self) -> None:
        """Halve the parts. Raises UserError where that can't be done."""
        if self.ranks.size > 1:  # the others wait for these gradients
            raise UserError(f"out of memory with {self.micro_batch} pairs at a time; lower batch_size") from None
        if self.micro_batch == 1:
            raise UserError("one pair alone does not fit into memory; take a smaller model or max_length") from None
        self.micro_batch //= 2
        self.optimizer.zero_grad(set_to_none=True)
