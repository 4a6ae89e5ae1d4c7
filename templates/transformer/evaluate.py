"""Judging a model: translate pairs that it never saw and compare. `python evaluate.py` judges the best checkpoint."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from settings import UserError, main_guard  # isort: skip (before torch: see there)

import torch
from torch import nn

from checkpoints import load_checkpoint, read_checkpoint
from config import Config, ModelConfig, read_config
from data import PAD, Encoded, Pair, Vocabulary, collate, load_pairs, split_pairs
from distributed import ALONE, Ranks
from model import Translator
from runtime import Device, autocast, choose_device, set_threads

METRIC_NAMES = {"exact": "exact match, %", "chrf": "chrF", "bleu": "BLEU"}
BATCH = 128  # no gradients are kept, so far more fit than in training


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off and no gradients inside the block; the model is as it was after it."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def validation_loss(model: Translator, data: Sequence[Encoded], dev: Device, ranks: Ranks = ALONE) -> float:
    """Mean cross-entropy per target symbol, without label smoothing: comparable between settings."""
    total, symbols, data = 0.0, 0, ranks.part(data)
    with evaluating(model), autocast(dev):
        for at in range(0, len(data), BATCH):
            source, target = (side.to(dev.device) for side in collate(list(data[at : at + BATCH])))
            labels = target[:, 1:]
            scores = model(source, target[:, :-1])
            total += nn.functional.cross_entropy(
                scores.flatten(0, 1).float(), labels.flatten(), ignore_index=PAD, reduction="sum"
            ).item()
            symbols += int((labels != PAD).sum())
    total, every = ranks.total(total, symbols)
    return total / every


def translate(model: Translator, vocabulary: Vocabulary, sentences: list[str], dev: Device) -> list[str]:
    """The model's translation of each sentence, in their order. Raises UserError for one that is too long."""
    encoded = [torch.tensor(vocabulary.encode_source(sentence)) for sentence in sentences]
    limit = model.config.max_length
    for sentence, numbers in zip(sentences, encoded, strict=True):
        if len(numbers) > limit:
            raise UserError(f"{sentence[:40]!r}... has {len(numbers)} symbols, more than model.max_length ({limit})")
    order = sorted(range(len(encoded)), key=lambda at: len(encoded[at]))  # like lengths together: less padding
    answers = [""] * len(encoded)
    with evaluating(model), autocast(dev):
        for begin in range(0, len(order), BATCH):
            chosen = order[begin : begin + BATCH]
            source, _ = collate([(encoded[at], encoded[at]) for at in chosen])
            for at, numbers in zip(chosen, model.greedy(source.to(dev.device)).tolist(), strict=True):
                answers[at] = vocabulary.decode(numbers)
    return answers


def score(metric: str, predictions: list[str], references: list[str]) -> float:
    """0 to 100, higher is better. "exact" is the share of predictions right in every symbol."""
    if metric == "exact":
        right = sum(prediction == reference for prediction, reference in zip(predictions, references, strict=True))
        return 100 * right / len(references)
    import sacrebleu

    judge = sacrebleu.corpus_chrf if metric == "chrf" else sacrebleu.corpus_bleu
    return float(judge(predictions, [references]).score)


def load_translator(checkpoint: Path, dev: Device) -> tuple[Translator, Vocabulary]:
    """The model and vocabulary of a checkpoint, ready to translate. Raises UserError when there is none."""
    _, extra = read_checkpoint(checkpoint)
    vocabulary = Vocabulary(**extra["vocabulary"])
    model = Translator(ModelConfig(**extra["model"]), len(vocabulary)).to(dev.device)
    load_checkpoint(checkpoint, model=model)
    return model.eval(), vocabulary


def report(model: Translator, vocabulary: Vocabulary, pairs: list[Pair], metric: str, dev: Device) -> float:
    """Print and return the score on held-out pairs, with some of them to look at, wrong ones first."""
    usable = [pair for pair in pairs if len(vocabulary.encode_source(pair[0])) <= model.config.max_length]
    references = [target for _, target in usable]
    predictions = translate(model, vocabulary, [source for source, _ in usable], dev)
    result = score(metric, predictions, references)
    print(
        f"\nheld-out: {METRIC_NAMES[metric].removesuffix(', %')} {result:.1f}{' %' if metric == 'exact' else ''}"
        f" on {len(usable):,} pairs; no target of theirs was in the training data"
    )
    rows = list(zip(usable, predictions, strict=True))
    wrong = [row for row in rows if row[0][1] != row[1]]
    right = [row for row in rows if row[0][1] == row[1]]
    for (source, target), prediction in [*wrong[:3], *right[:: max(len(right) // 7, 1)][:7]]:
        verdict = "right" if prediction == target else "wrong"
        print(f"  {verdict}  {source} -> {prediction}" + (f"   (should be {target})" if verdict == "wrong" else ""))
    return result


def heldout_pairs(config: Config) -> list[Pair]:
    """The pairs that training puts aside, made again from the same file and seed."""
    return split_pairs(load_pairs(config.data, config.train.seed), config.data, config.train.seed).heldout


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge a trained model on the pairs that training never saw.")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/best"))
    options = parser.parse_args()
    config = read_config(options.config)
    set_threads(config.machine.threads)
    dev = choose_device(config.machine.device, config.machine.precision, tf32=config.machine.tf32)
    model, vocabulary = load_translator(options.checkpoint, dev)
    report(model, vocabulary, heldout_pairs(config), config.train.metric, dev)


if __name__ == "__main__":
    main_guard(main)
