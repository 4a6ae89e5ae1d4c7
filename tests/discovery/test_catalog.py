from __future__ import annotations

from pathlib import Path

import pytest

from scaffold import paths
from scaffold.discovery.catalog import Catalog, CatalogError, load_catalog

_TUTORIAL_TASKS = (
    "nlp",
    "computer-vision",
    "text-generation",
    "style-transfer",
    "reinforcement-learning",
    "speech-recognition",
    "tabular-data",
)


@pytest.fixture(scope="module")
def shipped() -> Catalog:
    """The real catalog; loading it runs every check that a bad edit would fail."""
    return load_catalog(paths.catalog_path())


def test_the_shipped_catalog_is_large_enough(shipped: Catalog) -> None:
    kinds = [entry.kind for entry in shipped.entries]
    assert len(shipped.tasks) >= 25
    assert kinds.count("list") >= 90
    assert kinds.count("project") >= 160


@pytest.mark.parametrize("task", _TUTORIAL_TASKS)
def test_what_the_tutorial_names_is_covered(shipped: Catalog, task: str) -> None:
    entries = [entry for entry in shipped.entries if task in entry.tasks]
    assert sum(entry.kind == "project" for entry in entries) >= 3
    assert any(entry.kind == "list" for entry in entries)


def test_every_task_has_words_in_both_languages_and_something_to_show(shipped: Catalog) -> None:
    for task in shipped.tasks.values():
        words = " ".join(task.synonyms)
        assert any("가" <= char <= "힣" for char in words), task.id
        assert any(char.isascii() and char.isalpha() for char in words), task.id
        assert any(task.id in entry.tasks for entry in shipped.entries), task.id


def _written(tmp_path: Path, old: str, new: str, catalog: Path) -> Path:
    text = catalog.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "edited.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "at", "reason"),
    [
        ("grade: 3}", "grade: 9}", "one/awesome-rl", "`grade` must be 1, 2 or 3"),
        ("grade: 3}", "grade: best}", "grade: best", "`grade` must be a whole number"),
        ("one/AwesomeSpeech", "one/awesome-rl", "Awesome Speech", "already in the catalog, at line"),
        ("one/AwesomeSpeech", "ONE/Awesome-RL", "Awesome Speech", "already in the catalog, at line"),
        ("one/AwesomeSpeech", "AwesomeSpeech", "Awesome Speech", "is not owner/name"),
        ("tasks: [speech-recognition]", "tasks: [speech]", "Awesome Speech", "names an unknown task `speech`"),
        ("synonyms: [asr", "synonyms: [강화-학습", "  speech-recognition:", "means task `speech-recognition` here"),
        (
            "related: [speech-recognition]",
            "related: [speech]",
            "  reinforcement-learning:",
            "related to an unknown task",
        ),
        ("language: C++", "langage: C++", "langage", "unknown key `langage`; did you mean `language`?"),
        ("title: Everything, ", "", "one/everything", "`title` is missing"),
        ("title: Everything, ", "title: , ", "one/everything", "`title` must be text"),
        ("last_commit: 2026-10-01", "last_commit: soon", "kept/gymnasium, title", "must be a date"),
        ("tasks:\n", "task:\n", "  reinforcement-learning:", "unknown part `task`"),
        ("[rl, 강화학습 에이전트]", "[rl, 강화학습 에이전트", "related: [speech", "expected"),
        ("description: All of it", f"description: {'long ' * 40}", "one/everything", "one line of 120 characters"),
    ],
)
def test_a_bad_edit_is_told_with_file_line_and_reason(
    tmp_path: Path, catalog: Path, old: str, new: str, at: str, reason: str
) -> None:
    edited = _written(tmp_path, old, new, catalog)
    lines = edited.read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if at in text)
    with pytest.raises(CatalogError) as error:
        load_catalog(edited)
    assert error.value.message.startswith(f"{edited}:{line}: ")
    assert reason in error.value.message


def test_a_missing_catalog_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be read"):
        load_catalog(tmp_path / "none.yaml")


def test_unknown_stays_unknown(catalog: Path) -> None:
    entry = next(entry for entry in load_catalog(catalog).entries if entry.repo == "one/awesome-rl")
    assert entry.license is None
    assert entry.archived is None
