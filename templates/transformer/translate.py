"""Translate what you type: `python translate.py "March 5, 2024"`, a file with --file, or lines from a pipe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from config import read_config
from data import Vocabulary
from evaluate import load_translator, translate
from runtime.core import choose_device, set_threads
from runtime.settings import UserError, main_guard

Answer = Callable[[list[str]], list[str]]


def load_torch(config_path: Path, checkpoint: Path) -> tuple[Vocabulary, Answer]:
    """The trained model: its vocabulary, and a function from sentences to their translations."""
    config = read_config(config_path)
    set_threads(config.machine.threads)
    dev = choose_device(config.machine.device, config.machine.precision, tf32=config.machine.tf32)
    model, vocabulary = load_translator(checkpoint, dev)
    return vocabulary, lambda sentences: translate(model, vocabulary, sentences, dev)


def load_onnx() -> tuple[Vocabulary, Answer]:
    """The same of the exported model."""
    import export

    translator = export.OnnxTranslator(export.FOLDER)
    return translator.vocabulary, translator.translate


def read_lines(path: Path) -> list[str]:
    """The lines of a text. As in corpus.py, other separators that Unicode knows stand inside a sentence."""
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save it as UTF-8") from None


def main() -> None:
    parser = argparse.ArgumentParser(description="Translate sentences with the trained model.")
    parser.add_argument(
        "sentence", nargs="*", help="what to translate; without any, lines are read from standard input"
    )
    parser.add_argument("--file", type=Path, help="translate each line of this file")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/best"))
    parser.add_argument("--onnx", action="store_true", help="use the model that export.py wrote")
    options = parser.parse_args()
    vocabulary, answers_to = load_onnx() if options.onnx else load_torch(options.config, options.checkpoint)
    sentences = options.sentence
    if options.file:
        sentences = read_lines(options.file)
    elif not sentences:
        if sys.stdin.isatty():
            print("one sentence per line, then Ctrl-D (Windows: Ctrl-Z and Enter)", file=sys.stderr)
        sentences = sys.stdin.read().split("\n")
    sentences = [sentence for sentence in sentences if sentence.strip()]
    for sentence, answer in zip(sentences, answers_to(sentences), strict=True):
        print(answer)
        unseen = vocabulary.unknown(sentence)
        if unseen:
            print(f"note: never seen in training: {' '.join(unseen)}", file=sys.stderr)


if __name__ == "__main__":
    main_guard(main)
