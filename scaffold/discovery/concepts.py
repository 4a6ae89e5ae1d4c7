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
    """Wordings that mean the same, the usual one first, and the task that they name, if they name one."""

    wordings: tuple[str, ...]
    task: str | None = None


def all_concepts(tasks: Iterable[Task], glossary: Path = GLOSSARY) -> list[Concept]:
    """The tasks, then the groups of the glossary. A wording that a task owns stays the task's alone."""
    import tomllib

    concepts = [Concept(tuple(dict.fromkeys(task.names)), task.id) for task in tasks]
    owned = {fold(wording) for concept in concepts for wording in concept.wordings}
    with glossary.open("rb") as file:
        groups = tomllib.load(file)["group"]
    for group in groups:
        wordings = tuple(text for text in (*group["en"], *group.get("ko", ())) if fold(text) not in owned)
        if wordings:
            concepts.append(Concept(wordings))
    return concepts


def by_name(concepts: Sequence[Concept]) -> dict[str, int]:
    """Folded wording → number of its concept. The first that claims a wording has it."""
    names: dict[str, int] = {}
    for number, concept in enumerate(concepts):
        for wording in concept.wordings:
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
