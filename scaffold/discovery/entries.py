"""Entries: what of a README's blocks a reader would call an entry, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from scaffold.discovery.inline import Piece
from scaffold.discovery.links import is_web, repository_of
from scaffold.discovery.plain import tidy
from scaffold.discovery.titles import (
    CLOSING,
    OPENING,
    TITLE,
    address_title,
    describe,
    is_fragment,
    is_generic,
    is_own_badge,
    link_title,
    split_said,
    split_title,
)

_CODE = re.compile(
    r"code|github|git|repo|implementation|impl|source|torch|tensorflow|\btf\b|keras|official|코드|代码", re.I
)
# Sentences that offer what they point at: "The data can be downloaded here".
_OFFERS = re.compile(r"data|corp(?:us|ora)|download|available|accessed|데이터|말뭉치|数据|コーパス", re.I)
# Between two entries of one item stands nothing but this.
_SEPARATOR = re.compile(r"[\s,;/|¦&+·•、，；:()\[\]\-–—.]*(?:and|or|및|그리고|和)?[\s,;/|¦&+·•、，；:()\[\]\-–—.]*")
_GONE = re.compile(
    r"\b(?:deprecated|unmaintained|not\s+(?:actively\s+)?maintained|no\s+longer\s+(?:actively\s+)?(?:maintained|developed|supported|updated)"
    r"|discontinued|abandoned|inactive project)\b|[☠💀⚰]",
    re.IGNORECASE,
)
_ARCHIVED = re.compile(
    r"(?:^|[-–—.;,(*_]\s*)archived(?:[).;,*_]|$)|\barchived (?:repo|project)"
    r"|\b(?:repo|repository|project) (?:is |was )?archived",
    re.IGNORECASE,
)
_ANCHOR = re.compile(r"\b(?:back|top|contents|toc|up|return)\b|^[\W\d]*$", re.I)  # a way back, or a note's number
_WORD = re.compile(r"[^\W_]+(?:\+\+)?")
_URL, _SEPARATES = 2000, 40
_LEAD_WORDS = 2  # before the link that begins a paragraph: a number, a date, an emoji's name


@dataclass(frozen=True, slots=True)
class Entry:
    """One link of an awesome list.

    Attributes:
        title: plain text, never empty.
        section: headings from the outside in, without the list's own title.
        repo: owner/name where it points to a repository.
        flags: struck, archived, unmaintained where the list says so.
    """

    title: str
    url: str
    description: str | None
    section: tuple[str, ...]
    repo: str | None
    flags: tuple[str, ...] = ()


@dataclass(slots=True)
class Draft:
    """An entry while its item is read.

    Attributes:
        pointed: whether it is a word such as `here` in a sentence, which names it nowhere.
        lead: the words before the link, where the link has a name of its own.
        named: whether its title is more than `code`, or a repository's name for want of words.
    """

    title: str
    url: str
    repo: str | None
    said: list[str] = field(default_factory=list)
    struck: bool = False
    named: bool = True
    pointed: bool = False
    lead: str = ""

    def entry(self, section: tuple[str, ...]) -> Entry:
        """The entry, with its words tidied."""
        description = describe(self._sentence("".join(self.said)))
        if description is None and self.named:
            self.title, description = split_said(self.title)
        said = f"{description or ''} {self.title} {' '.join(section)}"
        flags = [
            *(["struck"] if self.struck else []),
            *(
                ["archived"]
                if _ARCHIVED.search(description or "") or "archived" in " ".join(section).casefold().split()
                else []
            ),
            *(["unmaintained"] if _GONE.search(said) else []),
        ]
        return Entry(self.title[:TITLE], self.url, description, section, self.repo, tuple(flags))

    def _sentence(self, after: str) -> str:
        """What is said around the link; with the title where it stands in the middle of a sentence."""
        lead = self.lead.lstrip(OPENING).rstrip(CLOSING)
        if not lead:
            return after
        few = len(_WORD.findall(lead)) <= _LEAD_WORDS
        ends = lead != self.lead.strip() or is_fragment(lead)  # in a separator
        if after.lstrip()[:1].islower() or not (few or ends):
            return f"{self.lead}{self.title}{after}"
        return after if is_fragment(lead) else f"{lead} ¦ {after}"


def _only_separates(text: str) -> bool:
    text = " ".join(text.split())
    return len(text) <= _SEPARATES and bool(_SEPARATOR.fullmatch(text))


def _points(title: str) -> bool:
    """Whether a link's words only point at something that the sentence speaks of."""
    return not {"here", "this", "these"}.isdisjoint(title.casefold().split())


def _same_name(one: str, other: str) -> bool:
    one, other = ("".join(_WORD.findall(name.casefold())) for name in (one, other))
    return min(len(one), len(other)) > _LEAD_WORDS and (one.startswith(other) or other.startswith(one))


def _is_list_badge(piece: Piece, repo: str | None) -> bool:
    """Whether it is the badge that awesome lists wear."""
    return not piece.text and bool(repo) and (repo or "").casefold() == "sindresorhus/awesome"


