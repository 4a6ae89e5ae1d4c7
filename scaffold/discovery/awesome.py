"""Awesome lists: a README becomes a title, a description and entries with their sections."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scaffold.discovery.entries import Draft, Entry, drafts, is_generic
from scaffold.discovery.inline import Piece
from scaffold.discovery.links import own_file, repository_of
from scaffold.discovery.markdown import Block, blocks
from scaffold.discovery.plain import decoded, heading_words, rst_to_markdown, tidy, to_markdown

# Goes up when the same README would give other entries: what was synced is parsed anew then.
PARSER_VERSION = 1
_MAX_ENTRIES = 50_000
_MAX_FILES = 60
_FEW = 3
_DESCRIPTION = 500
# Sections in which a list speaks of itself.
_CONTENTS = re.compile(
    r"(?:table of )?contents?|toc|index|summary|overview|quick links|expand table of contents|목차|차례|目录|目次",
    re.IGNORECASE,
)
_OWN_AFFAIRS = re.compile(
    r"contribut\w*(?: guid\w*)?|how to contribute|license|licence"
    r"|acknowledge?ments?|star history|stargazers?(?: over time)?|sponsors?|backers?|supporters?|contributors?"
    r"|maintainers?|credits?|cit(?:ation|ing|e)s?"
    r"|bibtex|change ?log|disclaimer|donat\w*|support us|contact(?: us)?|code of conduct|legend|explanation"
    r"|thanks(?: to)?"
    r"|show your support|community guidelines|기여|기여하기|라이선스|贡献",
    re.IGNORECASE,
)
_MOVED = re.compile(
    r"\b(?:moved|migrated|relocated|new (?:home|location|repo\w*|address)|has a new|superseded)\b|이전되었|이동했", re.I
)


@dataclass(frozen=True, slots=True)
class ParsedList:
    """What a README holds.

    Attributes:
        files: further texts of this list to follow, as paths from the repository's root.
        moved_to: the repository to read instead, where this is nothing but a notice.
    """

    title: str | None
    description: str | None
    entries: tuple[Entry, ...]
    files: tuple[str, ...]
    moved_to: str | None


def parse_readme(content: bytes | str, *, repo: str, path: str = "README.md") -> ParsedList:
    """Read one file of an awesome list; at most 4 MB of it count.

    Args:
        repo: the list itself, `owner/name`; links to it are no entries.
        path: from the repository's root; relative links start there. `.rst` is read as reStructuredText.
    """
    text = decoded(content)
    text = rst_to_markdown(text) if path.lower().endswith(".rst") else to_markdown(text)
    reader = _ListReader(repo, path)
    for block in blocks(text):
        reader.read(block)
    return reader.parsed()


def merge(main: ParsedList, parts: Sequence[tuple[str, ParsedList]]) -> ParsedList:
    """The list with the entries of the files that it links to; their sections begin with the file's own title."""
    entries = list(main.entries)
    for path, part in parts:
        name = part.title or heading_words(posixpath.basename(path).rpartition(".")[0].replace("-", " "))
        for entry in part.entries:
            section = entry.section if name in entry.section[:1] else (name, *entry.section)
            entries.append(replace(entry, section=tuple(filter(None, section))))
    return replace(main, entries=tuple(_once(entries)))


