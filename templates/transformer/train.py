"""Train the model that config.toml describes: `python train.py`, and `python train.py --resume` to go on."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.settings import UserError, main_guard  # isort: skip (before torch: see there)

import torch

from config import Config, read_config
from data import PAD, BucketSampler, Material, load_material, training_batches
from evaluate import METRIC_NAMES, load_translator, report, score, translate, validation_loss
from learning import Trainer
from model import Translator
from probe import settle
from runtime.checkpoints import mend, read_checkpoint, save_checkpoint
from runtime.core import (
    Metrics,
    Progress,
    StopRequest,
    check_loss,
    fit_micro_batch,
    seed_everything,
    set_threads,
)
from runtime.distributed import ALONE, Ranks, restarted, set_aside, together
from runtime.dropout import recomputing
from runtime.find_lr import report as learning_rate_report
from runtime.find_lr import sweep
from runtime.peak import PeakMemory, return_blocks_at_once, training_on

RUNS = Path("runs")
LOG_EVERY = 10  # steps; reading the loss waits for the device, so not every step
DESCRIBED = {  # what has to stay as it was for a run to go on
    "model": "the [model] settings",
    "pairs": "the pairs, their shares or train.seed",
    "vocabulary": "data.tokenizer, lowercase or vocabulary_size",
    "metric": "train.metric",
}


class Run:
    """One training run: its data, its trainer and the folder that holds what it makes."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        *,
        resume: bool = False,
        ranks: Ranks = ALONE,
        material: Material | None = None,
    ) -> None:
        self.config, self.folder, self.ranks = config, folder, ranks
        if resume:
            mend(folder)
            read_checkpoint(folder / "last")  # told before the data is read and the machine measured
        seed_everything(config.train.seed)
        self.material = material or load_material(config, ranks)
        self.split, self.vocabulary = self.material.split, self.material.vocabulary
        self.train_data, self.validation_data = self.material.train, self.material.validation
        self.dev = settle(config.machine, config.model.d_model, RUNS)
        self.memory = PeakMemory(self.dev.device)
        self.trainer = self._trainer()
        self.describe = {
            "model": dataclasses.asdict(config.model),
            "pairs": self.split.fingerprint,
            "vocabulary": self.vocabulary.describe(),
            "metric": config.metric,
        }
        self.step, self.best = 0, (-math.inf, -math.inf)
        if resume:
            self._resume()
        facts = {"step": self.step, "vocabulary": len(self.vocabulary), "precision": self.dev.precision}
        ranks.agree(facts | dataclasses.asdict(config))
        self.metrics = Metrics(folder / "metrics.jsonl", resume=resume, step=self.step, quiet=not ranks.first)

    def _trainer(self) -> Trainer:
        config, dev = self.config, self.dev
        model = Translator(config.model, len(self.vocabulary))
        longest = max(max(len(source), len(target)) for source, target in self.train_data)
        if config.machine.checkpointing:
            model.recompute_activations(**recomputing(dev.device))
            return_blocks_at_once()
        if dev.compile:
            model.compile(dynamic=True)
        self.ranks.place(model, dev.device, model.layers, ["greedy"])
        effective = config.train.batch_size * config.train.grad_accumulation
        share = self.ranks.share_of(effective, "pairs")
        needs, here = lambda n: self.training_bytes(model, n, longest), self.ranks.on_this_machine
        micro = fit_micro_batch(share, config.train.batch_size, needs, dev, here)
        return Trainer(model, config, dev, self.ranks.smallest(micro), self.ranks)

    def training_bytes(self, model: Translator, micro: int, length: int) -> int:
        """Predicted memory of an update with `micro` pairs of `length` symbols at a time."""
        train, checkpointing = self.config.train, self.config.machine.checkpointing
        accumulating = micro < train.batch_size * train.grad_accumulation // self.ranks.size
        dropout = self.config.model.dropout
        training = training_on(
            self.dev, dropout, checkpointing=checkpointing, accumulating=accumulating, shards=self.ranks.shards
        )
        return model.training_bytes(micro, length, training)

    def memory_report(self) -> str:
        """What training took, beside what was predicted for the longest batch that came."""
        trainer = self.trainer
        return self.memory.report(self.training_bytes(trainer.model, trainer.micro_batch, trainer.longest))

    def _resume(self) -> None:
        _, extra = read_checkpoint(self.folder / "last")
        changed = [what for key, what in DESCRIBED.items() if extra.get(key) != self.describe[key]]
        if changed:
            raise UserError(f"{changed[0]} changed since the checkpoint; put that back, or train without --resume")
        self.step = self.trainer.resume(self.folder / "last")
        if (self.folder / "best").exists():
            self.best = tuple(read_checkpoint(self.folder / "best")[1]["result"])

    def train(self, stop: Callable[[], bool], seconds: float | None = None) -> bool:
        """Update until the configured step, until `stop()` or for `seconds`; checkpoint `last` then holds the end.

        Returns whether `stop()` ended it, in this or another process.
        """
        config, machine, begun = self.config.train, self.config.machine, time.monotonic()
        effective = config.batch_size * config.grad_accumulation
        ranks, interrupted = self.ranks, False
        sampler = BucketSampler(self.train_data, effective, config.seed, start=self.step, ranks=ranks)
        pin = machine.pin_memory and self.dev.device.type in ("cuda", "xpu")  # elsewhere torch would warn of it
        batches = training_batches(self.train_data, sampler, machine.workers, pin=pin)
        progress, symbols = Progress(config.steps, start=self.step, quiet=not ranks.first), 0
        self.trainer.model.train()
        while self.step < config.steps:
            source, target = next(batches)
            symbols += int((source != PAD).sum() + (target != PAD).sum())
            ranks.reseed(config.seed, self.step)
            loss = self.trainer.update(source, target)
            self.step += 1
            left = None if seconds is None else seconds - (time.monotonic() - begun)
            interrupted, late = map(bool, ranks.total(stop(), left is not None and left <= 0))
            ending = interrupted or late or self.step == config.steps
            if self.step % LOG_EVERY == 0 or ending:
                mean, seen = ranks.total(loss.item(), symbols)
                check_loss(mean, self.step, "train.learning_rate")
                self.metrics.write(step=self.step, train_loss=mean)
                progress.update(self.step, mean, seen, seconds_left=left)
                symbols = 0
            due = self.step % config.evaluate_every == 0
            if due or ending:
                self.memory.stop()
                if due or not interrupted or self.best[0] < 0:  # Ctrl-C: somebody wants to go, but not empty-handed
                    progress.say(self.evaluate())
                self.save("last")  # after judging: killed before, the run does both again
            if ending:
                break
        return interrupted

    def save(self, name: str, **more: Any) -> None:
        """Write the checkpoint `name` into the run's folder: the first process writes it.

        With fsdp all write their parts of `last`, and bring `best` together for the first one.
        """
        path, model, extra = self.folder / name, self.trainer.model, self.describe | more
        if name == "last" or self.ranks.strategy != "fsdp":
            self.ranks.save_checkpoint(path, model=model, step=self.step, extra=extra, **self.trainer.state)
            return
        weights = self.ranks.whole_weights(model)
        if self.ranks.first and weights:
            whole = Translator(self.config.model, len(self.vocabulary))
            whole.load_state_dict(weights)
            save_checkpoint(path, model=whole, step=self.step, extra=extra)

    def evaluate(self) -> str:
        """Judge the model on validation pairs, keep it as `best` if it is, draw the curves; returns a line to print."""
        model, metric = self.trainer.model, self.config.metric
        ranks = self.ranks.judging
        loss = validation_loss(model, self.validation_data, self.dev, ranks)
        check_loss(loss, self.step, "train.learning_rate")
        sources = ranks.part([source for source, _ in self.split.validation])
        with self.ranks.gathered(model):
            predictions = ranks.whole(translate(model, self.vocabulary, sources, self.dev))
        result = score(metric, predictions, [target for _, target in self.split.validation])
        self.metrics.write(step=self.step, validation_loss=loss, score=result)
        training = "training, with smoothed labels" if self.config.train.label_smoothing else "training"
        self.metrics.plot(self.folder / "curves.png", score=METRIC_NAMES[metric], training=training)
        if (result, -loss) > self.best:
            self.best = (result, -loss)
            self.save("best", result=self.best)
        reached = f"exact match {result:.1f} %" if metric == "exact" else f"{METRIC_NAMES[metric]} {result:.1f}"
        return f"step {self.step}: validation loss {loss:.4f}, {reached}"


