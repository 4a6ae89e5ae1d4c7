"""Train the model that config.toml describes: `python train.py`, and `python train.py --resume` to go on."""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from settings import UserError, main_guard  # isort: skip (before torch: see there)

import torch
from torch import Tensor, nn

from checkpoints import load_checkpoint, read_checkpoint, save_checkpoint
from config import Config, TrainConfig, read_config
from data import PAD, BucketSampler, Vocabulary, encode_pairs, load_pairs, split_pairs, training_batches
from evaluate import METRIC_NAMES, load_translator, report, score, translate, validation_loss
from model import Translator
from peak import PeakMemory, return_blocks_at_once, training_on
from runtime import (
    Device,
    Metrics,
    Progress,
    StopRequest,
    autocast,
    choose_device,
    fit_micro_batch,
    scaler_for,
    seed_everything,
    set_threads,
)

RUNS = Path("runs")
LOG_EVERY = 10  # steps; reading the loss waits for the device, so not every step
VALIDATION_PAIRS = 500  # enough to steer by; the final score uses every held-out pair


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
    """AdamW; biases, norms and embeddings are not decayed towards zero, only the matrices that multiply."""
    matrices = [w for name, w in model.named_parameters() if w.dim() > 1 and "embedding" not in name]
    others = [w for name, w in model.named_parameters() if w.dim() < 2 or "embedding" in name]
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
    longest: int = 0  # symbols of the longest sentence so far: it decides how much memory an update takes

    def __post_init__(self) -> None:
        self.optimizer = make_optimizer(self.model, self.config.train)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: learning_rate_at(step, self.config.train)
        )
        self.scaler = scaler_for(self.dev)

    @property
    def state(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer, "scheduler": self.scheduler, "scaler": self.scaler}

    def gradients(self, source: Tensor, target: Tensor) -> Tensor:
        """Add the gradients of a whole batch, computed in parts that fit; returns the mean loss per target symbol."""
        symbols = (target[:, 1:] != PAD).sum()
        total = torch.zeros((), device=source.device)
        for part, answer in zip(source.split(self.micro_batch), target.split(self.micro_batch), strict=True):
            with autocast(self.dev):
                loss = summed_loss(self.model, part, answer, self.config.train.label_smoothing) / symbols
            self.scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def update(self, source: Tensor, target: Tensor) -> Tensor:
        """One step down the gradient; returns the loss before it. Out of memory, it goes on with smaller parts."""
        self.longest = max(self.longest, source.shape[1], target.shape[1] - 1)
        try:
            loss = self.gradients(source, target)
        except torch.OutOfMemoryError:
            if self.micro_batch == 1:
                raise UserError("one pair alone does not fit into memory; take a smaller model or max_length") from None
            self.micro_batch //= 2
            self.optimizer.zero_grad(set_to_none=True)
            torch.accelerator.empty_cache()
            return self.update(source, target)
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)  # gradients add up until they are cleared
        return loss


