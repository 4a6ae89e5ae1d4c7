"""`catalog.yaml`: the tasks, lists and projects that ship with scaffold, read with file and line for each complaint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml

from scaffold.discovery.words import fold
from scaffold.errors import ScaffoldError

Kind = Literal["list", "project"]

_REPOSITORY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}")
_TASK_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MAX_DESCRIPTION = 120


class CatalogError(ScaffoldError):
    """The catalog holds something it must not hold."""


@dataclass(frozen=True)
class Task:
    """What someone wants to do, and the words for it."""

    id: str
    title: str
    title_ko: str
    summary: str
    synonyms: tuple[str, ...]
    related: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every wording that means this task, the titles and the id among them."""
        return (self.title, self.title_ko, self.id, *self.synonyms)


@dataclass(frozen=True)
class CatalogEntry:
    """One curated list or project. What is not known is None."""

    repo: str
    kind: Kind
    title: str
    description: str
    tasks: tuple[str, ...]
    grade: int
    license: str | None = None
    language: str | None = None
    prose: str | None = None
    last_commit: str | None = None
    archived: bool | None = None
    successor: str | None = None
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalog:
    """The whole file."""

    tasks: dict[str, Task]
    entries: tuple[CatalogEntry, ...]


def load_catalog(path: Path) -> Catalog:
    """Read and check the catalog.

    Raises:
        CatalogError: naming file, line and reason, for anything that is not as it should be.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: cannot be read: {error}", hint="Check SCAFFOLD_CATALOG, or reinstall.") from error
    try:
        root = yaml.compose(text, Loader=_loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "this is not YAML"
        raise CatalogError(f"{where}: {reason}", hint="Indentation or quoting is off near this line.") from error
    return _Reader(path).read(root)


def _loader() -> Any:
    """The C loader where libyaml is there (the wheels bring it), else the pure one."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_ENTRY_KEYS: dict[str, type] = {
    "repo": str,
    "title": str,
    "description": str,
    "tasks": list,
    "grade": int,
    "license": str,
    "language": str,
    "prose": str,
    "last_commit": str,
    "archived": bool,
    "successor": str,
    "keywords": list,
}
_TASK_KEYS: dict[str, type] = {
    "title": str,
    "title_ko": str,
    "summary": str,
    "synonyms": list,
    "related": list,
    "templates": list,
}
_ENTRY_REQUIRED = ("repo", "title", "description", "tasks", "grade")
_TYPE_WORDS = {str: "text", list: "a list of words", int: "a whole number", bool: "true or false"}


