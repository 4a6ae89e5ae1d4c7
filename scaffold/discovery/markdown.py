"""The outside of a README: headings, list items, table rows and paragraphs, each with its pieces of text and links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

from scaffold.discovery.inline import Piece, scan

_NESTING = 60


@dataclass(slots=True)
class Block:
    """One heading, item, row or paragraph.

    Attributes:
        level: of a heading 1 to 6; of an item how deep it is nested, from 1.
        cells: the pieces, one cell for everything but rows.
        parent: the item that holds this one.
    """

    kind: Literal["heading", "item", "row", "paragraph"]
    level: int
    cells: list[list[Piece]] = field(default_factory=list)
    parent: Block | None = None


def blocks(text: str) -> Iterator[Block]:
    """The blocks of plain Markdown (no HTML, no fences) in their order; a parent comes before its children."""
    # Indented code is left out of the rules: in lists it is nearly always an entry that slid to the right.
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _NESTING}).enable("table")
    parser.disable(["code", "fence", "inline", "html_block"])
    environment: dict[str, dict[str, dict[str, str]]] = {}
    tokens = parser.parse(text, environment)
    references = {label.casefold(): target["href"] for label, target in environment.get("references", {}).items()}
    return _walk(tokens, references)


def _walk(tokens: list[Token], references: dict[str, str]) -> Iterator[Block]:
    items: list[Block] = []
    row: Block | None = None
    in_head = False
    heading = 0
    waiting: list[Block] = []  # items whose own text may still go on; a child or the end lets them go
    for token in tokens:
        kind = token.type
        if kind == "list_item_open":
            yield from waiting
            waiting = []
            item = Block("item", len(items) + 1, [[]], items[-1] if items else None)
            items.append(item)
            waiting = [item]
        elif kind == "list_item_close":
            items.pop()
            yield from waiting
            waiting = []
        elif kind == "heading_open":
            heading = int(token.tag[1])
        elif kind == "heading_close":
            heading = 0
        elif kind in ("thead_open", "thead_close"):
            in_head = kind == "thead_open"
        elif kind == "tr_open":
            row = Block("row", 1)
        elif kind == "tr_close" and row is not None:
            if not in_head:
                yield row
            row = None
        elif kind == "inline":
            pieces = scan(token.content, references)
            if row is not None:
                row.cells.append(pieces)
            elif heading:
                yield from waiting
                waiting = []
                yield Block("heading", heading, [pieces])
            elif items:
                if items[-1].cells[0]:
                    items[-1].cells[0].append(Piece("\n"))
                items[-1].cells[0].extend(pieces)
            else:
                yield Block("paragraph", 0, [pieces])
    yield from waiting
