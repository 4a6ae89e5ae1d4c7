"""The glossary's form: what it says about words is for people to judge."""

from __future__ import annotations

import tomllib

from scaffold import paths
from scaffold.discovery.catalog import load_catalog
from scaffold.discovery.concepts import GLOSSARY, all_concepts, by_name
from scaffold.discovery.words import fold


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


def test_a_task_keeps_its_wordings() -> None:
    tasks = load_catalog(paths.catalog_path()).tasks
    concepts = all_concepts(tasks.values())
    names = by_name(concepts)
    for task in tasks.values():
        assert all(concepts[names[fold(text)]].task == task.id for text in task.names)