class _Reader:
    """Turns YAML nodes into the catalog. Nodes know their line; plain values would not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[int, int] = {}  # id of a task or entry -> line where it stands

    def _error(self, node: yaml.Node | int, reason: str) -> CatalogError:
        line = node if isinstance(node, int) else node.start_mark.line + 1
        return CatalogError(f"{self._path}:{line}: {reason}", hint="See docs/catalog.md for what an entry holds.")

    def read(self, root: yaml.Node | None) -> Catalog:
        if not isinstance(root, yaml.MappingNode):
            raise self._error(root or 1, "the catalog must hold `tasks`, `lists` and `projects`")
        parts = dict(self._items(root))
        for key, (_, node) in parts.items():
            if key not in ("version", "tasks", "lists", "projects"):
                raise self._error(node, f"unknown part `{key}`")
        for key in ("tasks", "lists", "projects"):
            if key not in parts:
                raise self._error(root, f"`{key}` is missing")
        tasks = {task.id: task for task in self._tasks(parts["tasks"][1])}
        entries = (*self._entries(parts["lists"][1], "list"), *self._entries(parts["projects"][1], "project"))
        self._check_tasks(tasks)
        self._check_entries(entries, tasks)
        return Catalog(tasks, entries)

    def _items(self, node: yaml.Node) -> Iterator[tuple[str, tuple[yaml.Node, yaml.Node]]]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, "expected `key: value` lines here")
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                raise self._error(key, f"`{key.value}` stands here twice")
            seen.add(key.value)
            yield key.value, (key, value)

    def _fields(self, node: yaml.Node, known: dict[str, type], required: tuple[str, ...]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for key, (key_node, value) in self._items(node):
            if key not in known:
                near = get_close_matches(key, known, 1)
                raise self._error(key_node, f"unknown key `{key}`" + (f"; did you mean `{near[0]}`?" if near else ""))
            fields[key] = self._value(key, value, known[key])
        for key in required:
            if key not in fields:
                raise self._error(node, f"`{key}` is missing")
        return fields

    def _value(self, key: str, node: yaml.Node, kind: type) -> Any:
        if kind is list and isinstance(node, yaml.SequenceNode):
            return tuple(self._value(key, item, str) for item in node.value)
        if isinstance(node, yaml.ScalarNode) and kind is not list:
            tag = node.tag.rsplit(":", 1)[-1]
            if kind is str and node.value.strip() and tag != "null":
                return node.value.strip()
            if kind is int and tag == "int":
                return int(node.value)
            if kind is bool and tag == "bool":
                return node.value.lower() in ("true", "yes", "on")
        raise self._error(node, f"`{key}` must be {_TYPE_WORDS[kind]}")

    def _tasks(self, node: yaml.Node) -> Iterator[Task]:
        for task_id, (key_node, value) in self._items(node):
            if not _TASK_ID.fullmatch(task_id):
                raise self._error(key_node, f"task id `{task_id}` must be lower-case words joined by hyphens")
            fields = self._fields(value, _TASK_KEYS, tuple(_TASK_KEYS))
            task = Task(id=task_id, **fields)
            self._lines[id(task)] = key_node.start_mark.line + 1
            yield task

    def _entries(self, node: yaml.Node, kind: Kind) -> Iterator[CatalogEntry]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, f"`{kind}s` must be a list of entries, each beginning with `- repo:`")
        for item in node.value:
            fields = self._fields(item, _ENTRY_KEYS, _ENTRY_REQUIRED)
            entry = CatalogEntry(kind=kind, **fields)
            self._lines[id(entry)] = item.start_mark.line + 1
            yield entry

    def _check_tasks(self, tasks: dict[str, Task]) -> None:
        owner: dict[str, str] = {}
        for task in tasks.values():
            line = self._lines[id(task)]
            for name in task.names:
                other = owner.setdefault(fold(name), task.id)
                if other != task.id:
                    raise self._error(line, f"`{name}` means task `{task.id}` here and `{other}` elsewhere")
            for related in task.related:
                if related not in tasks:
                    raise self._error(line, f"task `{task.id}` is related to an unknown task {_near(related, tasks)}")

    def _check_entries(self, entries: tuple[CatalogEntry, ...], tasks: dict[str, Task]) -> None:
        first_line: dict[str, int] = {}
        for entry in entries:
            line = self._lines[id(entry)]
            if not _REPOSITORY.fullmatch(entry.repo):
                raise self._error(line, f"`{entry.repo}` is not owner/name")
            earlier = first_line.setdefault(entry.repo.casefold(), line)
            if earlier != line:
                raise self._error(line, f"{entry.repo} is already in the catalog, at line {earlier}")
            if not entry.tasks:
                raise self._error(line, f"{entry.repo} names no task")
            for task in entry.tasks:
                if task not in tasks:
                    raise self._error(line, f"{entry.repo} names an unknown task {_near(task, tasks)}")
            if not 1 <= entry.grade <= 3:
                raise self._error(line, f"{entry.repo}: `grade` must be 1, 2 or 3")
            if len(entry.description) > _MAX_DESCRIPTION or "\n" in entry.description:
                raise self._error(
                    line, f"{entry.repo}: `description` must be one line of {_MAX_DESCRIPTION} characters"
                )
            if entry.last_commit and not _DATE.fullmatch(entry.last_commit):
                raise self._error(line, f"{entry.repo}: `last_commit` must be a date like 2026-01-31")
            if entry.successor and not _REPOSITORY.fullmatch(entry.successor):
                raise self._error(line, f"{entry.repo}: `successor` must be owner/name")


def _near(word: str, known: dict[str, Task]) -> str:
    near = get_close_matches(word, known, 1)
    return f"`{word}`; did you mean `{near[0]}`?" if near else f"`{word}`"
