"""Hold a part of the text out to judge the model by, so that it is judged by what it has not read."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WORDS = 8  # a passage of so many words in two texts is hardly chance
NEARLY_SAME = 0.5  # a document is, when this share of its passages stands in others
WORTH_A_NOTE = 0.1
# Words; in Chinese and Japanese, which put no spaces between them, single characters.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+")
_PIECE = 1_000_000  # characters searched at a time


@dataclass(frozen=True)
class Split:
    """What is learned from and what is held out; `how` and `notes` say it in words."""

    training: list[str]
    held_out: list[str]
    how: str
    notes: list[str]


def hold_out(documents: Sequence[str], share: float, seed: int) -> Split:
    """Hold out about `share` of the characters: whole documents, or where they are too few the end of each.

    Whole documents are drawn at random, for the files' order may mean something, such as their age. An end is cut off
    and not random pieces: neighbouring pieces of a text resemble each other, so they would flatter the model. What is
    there twice counts once, else it could be on both sides.
    """
    different = list({" ".join(document.split()): document for document in documents}.values())
    chosen = _draw(different, share, seed)
    if chosen:
        training = [document for number, document in enumerate(different) if number not in chosen]
        held_out = [document for number, document in enumerate(different) if number in chosen]
        how = f"{len(held_out)} of {len(different)} documents held out"
    else:
        cut = [split_tail(document, share) for document in different]
        training, held_out = ([part for part in parts if part.strip()] for parts in zip(*cut, strict=True))
        how = f"the last {share * 100:.3g} % of {'the text' if len(different) == 1 else 'each document'} held out"
    notes = _notes(training, held_out, whole=bool(chosen))
    if twice := len(documents) - len(different):
        notes.insert(0, f"{twice} of {len(documents)} documents are there twice and count once")
    return Split(training, held_out, how, notes)


def _draw(documents: Sequence[str], share: float, seed: int) -> set[int]:
    """Numbers of documents that together make between half and one and a half times `share`; none where none do."""
    wanted, order = share * sum(map(len, documents)), list(range(len(documents)))
    random.Random(seed).shuffle(order)
    chosen: set[int] = set()
    size = 0
    for number in order:
        if size < wanted and size + len(documents[number]) <= 1.5 * wanted:
            chosen.add(number)
            size += len(documents[number])
    return chosen if size >= 0.5 * wanted else set()


def split_tail(document: str, share: float) -> tuple[str, str]:
    """(training, held out): the last `share` of the characters, cut between paragraphs where it can be."""
    cut = round(len(document) * (1 - share))
    low = max(0, 2 * cut - len(document))  # no more than twice the share is held out for a better place
    ends = (document.rfind(mark, low, cut) + len(mark) for mark in ("\n\n", "\n", " ") if mark in document[low:cut])
    cut = next(ends, cut)
    return document[:cut], document[cut:]


def overlap(training: Sequence[str], held_out: Sequence[str]) -> list[float]:
    """For each held-out text the share of its passages that stand in the training texts word for word."""
    passages = [set(_passages(text)) for text in held_out]
    wanted, found = set().union(*passages), set()
    for text in training:
        found |= wanted.intersection(_passages(text))
    return [len(some & found) / max(1, len(some)) for some in passages]


def _passages(text: str) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(text), _PIECE):
        words = _WORD.findall(text[start : start + _PIECE].lower())
        yield from zip(*(words[begin:] for begin in range(WORDS)), strict=False)


def _notes(training: list[str], held_out: list[str], *, whole: bool) -> list[str]:
    """What of the held-out text the model will have read all the same."""
    if not held_out:
        return []
    shares = overlap(training, held_out)
    same = [text for text, share in zip(held_out, shares, strict=True) if share >= NEARLY_SAME]
    shared = sum(share * len(text) for text, share in zip(held_out, shares, strict=True)) / sum(map(len, held_out))
    if whole and same:
        opening = " ".join(same[0].split()[:6])
        return [
            f"{len(same)} of the held-out documents stand nearly the same among those that are learned from "
            f'("{opening} …"): take one of each pair away, or the validation loss praises a good memory'
        ]
    if shared <= WORTH_A_NOTE:
        return []
    return [
        f"{shared:.0%} of the held-out passages of {WORDS} words are also in the text that is learned from: "
        "the validation loss praises a good memory"
    ]
