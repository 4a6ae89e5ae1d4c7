from __future__ import annotations

import random

import pytest

from split import hold_out, overlap, split_tail


def story(number: int, words: int = 60) -> str:
    """A text of its own for each number."""
    draw = random.Random(number)
    return f"Story {number}: " + " ".join(f"word{draw.randrange(10_000)}" for _ in range(words))


def test_the_end_of_the_text_is_held_out_and_nothing_is_lost() -> None:
    text = "\n\n".join(f"Paragraph number {number} of a text." for number in range(100))
    parts = hold_out([text], 0.1, seed=1)
    [training], [held_out] = parts.training, parts.held_out
    assert training + held_out == text
    assert len(held_out) == pytest.approx(0.1 * len(text), rel=0.1)
    assert held_out.startswith("Paragraph")  # cut between two paragraphs
    assert parts.how == "the last 10 % of the text held out"


def test_whole_documents_are_held_out_where_there_are_enough() -> None:
    documents = [story(number) for number in range(40)]
    parts = hold_out(documents, 0.1, seed=1)
    assert sorted(parts.training + parts.held_out) == sorted(documents)
    assert 2 <= len(parts.held_out) <= 6
    assert parts.how == f"{len(parts.held_out)} of 40 documents held out"
    assert parts.notes == []
    assert hold_out(documents, 0.1, seed=1) == parts
    assert hold_out(documents, 0.1, seed=2).held_out != parts.held_out  # not always the last ones


def test_of_a_few_documents_each_one_gives_its_end() -> None:
    documents = [story(number) for number in range(3)]
    parts = hold_out(documents, 0.1, seed=1)
    assert [a + b for a, b in zip(parts.training, parts.held_out, strict=True)] == documents
    assert parts.how == "the last 10 % of each document held out"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_document_that_is_far_too_short_does_not_judge_alone(seed: int) -> None:
    documents = [story(1, words=2000), "Read me first.", story(2, words=2000)]
    assert hold_out(documents, 0.1, seed).how == "the last 10 % of each document held out"


def test_a_document_that_is_there_twice_is_on_one_side_only() -> None:
    documents = [story(number) for number in range(20)] * 2
    parts = hold_out([*documents, documents[0] + "\n"], 0.1, seed=1)
    assert not set(parts.training) & set(parts.held_out)
    assert len(parts.training) + len(parts.held_out) == 20
    assert parts.notes == ["21 of 41 documents are there twice and count once"]


def test_nearly_the_same_document_on_both_sides_is_noted() -> None:
    documents = [story(number) for number in range(20)]
    documents += [text.replace("Story", "The story once more, number") for text in documents]
    [note] = hold_out(documents, 0.1, seed=1).notes
    assert "stand nearly the same among those that are learned from" in note


def test_a_text_that_repeats_itself_is_noted() -> None:
    [note] = hold_out(["\n\n".join(story(number % 5) for number in range(50))], 0.1, seed=1).notes
    assert note.startswith("100% of the held-out passages")


@pytest.mark.parametrize(
    "text", ["나는 오늘 아침에 일찍 일어나서 밥을 먹고 학교에 갔다", "吾輩は猫である名前はまだ無いどこで生れたか"]
)
def test_passages_are_found_in_every_script(text: str) -> None:
    assert overlap([f"xyz {text} abc"], [text, "one two three four five six seven eight nine"]) == [1.0, 0.0]


def test_text_without_a_space_can_be_split_too() -> None:
    assert split_tail("x" * 90 + "y" * 10, 0.1) == ("x" * 90, "y" * 10)


@pytest.mark.parametrize("text", ["Hi.", "x", "안녕"])
def test_of_a_few_letters_nothing_can_be_held_out(text: str) -> None:
    parts = hold_out([text], 0.05, seed=1)
    assert (parts.training, parts.held_out, parts.notes) == ([text], [], [])


def test_a_paragraph_without_end_does_not_take_the_whole_text() -> None:
    training, held_out = split_tail("Title\n\n" + "word " * 1000, 0.1)
    assert len(held_out) < 0.2 * len(training + held_out)
    assert held_out.startswith("word")


def test_the_global_random_numbers_are_left_alone() -> None:
    before = random.getstate()
    hold_out([story(number) for number in range(40)], 0.1, seed=1)
    assert random.getstate() == before
