"""A README's parts: its sections with their commands, sentences and tables, whatever markup it is written in."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from scaffold.references.howto.files import Folder, plain

_MAX_TEXT = 300_000
_MAX_LINE = 2000
# The depth of what a folded part is called: below all headings.
_FOLDED = 7
_NAMES = ("README.md", "README.rst", "README", "README.txt", "README.markdown", "README_en.md", "README.org")
_RST_LINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}\s*$")
_RST_CODE = re.compile(r"\.\. (?:code-block|code|sourcecode|highlight)::\s*(\S*)\s*$")


@dataclass(slots=True)
class Block:
    """Code in a README, below its headings (the outermost first)."""

    headings: tuple[str, ...]
    language: str
    lines: list[str]


@dataclass(slots=True)
class Readme:
    """A README taken apart.

    Attributes:
        path: the file.
        blocks: its code.
        sentences: its text, each with the headings above it.
        tables: its tables as rows of cells, each with the headings above it.
    """

    path: str
    blocks: list[Block] = field(default_factory=list)
    sentences: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    tables: list[tuple[tuple[str, ...], list[list[str]]]] = field(default_factory=list)


def read_readme(folder: Folder) -> Readme | None:
    """The repository's README, the English one first; `None` where it has none that can be read."""
    path = folder.find(*_NAMES) or next((name for name in folder.files() if name.lower().startswith("readme")), None)
    if path is None or path.lower().endswith((".pdf", ".html")):
        return None
    text = folder.text(path)
    return None if text is None else parse_readme(text, path)


def parse_readme(text: str, path: str) -> Readme:
    """Take a README's text apart; what stands behind the first 300,000 characters is not looked at."""
    text = "\n".join(line[:_MAX_LINE] for line in text[:_MAX_TEXT].split("\n"))
    if path.lower().endswith(".rst"):
        text = _from_rst(text)
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": 20}).enable("table").disable(["inline", "reference"])
    readme = Readme(path)
    headings: list[tuple[int, str]] = []
    table: list[list[str]] | None = None
    level = 0
    for token in parser.parse(text):
        above = tuple(title for _, title in headings)
        if token.type == "heading_open":
            level = int(token.tag[1])
        elif token.type == "table_open":
            table = []
        elif token.type == "tr_open" and table is not None:
            table.append([])
        elif token.type == "table_close" and table is not None:
            readme.tables.append((above, table))
            table = None
        elif token.type in ("fence", "code_block"):
            language = (token.info.split() or [""])[0].strip("{}.").lower()
            readme.blocks.append(Block(above, language, token.content.split("\n")))
        elif token.type == "html_block":
            if "</details>" in token.content:
                headings = [item for item in headings if item[0] < _FOLDED]
            if found := _html_heading(token.content):
                headings = [*(item for item in headings if item[0] < found[0]), found]
        elif token.type == "inline" and table:
            table[-1].append(_words(token.content))
        elif token.type == "inline" and level:
            headings = [*(item for item in headings if item[0] < level), (level, _words(token.content))]
            level = 0
        elif token.type == "inline":
            readme.sentences += [(above, sentence) for sentence in _sentences(token.content)]
    return readme


def _html_heading(text: str) -> tuple[int, str] | None:
    match = re.match(r"\s*<h([1-6])\b[^>]{0,200}>([^\n]{1,300})", text, re.IGNORECASE)
    if match:
        return int(match[1]), _words(match[2])
    match = re.search(r"<summary\b[^>]{0,200}>\s*([^\n]{1,300})", text, re.IGNORECASE)
    return (_FOLDED, _words(match[1])) if match else None


def _words(text: str) -> str:
    """Inline Markdown without its marks, links as what they are called."""
    text = text[: 2 * _MAX_LINE]
    text = re.sub(r"<[^<>]{0,300}>", " ", text)
    text = re.sub(r"!?\[([^\[\]]{0,300})\]\([^()]{0,500}\)", r"\1", text)
    return plain(html.unescape(re.sub(r"[*`]+", "", text)), _MAX_LINE)


def _sentences(text: str) -> Iterator[str]:
    # A line that just ends goes on in the next one; two spaces, a backslash or <br> end it.
    for line in re.sub(r"(?<! {2})(?<!\\)\n", " ", re.sub(r"<br ?/?>", "  \n", text)).split("\n"):
        for part in re.split(r"(?<=[.!?。])\s+|(?<=。)", line[: 4 * _MAX_LINE]):
            words = _words(part)
            if words:
                yield words


def _from_rst(text: str) -> str:
    """reStructuredText as Markdown, as far as headings and code go."""
    lines = text.split("\n")
    result: list[str] = []
    order: list[str] = []
    in_code = False
    for number, line in enumerate(lines):
        after = lines[number + 1] if number + 1 < len(lines) else ""
        if in_code and line.strip() and not line.startswith((" ", "\t")):
            result += ["```", ""]
            in_code = False
        if in_code:
            result.append(line.strip() if not line.strip().startswith(":") else "")
        elif match := _RST_CODE.match(line):
            result.append(f"```{match[1]}")
            in_code = True
        elif line.strip() and (under := _RST_LINE.match(after)) and not _RST_LINE.match(line):
            if under[1] not in order:
                order.append(under[1])
            result.append(f"{'#' * min(order.index(under[1]) + 1, 6)} {line.strip()}")
        elif line.rstrip().endswith("::") and not line.startswith(".."):
            result += [line.rstrip()[:-1], "", "```"]
            in_code = True
        elif not _RST_LINE.match(line):
            result.append(line.replace("``", "`"))
    return "\n".join([*result, "```"] if in_code else result)
