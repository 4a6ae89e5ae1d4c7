"""A training run, from its first update to the model that it leaves behind."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attention import quicken
from config import Config, FinetuneConfig, ScratchConfig, TrainConfig
from data import opening_of, prepare, read_documents
from engine_hf import HfEngine, hf_text
from engines import Writer
from folders import RUNS
from generate import continue_prompts
from learning import (
    Judgement,
    follow_settings,
    in_words,
    language_loss,
    learning_rate_at,
    make_optimizer,
    perplexity,
    rate_setting,
    set_dropout,
    training_bytes,
    validation_loss,
)
from lora import Adapters
from models import layers_of, new_model, save_pretrained, save_shell, train_tokenizer
from probe import settle
from runtime.checkpoints import load_checkpoint, replace_folder
from runtime.core import Metrics, Progress, autocast, check_loss, fit_micro_batch, scaler_for, seed_everything
from runtime.distributed import ALONE, Ranks
from runtime.dropout import recomputing
from runtime.peak import PeakMemory, return_blocks_at_once, training_on
from runtime.settings import UserError
from split import hold_out

LOG_EVERY = 10  # steps; reading the loss waits for the device, so not every step
SAMPLE_TOKENS = 40


class Run:
    """One training run: its model, its data and the folder in runs/ that holds what it makes.

    It starts from `start`, a model and its tokenizer, or from a new model. `recipe` tells how far and how fast to
    learn: config.scratch for a new model, config.finetuning(method) for one that can write already. `origin` says where
    the latter came from: (name, revision). `told` is what the command line said; a run that goes on is told it again.
    """

    def __init__(
        self,
        config: Config,
        recipe: ScratchConfig | FinetuneConfig,
        folder: Path,
        start: tuple[Any, Any] | None = None,
        *,
        origin: tuple[str, str] = ("", ""),
        told: Mapping[str, Any] | None = None,
        resume: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        self.config, self.recipe, self.folder, self.origin, self.ranks = config, recipe, folder, origin, ranks
        self.told = dict(told or {})
        seed_everything(config.train.seed)
        documents = read_documents(config.data.path)
        self.split = hold_out(documents, config.data.validation_share, config.train.seed)
        training, held_out = self.split.training, self.split.held_out
        if not training or not held_out:
            raise UserError("the text is too short to hold a part of it out; bring more of it")
        if start is None:
            tokenizer = ranks.from_first(lambda: train_tokenizer(training, config.scratch.vocab_size))
            start = new_model(config.scratch, config.train.context, tokenizer), tokenizer
        self.model, self.tokenizer = start
        self._prepare_model(config.train)
        positions = self.model.config.max_position_embeddings
        self.blocks, self.validation = prepare(self.tokenizer, training, held_out, positions, config.train, ranks)
        self.opening = opening_of(held_out[0], self.tokenizer, positions)
        self.micro_batch = self._micro_batch(config.train)
        self.step, self.judged = 0, Judgement()
        if resume:
            self._resume()
        facts = self.description | {"step": self.step, "precision": self.dev.precision}
        ranks.agree(facts | dataclasses.asdict(config))
        self.metrics = Metrics(folder / "metrics.jsonl", resume=resume, step=self.step, quiet=not ranks.first)

    def _prepare_model(self, train: TrainConfig) -> None:
        machine = self.config.machine
        self.dev = settle(machine, self.model.config.hidden_size, RUNS)
        for weight in self.model.parameters():
            weight.sum()  # a loaded model's file is read only now: it would count as the training's memory
        loaded = sum(weight.nbytes for weight in self.model.parameters())
        self.memory = PeakMemory(self.dev.device, already=loaded)
        self.adapters: Adapters | None = None
        if self.method == "lora":
            if self.ranks.strategy == "fsdp":
                raise UserError("LoRA leaves little to divide among processes: with it, set strategy to ddp")
            set_dropout(self.model, 0.0)
            self.adapters = Adapters(self.model, self.config.lora, train.dropout)
        else:
            set_dropout(self.model, train.dropout)
        quicken(self.model, self.dev)
        self.model.train()
        if machine.checkpointing:
            self.model.activation_checkpointing_enable({"use_reentrant": False, **recomputing(self.dev.device)})
            return_blocks_at_once()
        self.ranks.place(self.model, self.dev.device, layers_of(self.model))
        self.forward = self.ranks.wrap(torch.compile(self.model) if self.dev.compile else self.model)
        self.optimizer = make_optimizer(self.model, self.recipe.learning_rate, train.weight_decay)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: learning_rate_at(step, self.recipe.steps, train.warmup_share)
        )
        self.scaler = scaler_for(self.dev)

    def _micro_batch(self, train: TrainConfig) -> int:
        """How many blocks this process computes at a time."""
        share = self.ranks.share_of(self.blocks.size, "blocks")
        fitting = fit_micro_batch(share, train.batch_size, self.training_bytes, self.dev, self.ranks.on_this_machine)
        return self.ranks.smallest(fitting)

    def training_bytes(self, micro: int) -> int:
        """Predicted memory of an update with `micro` blocks at a time."""
        checkpointing, shards = self.config.machine.checkpointing, self.ranks.shards
        dropout = 0.0 if self.adapters else self.config.train.dropout  # theirs is counted by themselves
        accumulating = micro < self.blocks.size // self.ranks.size
        training = training_on(self.dev, dropout, checkpointing=checkpointing, accumulating=accumulating, shards=shards)
        if self.adapters:
            weights = sum(weight.numel() for weight in self.learned.parameters())
            training = dataclasses.replace(training, adapters=weights, adapter_values=self.adapters.values_per_layer)
        return training_bytes(self.model, micro, self.blocks.length, training, dropout)

    def memory_report(self) -> str:
        """What training took, beside what was predicted."""
        return self.memory.report(self.training_bytes(self.micro_batch))

    @property
    def method(self) -> str:
        """scratch, full or lora."""
        return "scratch" if isinstance(self.recipe, ScratchConfig) else self.recipe.method

    @property
    def description(self) -> dict[str, Any]:
        """What must be the same for a run to go on where it stopped."""
        return {
            "method": self.method,
            **(self.adapters.description if self.adapters else {}),
            "training_tokens": len(self.blocks.tokens),
            "block": self.blocks.length,
            "batch": self.blocks.size,
            "seed": self.config.train.seed,
        }

    @property
    def learned(self) -> nn.Module:
        """What a checkpoint has to hold: everything, or with LoRA the adapters alone."""
        return self.adapters.learned if self.adapters else self.model

    @property
    def state(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer, "scheduler": self.scheduler, "scaler": self.scaler}

    def _resume(self) -> None:
        self.step, extra = load_checkpoint(self.folder / "last", model=self.learned, **self.state)
        self.judged = Judgement(**extra["judged"])
        follow_settings(self.scheduler, self.recipe.learning_rate, self.config.train.weight_decay, self.step)
        changed = [key for key, value in self.description.items() if extra[key] != value]
        if changed:
            then, now = extra[changed[0]], self.description[changed[0]]
            raise UserError(
                f"{changed[0]} has changed since {self.folder} was begun ({then} then, {now} now); leave --resume out"
            )

    def update(self, batch: Tensor) -> Tensor:
        """One step down the gradient of the loss over batch [N, T]; returns that loss.

        Of several processes each has its part of the whole batch, all of one size, and they exchange the mean of their
        gradients: that of the whole.
        """
        batch = batch.to(self.dev.device)  # at once: each copy waits until the GPU has done all that it was given
        total, parts = torch.zeros((), device=self.dev.device), batch.split(self.micro_batch)
        for number, part in enumerate(parts, 1):
            with self.ranks.exchanging(self.forward, last=number == len(parts)):
                with autocast(self.dev):
                    loss = language_loss(self.forward, part) * (len(part) / len(batch))
                self.scaler.scale(loss).backward()
            total += loss.detach()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)  # gradients add up until they are cleared
        return total

    @property
    def best(self) -> float:
        """The best validation loss yet."""
        return self.judged.best

    @property
    def patience_is_over(self) -> bool:
        """Whether the validation loss has not fallen for so long that going on is no use."""
        return 0 < self.config.train.patience <= self.judged.waited

    def train(self, stop: Callable[[], bool], seconds: float | None = None) -> bool:
        """Update until the recipe's last step, until `stop()`, for `seconds` or until patience is over.

        runs/NAME/last then holds the end, runs/NAME/model the best. Returns whether `stop()` ended it, here or in
        another process.
        """
        steps, begun, ranks, interrupted = self.recipe.steps, time.monotonic(), self.ranks, False
        progress, tokens = Progress(steps, start=self.step, quiet=not ranks.first), 0
        if self.step == 0 and self.method != "scratch":
            progress.say(self.evaluate())
        self.model.train()
        while self.step < steps and not self.patience_is_over:
            batch = self.blocks.batch(self.step)
            ranks.reseed(self.config.train.seed, self.step)
            loss = self.update(batch)
            self.step += 1
            tokens += batch.numel() * ranks.size
            left = None if seconds is None else seconds - (time.monotonic() - begun)
            interrupted, late = map(bool, ranks.total(stop(), left is not None and left <= 0))
            ending = self.step == steps or interrupted or late
            if self.step % LOG_EVERY == 0 or ending:
                mean = ranks.total(loss.item())[0] / ranks.size
                check_loss(mean, self.step, rate_setting(self.method))
                self.metrics.write(step=self.step, train_loss=mean)
                progress.update(self.step, mean, tokens, seconds_left=left)
                tokens = 0
            if self.due or ending:
                self.memory.stop()
                if self.due or not interrupted or self.best == math.inf:
                    progress.say(self.evaluate())  # not at Ctrl-C: somebody wants to go, but not empty-handed
                self.save()  # after judging: killed before, the run does both again
            if ending:
                break
        return interrupted

    @property
    def due(self) -> bool:
        """Whether the run is judged at this step."""
        return self.step % -(-self.recipe.steps // self.config.train.evaluations) == 0

    def evaluate(self) -> str:
        """Judge the model on the held-out text, keep it if it is the best yet, redraw the curves; returns a report."""
        ranks = self.ranks.judging
        loss = validation_loss(self.model, self.validation, self.dev, self.micro_batch, ranks)
        check_loss(loss, self.step, rate_setting(self.method))
        self.metrics.write(step=self.step, validation_loss=loss, score=perplexity(loss))
        self.metrics.plot(self.folder / "curves.png", score="perplexity", magnitudes=True)
        if self.step == 0:
            self.judged.before = loss
        elif self.judged.add(loss, self.step, due=self.due):
            self.keep()
        text = "\n".join(f"  | {line}" for line in self.sample().splitlines()) if ranks.first else ""
        return f"step {self.step}: validation loss {loss:.4f}, perplexity {in_words(loss)}\n{text}"

    def keep(self) -> None:
        """Write the model as it is into runs/NAME/model, and with LoRA the adapters alone into runs/NAME/adapter."""
        weights = self.ranks.whole_weights(self.model)
        if not self.ranks.first:
            return
        with replace_folder(self.folder / "model") as folder:
            if self.adapters:
                self.adapters.save_merged(folder, self.tokenizer)
            else:
                save_pretrained(folder, self.model, self.tokenizer, weights)
        if self.adapters:
            with replace_folder(self.folder / "adapter") as folder:
                self.adapters.save(folder)

    def sample(self) -> str:
        """The beginning of the held-out text as the model would go on; the training's random numbers stay untouched."""
        options = dataclasses.replace(self.config.generate, max_new_tokens=SAMPLE_TOKENS, num=1)
        writer = Writer(HfEngine(self.model, self.dev), hf_text(self.model, self.tokenizer), about="")
        [[text]] = continue_prompts(writer, [self.opening], options, self.config.train.seed)
        return self.opening + text

    def save(self) -> None:
        """Write all that is needed to go on into runs/NAME/last; with fsdp all processes write, each its part."""
        extra = self.description | {"judged": dataclasses.asdict(self.judged), "origin": self.origin, "told": self.told}
        whole = self.ranks.strategy != "fsdp"
        also = functools.partial(save_pretrained if whole else save_shell, model=self.model, tokenizer=self.tokenizer)
        self.ranks.save_checkpoint(
            self.folder / "last",
            model=self.learned,
            step=self.step,
            extra=extra,
            also=None if self.adapters else also,
            **self.state,
        )
