"""Paragraphs: many lists write an entry a line, others an entry in several lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from scaffold.discovery.inline import Piece
from scaffold.discovery.titles import is_generic

_SET_APART = re.compile(r"\s*(?:\*\*|__|[\"“«])\S")
_WORD = re.compile(r"[^\W_]+")
_FEW_WORDS = 2


def chunks(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """The lines of a paragraph, those that make one entry together.

    An entry starts where a link with a name of its own starts a line, or where words in bold or in quotes do; a line
    that only goes on with `[paper] [code]` belongs to what stands before it.
    """
    held: list[Piece] = []
    linked = False
    for line in _lines(pieces):
        link = next((number for number, piece in enumerate(line) if piece.url is not None), None)
        before = "".join(piece.text for piece in line[:link])
        if held and _begins(line, link, before, linked=linked, waits=_waits(held)):
            yield held
            held, linked = [], False
        if held:
            held.append(Piece("\n"))
        held.extend(line)
        linked = linked or link is not None
    if held:
        yield held


def _begins(line: Sequence[Piece], link: int | None, before: str, *, linked: bool, waits: bool) -> bool:
    """Whether a line is the first of another entry.

    Args:
        linked: whether what is held has a link already.
        waits: whether what is held is a title whose links are still to come.
    """
    if linked and _SET_APART.match(before):
        return True
    if link is None:
        return False
    few = len(_WORD.findall(before)) <= _FEW_WORDS
    piece = line[link]
    if few:
        return bool(piece.text) and not is_generic(piece.text)
    return linked or not waits


def _waits(held: Sequence[Piece]) -> bool:
    text = "".join(piece.text for piece in held)
    return bool(_SET_APART.match(text)) or text.endswith("\v")


def _lines(pieces: Sequence[Piece]) -> list[list[Piece]]:
    lines: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece.url is None and "\n" in piece.text:
            first, *rest = piece.text.split("\n")
            lines[-1].append(Piece(first, None, piece.struck))
            lines.extend([Piece(part, None, piece.struck)] for part in rest)
        else:
            lines[-1].append(piece)
    return lines
