"""From files of sentence pairs to three sets that share nothing: to learn from, to steer by and to be judged by.

Two kinds of files are read: one with a `source<TAB>target` per line, or two in which the same line says the same thing
(`corpus.en` and `corpus.fr`, as Moses and OPUS write them). Lines stream by; a pair is kept in memory once.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from config import DataConfig
from runtime.settings import UserError
from sample_data import write_sample

Pair = tuple[str, str]

JUDGED = 3000  # different targets in each of the two sets that are kept aside, at most: more only cost time
BAD_SHARE = 0.01  # of the lines that may be unusable before the whole file looks like a mistake
REASONS = {
    "not UTF-8": "expected UTF-8 text",
    "incomplete": "expected source<TAB>target",
    "empty": "expected text on both sides",
}


@dataclass(frozen=True)
class Corpus:
    """Distinct pairs, and what a person should know of how they were read."""

    pairs: list[Pair]
    notes: list[str]


@dataclass(frozen=True)
class Split:
    """The pairs to learn from, to steer by and to be judged by."""

    train: list[Pair]
    validation: list[Pair]
    heldout: list[Pair]
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Another one for other pairs to learn from or to be judged by."""
        digest = blake2b(digest_size=8)
        for pairs in (self.train, self.heldout):
            for source, target in pairs:
                digest.update(f"{source}\t{target}\n".encode())
            digest.update(b"\n")
        return digest.hexdigest()


def load_corpus(config: DataConfig, seed: int) -> Corpus:
    """The pairs of the configured files; without any, those that sample_data.py makes (kept in data/ to look at)."""
    if not config.file:
        path = Path("data") / f"dates-and-numbers-{seed}.tsv"
        if not path.exists():
            write_sample(path, seed)
        return read_pairs(path)
    target = Path(config.target_file) if config.target_file else None
    return read_pairs(Path(config.file), target, reverse=config.reverse)


def read_pairs(path: Path, target: Path | None = None, *, reverse: bool = False) -> Corpus:
    """Distinct pairs of one TSV file, or of two files line by line; `reverse` swaps source and target.

    A few unusable lines are left out and counted. Raises UserError where there are many, and where two files don't
    have the same number of lines: nobody knows then which line belongs to which.
    """
    pairs: dict[Pair, None] = {}
    bad: dict[str, list[int]] = {}
    lines = repeated = 0
    for lines, found in enumerate(_two_files(path, target) if target else _tsv(path), 1):
        if isinstance(found, str):
            bad.setdefault(found, []).append(lines)
            continue
        pair = (found[1], found[0]) if reverse else found
        repeated += pair in pairs
        pairs[pair] = None
    unusable = sum(map(len, bad.values()))
    if unusable > BAD_SHARE * lines:
        reason, numbers = max(bad.items(), key=lambda item: len(item[1]))
        raise UserError(
            f"{path}, line {numbers[0]}: {REASONS[reason]}; unusable are {unusable:,} of {count(lines, 'line')}"
        )
    notes = [f"{count(len(n), 'line')} left out ({reason}), first line {n[0]:,}" for reason, n in bad.items()]
    notes += [f"{count(repeated, 'line')} left out (a pair again)"] if repeated else []
    return Corpus(list(pairs), [f"{path}: {note}" for note in notes])


def count(number: int, thing: str) -> str:
    """`1 line`, `2,000 lines`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _tidy(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _lines(path: Path) -> Iterator[str | None]:
    """The lines of a file without their ends, None for one that is not UTF-8. Only a line feed ends a line: other
    separators that Unicode knows stand inside sentences and would put two files out of step."""
    with path.open("rb") as file:
        if file.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise UserError(f"{path} is UTF-16 text, not UTF-8; save it as UTF-8")
        for number, line in enumerate(file):
            try:
                text = line.rstrip(b"\r\n").decode("utf-8-sig" if number == 0 else "utf-8")
                yield None if "\0" in text else text  # UTF-16 without its mark looks like this
            except UnicodeDecodeError:
                yield None


def _tsv(path: Path) -> Iterator[Pair | str]:
    """The first two columns; of `number text number text`, as Tatoeba writes, the texts. A str tells what is wrong."""
    for line in _lines(path):
        if line is None:
            yield "not UTF-8"
            continue
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) == 4 and cells[0].isdigit() and cells[2].isdigit():
            cells = cells[1::2]
        texts = [_tidy(cell) for cell in cells[:2]]
        yield (texts[0], texts[1]) if len(texts) == 2 and all(texts) else "incomplete"


def _two_files(path: Path, target: Path) -> Iterator[Pair | str]:
    missing = object()
    for number, both in enumerate(itertools.zip_longest(_lines(path), _lines(target), fillvalue=missing)):
        if missing in both:
            counts = [sum(1 for _ in _lines(file)) for file in (path, target)]
            raise UserError(
                f"{path} has {counts[0]:,} lines and {target} {counts[1]:,}: from line {number + 1:,} at the latest, "
                "and perhaps long before, they don't belong together"
            )
        texts = [_tidy(text) if isinstance(text, str) else None for text in both]
        if None in texts:
            yield "not UTF-8"
        else:
            yield (str(texts[0]), str(texts[1])) if all(texts) else "empty"


def _likeness(text: str, seed: int) -> int:
    """A number that texts share when only case, punctuation or blanks tell them apart; else random, by the seed."""
    words = re.findall(r"\w+", text.casefold()) or [text]
    return int.from_bytes(blake2b(" ".join(words).encode(), digest_size=8, key=str(seed).encode()).digest())


def split_pairs(pairs: list[Pair], config: DataConfig, seed: int) -> Split:
    """Three sets that share no target and no source sentence, the same for the same seed. Raises UserError.

    Pairs with one target go to one set together. Splitting line by line would put "March 5, 2024" into training and
    "5 Mar 2024" into the test: the score would measure memory. Sentences that only case or punctuation tells apart
    count as one, for "Save" says nothing new about "save!".
    """
    keys = [_likeness(target, seed) for _, target in pairs]
    order = sorted(set(keys))
    held = min(round(len(order) * config.heldout_share), JUDGED)
    kept = min(round(len(order) * config.validation_share), JUDGED)
    if not held or not kept or len(order) < 10:
        found = f"{count(len(pairs), 'pair')} with {count(len(order), 'different target')}"
        raise UserError(
            f"{config.file}: too few to train and to judge: {found}; bring more, or raise data.validation_share and "
            "data.heldout_share"
        )
    sides = dict.fromkeys(order[:held], "heldout") | dict.fromkeys(order[held : held + kept], "validation")
    sets: dict[str, list[Pair]] = {"heldout": [], "validation": [], "train": []}
    for pair, key in zip(pairs, keys, strict=True):
        sets[sides.get(key, "train")].append(pair)
    judged = {_likeness(source, seed) for source, _ in sets["heldout"]}
    validation = [pair for pair in sets["validation"] if _likeness(pair[0], seed) not in judged]
    judged |= {_likeness(source, seed) for source, _ in validation}
    train = [pair for pair in sets["train"] if _likeness(pair[0], seed) not in judged]
    if not train or not validation:
        raise UserError(f"{config.file}: too few different sources: without those kept aside none is left to learn")
    leaks = len(pairs) - len(train) - len(validation) - len(sets["heldout"])
    note = f"{count(leaks, 'pair')} left out: the same source, translated otherwise, is in a set kept aside"
    return Split(train, validation, sets["heldout"], (note,) if leaks else ())
