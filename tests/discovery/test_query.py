from __future__ import annotations

import sqlite3

import pytest

from scaffold.discovery.query import stem, understand
from scaffold.discovery.spelling import correct
from scaffold.discovery.words import inflected, spelt_out


@pytest.mark.parametrize(
    ("text", "whole"), [("rl", True), ("강화 학습", True), ("stt", False), ("speech to text", False)]
)
def test_a_narrower_word_means_only_part_of_its_task(index: sqlite3.Connection, text: str, whole: bool) -> None:
    (concept,) = understand(index, text).concepts
    assert (concept.aim == 1.0) is whole


def test_what_was_typed_counts_most_and_other_wordings_less(index: sqlite3.Connection) -> None:
    (concept,) = understand(index, "asr").concepts
    assert concept.wordings[0].text == "asr"
    strengths = [wording.strength for wording in concept.wordings]
    assert strengths == sorted(strengths, reverse=True)
    assert strengths[-1] < strengths[0]


def test_in_a_small_index_no_word_alone_stands_for_its_phrase(index: sqlite3.Connection) -> None:
    assert understand(index, "speech recognition").concepts[0].rare == ()
    assert understand(index, "speech to text").concepts[0].rare == ()


def test_the_rarer_of_two_words_counts_more(index: sqlite3.Connection) -> None:
    common, rare = understand(index, "agents diarize").concepts
    assert common.weight < rare.weight == 1.0


def test_a_slip_is_corrected_to_the_wording_that_was_meant(index: sqlite3.Connection) -> None:
    query = understand(index, "speech to txet")
    assert query.tasks == ("speech-recognition",)
    assert query.concepts[0].typed == "speech to text"


@pytest.mark.parametrize(("word", "meant"), [("gymnasim", "gymnasium"), ("ygmnasium", "gymnasium"), ("gymn", None)])
def test_slips_of_one_word(index: sqlite3.Connection, word: str, meant: str | None) -> None:
    found = correct(index, word)
    assert (found.word if found else None) == meant


@pytest.mark.parametrize(
    ("word", "expected"),
    [("libraries", "library"), ("models", "model"), ("bus", "bus"), ("음성을", "음성"), ("나를", "나를")],
)
def test_stems(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_short_words_do_not_mean_the_longer_ones_that_begin_with_them() -> None:
    assert "book" not in inflected("face")
    assert inflected("rag") == ("", "s")
    assert inflected("segment") == ()


def test_names_are_spelt_out() -> None:
    assert spelt_out("EasyOCR") == "EasyOCR Easy OCR"
    assert spelt_out("AwesomeNLPTools") == "AwesomeNLPTools Awesome NLP Tools"
    assert spelt_out("plain-name") == "plain-name"
