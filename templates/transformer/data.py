"""From a file of sentence pairs to padded batches of numbers."""

from __future__ import annotations

import itertools
import random
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from config import DataConfig
from distributed import ALONE, Ranks
from sample_data import write_sample
from settings import UserError

PAD, BOS, EOS, UNKNOWN = range(4)  # filler, begin, end, a symbol that training never showed
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unknown>")

Pair = tuple[str, str]
Encoded = tuple[Tensor, Tensor]


class Vocabulary:
    """Symbols (characters or words) <-> numbers, one table for both sides of a pair."""

    def __init__(self, symbols: Sequence[str], tokenizer: str, *, lowercase: bool) -> None:
        self.symbols = list(symbols)
        self.tokenizer, self.lowercase = tokenizer, lowercase
        self.number = {symbol: number for number, symbol in enumerate(self.symbols)}

    @classmethod
    def build(cls, pairs: Iterable[Pair], config: DataConfig) -> Vocabulary:
        """The most frequent symbols of the training pairs. Validation and held-out pairs have no say in it."""
        empty = cls(SPECIAL, config.tokenizer, lowercase=config.lowercase)
        counts: Counter[str] = Counter()
        for source, target in pairs:
            counts.update(empty.split(empty.tidy(source)))
            counts.update(empty.split(target))
        ranked = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        room = config.vocabulary_size - len(SPECIAL)
        return cls([*SPECIAL, *ranked[:room]], config.tokenizer, lowercase=config.lowercase)

    def __len__(self) -> int:
        return len(self.symbols)

    def describe(self) -> dict[str, Any]:
        """All that it takes to make this vocabulary again, as plain data: Vocabulary(**description)."""
        return {"symbols": self.symbols, "tokenizer": self.tokenizer, "lowercase": self.lowercase}

    def tidy(self, source: str) -> str:
        """A source sentence in the one form that the model knows: composed Unicode, single blanks, case as set."""
        text = " ".join(unicodedata.normalize("NFC", source).split())
        return text.lower() if self.lowercase else text

    def split(self, text: str) -> list[str]:
        return list(text) if self.tokenizer == "character" else text.split()

    def encode_source(self, text: str) -> list[int]:
        """Numbers of a source sentence, ended by EOS."""
        return [*(self.number.get(symbol, UNKNOWN) for symbol in self.split(self.tidy(text))), EOS]

    def encode_target(self, text: str) -> list[int]:
        """BOS, the numbers of a target sentence, EOS."""
        return [BOS, *(self.number.get(symbol, UNKNOWN) for symbol in self.split(text)), EOS]

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of a prediction, up to its EOS."""
        symbols = []
        for number in numbers:
            if number == EOS:
                break
            symbols.append(self.symbols[number])
        return ("" if self.tokenizer == "character" else " ").join(symbols)


@dataclass(frozen=True)
class Split:
    """The pairs to learn from, to steer by and to be judged by."""

    train: list[Pair]
    validation: list[Pair]
    heldout: list[Pair]


def load_pairs(config: DataConfig, seed: int) -> list[Pair]:
    """The pairs of config.file; without one, those that sample_data.py makes (kept in data/ to look at)."""
    path = Path(config.file)
    if not config.file:
        path = Path("data") / f"dates-and-numbers-{seed}.tsv"
        if not path.exists():
            write_sample(path, seed)
    return read_pairs(path)


def read_pairs(path: Path) -> list[Pair]:
    """Distinct (source, target) pairs of a file with one `source<TAB>target` per line. Raises UserError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    pairs: dict[Pair, None] = {}
    for number, line in enumerate(lines, 1):
        cells = [unicodedata.normalize("NFC", cell).strip() for cell in line.split("\t")]
        if len(cells) != 2 or not all(cells):
            if not line.strip():
                continue
            raise UserError(f"{path}, line {number}: expected source<TAB>target, found {line[:60]!r}")
        pairs[cells[0], cells[1]] = None
    return list(pairs)