class _ListReader:
    def __init__(self, repo: str, path: str) -> None:
        self._repo = repo
        self._path = path
        self._headings: list[tuple[int, str]] = []
        self._title: str | None = None
        self._description: str | None = None
        self._entries: list[Entry] = []
        self._prose: list[tuple[Block, tuple[str, ...]]] = []
        self._texts: list[str] = []
        self._files: dict[str, None] = {}
        self._linked: dict[str, str] = {}
        self._owner: Entry | None = None  # the heading or summary that is an entry, for the links below it
        self._kept: dict[int, bool] = {}

    def read(self, block: Block) -> None:
        """Take in the next block."""
        if len(self._entries) >= _MAX_ENTRIES:
            return
        for cell in block.cells:
            self._note_links(cell)
        if block.kind == "heading":
            self._heading(block)
        elif block.kind == "paragraph":
            self._paragraph(block)
        else:
            self._item(block)

    def parsed(self) -> ParsedList:
        """What was read."""
        entries = _once(self._entries)
        if len(entries) < _FEW:  # a list whose entries are sentences
            for block, section in self._prose:
                entries += [draft.entry(section) for draft in drafts(block.cells, self._repo)]
            entries = _once(entries)
        return ParsedList(
            self._title, self._description, tuple(entries), tuple(self._files)[:_MAX_FILES], self._moved(entries)
        )

    # -- blocks -------------------------------------------------------------------------------------------------------

    def _heading(self, block: Block) -> None:
        pieces = block.cells[0]
        words = heading_words("".join(piece.text for piece in pieces))
        self._owner = None
        if block.level == 1 and self._title is None and words:
            self._title = words
            self._headings = []
            return
        if self._title is None and words and not self._entries:
            self._title = words
        while self._headings and self._headings[-1][0] >= block.level:
            self._headings.pop()
        if not self._in_own_affairs():
            found = drafts(block.cells, self._repo)
            if found and not is_generic(found[0].title):
                self._add(found[:1])
                self._owner = self._entries[-1] if self._entries else None
        if words:
            self._headings.append((block.level, words))

    def _paragraph(self, block: Block) -> None:
        text = tidy("".join(piece.text for piece in block.cells[0]))
        if len(text) > 1:
            self._texts.append(text)
        if self._in_own_affairs():
            return
        lines = _lines(block.cells[0])
        found = [draft for line in lines for draft in drafts([line], self._repo, prose=True)]
        if self._headings and found:
            before = len(self._entries)
            self._add(found)
            if len(self._entries) > before:
                self._owner = self._entries[-1]
            return
        self._prose.append((block, self._section()))
        if self._description is None and len(text) >= 20 and not self._headings[1:]:
            self._description = text[:_DESCRIPTION]

    def _item(self, block: Block) -> None:
        if self._in_own_affairs():
            return
        found = drafts(block.cells, self._repo)
        # A repository's own link below its heading, and links that only say `paper` or `docs`, are no entries.
        kept = [draft for draft in found if draft.repo or not is_generic(draft.title)]
        if self._owner and found and is_generic(found[0].title) and self._complete(found[0]):
            kept = []
        self._kept[id(block)] = bool(found)
        self._add(kept, _groups(block, self._kept))

    def _complete(self, draft: Draft) -> bool:
        """Gives a heading's entry the repository that is linked below it."""
        owner = self._owner
        if owner and owner.repo is None and draft.repo:
            position = len(self._entries) - 1 - self._entries[::-1].index(owner)
            self._owner = self._entries[position] = replace(owner, repo=draft.repo)
            return True
        return False

    # -- parts --------------------------------------------------------------------------------------------------------

    def _add(self, found: Iterable[Draft], groups: tuple[str, ...] = ()) -> None:
        section = (*self._section(), *groups)
        self._entries.extend(draft.entry(section) for draft in found)

    def _section(self) -> tuple[str, ...]:
        return tuple(words for _, words in self._headings if not _CONTENTS.fullmatch(words))

    def _in_own_affairs(self) -> bool:
        # What stands under a heading such as Contents is often the whole list, by an odd choice of levels.
        inmost = len(self._headings) - 1
        return any(
            _OWN_AFFAIRS.fullmatch(words)
            for number, (level, words) in enumerate(self._headings)
            if level > 1 or number == inmost
        )

    def _note_links(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            if piece.url is None:
                continue
            repo = repository_of(piece.url)
            if repo and repo.casefold() != self._repo.casefold():
                self._linked.setdefault(repo.casefold(), repo)
            path = own_file(piece.url, self._repo, self._path)
            if path and len(self._files) < _MAX_FILES:
                self._files.setdefault(path)

    def _moved(self, entries: Sequence[Entry]) -> str | None:
        text = " ".join((self._title or "", *self._texts))
        if len(entries) <= _FEW and len(self._linked) == 1 and _MOVED.search(text[:2000]):
            return next(iter(self._linked.values()))
        return None


def _groups(block: Block, entries: dict[int, bool]) -> tuple[str, ...]:
    """The texts of the items that hold this one, where they are mere headings: short and without a link."""
    groups: list[str] = []
    parent = block.parent
    while parent is not None:
        words = heading_words("".join(piece.text for piece in parent.cells[0]))
        if words and len(words) <= 80 and not entries.get(id(parent)):
            groups.insert(0, words)
        parent = parent.parent
    return tuple(groups)


def _lines(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """A paragraph line by line: many lists write an entry a line."""
    lines: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece.url is None and "\n" in piece.text:
            first, *rest = piece.text.split("\n")
            lines[-1].append(Piece(first, None, piece.struck))
            lines.extend([Piece(part, None, piece.struck)] for part in rest)
        else:
            lines[-1].append(piece)
    return lines


def _once(entries: Iterable[Entry]) -> list[Entry]:
    """Each repository, or address where there is none, once: the first, with the first description worth reading."""
    kept: dict[str, Entry] = {}
    for entry in entries:
        key = entry.repo.casefold() if entry.repo else entry.url.rstrip("/")
        known = kept.setdefault(key, entry)
        if len(known.description or "") < 10 <= len(entry.description or ""):
            kept[key] = replace(known, description=entry.description)
    return list(kept.values())
