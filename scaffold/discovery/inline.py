"""The inside of a paragraph: text and links in their order, in one pass, lenient where people slip."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_LENGTH = 20_000
_BACKSLASH = "\\"
_TOKEN = re.compile(r"\\([!-/:-@\[-`{-~])|!\[|\[|\]|<(https?://[^\s<>]+)>|~~|`+|https?://[^\s<>\[\]\"`（）【】]+")
_SPACED = r"(?:[ \t]*\n?[ \t]*)"
# (url), (<url>), (url "title"), with brackets in the address one level deep.
_DESTINATION = re.compile(
    rf"\({_SPACED}(?:<([^<>\n]{{0,2000}})>|([^\s()<>]{{0,2000}}(?:\([^\s()]{{0,500}}\)[^\s()<>]{{0,500}}){{0,4}}))"
    rf"{_SPACED}(?:\"[^\"\n]{{0,500}}\"|'[^'\n]{{0,500}}'|\([^()\n]{{0,500}}\))?{_SPACED}\)"
)
# A link in place of the address, closed or not: what is clicked on is the inner one.
_NESTED = re.compile(r"\(\[\s?(https?://[^\s()<>\[\]]{1,2000})(?:\]\((https?://[^\s()<>]{1,2000})\))?\)?")
# A bracket that nobody closed: the address ends with the line or the next blank.
_UNCLOSED = re.compile(r"\([ \t]*(https?://[^\s()<>\[\]]{1,2000})")
_REFERENCE = re.compile(r"[ ]?\[([^\[\]\n]{0,200})\]")


@dataclass(slots=True)
class Piece:
    """A run of text, or a link.

    Attributes:
        text: what is read; of a link that holds only images, empty.
        url: of a link.
        struck: whether it is struck through.
        alt: what the pictures in a link are called.
    """

    text: str
    url: str | None = None
    struck: bool = False
    alt: str = ""


def scan(content: str, references: Mapping[str, str]) -> list[Piece]:
    """The pieces of a paragraph's source. Images are left out; what is longer than `MAX_LENGTH` is cut.

    A line that its writer broke ends in a vertical tab and a newline.

    Args:
        references: folded label → address, for `[text][label]`.
    """
    return _Scanner(_with_breaks(content[:MAX_LENGTH]), references).pieces()


def _with_breaks(content: str) -> str:
    if "\\\n" not in content and "  \n" not in content:
        return content
    return "\n".join(map(_with_break, content.split("\n")))


def _with_break(line: str) -> str:
    broken = line.endswith(("  ", _BACKSLASH))
    return f"{line.rstrip(' ').removesuffix(_BACKSLASH)}\v" if broken else line


class _Scanner:
    def __init__(self, text: str, references: Mapping[str, str]) -> None:
        self._text = text
        self._references = references
        self._pieces: list[Piece] = []
        self._open: list[tuple[int, bool]] = []  # number of the piece after each open bracket, and whether an image's
        self._struck = False

    def pieces(self) -> list[Piece]:
        text, position = self._text, 0
        while found := _TOKEN.search(text, position):
            self._add(text[position : found.start()])
            position = self._token(found)
        self._add(text[position:])
        return [piece for piece in self._pieces if piece.text or piece.url]

    def _add(self, text: str, url: str | None = None) -> None:
        if text or url:
            self._pieces.append(Piece(text, url, self._struck))

    def _token(self, found: re.Match[str]) -> int:
        token, end = found[0], found.end()
        if found[1]:
            self._add(found[1])
        elif token in ("[", "!["):
            self._open.append((len(self._pieces), token == "!["))
        elif token == "]":
            return self._close(end)
        elif token == "~~":
            self._struck = not self._struck
        elif token[0] == "`":
            closing = self._text.find(token, end)
            if closing >= 0:
                self._add(self._text[end:closing])
                return closing + len(token)
        elif found[2]:
            self._add(found[2], found[2])
        else:
            url = _trimmed(token)
            self._add(url, url)
            return found.start() + len(url)
        return end

    def _close(self, end: int) -> int:
        """A closing bracket: a link, an image, or just brackets."""
        if not self._open:
            return end
        start, image = self._open.pop()
        inside = self._pieces[start:]
        words = "".join(piece.text for piece in inside)
        url, after = self._destination(words, end)
        if url is None:
            return end  # brackets around text: the text stays, the brackets are no loss
        if image:
            self._pieces[start:] = [Piece("", None, alt=words[:40])]
        elif any(piece.url and piece.text for piece in inside) and len(self._open) == 0 and not words.strip():
            return after
        else:
            struck = self._struck or any(piece.struck for piece in inside)
            alt = " ".join(piece.alt for piece in inside if piece.alt)[:80]
            self._pieces[start:] = [Piece(words.strip(), url, struck, alt)]
        return after

    def _destination(self, words: str, end: int) -> tuple[str | None, int]:
        text = self._text
        # People write `] (url)`, full-width brackets and forget the last one.
        for gap in (0, 1):
            if gap and text[end : end + 1] != " ":
                break
            if found := _NESTED.match(text, end + gap):
                return _trimmed(found[2] or found[1]), found.end()
            if found := _DESTINATION.match(text, end + gap):
                url = found[1] if found[1] is not None else found[2]
                if gap and not url.startswith(("http", "www.")):
                    break
                return url, found.end()
            if found := _UNCLOSED.match(text, end + gap):
                return _trimmed(found[1]), found.end()
        if (found := _REFERENCE.match(text, end)) and self._reference(found[1] or words):
            return self._reference(found[1] or words), found.end()
        return self._reference(words), end

    def _reference(self, label: str) -> str | None:
        return self._references.get(" ".join(label.split()).casefold())


def _trimmed(url: str) -> str:
    """An address in running text without the signs that end the sentence."""
    url = url.rstrip(".,;:!?'\"*_~")
    while url.endswith(")") and url.count(")") > url.count("("):
        url = url[:-1].rstrip(".,;:!?'\"*_~")
    return url