def split_pairs(pairs: list[Pair], config: DataConfig, seed: int) -> Split:
    """Three sets that share no target and no source sentence, the same for the same seed. Raises UserError.

    Pairs with one target go to one set together. Splitting line by line would put "March 5, 2024" into training and
    "5 Mar 2024" into the test: the score would measure memory.
    """
    targets = sorted({target for _, target in pairs})
    random.Random(seed).shuffle(targets)
    heldout_count = round(len(targets) * config.heldout_share)
    validation_count = round(len(targets) * config.validation_share)
    if not heldout_count or not validation_count or len(targets) < 10:
        raise UserError(f"{len(pairs)} pairs with {len(targets)} different targets are too few to train and to judge")
    heldout_targets = set(targets[:heldout_count])
    validation_targets = set(targets[heldout_count : heldout_count + validation_count])
    heldout = [pair for pair in pairs if pair[1] in heldout_targets]
    seen = {source for source, _ in heldout}
    validation = [pair for pair in pairs if pair[1] in validation_targets and pair[0] not in seen]
    seen |= {source for source, _ in validation}
    reserved = heldout_targets | validation_targets
    return Split([pair for pair in pairs if pair[1] not in reserved and pair[0] not in seen], validation, heldout)


def encode_pairs(pairs: list[Pair], vocabulary: Vocabulary, max_length: int) -> list[Encoded]:
    """Pairs as number tensors; those longer than max_length on either side are left out."""
    encoded = [(vocabulary.encode_source(source), vocabulary.encode_target(target)) for source, target in pairs]
    return [(torch.tensor(s), torch.tensor(t)) for s, t in encoded if max(len(s), len(t) - 1) <= max_length]


def collate(batch: list[Encoded]) -> Encoded:
    """Sources [B, S] and targets [B, T], filled up with PAD on the right."""
    sources, targets = zip(*batch, strict=True)
    return (
        pad_sequence(list(sources), batch_first=True, padding_value=PAD),
        pad_sequence(list(targets), batch_first=True, padding_value=PAD),
    )


class BucketSampler:
    """Batches of sentences of like length, so that little padding is computed.

    The data is shuffled, cut into pools of 50 batches, each pool sorted by length and cut into batches, and their
    order shuffled: lengths are alike inside a batch and mixed from batch to batch. Which batch comes at which step
    follows from the seed alone, so a resumed run simply starts further on, and of several processes each takes its
    part of the same batches.
    """

    def __init__(
        self, data: Sequence[Encoded], batch_size: int, seed: int, start: int = 0, ranks: Ranks = ALONE
    ) -> None:
        self.lengths = [(len(source), len(target)) for source, target in data]
        self.batch_size, self.seed, self.start, self.ranks = batch_size, seed, start, ranks

    def epoch(self, number: int) -> list[int]:
        """The positions of one pass over the data, each once. The pass begins and ends within a batch, mostly."""
        rng, count, size = random.Random(f"{self.seed} {number}"), len(self.lengths), self.batch_size
        order = rng.sample(range(count), count)
        begin = min(-number * count % size, count)  # these fill up the last batch of the pass before
        end = begin + (count - begin) // size * size
        batches = []
        for at in range(begin, end, 50 * size):
            like = sorted(order[at : min(at + 50 * size, end)], key=self.lengths.__getitem__)
            batches += [like[at : at + size] for at in range(0, len(like), size)]
        rng.shuffle(batches)
        return [*order[:begin], *itertools.chain(*batches), *order[end:]]

    def __iter__(self) -> Iterator[Sequence[int]]:
        number, skip = divmod(self.start * self.batch_size, len(self.lengths))
        batch: list[int] = []
        while True:
            for position in self.epoch(number)[skip:]:
                batch.append(position)
                if len(batch) == self.batch_size:
                    yield self.ranks.part(batch)
                    batch = []
            number, skip = number + 1, 0


def training_batches(data: list[Encoded], sampler: BucketSampler, workers: int, *, pin: bool) -> Iterator[Encoded]:
    """An endless stream of (sources [B, S], targets [B, T]), collated ahead by `workers` processes (0: by this one)."""
    return iter(
        DataLoader(
            data,  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=workers,
            pin_memory=pin,
            generator=torch.Generator(),  # its own: drawing from the global one would spoil an exact resume
        )
    )
