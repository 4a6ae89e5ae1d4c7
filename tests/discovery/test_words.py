from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaffold.discovery.words import bigrams, edit_distance, fold, nearest, split


@pytest.mark.parametrize(
    "text", ["Reinforcement Learning", "reinforcement-learning", "REINFORCEMENT_LEARNING", "ｒeinforcement　learning"]
)
def test_spellings_of_one_name_fold_to_one_form(text: str) -> None:
    assert fold(text) == "reinforcementlearning"


def test_language_names_keep_their_signs() -> None:
    assert fold("C++") == "c++"
    assert split("GPT-2 in C#") == ["gpt", "2", "in", "c#"]


def test_bigrams_do_not_depend_on_spaces() -> None:
    assert bigrams("음성 인식") == bigrams("음성인식") == ["음성", "성인", "인식"]


def test_bigrams_stop_at_other_scripts() -> None:
    assert bigrams("음성 asr 인식") == ["음성", "인식"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("reinforcment", "reinforcement"),
        ("tensorfow", "tensorflow"),
        ("pytroch", "pytorch"),  # neighbours swapped
        ("강화학슴", "강화학습"),  # one jamo of a Hangul letter
    ],
)
def test_a_slip_finds_the_word(typed: str, meant: str) -> None:
    assert nearest(typed, ["vision", "speech", "로봇", meant]) == [meant]


def test_short_words_are_not_corrected() -> None:
    assert nearest("rl", ["rt", "al"]) == []


@given(st.text(max_size=8), st.text(max_size=8))
def test_distance_is_symmetric_and_zero_only_for_equal(a: str, b: str) -> None:
    assert edit_distance(a, b, 8) == edit_distance(b, a, 8)
    assert (edit_distance(a, b, 8) == 0) == (a == b)


@given(st.text(max_size=12), st.text(max_size=12), st.integers(0, 3))
def test_the_limit_only_cuts(a: str, b: str, limit: int) -> None:
    assert edit_distance(a, b, limit) == min(edit_distance(a, b, 24), limit + 1) or edit_distance(a, b, 24) > limit
