"""What is known of one repository: a list's sections and entries, a project's facts and the lists that name it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import Any

from scaffold.discovery.hits import Hit
from scaffold.discovery.store import ListStore, StoredEntry, StoredMention


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """An entry of a list with what the index knows of its repository."""

    entry: StoredEntry
    cited_by: int
    grade: int | None

    def to_json(self) -> dict[str, Any]:
        """The `entry` document."""
        return {
            "title": self.entry.title,
            "url": self.entry.url,
            "description": self.entry.description,
            "section": list(self.entry.section),
            "repo": self.entry.repo,
            "flags": list(self.entry.flags),
            "cited_by": self.cited_by,
        }


@dataclass(frozen=True, slots=True)
class ListContents:
    """A list's sections with their number of entries, in its own order, and its entries, the best first."""

    sections: tuple[tuple[tuple[str, ...], int], ...]
    entries: tuple[KnownEntry, ...]


def contents(index: sqlite3.Connection, store: ListStore | None, hit: Hit, limit: int) -> ListContents:
    """What a list holds, as far as it was synced.

    Args:
        limit: how many entries at most; 0 means all.
    """
    entries = list(store.entries(_stored_name(index, store, hit.repo))) if store else []
    counts = Counter(entry.section for entry in entries)
    sections = tuple((section, counts[section]) for section in dict.fromkeys(entry.section for entry in entries))
    known = [_known(index, entry) for entry in entries]
    # The catalog's judgment, then how many lists agree, then the list's own order, which is often the best first.
    known.sort(key=lambda item: (-(item.grade or 0), -item.cited_by, "unmaintained" in item.entry.flags))
    return ListContents(sections, tuple(known[:limit] if limit else known))


def mentions(index: sqlite3.Connection, store: ListStore | None, hit: Hit) -> list[StoredMention]:
    """What the lists say of a repository, the list whose words help most first."""
    if store is None:
        return []
    old = [row["old"] for row in index.execute("SELECT old FROM aliases WHERE new = ? COLLATE NOCASE", (hit.repo,))]
    found = [item for item in store.mentions([hit.repo, *old]) if item.source.casefold() != hit.repo.casefold()]
    return sorted(found, key=lambda item: not item.description)


def readme(index: sqlite3.Connection, store: ListStore | None, repo: str) -> tuple[str, bytes] | None:
    """The name and content of a list's README, as it was synced."""
    files = store.files(_stored_name(index, store, repo)) if store else []
    return (files[0].path, files[0].content) if files else None


def _stored_name(index: sqlite3.Connection, store: ListStore, repo: str) -> str:
    """The name under which a list was synced, which may be an older one."""
    names = {name.casefold(): name for name in store.list_names()}
    old = index.execute("SELECT old FROM aliases WHERE new = ? COLLATE NOCASE", (repo,)).fetchall()
    tries = [repo, *(row["old"] for row in old)]
    return next((names[name.casefold()] for name in tries if name.casefold() in names), repo)


def _known(index: sqlite3.Connection, entry: StoredEntry) -> KnownEntry:
    row = None
    if entry.repo:
        row = index.execute(
            "SELECT cited_by, grade FROM documents WHERE repo = coalesce((SELECT new FROM aliases WHERE old = ?), ?)",
            (entry.repo, entry.repo),
        ).fetchone()
    return KnownEntry(entry, row["cited_by"] if row else 0, row["grade"] if row else None)