def drafts(cells: Sequence[Sequence[Piece]], own: str, *, prose: bool = False) -> list[Draft]:
    """The entries of one item, row, heading or paragraph.

    The first link that leads out is the entry. A repository behind a word such as `code` belongs to it; further
    repositories are entries of their own where they are set side by side, and not where a sentence mentions them.

    Args:
        own: the list's repository; links to it are none.
        prose: whether it is a paragraph, an entry only if it begins with a link or ends in links such as `code`.
    """
    reader = _Reader(own, several_cells=len(cells) > 1)
    for number, cell in enumerate(cells):
        if number:
            reader.text(" ¦ ")
        for at, piece in enumerate(cell):
            if piece.url is None:
                reader.text(piece.text)
            else:
                reader.link(piece, cell[at + 1].text if at + 1 < len(cell) else "")
    if prose and not reader.is_entry():
        return []
    return reader.found


class _Reader:
    def __init__(self, own: str, *, several_cells: bool) -> None:
        self._own = own.casefold()
        self._cells = several_cells
        self._lead: list[str] = []
        self._since = ""  # the text since the last link
        self._begins_with_link = self._closed = False
        self._badge: str | None = None  # the repository behind a badge that stands before everything else
        self.found: list[Draft] = []

    def text(self, text: str) -> None:
        self._since += text
        if self.found:
            self.found[-1 if self._cells else 0].said.append(text)
        else:
            self._lead.append(text)

    def is_entry(self) -> bool:
        return bool(self.found) and self._begins_with_link

    def link(self, piece: Piece, after: str) -> None:
        """Takes in a link; `after` is the text, or the link's, that follows in the same cell."""
        url = (piece.url or "").strip()
        if url.startswith("www."):
            url = f"https://{url}"
        if not is_web(url) or len(url) > _URL:
            # An item that a file server leads is no entry: what follows is about an address nobody can be sent to.
            self._closed = self._closed or (not self.found and url.startswith("ftp:"))
            if piece.text and not (url.startswith("#") and _ANCHOR.search(piece.text)):
                self.text(piece.text)
            return
        repo = repository_of(url)
        if repo and repo.casefold() == self._own:
            self.text(piece.text)
            return
        if _is_list_badge(piece, repo):
            return
        title = link_title(piece.text)
        generic = is_generic(title) or title.startswith(("http://", "https://", "www."))
        if self._closed:
            self.text(piece.text)
        elif not self.found:
            self._first(piece, url, repo, title, generic)
        else:
            _, cell, said = self._since.rpartition("¦")
            heads = bool(cell) and not said.strip() and not after.lstrip()[:1].isalnum()
            self._further(piece, url, repo, title, generic, heads=heads)
        self._since = ""

    def _first(self, piece: Piece, url: str, repo: str | None, title: str, generic: bool) -> None:
        raw = "".join(self._lead)
        lead = tidy(raw).lstrip(OPENING).rstrip(CLOSING)
        if not piece.text and not lead:
            self._badge = repo or self._badge  # it may tell where the code of what follows lies; alone it is nothing
            return
        if not piece.text and not repo and not is_own_badge(piece.alt):
            return
        few = len(_WORD.findall(lead)) <= _LEAD_WORDS
        pointed = generic and _points(title) and not few
        head = bool(_OFFERS.search(lead)) if pointed else generic
        self._begins_with_link = head or (few and not lead.endswith((".", "!", "?")))
        name, rest, named = title, "", True
        if generic:
            name, rest = split_title(raw)
            named = not is_generic(name)
            name = name or (repo or "").rpartition("/")[2] or (title if title[:4] != "http" else address_title(url))
        draft = Draft(name[:TITLE], url, repo or self._badge, struck=piece.struck, named=named, pointed=pointed)
        if pointed:
            draft.said.append(f"{raw}{piece.text}")
        elif generic:
            draft.said.append(f"{rest} ")
        else:
            draft.lead = raw
        self.found.append(draft)

    def _further(
        self, piece: Piece, url: str, repo: str | None, title: str, generic: bool, *, heads: bool = False
    ) -> None:
        main = self.found[0]
        last = self.found[-1]
        if repo is None:
            side_by_side = _only_separates(self._since) and not generic and bool(title)
            alone = not self._cells and main.repo is None and last.repo is None
            if side_by_side and alone and not main.lead.strip() and not main.said[1:]:
                self.found.append(Draft(title, url, None, struck=piece.struck))
            elif not generic:
                self.text(piece.text)
            return
        known = next((draft for draft in self.found if draft.repo and draft.repo.casefold() == repo.casefold()), None)
        if known:
            if not generic:
                self.text(piece.text)
            return
        if last.repo is None and (generic or _CODE.search(title) or not piece.text):
            last.repo = repo
            if _points(title):
                self.text(piece.text)
            return
        if main.repo is None and (generic or _CODE.search(title)):
            main.repo = repo
            return
        between = self._since.strip()
        apart = heads or "\n" in self._since or ("¦" not in between and _only_separates(between))
        if _points(title) or not (piece.text or is_own_badge(piece.alt)):
            return
        if generic or not piece.text:
            self.found.append(Draft(repo.rpartition("/")[2], url, repo, [main.title], piece.struck, named=False))
        elif apart:
            self.found.append(Draft(title, url, repo, struck=piece.struck))
        elif main.repo is None and (_same_name(main.title, title) or _same_name(main.title, repo.partition("/")[2])):
            main.repo = repo
            self.text(piece.text)
        else:
            self.text(piece.text)
