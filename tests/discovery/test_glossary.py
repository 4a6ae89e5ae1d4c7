"""The glossary's form: what it says about words is for people to judge."""

from __future__ import annotations

import tomllib

from scaffold import paths
from scaffold.discovery.catalog import load_catalog
from scaffold.discovery.concepts import GLOSSARY, all_concepts, by_name
from scaffold.discovery.words import fold, has_cjk


def _groups() -> list[dict[str, list[str]]]:
    with GLOSSARY.open("rb") as file:
        groups: list[dict[str, list[str]]] = tomllib.load(file)["group"]
    return groups


def test_a_wording_is_in_one_group_only() -> None:
    wordings = [fold(text) for group in _groups() for text in (*group["en"], *group.get("ko", ()))]
    assert sorted({word for word in wordings if wordings.count(word) > 1}) == []
    assert all(wordings)


def test_groups_hold_wordings_of_both_languages_where_they_say_so() -> None:
    for group in _groups():
        assert set(group) <= {"en", "ko"}
        assert all(group.values())
        assert all(text.isascii() for text in group["en"])
        assert all(has_cjk(text) for text in group.get("ko", ()))


def test_a_group_has_something_to_connect() -> None:
    assert [group for group in _groups() if len(group["en"]) + len(group.get("ko", ())) < 2] == []


def test_a_plural_is_not_listed_beside_its_singular() -> None:
    wordings = {fold(text) for group in _groups() for text in group["en"]}
    assert sorted(word for word in wordings if f"{word}s" in wordings) == []


def test_a_task_keeps_its_wordings() -> None:
    tasks = load_catalog(paths.catalog_path()).tasks
    concepts = all_concepts(tasks.values())
    names = by_name(concepts)
    for task in tasks.values():
        assert all(concepts[names[fold(text)]].task == task.id for text in task.names)
