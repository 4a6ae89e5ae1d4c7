from __future__ import annotations

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaffold.discovery.search import Filters, find, references_for, resolve_task, search, templates_for
from scaffold.errors import NotFoundError, UsageError


def _found(index: sqlite3.Connection, text: str, filters: Filters | None = None) -> list[str]:
    return [hit.repo for hit in search(index, text, filters).hits]


@pytest.mark.parametrize(
    "text",
    [
        "reinforcement learning",
        "rl",
        "RL",
        "강화학습",
        "강화 학습",
        "reinforcment learning",
        "강화학슴",
        "강화학습을",
        "awesome rl list",
    ],
)
def test_every_way_to_say_a_task_finds_it(index: sqlite3.Connection, text: str) -> None:
    found = _found(index, text)
    assert found[0] in ("one/awesome-rl", "kept/gymnasium")
    assert "kept/listener" not in found


def test_a_correction_is_said(index: sqlite3.Connection) -> None:
    result = search(index, "reinforcment learning")
    assert result.notices == ("“reinforcment learning” is not known; showing “Reinforcement learning”.",)


def test_the_list_of_the_task_comes_before_the_list_of_everything(index: sqlite3.Connection) -> None:
    found = _found(index, "speech recognition", Filters(kind="list"))
    assert found == ["one/AwesomeSpeech", "one/everything", "one/awesome-rl"]  # the last for a related task


def test_what_is_kept_outranks_what_is_archived_or_succeeded(index: sqlite3.Connection) -> None:
    found = _found(index, "rl", Filters(kind="project"))
    assert found[0] == "kept/gymnasium"
    assert set(found[1:]) == {"gone/gym", "dead/agents"}


@pytest.mark.parametrize(
    ("text", "repo"),
    [
        ("whisper", "kept/listener"),  # a keyword
        ("diarize", "kept/diarize"),  # a name
        ("recordings", "kept/diarize"),  # nearest word of the index
        ("한국어지원", "kept/listener"),  # written without the space
        ("AwesomeSpeech", "one/AwesomeSpeech"),
        ("gymnasum", "kept/gymnasium"),  # misspelt
    ],
)
def test_words_of_the_texts_are_found(index: sqlite3.Connection, text: str, repo: str) -> None:
    assert _found(index, text)[0] == repo


def test_a_task_and_a_word_prefer_the_hit_that_has_both(index: sqlite3.Connection) -> None:
    assert _found(index, "asr whisper", Filters(kind="project"))[0] == "kept/listener"
    assert _found(index, "asr speaks", Filters(kind="project"))[0] == "kept/diarize"


def test_every_hit_says_why(index: sqlite3.Connection) -> None:
    hits = {hit.repo: hit.why for hit in search(index, "rl").hits}
    assert hits["one/awesome-rl"] == "first choice for reinforcement-learning"
    assert hits["one/everything"] == "also for reinforcement-learning"
    assert "succeeded by kept/gymnasium" in hits["gone/gym"]
    assert all(hits.values())


def test_nothing_that_matches_gives_no_hits_and_a_notice(index: sqlite3.Connection) -> None:
    result = search(index, "qwertyuiop zxcvb")
    assert result.hits == ()
    assert result.notices[0].startswith("Nothing matches “qwertyuiop zxcvb”.")


def test_the_nearest_words_are_named(index: sqlite3.Connection) -> None:
    notice = search(index, "speeching recognizer").notices[-1]
    assert "Speech recognition" in notice


def test_both_kinds_are_on_the_first_screen(index: sqlite3.Connection) -> None:
    hits = search(index, "rl", limit=2).hits
    assert {hit.kind for hit in hits} == {"list", "project"}
    assert len(search(index, "rl", limit=1).hits) == 1
    assert len(search(index, "rl", limit=3).hits) == 3


@pytest.mark.parametrize(
    ("filters", "repos"),
    [
        (Filters(kind="list"), {"one/AwesomeSpeech", "one/everything", "one/awesome-rl"}),
        (Filters(language="python"), {"kept/diarize"}),
        (Filters(license="apache"), {"kept/listener"}),
        (Filters(license="MIT"), {"kept/diarize"}),
        (Filters(task="강화학습"), {"one/everything", "one/awesome-rl"}),
    ],
)
def test_filters(index: sqlite3.Connection, filters: Filters, repos: set[str]) -> None:
    assert set(_found(index, "asr", filters)) == repos


def test_unknown_stars_do_not_pass_and_it_is_said(index: sqlite3.Connection) -> None:
    result = search(index, "asr", Filters(min_stars=1))
    assert result.hits == ()
    assert "unknown stars" in result.notices[0]


def test_sorting(index: sqlite3.Connection) -> None:
    names = [hit.repo for hit in search(index, "rl", sort="name").hits]
    assert names == sorted(names, key=str.casefold)
    assert search(index, "asr", Filters(kind="project"), sort="updated").hits[0].repo == "kept/diarize"


def test_an_unknown_task_is_wrong_usage_with_the_nearest(index: sqlite3.Connection) -> None:
    with pytest.raises(UsageError) as error:
        search(index, "nlp", Filters(task="speech-recognitoin"))
    assert error.value.hint == "Did you mean speech-recognition?"
    with pytest.raises(UsageError) as error:
        search(index, "nlp", Filters(task="뷁"))
    assert error.value.hint is not None
    assert error.value.hint.startswith("Some tasks: ")
    assert error.value.hint.count(",") < 5


def test_an_empty_query_is_wrong_usage(index: sqlite3.Connection) -> None:
    with pytest.raises(UsageError):
        search(index, " ")


@pytest.mark.parametrize("text", ["🤖", "()", "--"])
def test_a_query_without_a_word_finds_nothing_and_says_so(index: sqlite3.Connection, text: str) -> None:
    result = search(index, text)
    assert result.hits == ()
    assert "no word" in result.notices[0]


@pytest.mark.parametrize(
    "text", ["음성 인식을 하고 싶어", "what is speech recognition", "음성인식이란", "음성을 인식하기"]
)
def test_a_sentence_is_understood_by_what_it_names(index: sqlite3.Connection, text: str) -> None:
    assert search(index, text).tasks == ("speech-recognition",)


def test_real_words_are_not_corrected_into_others(index: sqlite3.Connection) -> None:
    assert search(index, "gems for agents").notices == ()


def test_find_knows_any_case_and_suggests(index: sqlite3.Connection) -> None:
    assert find(index, "KEPT/Gymnasium").repo == "kept/gymnasium"
    with pytest.raises(NotFoundError) as error:
        find(index, "other/gymnasium")
    assert error.value.hint == "Did you mean kept/gymnasium?"


def test_templates_and_references_of_tasks(index: sqlite3.Connection) -> None:
    assert templates_for(index, ["reinforcement-learning", "speech-recognition"]) == ("transformer",)
    assert resolve_task(index, "STT") == "speech-recognition"
    assert [hit.repo for hit in references_for(index, ["reinforcement-learning"], 5)] == ["kept/gymnasium"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_is_answered(index: sqlite3.Connection, text: str) -> None:
    try:
        result = search(index, text)
    except UsageError:
        return  # nothing in it but signs
    assert result.hits or result.notices


@pytest.mark.parametrize(
    "text", ['" OR 1', "NEAR(a b)", "name:x", "a* ^b", "rl AND", "((rl", "'; DROP TABLE documents; --"]
)
def test_no_operator_slips_into_the_query(index: sqlite3.Connection, text: str) -> None:
    search(index, text)
    assert find(index, "kept/gymnasium")
