"""The pairs are right, nothing leaks between training and test, and batches are what they promise."""

from __future__ import annotations

import dataclasses
import itertools
import json
from datetime import date
from pathlib import Path

import pytest
import torch
from conftest import SMALL, MakeConfig

from corpus import load_corpus
from data import BOS, EOS, PAD, UNKNOWN, BucketSampler, Vocabulary, collate, encode_pairs, fitting, load_material
from runtime.distributed import Ranks
from runtime.settings import UserError
from sample_data import date_forms, english_number, korean_number, number_forms, sample_pairs


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
    assert "the 11th of October 2024" in date_forms(date(2024, 10, 11))
    assert "이천이십사년 시월 십일일" in date_forms(date(2024, 10, 11))


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


def test_the_vocabulary_knows_training_only() -> None:
    vocabulary = Vocabulary.build([("ab", "b")], SMALL.data)
    assert vocabulary.decode(vocabulary.encode_target("b")[1:]) == "b"
    assert "z" not in vocabulary.symbols
    assert vocabulary.encode_source("z") == [3, 2]


def test_decomposed_hangul_and_capitals_mean_the_same() -> None:
    vocabulary = Vocabulary.build([("가 a", "b")], SMALL.data)
    assert vocabulary.encode_source("\u1100\u1161  A ") == vocabulary.encode_source("가 a")


def test_the_most_frequent_symbols_are_kept_as_the_model_will_meet_them() -> None:
    pairs = [("AAAB", "Xy"), ("BC", "X"), ("D", "X")]
    vocabulary = Vocabulary.build(pairs, dataclasses.replace(SMALL.data, vocabulary_size=7))
    assert vocabulary.symbols[4:] == ["X", "a", "b"]
    cased = Vocabulary.build(pairs, dataclasses.replace(SMALL.data, lowercase=False))
    assert UNKNOWN not in cased.encode_source("AB")
    assert UNKNOWN in cased.encode_source("a")


def test_words_can_be_the_symbols() -> None:
    config = dataclasses.replace(SMALL.data, tokenizer="word")
    vocabulary = Vocabulary.build([("good morning", "좋은 아침")], config)
    assert len(vocabulary.encode_source("good morning")) == 3
    assert vocabulary.decode(vocabulary.encode_target("좋은 아침")[1:]) == "좋은 아침"


def test_each_epoch_holds_each_pair_once_and_resumes_anywhere(make_config: MakeConfig) -> None:
    config = make_config()
    pairs = load_corpus(config.data, 0).pairs
    data = encode_pairs(pairs, Vocabulary.build(pairs, config.data), 16)
    sampler, count = BucketSampler(data, 12, seed=1), len(data)
    assert count % 12  # passes end within a batch
    stream = list(itertools.islice(sampler, 3 * count))
    positions = [position for batch in stream for position in batch]
    passes = [positions[at : at + count] for at in range(0, 36 * count, count)]
    assert all(sorted(one) == list(range(count)) for one in passes)
    assert passes[0] != passes[1]
    assert stream[:9] != list(itertools.islice(BucketSampler(data, 12, seed=2), 9))
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
    lengths = [source.shape[1] for source in sources]
    assert lengths[:50] != sorted(lengths[:50])  # alike in a batch, mixed from batch to batch
    filler = sum(int((source == PAD).sum()) for source in sources) / sum(source.numel() for source in sources)
    assert filler < 0.15


def test_sentences_that_are_too_long_are_left_out() -> None:
    vocabulary = Vocabulary.build([("abcdef", "a")], SMALL.data)
    pairs = [("abc", "a"), ("abcdef", "a"), ("abcd", "a"), ("a", "abcd")]
    assert len(encode_pairs(pairs, vocabulary, max_length=4)) == 1
    assert fitting(pairs, vocabulary, max_length=4) == [pairs[0], pairs[3]]
    assert torch.equal(encode_pairs([("a", "a")], vocabulary, 4)[0][0], torch.tensor(vocabulary.encode_source("a")))


def test_encoded_pairs_are_what_each_pair_is_alone(make_config: MakeConfig) -> None:
    pairs = [*sample_pairs(seed=0, dates=50, numbers=50), ("Capitals", "Großbuchstaben")]
    vocabulary = Vocabulary.build(pairs, SMALL.data)
    data = encode_pairs(pairs, vocabulary, 100)
    assert len(data) == len(pairs)
    for (source, target), encoded in zip(pairs, data, strict=True):
        assert encoded[0].tolist() == vocabulary.encode_source(source)
        assert encoded[1].tolist() == vocabulary.encode_target(target)
    assert [source.tolist() for source, _ in data[3:5]] == [data[3][0].tolist(), data[4][0].tolist()]


