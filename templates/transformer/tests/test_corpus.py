"""Files are read as they come, what is wrong with them is said, and nothing leaks between training and test."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from conftest import SMALL

from corpus import JUDGED, load_corpus, read_pairs, split_pairs
from runtime.settings import UserError
from sample_data import sample_pairs

GOOD = "".join(f"sentence {n}\tSatz {n}\n" for n in range(300)).encode()


def test_a_byte_order_mark_blanks_and_line_ends_don_t_matter(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_bytes(b"\xef\xbb\xbfGood  morning\t \xec\xa2\x8b\xec\x9d\x80 \r\n\n\n a\tb\tCC-BY somebody\n")
    corpus = read_pairs(path)
    assert corpus.pairs == [("Good morning", "좋은"), ("a", "b")]
    assert corpus.notes == []
    assert read_pairs(path, reverse=True).pairs == [("좋은", "Good morning"), ("b", "a")]


def test_tatoebas_numbers_are_no_sentences(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("1276\tLet's try something.\t5350\tEssayons quelque chose\u2028!\n", encoding="utf-8")
    assert read_pairs(path).pairs == [("Let's try something.", "Essayons quelque chose !")]


@pytest.mark.parametrize(
    ("bad", "note"),
    [
        (b"\xff\xfe caf\xe9\tx\n", "1 line left out (not UTF-8), first line 301"),
        (b"no tab\n", "1 line left out (incomplete), first line 301"),
        (b"empty target\t \n", "1 line left out (incomplete), first line 301"),
        (b"sentence 7\tSatz 7\n" * 2, "2 lines left out (a pair again)"),
    ],
)
def test_a_few_bad_lines_are_left_out_and_counted(tmp_path: Path, bad: bytes, note: str) -> None:
    path = tmp_path / "mine.tsv"
    path.write_bytes(GOOD + bad + b"last\tletzter\n")
    corpus = read_pairs(path)
    assert len(corpus.pairs) == 301
    assert corpus.pairs[-1] == ("last", "letzter")
    assert [note in said for said in corpus.notes] == [True]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"one\ttwo\nno tab here\n", "line 2: expected source<TAB>target; unusable are 1 of 2 lines"),
        ("한국어\tKorean\n".encode("cp949"), "line 1: expected UTF-8 text"),
        ("a\tb\n".encode("utf-16"), "UTF-16"),
        ("a\tb\n".encode("utf-16-le"), "line 1: expected UTF-8 text"),
        (GOOD + b"no tab\n" * 4, "line 301: expected source<TAB>target; unusable are 4 of 304 lines"),
        (b"a\tb\n", r"mine\.tsv: too few .*: 1 pair with 1 different target; bring more, or raise"),
        (b"", "too few"),
        (b"".join(b"same\t%d\n" % n for n in range(300)), r"mine\.tsv: too few different sources"),
    ],
)
def test_a_bad_file_is_explained(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "mine.tsv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        split_pairs(read_pairs(path).pairs, dataclasses.replace(SMALL.data, file=str(path)), seed=0)


def two_files(folder: Path, source: bytes, target: bytes) -> tuple[Path, Path]:
    (folder / "text.en").write_bytes(source)
    (folder / "text.de").write_bytes(target)
    return folder / "text.en", folder / "text.de"


def test_two_files_are_paired_line_by_line(tmp_path: Path) -> None:
    lines = [f"sentence {n}" for n in range(400)]
    odd = "separators \u2028 \x0b \x85 \x0c end no line"
    source = "\n".join([*lines, odd, "", "last"]).encode()
    target = "\r\n".join([line.upper() for line in [*lines, "odd", "nothing", "final"]]).encode()
    corpus = read_pairs(*two_files(tmp_path, source, target))
    assert corpus.pairs[399:] == [("sentence 399", "SENTENCE 399"), (" ".join(odd.split()), "ODD"), ("last", "FINAL")]
    assert "1 line left out (empty), first line 402" in corpus.notes[0]
    assert read_pairs(tmp_path / "text.en", tmp_path / "text.de", reverse=True).pairs[0][0] == "SENTENCE 0"


def test_two_files_out_of_step_are_refused(tmp_path: Path) -> None:
    paths = two_files(tmp_path, b"a\nb\nc\n", b"x\ny\n")
    with pytest.raises(UserError, match=r"3 lines and .* 2: from line 3 at the latest"):
        read_pairs(*paths)


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_held_out_was_seen_in_training(seed: int) -> None:
    split = split_pairs(sample_pairs(seed=0), SMALL.data, seed)
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
    assert not {source for source, _ in split.validation} & {source for source, _ in split.heldout}
    lost = len(pairs) - sum(map(len, (split.train, split.validation, split.heldout)))
    assert split.notes[0].startswith(f"{lost} pairs left out")


def test_case_and_punctuation_make_no_new_sentence() -> None:
    pairs = [(f"Say {n} words{end}", f"Worte {n}{end}") for n in range(300) for end in ("", ".", "!", " …")]
    pairs += [(f"say {n} WORDS", f"worte {n}") for n in range(300)]
    split = split_pairs(pairs, SMALL.data, seed=0)
    numbers = [{source.split()[1] for source, _ in part} for part in (split.train, split.validation, split.heldout)]
    assert [len(part) for part in numbers] == [240, 30, 30]
    assert not numbers[0] & (numbers[1] | numbers[2])
    assert not numbers[1] & numbers[2]


def test_a_split_repeats_by_seed_and_keeps_aside_what_is_needed() -> None:
    pairs = [(f"s {n}", f"t {n}") for n in range(40_000)]
    split = split_pairs(pairs, SMALL.data, seed=0)
    assert split == split_pairs(pairs, SMALL.data, seed=0)
    assert split.heldout != split_pairs(pairs, SMALL.data, seed=1).heldout
    assert len(split.heldout) == len(split.validation) == JUDGED
    shares = dataclasses.replace(SMALL.data, validation_share=0.02, heldout_share=0.3)
    split = split_pairs(pairs[:1000], shares, seed=0)
    assert (len(split.heldout), len(split.validation)) == (300, 20)


def test_the_settings_say_which_way_to_translate(tmp_path: Path) -> None:
    (tmp_path / "mine.tsv").write_bytes(GOOD)
    config = dataclasses.replace(SMALL.data, file=str(tmp_path / "mine.tsv"), reverse=True)
    assert load_corpus(config, seed=0).pairs[0] == ("Satz 0", "sentence 0")