class Run:
    """One training run: its data, its trainer and the folder that holds what it makes."""

    def __init__(self, config: Config, folder: Path, *, resume: bool = False) -> None:
        self.config, self.folder = config, folder
        seed_everything(config.train.seed)
        machine = config.machine
        self.dev = choose_device(machine.device, machine.precision, tf32=machine.tf32, compile=machine.compile)
        self.split = split_pairs(load_pairs(config.data, config.train.seed), config.data, config.train.seed)
        self.vocabulary = Vocabulary.build(self.split.train, config.data)
        self.train_data = encode_pairs(self.split.train, self.vocabulary, config.model.max_length)
        self.validation = self.split.validation[:VALIDATION_PAIRS]
        self.validation_data = encode_pairs(self.validation, self.vocabulary, config.model.max_length)
        if not self.train_data or not self.validation_data:
            raise UserError(f"every pair is longer than model.max_length ({config.model.max_length})")
        self.memory = PeakMemory(self.dev.device)
        self.trainer = self._trainer()
        self.describe = {"model": dataclasses.asdict(config.model), "vocabulary": self.vocabulary.describe()}
        self.step, self.best = 0, (-math.inf, -math.inf)
        if resume:
            self._resume()
        self.metrics = Metrics(folder / "metrics.jsonl", resume=resume)

    def _trainer(self) -> Trainer:
        config, dev = self.config, self.dev
        model = Translator(config.model, len(self.vocabulary)).to(dev.device)
        longest = max(max(len(source), len(target)) for source, target in self.train_data)
        if config.machine.checkpointing:
            model.recompute_activations()
            return_blocks_at_once()
        if dev.compile:
            model.compile(dynamic=True)
        effective = config.train.batch_size * config.train.grad_accumulation
        micro = fit_micro_batch(
            effective, config.train.batch_size, lambda n: self.training_bytes(model, n, longest), dev
        )
        return Trainer(model, config, dev, micro)

    def training_bytes(self, model: Translator, micro: int, length: int) -> int:
        """Predicted memory of an update with `micro` pairs of `length` symbols at a time."""
        train, checkpointing = self.config.train, self.config.machine.checkpointing
        accumulating = micro < train.batch_size * train.grad_accumulation
        dropout = self.config.model.dropout
        training = training_on(self.dev, dropout, checkpointing=checkpointing, accumulating=accumulating)
        return model.training_bytes(micro, length, training)

    def memory_report(self) -> str:
        """What training took, beside what was predicted for the longest batch that came."""
        trainer = self.trainer
        return self.memory.report(self.training_bytes(trainer.model, trainer.micro_batch, trainer.longest))

    def _resume(self) -> None:
        _, extra = read_checkpoint(self.folder / "last")
        if extra != self.describe:
            raise UserError("the data or the [model] settings changed since the checkpoint; train without --resume")
        self.step, _ = load_checkpoint(self.folder / "last", model=self.trainer.model, **self.trainer.state)
        if (self.folder / "best").exists():
            self.best = tuple(read_checkpoint(self.folder / "best")[1]["result"])

    def train(self, stop: Callable[[], bool], seconds: float | None = None) -> None:
        """Update until the configured step, until `stop()` or for `seconds`; checkpoint `last` then holds the end."""
        config, machine, begun = self.config.train, self.config.machine, time.monotonic()
        effective = config.batch_size * config.grad_accumulation
        sampler = BucketSampler(self.train_data, effective, config.seed, start=self.step)
        batches = training_batches(self.train_data, sampler, machine.workers, pin=machine.pin_memory)
        progress, symbols = Progress(config.steps, start=self.step), 0
        self.trainer.model.train()
        while self.step < config.steps:
            source, target = next(batches)
            symbols += int((source != PAD).sum() + (target != PAD).sum())
            device = self.dev.device
            loss = self.trainer.update(source.to(device, non_blocking=True), target.to(device, non_blocking=True))
            self.step += 1
            left = None if seconds is None else seconds - (time.monotonic() - begun)
            interrupted = stop()
            ending = interrupted or self.step == config.steps or (left is not None and left <= 0)
            if self.step % LOG_EVERY == 0 or ending:
                self.metrics.write(step=self.step, train_loss=loss.item())
                progress.update(self.step, loss.item(), symbols, seconds_left=left)
                symbols = 0
            if self.step % config.evaluate_every == 0 or ending:
                self.memory.stop()
                self.save("last")
                if not interrupted or self.best[0] < 0:  # somebody who presses Ctrl-C wants to go, but not empty-handed
                    progress.say(self.evaluate())
            if ending:
                break

    def save(self, name: str, **more: Any) -> None:
        """Write the checkpoint `name` into the run's folder."""
        save_checkpoint(
            self.folder / name,
            model=self.trainer.model,
            step=self.step,
            extra=self.describe | more,
            **self.trainer.state,
        )

    def evaluate(self) -> str:
        """Judge the model on validation pairs, keep it as `best` if it is, draw the curves; returns a line to print."""
        model, metric = self.trainer.model, self.config.train.metric
        loss = validation_loss(model, self.validation_data, self.dev)
        predictions = translate(model, self.vocabulary, [source for source, _ in self.validation], self.dev)
        result = score(metric, predictions, [target for _, target in self.validation])
        self.metrics.write(step=self.step, validation_loss=loss, score=result)
        self.metrics.plot(self.folder / "curves.png", score=METRIC_NAMES[metric])
        if (result, -loss) > self.best:
            self.best = (result, -loss)
            self.save("best", result=self.best)
        return f"step {self.step}: validation loss {loss:.4f}, {METRIC_NAMES[metric]} {result:.1f}"


def describe(run: Run) -> str:
    """What is about to be trained, in a few lines."""
    weights = sum(weight.numel() for weight in run.trainer.model.parameters())
    config, split = run.config, run.split
    lines = [
        f"data: {len(split.train):,} pairs to learn from, {len(split.validation):,} to steer by, "
        f"{len(split.heldout):,} held out; {len(run.vocabulary)} symbols",
        f"model: {weights:,} weights, {run.dev.precision} on {run.dev.device.type}, threads: {torch.get_num_threads()}",
        f"steps: {run.step} done of {config.train.steps}, "
        f"{config.train.batch_size * config.train.grad_accumulation} pairs each, {run.trainer.micro_batch} at a time",
    ]
    skipped = len(split.train) - len(run.train_data)
    if skipped:
        lines.append(f"note: {skipped:,} training pairs are longer than model.max_length and left out")
    if run.dev.note:
        lines.append(f"note: {run.dev.note}")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the model that config.toml describes.")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    parser.add_argument("--resume", action="store_true", help="go on from runs/last")
    parser.add_argument("--steps", type=int, help="this many updates in all, instead of train.steps")
    parser.add_argument("--max-seconds", type=float, help="stop after this time, judge and save what is there")
    options = parser.parse_args()
    if options.steps is not None and options.steps < 1:
        raise UserError("--steps must be at least 1")
    return options


def main() -> int:
    options = parse()
    config = read_config(options.config)
    if options.steps:
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=options.steps))
    set_threads(config.machine.threads)
    run = Run(config, RUNS, resume=options.resume)
    print(describe(run), flush=True)
    with StopRequest() as request:
        run.train(lambda: request.requested, options.max_seconds)
    print(run.memory_report())
    resume = "python train.py --resume" + (f" --steps {options.steps}" if options.steps else "")
    if request.requested:
        print(f"\nstopped and saved at step {run.step}; go on with: {resume}")
        return 130
    model, vocabulary = load_translator(RUNS / "best", run.dev)
    report(model, vocabulary, run.split.heldout, config.train.metric, run.dev)
    print(f"\ncurves: {RUNS / 'curves.png'}   model: {RUNS / 'best'}")
    if run.step < config.train.steps:
        print(f"step {run.step} of {config.train.steps}; go on with: {resume}")
    print(f'translate: python translate.py "{"a sentence of yours" if config.data.file else "March 5, 2024"}"')
    return 0


if __name__ == "__main__":
    main_guard(main)
