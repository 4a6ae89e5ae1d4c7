"""The pairs are right, nothing leaks between training and test, and batches are what they promise."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import date
from pathlib import Path

import pytest
import torch
from conftest import SMALL, MakeConfig

from data import PAD, BucketSampler, Vocabulary, collate, encode_pairs, load_pairs, read_pairs, split_pairs
from distributed import Ranks
from sample_data import date_forms, english_number, korean_number, number_forms, sample_pairs
from settings import UserError


@pytest.mark.parametrize(
    ("number", "english", "korean"),
    [
        (0, "zero", "영"),
        (16, "sixteen", "십육"),
        (170, "one hundred and seventy", "백칠십"),
        (1001, "one thousand and one", "천일"),
        (10000, "ten thousand", "만"),
        (12005, "twelve thousand and five", "만 이천오"),
        (21342, "twenty-one thousand three hundred and forty-two", "이만 천삼백사십이"),
    ],
)
def test_numbers_are_written_as_people_write_them(number: int, english: str, korean: str) -> None:
    assert english_number(number) == english
    assert korean_number(number) == korean


def test_dates_are_written_as_people_write_them() -> None:
    forms = date_forms(date(2024, 6, 22))
    for expected in (
        "June 22, 2024",
        "22 Jun 2024",
        "the 22nd of June 2024",
        "Saturday, 22 June 2024",
        "2024년 6월 22일 토요일",
        "이천이십사년 유월 이십이일",
    ):
        assert expected in forms


def test_one_way_of_writing_means_one_value() -> None:
    meanings: dict[str, int] = {}
    for number in range(0, 100000, 7):
        for form in number_forms(number):
            assert meanings.setdefault(form.lower(), number) == number


def test_the_sample_repeats_by_seed_and_holds_no_pair_twice() -> None:
    pairs = sample_pairs(seed=3)
    assert pairs == sample_pairs(seed=3)
    assert pairs != sample_pairs(seed=4)
    assert len(set(pairs)) == len(pairs)


def test_nothing_held_out_was_seen_in_training() -> None:
    split = split_pairs(sample_pairs(seed=0), SMALL.data, seed=0)
    sets = {"train": split.train, "validation": split.validation, "held-out": split.heldout}
    assert all(len(pairs) > 100 for pairs in sets.values())
    for one in sets:
        for other in sets:
            if one < other:
                assert not {target for _, target in sets[one]} & {target for _, target in sets[other]}, (one, other)
                assert not {source for source, _ in sets[one]} & {source for source, _ in sets[other]}, (one, other)


def test_a_source_with_two_translations_does_not_leak() -> None:
    pairs = [(f"source {number // 2}", f"target {number}") for number in range(400)]
    split = split_pairs(pairs, SMALL.data, seed=0)
    assert not {source for source, _ in split.train} & {source for source, _ in split.validation + split.heldout}


def test_the_vocabulary_knows_training_only() -> None:
    vocabulary = Vocabulary.build([("ab", "b")], SMALL.data)
    assert vocabulary.decode(vocabulary.encode_target("b")[1:]) == "b"
    assert "z" not in vocabulary.symbols
    assert vocabulary.encode_source("z") == [3, 2]


def test_decomposed_hangul_and_capitals_mean_the_same() -> None:
    vocabulary = Vocabulary.build([("가 a", "b")], SMALL.data)
    assert vocabulary.encode_source("\u1100\u1161  A ") == vocabulary.encode_source("가 a")


def test_words_can_be_the_symbols() -> None:
    config = dataclasses.replace(SMALL.data, tokenizer="word")
    vocabulary = Vocabulary.build([("good morning", "좋은 아침")], config)
    assert len(vocabulary.encode_source("good morning")) == 3
    assert vocabulary.decode(vocabulary.encode_target("좋은 아침")[1:]) == "좋은 아침"


def test_each_epoch_holds_each_pair_once_and_resumes_anywhere(make_config: MakeConfig) -> None:
    config = make_config()
    pairs = load_pairs(config.data, 0)
    data = encode_pairs(pairs, Vocabulary.build(pairs, config.data), 16)
    sampler, count = BucketSampler(data, 12, seed=1), len(data)
    assert count % 12  # passes end within a batch
    stream = list(itertools.islice(sampler, 3 * count))
    positions = [position for batch in stream for position in batch]
    passes = [positions[at : at + count] for at in range(0, 36 * count, count)]
    assert all(sorted(one) == list(range(count)) for one in passes)
    assert passes[0] != passes[1]
    assert list(itertools.islice(BucketSampler(data, 12, seed=1, start=count - 5), 9)) == stream[count - 5 :][:9]


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_share_each_batch_without_gap_or_double(size: int) -> None:
    pairs = sample_pairs(seed=0, dates=100, numbers=100)
    data = encode_pairs(pairs, Vocabulary.build(pairs, SMALL.data), 100)
    parts = [iter(BucketSampler(data, 12, seed=1, ranks=Ranks(rank, size))) for rank in range(size)]
    for whole in itertools.islice(BucketSampler(data, 12, seed=1), 3 * len(data) // 12):
        shared = [next(part) for part in parts]
        assert sorted(itertools.chain(*shared)) == sorted(whole)
        assert {len(part) for part in shared} == {12 // size}


def test_batches_hold_little_padding() -> None:
    pairs = sample_pairs(seed=0, dates=1000, numbers=1000)
    data = encode_pairs(pairs, Vocabulary.build(pairs, SMALL.data), 100)
    sources = [
        collate([data[at] for at in batch])[0] for batch in itertools.islice(BucketSampler(data, 32, seed=0), 100)
    ]
    filler = sum(int((source == PAD).sum()) for source in sources) / sum(source.numel() for source in sources)
    assert filler < 0.15


def test_sentences_that_are_too_long_are_left_out() -> None:
    vocabulary = Vocabulary.build([("abcdef", "a")], SMALL.data)
    assert len(encode_pairs([("abc", "a"), ("abcdef", "a")], vocabulary, max_length=4)) == 1
    assert torch.equal(encode_pairs([("a", "a")], vocabulary, 4)[0][0], torch.tensor(vocabulary.encode_source("a")))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"one\ttwo\nno tab here\n", "line 2"), (b"\xff\xfe", "UTF-8"), (b"a\tb\n", "too few"), (b"", "too few")],
)
def test_a_bad_file_is_explained(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "mine.tsv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        split_pairs(read_pairs(path), SMALL.data, seed=0)
