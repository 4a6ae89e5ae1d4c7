"""Judging a model: translate pairs that it never saw and compare. `python evaluate.py` judges the best checkpoint."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime.settings import UserError, main_guard  # isort: skip (before torch: see there)

import torch
from torch import nn

from config import Config, ModelConfig, read_config
from corpus import Pair, Split, load_corpus, split_pairs
from data import PAD, Encoded, Vocabulary, collate, fitting
from model import Translator
from runtime.checkpoints import load_checkpoint, read_checkpoint
from runtime.core import Device, autocast, choose_device, set_threads
from runtime.distributed import ALONE, Ranks

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
    return scored(metric, predictions, references)[0]


def scored(metric: str, predictions: list[str], references: list[str]) -> tuple[float, str]:
    """BLEU or chrF by sacrebleu, with its signature: only scores of the same signature can be compared."""
    from sacrebleu.metrics import BLEU, CHRF

    judge = CHRF() if metric == "chrf" else BLEU(tokenize="char" if without_blanks(references) else "13a")
    result = float(judge.corpus_score(predictions, [references]).score)
    return result, str(judge.get_signature())


def without_blanks(texts: list[str]) -> bool:
    """Whether this is mostly Chinese or Japanese: BLEU counts words, and finds them only where blanks stand."""
    text = "".join(texts)
    return sum("\u3040" <= char <= "\u30ff" or "\u4e00" <= char <= "\u9fff" for char in text) > 0.3 * len(text)


def load_translator(checkpoint: Path, dev: Device) -> tuple[Translator, Vocabulary]:
    """The model and vocabulary of a checkpoint, ready to translate. Raises UserError when there is none."""
    _, extra = read_checkpoint(checkpoint)
    try:
        vocabulary = Vocabulary(**extra["vocabulary"])
        model = Translator(ModelConfig(**extra["model"]), len(vocabulary)).to(dev.device)
    except (KeyError, TypeError):
        raise UserError(f"what {checkpoint} holds is no translator; take the folder of one, or train anew") from None
    load_checkpoint(checkpoint, model=model)
    return model.eval(), vocabulary


def report(model: Translator, vocabulary: Vocabulary, pairs: list[Pair], metric: str, dev: Device, file: Path) -> float:
    """Print and return the score on held-out pairs, show some, and write all translations into `file`."""
    usable = fitting(pairs, vocabulary, model.config.max_length)
    if not usable:
        print("\nheld-out: every sentence is longer than model.max_length")
        return 0.0
    references = [target for _, target in usable]
    predictions = translate(model, vocabulary, [source for source, _ in usable], dev)
    rows = list(zip(usable, predictions, strict=True))
    lines = [f"{source}\t{target}\t{prediction}\n" for (source, target), prediction in rows]
    file.write_text("source\treference\ttranslation\n" + "".join(lines), encoding="utf-8")
    print(f"\nheld-out: {len(usable):,} pairs; no target of theirs was in the training data")
    if len(usable) < len(pairs):
        print(f"  {len(pairs) - len(usable):,} more are longer than model.max_length: not judged")
    exact = score("exact", predictions, references)
    print(f"  exact match {exact:.1f} %")
    if metric == "exact":
        show_answers(rows)
        return exact
    for name in ("bleu", "chrf"):
        result, signature = scored(name, predictions, references)
        print(f"  {METRIC_NAMES[name]:<5}{result:6.1f}   ({signature})")
    show_translations(rows)
    return score(metric, predictions, references)


Row = tuple[Pair, str]


def show_answers(rows: list[Row]) -> None:
    """Some right and wrong answers, wrong ones first."""
    wrong = [row for row in rows if row[0][1] != row[1]]
    right = [row for row in rows if row[0][1] == row[1]]
    for (source, target), prediction in [*wrong[:3], *right[:: max(len(right) // 7, 1)][:7]]:
        verdict = "right" if prediction == target else "wrong"
        print(f"  {verdict}  {source} -> {prediction}" + (f"   (should be {target})" if verdict == "wrong" else ""))


def show_translations(rows: list[Row], count: int = 6) -> None:
    """Some translations beside their references, from the best to the worst by their own chrF."""
    from sacrebleu.metrics import CHRF

    judge = CHRF()
    ranked = sorted(rows, key=lambda row: -judge.sentence_score(row[1], [row[0][1]]).score)
    places = sorted({round(at * (len(ranked) - 1) / max(count - 1, 1)) for at in range(count)})
    print("  from the best translation to the worst:")
    for (source, target), prediction in (ranked[place] for place in places):
        print(f"\n    source       {source}\n    translation  {prediction}\n    reference    {target}")


def split_again(config: Config) -> Split:
    """The sets that training makes, from the same file and seed."""
    return split_pairs(load_corpus(config.data, config.train.seed).pairs, config.data, config.train.seed)


def unseen_pairs(config: Config, checkpoint: Path) -> list[Pair]:
    """The pairs that were kept aside when the checkpoint was trained. Raises UserError where they are no longer."""
    split = split_again(config)
    if read_checkpoint(checkpoint)[1].get("pairs") != split.fingerprint:
        raise UserError(
            f"the pairs, their shares or train.seed changed since {checkpoint} was trained: it may have learned from "
            "those that are held out now. Put that back, or train anew"
        )
    return split.heldout


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge a trained model on the pairs that training never saw.")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/best"))
    options = parser.parse_args()
    config = read_config(options.config)
    set_threads(config.machine.threads)
    dev = choose_device(config.machine.device, config.machine.precision, tf32=config.machine.tf32)
    model, vocabulary = load_translator(options.checkpoint, dev)
    pairs = unseen_pairs(config, options.checkpoint)
    report(model, vocabulary, pairs, config.metric, dev, options.checkpoint.parent / "heldout.tsv")


if __name__ == "__main__":
    main_guard(main)
