"""From text to batches: read documents, turn them into tokens and cut those into blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from config import TrainConfig
from runtime.distributed import ALONE, Ranks
from runtime.settings import UserError

VALIDATION_BLOCKS = 200  # enough to steer by, and at most as many as 8 updates see: judging shall not take all the time
ENDINGS = (".txt", ".md", ".rst")  # of the files that are read from a folder


def read_documents(path: str) -> list[str]:
    """The texts in a file, or in a folder's files in order of name; an empty path gives Python's own documentation."""
    if not path:
        return python_documentation()
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
        if not files:
            raise UserError(f"the folder {path} holds no {', '.join(ENDINGS)} files")
    elif place.is_file():
        files = [place]
    else:
        raise UserError(f"there is no file or folder {path}; say where your text is with --data or data.path")
    documents = [document for document in map(_read, files) if document.strip()]
    if not documents:
        raise UserError(f"{path} holds no text")
    return documents


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8 first") from None


def python_documentation() -> list[str]:
    """What Python's help() says about the language: real English prose that is on every machine with Python.

    Tables, grammar and code are left out. The chapters repeat one another word for word, so every paragraph is kept
    once; else the held-out end would also stand in the training part, and the validation loss would praise a good
    memory.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise UserError("this Python came without its documentation; give a text of your own with --data") from None
    paragraphs = re.split(r"\n\s*\n", "\n\n".join(topics.values()))
    lines = (" ".join(paragraph.split()).removeprefix("* ") for paragraph in paragraphs)
    return ["\n\n".join(dict.fromkeys(filter(_is_prose, lines))) + "\n"]


def _is_prose(line: str) -> bool:
    return len(line.split()) > 5 and line[0].isalpha() and line[-1] in ".:?!)" and "::=" not in line


def encode(tokenizer: Any, documents: Sequence[str]) -> Tensor:
    """All documents as one row of token ids [T], each followed by the token that ends a text."""
    rows = tokenizer(list(documents), add_special_tokens=False, verbose=False)["input_ids"]
    return torch.tensor(list(chain.from_iterable([*row, tokenizer.eos_token_id] for row in rows)))


class Blocks:
    """Training tokens [T] as an endless row of batches of blocks [size, length], shuffled anew in every round.

    Blocks are cut back to back, so nothing is padding. Batch number n is always the same batch, whatever was asked for
    before: a resumed run needs no more than its step to go on where it was. Of several processes each takes its part of
    every batch.
    """

    def __init__(self, tokens: Tensor, length: int, size: int, seed: int, ranks: Ranks = ALONE) -> None:
        self.tokens, self.length, self.size, self.seed, self.ranks = tokens, length, size, seed, ranks
        self.per_round = max(1, len(tokens) // length - 1)  # one less than fit: each round begins at another offset
        self._round = -1

    def batch(self, number: int) -> Tensor:
        """Batch number 0, 1, 2, ... as token ids [size, length], or this process's part of it."""
        places = self.ranks.part(range(number * self.size, (number + 1) * self.size))
        return torch.stack([self._block(place) for place in places])

    def _block(self, number: int) -> Tensor:
        which, place = divmod(number, self.per_round)
        if which != self._round:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + which)
            spare = len(self.tokens) - self.per_round * self.length
            offset = torch.randint(spare + 1, (1,), generator=generator)
            self._starts = (torch.randperm(self.per_round, generator=generator) * self.length + offset).tolist()
            self._round = which
        start = self._starts[place]
        return self.tokens[start : start + self.length]


def opening_of(text: str, tokenizer: Any, positions: int) -> str:
    """The first words of a text for a model to go on with; at most half of its positions are theirs.

    Words alone would not do: some scripts put no spaces between them, and then a whole page is one.
    """
    opening = " ".join(text.split()[:5])[:60]
    while len(tokenizer.encode(opening)) > positions // 2:
        opening = opening[:-1]
    return opening


def validation_blocks(tokens: Tensor, length: int, at_most: int) -> Tensor:
    """Held-out tokens [T] as blocks [N, length]; of more than `at_most` blocks, that many from all over the text."""
    length = min(length, len(tokens))
    blocks = tokens[: len(tokens) // length * length].view(-1, length)
    return blocks[:: -(-len(blocks) // at_most)]


def prepare(
    tokenizer: Any, training: Sequence[str], held_out: Sequence[str], positions: int, train: TrainConfig, ranks: Ranks
) -> tuple[Blocks, Tensor]:
    """What a run learns from, and the blocks [N, T] that it is judged by. Raises UserError for too little text.

    A block is as long as the settings say, at most as the model has positions or the text has tokens.
    """
    tokens, kept = encode(tokenizer, training), encode(tokenizer, held_out)
    length = min(train.context, positions, len(tokens))
    if length < 8 or len(kept) < 2:
        raise UserError(f"the text is too short: {len(tokens)} tokens to learn from, {len(kept)} held out")
    effective = train.batch_size * train.grad_accumulation
    blocks = Blocks(tokens, length, effective, train.seed, ranks)
    return blocks, validation_blocks(kept, length, min(VALIDATION_BLOCKS, 8 * effective))