def describe(run: Run) -> str:
    """What is about to be trained, in a few lines."""
    weights = sum(weight.numel() for weight in run.trainer.model.parameters())
    config, split = run.config, run.split
    effective = config.train.batch_size * config.train.grad_accumulation
    times = config.train.steps * effective / len(run.train_data)
    lines = [
        f"data: {len(split.train):,} pairs to learn from, {len(split.validation):,} to steer by, "
        f"{len(split.heldout):,} held out; {run.vocabulary}",
        f"model: {weights:,} weights, {run.dev.precision} on {run.dev.device.type}, threads: {torch.get_num_threads()}",
        f"steps: {run.step} done of {config.train.steps}, {effective} pairs each, {run.trainer.micro_batch} at a time: "
        f"every pair {times:.3g} times",
    ]
    notes = [*run.material.notes, run.dev.note] if run.dev.note else run.material.notes
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def find_learning_rate(config: Config) -> str:
    """Try learning rates on the model and the data of config.toml; returns what came of it. Nothing is kept."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(config, Path(folder))
    print(describe(run), flush=True)
    trainer, train = run.trainer, config.train
    sampler = BucketSampler(run.train_data, train.batch_size * train.grad_accumulation, train.seed)
    batches = training_batches(run.train_data, sampler, workers=0, pin=False)
    trainer.model.train()
    found = sweep(trainer.model, trainer.optimizer, trainer.state, lambda: trainer.update(*next(batches)).item())
    return learning_rate_report(found, "train.learning_rate", train.learning_rate, RUNS / "find-lr.png")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the model that config.toml describes.")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    parser.add_argument(
        "--resume", nargs="?", const="yes", choices=("yes", "auto"), help="go on from runs/last; auto: if it is there"
    )
    parser.add_argument("--steps", type=int, help="this many updates in all, instead of train.steps")
    parser.add_argument("--find-lr", action="store_true", help="try ever higher learning rates, suggest one, and end")
    parser.add_argument("--max-seconds", type=float, help="stop after this time, judge and save what is there")
    options = parser.parse_args()
    if options.steps is not None and options.steps < 1:
        raise UserError("--steps must be at least 1")
    if options.max_seconds is not None and not options.max_seconds > 0:
        raise UserError(f"--max-seconds must be above 0, not {options.max_seconds:g}")
    return options


def wants_resume(options: argparse.Namespace) -> bool:
    """Whether to go on from runs/last: asked for, or torchrun started the processes anew after one had died."""
    if options.resume == "auto" or restarted():
        return any((RUNS / name / "checkpoint.json").is_file() for name in ("last", "last.old"))
    return bool(options.resume)


def main() -> int:
    options = parse()
    config = read_config(options.config)
    if options.steps:
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=options.steps))
    set_threads(config.machine.threads)
    if options.find_lr:
        if options.resume or restarted() or "RANK" in os.environ:
            raise UserError("--find-lr begins anew, in one process: python train.py --find-lr")
        print(find_learning_rate(config))
        return 0
    with together(config.machine.strategy, config.machine.device) as ranks:
        resume = wants_resume(options)
        if not resume:
            set_aside(RUNS / "last")
        run = Run(config, RUNS, resume=resume, ranks=ranks)
        print(describe(run), flush=True)
        with StopRequest() as request:
            interrupted = run.train(lambda: request.requested, options.max_seconds)
        print(run.memory_report())
    if not ranks.first:
        return 130 if interrupted else 0
    again = f"{ranks.command} train.py --resume" + (f" --steps {options.steps}" if options.steps else "")
    if interrupted:
        print(f"\nstopped and saved at step {run.step}; go on with: {again}{ranks.last_words}")
        return 130
    model, vocabulary = load_translator(RUNS / "best", run.dev)
    report(model, vocabulary, run.split.heldout, config.metric, run.dev, RUNS / "heldout.tsv")
    print(f"\ncurves: {RUNS / 'curves.png'}   model: {RUNS / 'best'}")
    if run.step < config.train.steps:
        print(f"step {run.step} of {config.train.steps}; go on with: {again}")
    print(f'translate: python translate.py "{"a sentence of yours" if config.data.file else "March 5, 2024"}"')
    return 0


if __name__ == "__main__":
    main_guard(main)
