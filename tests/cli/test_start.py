from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scaffold.cli.output import Output
from scaffold.discovery.catalog import load_catalog
from scaffold.paths import catalog_path
from scaffold.projects.template import load_templates
from tests.conftest import Answer

Scaffold = Callable[..., Answer]


@pytest.mark.parametrize("topic", ["machine translation", "번역", "mt"])
def test_a_topic_leads_to_a_project(scaffold: Scaffold, in_tmp: Path, topic: str) -> None:
    answer = scaffold("start", topic, "--yes", "--offline", "--json")
    assert answer.code == 0, answer.err
    document = answer.json
    assert document["topic"] == topic
    assert document["task"] == "machine-translation"
    assert document["clone"] is None
    assert document["new"]["template"] == "transformer"
    assert document["next"] == document["new"]["next"]
    assert document["search"]["hits"]
    assert (in_tmp / "my-transformer" / "train.py").exists()


def test_a_name_that_is_taken_is_not_touched(scaffold: Scaffold, in_tmp: Path) -> None:
    (in_tmp / "my-sklearn").mkdir()
    document = scaffold("start", "tabular data", "--yes", "--offline", "--json").json
    assert document["new"]["project"] == "my-sklearn-2"
    assert list((in_tmp / "my-sklearn").iterdir()) == []


def test_it_plans_for_other_machines_and_several_of_them_as_new_does(scaffold: Scaffold, in_tmp: Path) -> None:
    machines = ("--target", "4xh100", "--nodes", "2")
    document = scaffold("start", "번역", "--yes", "--offline", "--no-git", *machines, "--json").json
    by_new = scaffold("new", "transformer", "new", "--no-git", *machines, "--json").json
    assert document["new"]["plan"] == by_new["plan"]
    assert document["new"]["plan"]["nodes"] == 2
    assert "--nnodes=2" in (in_tmp / "my-transformer" / "README.md").read_text(encoding="utf-8")


def test_a_task_without_a_starter_names_the_nearest(scaffold: Scaffold, in_tmp: Path) -> None:
    answer = scaffold("start", "reinforcement learning", "--yes", "--offline")
    assert answer.code == 0
    assert "No starter is made for reinforcement-learning yet. The nearest is " in answer.out
    document = scaffold("start", "reinforcement learning", "--yes", "--offline", "--json").json
    assert document["new"] is None
    assert document["next"][0].startswith("scaffold new ")
    assert list(in_tmp.iterdir()) == []


def test_an_unknown_topic_is_wrong_usage(scaffold: Scaffold, in_tmp: Path) -> None:
    answer = scaffold("start", "qwertyuiop", "--yes", "--offline", "--json")
    assert answer.code == 2
    assert answer.out == ""
    assert "qwertyuiop" in answer.err


def test_a_topic_that_only_synced_lists_know_has_no_task(scaffold: Scaffold, in_tmp: Path) -> None:
    place = in_tmp / "lists" / "a" / "awesome-bread"
    place.mkdir(parents=True)
    text = "# Awesome bread\n\n## Sourdough\n- [Buddy](https://github.com/b/buddy) - Sourdough timer.\n"
    (place / "README.md").write_text(text, encoding="utf-8")
    assert scaffold("sync", "--from", in_tmp / "lists").code == 0
    answer = scaffold("start", "sourdough timer", "--yes", "--offline", "--json")
    assert answer.code == 0, answer.err
    assert (answer.json["task"], answer.json["new"]) == (None, None)
    assert "scaffold clone b/buddy" in answer.json["next"]
    assert "No starter is made for this topic" in scaffold("start", "sourdough timer", "--yes", "--offline").out


def test_a_task_of_which_nothing_matches_is_unknown(scaffold: Scaffold, in_tmp: Path) -> None:
    assert scaffold("start", "김치찌개 끓이는 법", "--yes", "--offline").code == 2  # 법 is law


def test_references_that_fail_do_not_stop_the_project(
    scaffold: Scaffold, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_SERVER_URL", "http://127.0.0.1:9")  # nothing listens there
    answer = scaffold("start", "tabular data", "--yes", "--json")
    assert answer.code == 0
    references = answer.json["clone"]["references"]
    assert len(references) == 3
    assert all(reference["status"] == "failed" and reference["error"] for reference in references)
    assert (in_tmp / "my-sklearn" / "train.py").exists()
    assert not list((in_tmp / "references").rglob("*.py")) if (in_tmp / "references").exists() else True


def test_where_nobody_can_answer_nothing_is_asked(
    scaffold: Scaffold, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The screen is a terminal, and standard input is not: `scaffold start nlp < /dev/null`.
    monkeypatch.setattr(Output, "at_terminal", True)
    answer = scaffold("start", "tabular data", "--offline")
    assert answer.code == 0, answer.err
    assert "[Y/n]" not in answer.err
    assert (in_tmp / "my-sklearn" / "train.py").exists()


def test_tasks_and_templates_know_each_other() -> None:
    tasks = load_catalog(catalog_path()).tasks
    templates = {template.name: template for template in load_templates()}
    for task in tasks.values():
        assert set(task.templates) <= set(templates), task.id
    for template in templates.values():
        for task_id in template.tasks:
            assert template.name in tasks[task_id].templates, (template.name, task_id)
