"""The models and data that `benchmarks/training.py` trains, made with the code of generated projects."""

from __future__ import annotations

import dataclasses
import math
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAIRS = 6400  # several pools of the bucket sampler


def engine_for(order: dict[str, Any]) -> tuple[Iterator[int], float]:
    """The engine, and the multiplications and additions that training on one real target token takes."""
    return text_engine(order) if order["job"] == "text" else pairs_engine(order)


def made_pairs(job: str, vocabulary: int, longest: int) -> Any:
    """Random pairs: targets about as long as their sources, those of uniform or log-normal lengths."""
    import torch

    rng, generator, pairs = random.Random(0), torch.Generator().manual_seed(0), []
    for _ in range(PAIRS):
        length = rng.randint(8, 64) if job == "uniform" else round(rng.lognormvariate(math.log(16), 0.8))
        sizes = [max(4, min(longest, length)), max(4, min(longest, round(length * rng.uniform(0.8, 1.2))))]
        pairs.append(tuple(torch.randint(4, vocabulary, (size,), generator=generator) for size in sizes))
    return pairs


def pairs_engine(order: dict[str, Any]) -> tuple[Iterator[int], float]:
    import training_engines as engines

    shape = {name: order[name] for name in ("width", "layers", "dropout", "batch")}
    shape |= {"heads": 8, "vocabulary": 8000, "longest": 64 if order["job"] == "uniform" else 160}
    pairs = made_pairs(order["job"], shape["vocabulary"], shape["longest"])
    config = translator_config(order, shape)
    from model import Translator

    model = Translator(config.model, shape["vocabulary"]).train()
    sources, targets = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    inside = model.transformer
    encoder, decoder = (sum(w.numel() for w in half.parameters()) for half in (inside.encoder, inside.decoder))
    work = 6 * (encoder * sources / targets + decoder + model.head.weight.numel())
    if order["engine"] == "tutorial":
        return engines.tutorial_pairs(pairs, shape), work
    if order["engine"] == "trainer":
        wrapped = WithLoss(model)
        return engines.trainer_engine(
            wrapped, pairs, as_batch, shape["batch"], lambda b: int((b["target"][:, 1:] > 0).sum())
        ), work
    return starter_pairs(pairs, model, config), work


def translator_config(order: dict[str, Any], shape: dict[str, Any]) -> Any:
    from config import read_config

    config = read_config(Path(order["project"]) / "config.toml")
    layers = {"encoder_layers": shape["layers"], "decoder_layers": shape["layers"]}
    sizes = {"d_model": shape["width"], "heads": shape["heads"], "feedforward": 4 * shape["width"], "tied_head": True}
    model = dataclasses.replace(
        config.model, **sizes, **layers, dropout=shape["dropout"], max_length=shape["longest"] + 1
    )
    train = dataclasses.replace(config.train, batch_size=shape["batch"], grad_accumulation=1, steps=10**6)
    return dataclasses.replace(config, model=model, train=train)


def starter_pairs(pairs: Any, model: Any, config: Any) -> Iterator[int]:
    """The transformer starter: its trainer on its batches."""
    from data import PAD, BucketSampler, training_batches
    from learning import Trainer
    from runtime.core import choose_device

    trainer = Trainer(model, config, choose_device("cpu", "fp32"), config.train.batch_size)
    sampler = BucketSampler(pairs, config.train.batch_size, config.train.seed)
    for source, target in training_batches(pairs, sampler, 0, pin=False):
        trainer.update(source, target)
        yield int((target[:, 1:] != PAD).sum())


def WithLoss(model: Any) -> Any:
    """The starter's model as Trainer wants it: a module that returns its loss."""
    from torch import nn

    from learning import summed_loss

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, source: Any, target: Any) -> Any:
            return {"loss": summed_loss(self.model, source, target, 0.0) / (target[:, 1:] != 0).sum()}

    return Wrapped()


def real_targets(batch: Any) -> int:
    return int((batch["target"][:, 1:] != 0).sum())


def as_batch(samples: Any) -> Any:
    import training_engines as engines

    source, target = engines.pad(samples)
    return {"source": source, "target": target}


def text_engine(order: dict[str, Any]) -> tuple[Iterator[int], float]:
    import training_engines as engines

    run = text_run(order)
    length, layers, width = run.blocks.length, 2 * order["layers"], order["width"]
    weights = sum(weight.numel() for name, weight in run.model.named_parameters() if "wpe" not in name)
    work = 6.0 * weights + 6 * layers * width * length  # half of each square of attention is masked
    batch = run.config.train.batch_size
    blocks = run.blocks.tokens[: len(run.blocks.tokens) // length * length].view(-1, length)
    if order["engine"] == "tutorial":
        return engines.tutorial_text(blocks, usual_model(run, order), batch), work
    if order["engine"] == "trainer":
        ids = [{"input_ids": block, "labels": block} for block in blocks]
        from transformers import default_data_collator

        return engines.trainer_engine(
            usual_model(run, order, run.model.config.activation_function),
            ids,
            default_data_collator,
            batch,
            lambda b: b["input_ids"].numel(),
        ), work
    shape = {"width": width, "heads": 8, "layers": layers, "context": length, "batch": batch,
             "vocabulary": run.model.config.vocab_size, "dropout": order["dropout"]}  # fmt: skip
    if order["engine"] == "nano":
        return engines.nano_text(run.blocks.tokens, shape), work
    if order["engine"] == "x-transformers":
        return engines.x_transformers_text(blocks, shape), work
    return starter_text(run), work


def all_tokens(batch: Any) -> int:
    return batch["input_ids"].numel()


def text_run(order: dict[str, Any]) -> Any:
    """The gpt2 starter's own run on made-up words: they make a tokenizer of full size within a second."""
    from config import read_config
    from trainer import Run

    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(6000)]
    text = "\n\n".join(" ".join(rng.choices(words, k=60)) + "." for _ in range(900))
    file = Path(tempfile.mkdtemp(), "words.txt")
    file.write_text(text, encoding="utf-8")
    config = read_config(Path(order["project"]) / "config.toml")
    shape = {"n_layer": 2 * order["layers"], "n_head": 8, "n_embd": order["width"], "vocab_size": 4096, "steps": 10**6}
    train = {"context": 256, "batch_size": max(1, order["batch"] // 8), "grad_accumulation": 1}
    config = dataclasses.replace(
        config,
        scratch=dataclasses.replace(config.scratch, **shape),
        train=dataclasses.replace(config.train, **train, dropout=order["dropout"]),
        data=dataclasses.replace(config.data, path=str(file)),
        machine=dataclasses.replace(config.machine, threads=1, probe=False, precision="fp32", compile=False),
    )
    return Run(config, config.scratch, file.parent / "run")


def starter_text(run: Any) -> Iterator[int]:
    for number in range(10**9):
        batch = run.blocks.batch(number)
        run.update(batch)
        yield batch.numel()


def usual_model(run: Any, order: dict[str, Any], activation: str = "gelu_new") -> Any:
    """GPT-2 of the same shape as transformers makes and computes it by itself."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {
        key: getattr(run.model.config, key) for key in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
    }
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), order["dropout"])
    return GPT2LMHeadModel(GPT2Config(**shape, **rates, activation_function=activation))
