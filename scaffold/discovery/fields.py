"""The fields of a document that ranking looks at closely, in one string that is taken apart in no time."""

from __future__ import annotations

from typing import NamedTuple

# Folded words hold no control characters.
_FIELD, _LINE, _PART = "\x1d", "\x1e", "\x1f"


_SPACES = {ord(sign): " " for sign in (_FIELD, _LINE, _PART)}


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
    told = _LINE.join(map(_PART.join, fields.told))
    sections = _LINE.join(map(_PART.join, fields.sections))
    return _FIELD.join((*fields[:5], told, sections))


def as_text(packed: str) -> str:
    """All words of all fields, with spaces between them."""
    return packed.translate(_SPACES)


def unpack(text: str) -> Fields:
    """The fields of one string."""
    name, owner, title, keywords, description, told, sections = text.split(_FIELD)
    return Fields(
        name,
        owner,
        title,
        keywords,
        description,
        [tuple(line.split(_PART)) for line in told.split(_LINE)] if told else [],  # type: ignore[misc]
        [tuple(line.split(_PART)) for line in sections.split(_LINE)] if sections else [],  # type: ignore[misc]
    )
