"""Entries: what of a README's blocks a reader would call an entry, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from scaffold.discovery.inline import Piece
from scaffold.discovery.links import is_web, repository_of
from scaffold.discovery.plain import tidy

# Words that say what a link is, and nothing of what it leads to.
_GENERIC = frozenset(
    (
        "the a an our my its in by on for and with to official officially unofficial original author authors see"
        " view click try read more here this that paper papers pdf ps arxiv abs abstract openreview ieee ieeexplore"
        " xplore acm doi aaai cvf biorxiv springer code codes source src github gitlab git hub repo repository"
        " implementation implementations impl reimplementation link links web website websites site page pages"
        " webpage homepage home url project projects demo demos live online doc docs documentation readme guide"
        " tutorial tutorials blog blogpost post article news announcement video videos youtube slides slide poster"
        " talk supp supplementary supplemental material materials appendix bibtex bib cite citation colab notebook"
        " notebooks jupyter kaggle hf hugging face huggingface space spaces model models weights checkpoint"
        " checkpoints pretrained data dataset datasets benchmark leaderboard download downloads api pypi conda npm"
        " docker maven twitter tweet discord slack linkedin medium reddit wiki wikipedia book course review python"
        " pytorch torch tensorflow tf keras caffe caffe2 theano matlab lua jax mxnet chainer paddle paddlepaddle"
        " java julia c++ c star stars fork forks issue issues license version latest release releases summary note"
        " notes ref reference references pub publication journal conference html zip txt csv s 논문 코드 링크 깃허브"
        " 데이터 데이터셋 다운로드 论文 代码 链接 项目 主页"
    ).split()
)
_CODE = re.compile(
    r"code|github|git|repo|implementation|impl|source|torch|tensorflow|\btf\b|keras|official|코드|代码", re.I
)
# Between two entries of one item stands nothing but this.
_SEPARATOR = re.compile(r"[\s,;/|¦&+·•、，；:()\[\]\-–—.]*(?:and|or|및|그리고|和)?[\s,;/|¦&+·•、，；:()\[\]\-–—.]*")
_LEADING = re.compile(r"^[\s\-–—:|¦•·,;.→]+|[\s\-–—:|¦•·,;→]+$")
_CELLS = re.compile(r"(?: ?¦)+ ?")
_EMPTY_BRACKETS = re.compile(r"[(\[【（][\s,;|/·]*[)\]】）]")
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
_WORD = re.compile(r"[^\W_]+(?:\+\+)?")
_TITLE, _DESCRIPTION, _URL = 200, 500, 2000
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
    """An entry while its item is read."""

    title: str
    url: str
    repo: str | None
    said: list[str] = field(default_factory=list)
    struck: bool = False

    def entry(self, section: tuple[str, ...]) -> Entry:
        """The entry, with its words tidied."""
        text = _EMPTY_BRACKETS.sub("", tidy("".join(self.said)))
        description = _LEADING.sub("", " ".join(text.split()))[:_DESCRIPTION]
        description = _CELLS.sub(" · ", description)
        said = f"{description} {self.title} {' '.join(section)}"
        flags = [
            *(["struck"] if self.struck else []),
            *(
                ["archived"]
                if _ARCHIVED.search(description) or "archived" in " ".join(section).casefold().split()
                else []
            ),
            *(["unmaintained"] if _GONE.search(said) else []),
        ]
        return Entry(self.title[:_TITLE], self.url, description or None, section, self.repo, tuple(flags))


def is_generic(text: str) -> bool:
    """Whether the words of a link say only what kind of link it is."""
    words = _WORD.findall(text[:_TITLE].casefold())
    return all(word in _GENERIC or word.strip("v").isdigit() for word in words)


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
        for piece in cell:
            if piece.url is None:
                reader.text(piece.text)
            else:
                reader.link(piece)
    if prose and not reader.is_entry():
        return []
    return reader.found


class _Reader:
    def __init__(self, own: str, *, several_cells: bool) -> None:
        self._own = own.casefold()
        self._cells = several_cells
        self._lead: list[str] = []
        self._since = ""  # the text since the last link
        self._begins_with_link = False
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

    def link(self, piece: Piece) -> None:
        url = (piece.url or "").strip()
        if url.startswith("www."):
            url = f"https://{url}"
        if not is_web(url) or len(url) > _URL:
            if piece.text and not url.startswith("#"):
                self.text(piece.text)
            return
        repo = repository_of(url)
        if repo and repo.casefold() == self._own:
            self.text(piece.text)
            return
        title = tidy(piece.text)
        generic = is_generic(title) or title.startswith(("http://", "https://", "www."))
        if not self.found:
            self._first(piece, url, repo, title, generic)
        else:
            self._further(piece, url, repo, title, generic)
        self._since = ""

    def _first(self, piece: Piece, url: str, repo: str | None, title: str, generic: bool) -> None:
        lead = _LEADING.sub("", tidy("".join(self._lead)))
        if not piece.text and not lead:
            self._badge = repo or self._badge  # it may tell where the code of what follows lies; alone it is nothing
            return
        if not piece.text and not repo:
            return
        few = len(_WORD.findall(lead)) <= _LEAD_WORDS
        self._begins_with_link = generic or (few and not lead.endswith((".", "!", "?")))
        name = title
        if generic:
            name = _title_of(lead) or (repo or "").rpartition("/")[2] or title or url
        draft = Draft(name[:_TITLE], url, repo or self._badge, struck=piece.struck)
        if not generic and len(lead) > 3 and lead != name:
            draft.said.append(f"{lead} ")
        self.found.append(draft)

    def _further(self, piece: Piece, url: str, repo: str | None, title: str, generic: bool) -> None:
        main = self.found[0]
        last = self.found[-1]
        if repo is None:
            side_by_side = bool(_SEPARATOR.fullmatch(self._since)) and not generic and bool(title)
            if side_by_side and not self._cells and main.repo is None and last.repo is None and not main.said[1:]:
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
            return
        if main.repo is None and (generic or _CODE.search(title)):
            main.repo = repo
            return
        between = self._since.strip()
        apart = bool(_SEPARATOR.fullmatch(between)) or "\n" in self._since or "¦" in self._since
        if generic or not piece.text:
            self.found.append(Draft(repo.rpartition("/")[2], url, repo, [main.title], piece.struck))
        elif apart or main.repo is None:
            self.found.append(Draft(title, url, repo, struck=piece.struck))
        else:
            self.text(piece.text)


def _title_of(lead: str) -> str:
    """The title in the words before a link such as `code`: the first sentence, where it is long."""
    lead = _EMPTY_BRACKETS.sub("", lead).strip(" \t\n.,;:-–—|¦\"“”'[]()")
    if len(lead) <= _TITLE:
        return lead
    return lead[:_TITLE].rpartition(" ")[0]
