"""Awesome lists: a README becomes a title, a description and entries with their sections."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scaffold.discovery.entries import Draft, Entry, drafts
from scaffold.discovery.inline import Piece
from scaffold.discovery.lines import chunks
from scaffold.discovery.links import own_file, repository_of
from scaffold.discovery.markdown import Block, blocks
from scaffold.discovery.plain import decoded, heading_words, rst_to_markdown, tidy, to_markdown
from scaffold.discovery.titles import DESCRIPTION, describe, is_generic, is_part

# Goes up when the same README would give other entries: what was synced is parsed anew then.
PARSER_VERSION = 3
_MAX_ENTRIES = 50_000
_MAX_FILES = 60
_FEW, _MANY = 3, 25
_NO_HEADING = 7
_ENOUGH = 20  # letters that say something
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
        # The entry that is a heading or a paragraph, for what stands below it, and the level of the heading.
        self._owner: int | None = None
        self._owner_level = _NO_HEADING
        self._further: Counter[tuple[str, str | None]] = Counter()  # title and repository of what follows in an item
        self._items: dict[int, int | None] = {}  # an item's entry, if it has one; one without a link is a group

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
        entries = _once(entry for entry in self._entries if self._further[entry.title, entry.repo] < _MANY)
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
        if block.level <= self._owner_level:
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
                self._own(found[:1], block.level)
        if words:
            self._headings.append((block.level, words))

    def _paragraph(self, block: Block) -> None:
        text = tidy("".join(piece.text for piece in block.cells[0]))
        if len(text) > 1:
            self._texts.append(text)
        if self._in_own_affairs():
            return
        found = [draft for chunk in chunks(block.cells[0]) for draft in drafts([chunk], self._repo, prose=True)]
        if self._headings:
            found += self._of_heading(block, found)
        if self._headings and found:
            for draft in found:
                draft.title = self._headings[-1][1] if draft.pointed else draft.title
            self._own(found, _NO_HEADING)
            return
        self._prose.append((block, self._section()))
        self._describe(self._owner, block)
        if self._description is None and len(text) >= _ENOUGH and not self._headings[1:]:
            self._description = text[:DESCRIPTION]

    def _of_heading(self, block: Block, found: Sequence[Draft]) -> list[Draft]:
        """The repository in a sentence whose link says what the heading says, where it is no entry yet."""
        heading = self._headings[-1][1].casefold()
        known = {self._repo.casefold(), *(draft.repo.casefold() for draft in found if draft.repo)}
        for piece in block.cells[0]:
            repo = repository_of(piece.url or "")
            if repo and repo.casefold() not in known and tidy(piece.text).casefold() == heading:
                words = "".join(part.text for part in block.cells[0])
                return [Draft(tidy(piece.text), piece.url or "", repo, [words], piece.struck)]
        return []

    def _item(self, block: Block) -> None:
        if self._in_own_affairs():
            return
        found = drafts(block.cells, self._repo)
        # Links that only say `paper` or `docs` are no entries, nor is what stands in a part of an entry.
        kept = [draft for draft in found if draft.repo or not (is_generic(draft.title) or self._in_part())]
        if self._completes(found):
            kept = []
        # What follows in item after item under one name, such as `Meta`, is how the list is made and not what it lists.
        self._further.update((draft.title, draft.repo) for draft in kept[1:] if draft.named)
        groups = _groups(block, self._items)
        if found:
            self._items[id(block)] = len(self._entries) if kept else -1
        elif block.parent and not self._in_part():
            self._describe(self._items.get(id(block.parent)), block)
        self._add(kept, groups)

    def _own(self, found: Sequence[Draft], level: int) -> None:
        """Adds the entries of a heading or a paragraph: what is linked below may belong to the last of them."""
        self._add(found)
        self._owner, self._owner_level = len(self._entries) - 1, level

    def _in_part(self) -> bool:
        """Whether this stands in a part of a heading's entry, such as `Links`."""
        levels = [level for level, _ in self._headings[-2:]]
        within = self._owner is not None and len(levels) > 1 and levels[0] == self._owner_level > 1
        return within and is_part(self._headings[-1][1])

    def _completes(self, found: Sequence[Draft]) -> bool:
        """Whether an item is only the repository of the entry above, which then gets it."""
        if self._owner is None or not found or found[0].named:
            return False
        owner, repo = self._entries[self._owner], found[0].repo
        if owner.repo is None and repo:
            self._entries[self._owner] = replace(owner, repo=repo)
        return bool(repo) and self._entries[self._owner].repo == repo

    def _describe(self, number: int | None, block: Block) -> None:
        """Gives an entry without a description the words below it."""
        if number is None or number < 0:
            return
        entry = self._entries[number]
        if len(entry.description or "") < _ENOUGH and len(block.cells) == 1:
            words = describe("".join(piece.text for piece in block.cells[0])) or ""
            if len(words) >= _ENOUGH:
                self._entries[number] = replace(entry, description=words)

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


def _groups(block: Block, entries: dict[int, int | None]) -> tuple[str, ...]:
    """The texts of the items that hold this one, where they are mere headings: short and without a link."""
    groups: list[str] = []
    parent = block.parent
    while parent is not None:
        words = heading_words("".join(piece.text for piece in parent.cells[0]))
        if words and len(words) <= 80 and entries.get(id(parent)) is None:
            groups.insert(0, words)
        parent = parent.parent
    return tuple(groups)


def _once(entries: Iterable[Entry]) -> list[Entry]:
    """Each repository, or address where there is none, once: the first, with the first description worth reading."""
    kept: dict[str, Entry] = {}
    for entry in entries:
        key = entry.repo.casefold() if entry.repo else entry.url.rstrip("/")
        known = kept.setdefault(key, entry)
        if len(known.description or "") < 10 <= len(entry.description or ""):
            kept[key] = replace(known, description=entry.description)
    return list(kept.values())
