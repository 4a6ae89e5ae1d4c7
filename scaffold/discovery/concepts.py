"""Concepts: the words that mean one thing. Tasks come from the catalog, everything else from `glossary.toml`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scaffold.discovery.words import fold

if TYPE_CHECKING:
    from scaffold.discovery.catalog import Task

GLOSSARY = Path(__file__).with_name("glossary.toml")
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Concept:
    """Wordings that mean the same, the usual one first.

    Attributes:
        task: the task that they name, if they name one.
        part: whether they name only a part of that task, as `drug discovery` does of graph learning.
    """

    wordings: tuple[str, ...]
    task: str | None = None
    part: bool = False


def all_concepts(tasks: Iterable[Task], glossary: Path = GLOSSARY) -> list[Concept]:
    """The tasks, then the groups of the glossary. A group that shares a wording with a task is a part of the task.

    The titles and the id of a task are the whole task's alone.
    """
    import tomllib

    concepts = []
    whole: set[str] = set()
    owner: dict[str, str] = {}
    for task in tasks:
        concepts.append(Concept(tuple(dict.fromkeys(task.names)), task.id))
        whole.update(map(fold, (task.title, task.title_ko, task.id)))
        for name in task.names:
            owner.setdefault(fold(name), task.id)
    with glossary.open("rb") as file:
        groups = tomllib.load(file)["group"]
    for group in groups:
        texts = [text for text in (*group["en"], *group.get("ko", ())) if fold(text) not in whole]
        task_id = next((owner[fold(text)] for text in texts if fold(text) in owner), None)
        # What another task owns stays that task's.
        wordings = tuple(text for text in texts if owner.get(fold(text), task_id) == task_id)
        if wordings:
            concepts.append(Concept(wordings, task_id, part=task_id is not None))
    return concepts


def by_name(concepts: Sequence[Concept]) -> dict[str, int]:
    """Folded wording → number of its concept; a part of a task comes before the task."""
    names: dict[str, int] = {}
    for number in sorted(range(len(concepts)), key=lambda number: not concepts[number].part):
        for wording in concepts[number].wordings:
            names.setdefault(fold(wording), number)
    return names


def longest_runs(
    words: Sequence[str], find: Callable[[Sequence[str]], _Found | None], longest: int = 6
) -> list[tuple[tuple[str, ...], _Found | None]]:
    """Cut words into the longest runs that `find` knows; a word that is in none stands alone with None."""
    runs: list[tuple[tuple[str, ...], _Found | None]] = []
    start = 0
    while start < len(words):
        for end in range(min(len(words), start + longest), start, -1):
            found = find(words[start:end])
            if found is not None:
                runs.append((tuple(words[start:end]), found))
                start = end
                break
        else:
            runs.append(((words[start],), None))
            start += 1
    return runs
