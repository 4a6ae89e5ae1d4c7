"""From sentence pairs to padded batches of numbers."""

from __future__ import annotations

import itertools
import random
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

import subwords
from config import Config, DataConfig
from corpus import Pair, Split, count, load_corpus, split_pairs
from runtime.distributed import ALONE, Ranks
from runtime.settings import UserError

PAD, BOS, EOS, UNKNOWN = range(4)  # filler, begin, end, a symbol that training never showed
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unknown>")
KINDS = {"character": "characters", "word": "words", "bpe": "pieces of words (BPE)"}

VALIDATION_PAIRS = 500  # enough to steer by; the final score uses every held-out pair
MANY_PAIRS = 3000  # from here on there is enough text to learn pieces of words from
PAIRS_PER_PIECE = 2  # a piece that a few sentences show is not learned
CHUNK = 10_000  # sentences encoded at once

Encoded = tuple[Tensor, Tensor]


class Vocabulary:
    """Symbols (characters, words or pieces of words) <-> numbers, one table for both sides of a pair."""

    def __init__(
        self, symbols: Sequence[str], tokenizer: str, *, lowercase: bool, merges: list[subwords.Merge] | None = None
    ) -> None:
        self.symbols, self.merges = list(symbols), merges
        self.tokenizer, self.lowercase = tokenizer, lowercase
        self.number = {symbol: number for number, symbol in enumerate(self.symbols)}
        self.bpe = subwords.rebuild(self.symbols, merges, SPECIAL[UNKNOWN]) if merges is not None else None

    @classmethod
    def build(cls, pairs: Sequence[Pair], config: DataConfig) -> Vocabulary:
        """The most frequent symbols of the training pairs. Validation and held-out pairs have no say in it."""
        kind = config.tokenizer
        if kind == "auto":  # the sample spells out numbers: that is learned letter by letter
            kind = "bpe" if config.file and len(pairs) >= MANY_PAIRS else "character"
        empty = cls(SPECIAL, kind, lowercase=config.lowercase)
        texts = (text for source, target in pairs for text in (empty.tidy(source), target))
        if kind == "bpe":
            size = min(config.vocabulary_size, len(pairs) // PAIRS_PER_PIECE)
            pieces, merges = subwords.learn(texts, max(size, 100), SPECIAL, SPECIAL[UNKNOWN])
            return cls(pieces, kind, lowercase=config.lowercase, merges=merges)
        counts = Counter(itertools.chain.from_iterable(map(empty.split, texts)))
        ranked = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        room = config.vocabulary_size - len(SPECIAL)
        return cls([*SPECIAL, *ranked[:room]], kind, lowercase=config.lowercase)

    def __len__(self) -> int:
        return len(self.symbols)

    def __str__(self) -> str:
        return f"{len(self):,} {KINDS[self.tokenizer]}"

    def describe(self) -> dict[str, Any]:
        """All that it takes to make this vocabulary again, as plain data: Vocabulary(**description)."""
        merges = None if self.merges is None else [list(merge) for merge in self.merges]
        return {"symbols": self.symbols, "tokenizer": self.tokenizer, "lowercase": self.lowercase, "merges": merges}

    def tidy(self, source: str) -> str:
        """A source sentence in the one form that the model knows: composed Unicode, single blanks, case as set."""
        text = " ".join(unicodedata.normalize("NFC", source).split())
        return text.lower() if self.lowercase else text

    def split(self, text: str) -> list[str]:
        """The symbols of a text; one that the vocabulary lacks is the text's own."""
        if self.bpe:
            found = self.bpe.encode(text)
            spans = zip(found.ids, found.tokens, found.offsets, strict=True)
            return [text[begin:end] if number == UNKNOWN else token for number, token, (begin, end) in spans]
        return list(text) if self.tokenizer == "character" else text.split()

    def numbers(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of each text's symbols."""
        if self.bpe:  # in parallel, and without making each symbol a Python text
            return [found.ids for found in self.bpe.encode_batch_fast(texts)]
        return [[self.number.get(symbol, UNKNOWN) for symbol in self.split(text)] for text in texts]

    def encode_source(self, text: str) -> list[int]:
        """Numbers of a source sentence, ended by EOS."""
        return [*self.numbers([self.tidy(text)])[0], EOS]

    def encode_target(self, text: str) -> list[int]:
        """BOS, the numbers of a target sentence, EOS."""
        return [BOS, *self.numbers([text])[0], EOS]

    def unknown(self, sentence: str) -> list[str]:
        """What in a source sentence was never seen in training, each once."""
        symbols = self.split(self.tidy(sentence))
        return list(dict.fromkeys(symbol for symbol in symbols if symbol not in self.number))

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of a prediction, up to its EOS."""
        symbols = []
        for number in numbers:
            if number == EOS:
                break
            symbols.append(self.symbols[number])
        if self.bpe:
            return str(self.bpe.decoder.decode(symbols))
        return ("" if self.tokenizer == "character" else " ").join(symbols)


class EncodedPairs(Sequence[Encoded]):
    """Pairs as numbers, all in one tensor: a tensor for each sentence would take many times as much memory."""

    def __init__(self, numbers: list[Tensor], ends: list[int]) -> None:
        self.all = torch.cat(numbers) if numbers else torch.empty(0, dtype=torch.int32)
        self.ends = torch.tensor([0, *ends])

    def __len__(self) -> int:
        return len(self.ends) // 2

    @overload
    def __getitem__(self, at: int) -> Encoded: ...
    @overload
    def __getitem__(self, at: slice) -> list[Encoded]: ...
    def __getitem__(self, at: int | slice) -> Encoded | list[Encoded]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        begin, middle, end = self.ends[2 * at : 2 * at + 3].tolist()
        return self.all[begin:middle].long(), self.all[middle:end].long()


def encode_pairs(pairs: Sequence[Pair], vocabulary: Vocabulary, max_length: int) -> EncodedPairs:
    """Pairs as numbers; those longer than max_length on either side are left out."""
    parts, ends, end = [], [], 0
    for begin in range(0, len(pairs), CHUNK):
        some = pairs[begin : begin + CHUNK]
        sources = vocabulary.numbers([vocabulary.tidy(source) for source, _ in some])
        targets = vocabulary.numbers([target for _, target in some])
        chosen: list[int] = []
        for source, target in zip(sources, targets, strict=True):
            if max(len(source), len(target)) < max_length:  # each of them still gets its EOS
                chosen += [*source, EOS, BOS, *target, EOS]
                ends += [end + len(source) + 1, end + len(source) + len(target) + 3]
                end = ends[-1]
        parts.append(torch.tensor(chosen, dtype=torch.int32))
    return EncodedPairs(parts, ends)


def fitting(pairs: Sequence[Pair], vocabulary: Vocabulary, max_length: int) -> list[Pair]:
    """The pairs whose source the model can read at all."""
    return [pair for pair in pairs if len(vocabulary.encode_source(pair[0])) <= max_length]


@dataclass(frozen=True)
class Material:
    """All that a training reads: the three sets as text, the first two as numbers as well, and notes for people."""

    split: Split
    vocabulary: Vocabulary
    train: EncodedPairs
    validation: EncodedPairs
    notes: list[str]


def load_material(config: Config, ranks: Ranks = ALONE) -> Material:
    """Read, split and encode the configured data. Raises UserError if nothing usable is left."""
    corpus = ranks.from_first(lambda: load_corpus(config.data, config.train.seed))
    split, limit = split_pairs(corpus.pairs, config.data, config.train.seed), config.model.max_length
    vocabulary = Vocabulary.build(split.train, config.data)
    steer = fitting(split.validation, vocabulary, limit)[:VALIDATION_PAIRS]
    split = Split(split.train, steer, split.heldout, split.notes)
    train, validation = (encode_pairs(pairs, vocabulary, limit) for pairs in (split.train, steer))
    if not len(train) or not len(validation):
        raise UserError(f"every pair is longer than model.max_length ({limit}); raise it or bring shorter ones")
    skipped = len(split.train) - len(train)
    notes = [*corpus.notes, *split.notes]
    if skipped:
        notes.append(f"{count(skipped, 'training pair')} left out: longer than model.max_length ({limit})")
    return Material(split, vocabulary, train, validation, notes)


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
