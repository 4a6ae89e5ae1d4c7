"""Pieces of words, learned from the training pairs with byte-pair encoding (BPE), by the tokenizers library.

BPE begins with single characters and joins, again and again, the two neighbours that stand together most often: "t" and
"h" become "th", later "th" and "e" become "the". Frequent words end up as one piece, rare ones as several, and nothing
that is spelled with known characters is unknown. A word's first piece carries a mark in place of the blank before it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # said aloud, else it warns when the data loader forks

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

Merge = tuple[str, str]


def _around(model: models.Model) -> Tokenizer:
    """The model between what cuts text into words (also at punctuation and digits) and what joins pieces again."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def learn(texts: Iterable[str], size: int, special: tuple[str, ...], unknown: str) -> tuple[list[str], list[Merge]]:
    """At most `size` pieces, the special ones first, and the merges that make them. Rare characters are left out
    where an alphabet alone would fill the table."""
    tokenizer = _around(models.BPE(unk_token=unknown))
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=[AddedToken(text) for text in special],
        limit_alphabet=max(1, (size - len(special)) * 3 // 4),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    return pieces, [(left, right) for left, right in learned["merges"]]


def rebuild(pieces: list[str], merges: list[Merge], unknown: str) -> Tokenizer:
    """The tokenizer of a vocabulary that `learn` made."""
    numbers = {piece: number for number, piece in enumerate(pieces)}
    return _around(models.BPE(vocab=numbers, merges=[(left, right) for left, right in merges], unk_token=unknown))
