"""The fields of a document that ranking looks at closely, in one string that is taken apart in no time."""

from __future__ import annotations

from typing import Any, NamedTuple

# Folded words hold no control characters. The signs stand between spaces, so that in the whole string and in every
# piece of it each word has a space before and after it.
_FIELD, _LINE, _PART = "\x1d", "\x1e", "\x1f"


class Fields(NamedTuple):
    """Folded words of one document, field by field.

    Attributes:
        told: for each list that names it: the list, the mention's weight, heading, words, and the list's subject.
        sections: of a list its own headings with their number of entries.
    """

    name: str
    owner: str
    title: str
    keywords: str
    description: str
    told: list[tuple[str, str, str, str, str]]
    sections: list[tuple[str, str]]


def pack(fields: Fields) -> str:
    """The fields as one string."""
    told = f" {_LINE} ".join(map(f" {_PART} ".join, fields.told))
    sections = f" {_LINE} ".join(map(f" {_PART} ".join, fields.sections))
    return f" {f' {_FIELD} '.join((*fields[:5], told, sections))} "


def split(packed: str) -> tuple[str, str, str, str, str, list[str], list[str]]:
    """The fields of one string, `told` and `sections` as packed lines; a space before and after each."""
    name, owner, title, keywords, description, told, sections = packed.split(_FIELD)
    return name, owner, title, keywords, description, _lines(told), _lines(sections)


def parts(line: str) -> list[str]:
    """The parts of one line of `told` or `sections`, with a space before and after each."""
    return line.split(_PART)


def unpack(packed: str) -> Fields:
    """The fields of one string as they were packed."""
    name, owner, title, keywords, description, told, sections = split(packed)
    mentions: list[Any] = [tuple(part[1:-1] for part in parts(line)) for line in told]
    headings: list[Any] = [tuple(part[1:-1] for part in parts(line)) for line in sections]
    return Fields(name[1:-1], owner[1:-1], title[1:-1], keywords[1:-1], description[1:-1], mentions, headings)


def _lines(field: str) -> list[str]:
    return field.split(_LINE) if field.strip() else []
