"""The glossary's form: what it says about words is for people to judge."""

from __future__ import annotations

import tomllib
from pathlib import Path

from scaffold import paths
from scaffold.discovery.catalog import Task, load_catalog
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


def test_a_task_keeps_its_wordings_and_its_titles_whole() -> None:
    tasks = load_catalog(paths.catalog_path()).tasks
    concepts = all_concepts(tasks.values())
    names = by_name(concepts)
    for task in tasks.values():
        assert all(concepts[names[fold(text)]].task == task.id for text in task.names if fold(text) in names)
        assert not any(concepts[names[fold(text)]].part for text in (task.title, task.title_ko, task.id))


def test_a_group_that_shares_a_wording_with_a_task_is_a_part_of_it(tmp_path: Path) -> None:
    glossary = tmp_path / "glossary.toml"
    glossary.write_text('[[group]]\nen = ["small part"]\nko = ["작은 부분"]\n', encoding="utf-8")
    task = Task("whole", "Whole", "전체", "All of it.", ("small part", "other part"), (), ())
    concepts = all_concepts([task], glossary)
    names = by_name(concepts)
    part = concepts[names["작은부분"]]
    assert (part.task, part.part) == ("whole", True)
    assert concepts[names["smallpart"]] is part
    assert concepts[names["otherpart"]].part is False