SENTENCES = [
    (f"The {a} {b} sees the {c}.", f"{c} 앞에 {b} {a}!")
    for a in ("small", "big", "old")
    for b in ("cat", "dog", "house", "mouse")
    for c in ("garden", "kitchen", "teacher", "weather", "window")
]


def test_pieces_of_words_spell_everything_and_come_back_whole() -> None:
    config = dataclasses.replace(SMALL.data, tokenizer="bpe", vocabulary_size=120, lowercase=False)
    vocabulary = Vocabulary.build(SENTENCES * 20, config)
    assert len(vocabulary) <= 120
    for text in ("The mouse sees 12 cats.", "house 앞에!", "a,b", "The"):
        numbers = vocabulary.encode_target(text)
        assert numbers[0] == BOS
        assert numbers[-1] == EOS
        if UNKNOWN not in numbers:
            assert vocabulary.decode(numbers[1:]) == text
    assert vocabulary.decode(vocabulary.encode_target("The old house sees the weather.")[1:]) == (
        "The old house sees the weather."
    )
    assert len(vocabulary.encode_target("The old house sees the weather.")) < 15
    cut = Vocabulary.build([("house!", "12")] * 300, config).split  # as one piece each, "house?" and "13" were unknown
    assert [len(cut("house!")), len(cut("12"))] == [2, 3]
    assert vocabulary.unknown("The Ω sees the cat.") == ["Ω"]
    again = Vocabulary(**json.loads(json.dumps(vocabulary.describe())))
    assert again.describe() == vocabulary.describe()
    assert again.encode_source("The old mouse") == vocabulary.encode_source("The old mouse")
    assert vocabulary.numbers(["The cat", "12"]) == [vocabulary.encode_source(text)[:-1] for text in ("The cat", "12")]


def test_the_symbols_are_chosen_by_what_there_is(tmp_path: Path) -> None:
    auto = dataclasses.replace(SMALL.data, tokenizer="auto")
    many = [(f"number {n}", f"수 {n}") for n in range(3000)]
    assert Vocabulary.build(many, auto).tokenizer == "bpe"
    assert Vocabulary.build(many[:-1], auto).tokenizer == "character"
    assert Vocabulary.build(many, dataclasses.replace(auto, file="")).tokenizer == "character"


def test_the_material_says_what_was_left_out(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(model={"max_length": 4})
    with Path(config.data.file).open("a", encoding="utf-8") as file:
        file.write("ab\tba\nabcdefgh\tlong\n")
    material = load_material(config)
    assert any("1 line left out (a pair again)" in note for note in material.notes)
    assert any("1 training pair left out: longer" in note for note in material.notes)
    for pairs, encoded in ((material.split.validation, material.validation), (material.split.train, material.train)):
        wanted = [material.vocabulary.encode_target(target) for source, target in pairs if len(source) < 4]
        assert [target.tolist() for _, target in encoded] == wanted
    with pytest.raises(UserError, match=r"every pair is longer than model\.max_length"):
        load_material(make_config(model={"max_length": 1}))


def test_the_material_s_symbols_are_those_of_training(make_config: MakeConfig, tmp_path: Path) -> None:
    rows = "".join(f"{n}\t{chr(0xAC00 + n)}\n" for n in range(300))  # each target a character of its own
    (tmp_path / "hangul.tsv").write_text(rows, encoding="utf-8")
    material = load_material(make_config(data={"file": str(tmp_path / "hangul.tsv"), "vocabulary_size": 500}))
    judged = {target for _, target in material.split.heldout + material.split.validation}
    assert len(judged) == 60
    assert not judged & set(material.vocabulary.symbols)
    assert {target for _, target in material.split.train} <= set(material.vocabulary.symbols)


def test_a_validation_sentence_that_is_too_long_is_not_asked(make_config: MakeConfig, tmp_path: Path) -> None:
    rows = "".join(f"{'x' * (n % 30)}{n}\t{n}\n" for n in range(400))
    (tmp_path / "long.tsv").write_text(rows, encoding="utf-8")
    material = load_material(make_config(data={"file": str(tmp_path / "long.tsv")}))
    assert all(len(source) < 16 for source, _ in material.split.validation)
