"""Words of an entry: what of a line is the name, what is said of it, and what only says what kind of link it is."""

from __future__ import annotations

import re

from scaffold.discovery.plain import SHORTCODE, tidy

TITLE, DESCRIPTION = 200, 500
# Words that say what a link is, and nothing of what it leads to; the sites and languages among them still say something
# in a description.
_KINDS = frozenset(
    (
        "the a an our my its in by on for and with to official officially unofficial original author authors see"
        " view click try read more here this that paper papers pdf ps arxiv abs abstract openreview doi cvf code codes"
        " source src git hub repo repository implementation implementations impl reimplementation link links web"
        " website websites site page pages webpage homepage home url project projects demo demos live online doc docs"
        " documentation readme guide tutorial tutorials blog blogpost post article news announcement video videos"
        " slides slide poster talk supp supplementary supplemental material materials appendix bibtex bib cite"
        " citation notebook notebooks space spaces model models weights checkpoint checkpoints pretrained data"
        " dataset datasets benchmark leaderboard download downloads tweet book course review star stars fork forks"
        " issue issues license version latest release releases summary note notes ref reference references pub"
        " publication journal conference html zip txt csv s"
        " 논문 코드 링크 데이터 데이터셋 다운로드 论文 代码 链接 项目 主页"
    ).split()
)
_SITES = frozenset(
    (
        "ieee ieeexplore xplore acm aaai biorxiv springer github gitlab youtube colab kaggle jupyter hf hugging face"
        " huggingface api pypi conda npm docker maven twitter discord slack linkedin medium reddit wiki wikipedia"
        " gh 깃허브"
    ).split()
)
_LANGUAGES = frozenset(
    (
        "python pytorch torch tensorflow tf keras caffe caffe2 theano matlab lua jax mxnet chainer paddle paddlepaddle"
        " java julia c++ c"
    ).split()
)
_GENERIC = _KINDS | _SITES | _LANGUAGES
_NUMBERED = frozenset("link paper arxiv code demo video site page slides ref part".split())  # link1, paper2
# Badges that stand for a link of the entry itself; others say how well it is built, or how it is liked.
_BADGES = frozenset(
    (
        "paper papers pdf arxiv abs page pages project website web site homepage home demo demos code codes github"
        " gitlab repo repository video data dataset model models open in hugging face huggingface 논문 코드 论文 代码"
    ).split()
)
# Parts of an entry that is a heading: the links below them are its own.
_PARTS = frozenset(
    (
        "link links description descriptions category categories feature features author authors team founder"
        " founders website homepage resource resources review reviews paper papers code demo demos screenshot"
        " screenshots installation usage license"
    ).split()
)
_WORD = re.compile(r"[^\W_]+(?:\+\+)?")
_DATE = re.compile(
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec|january|february|march|april|june|july|august"
    r"|september|october|november|december|\d+(?:st|nd|rd|th)?|v\d+)$",
    re.IGNORECASE,
)
# Bold, or quoted: a title set apart by its writer. One line, and not longer than a title is.
_BOLD = re.compile(r"(?<!\w)(\*\*|__)(?=[^\s*_])(?P<title>[^\v]{2,300}?)(?<=\S)\1(?!\w)")
_SLANTED = re.compile(r"(?<!\w)([*_])(?=[^\s*_])(?P<title>[^\v*_]{6,300})(?<=\S)\1(?!\w)")
_QUOTED = re.compile(r"[\"“«](?P<title>[^\"“”«»\v]{2,300})[\"”»]")
_BREAK = re.compile(r"\v|¦|\s\|+\s")
_EMPTY_BRACKETS = re.compile(r"[(\[【（][\s,;|/·]*[)\]】）]")
OPENING = " \t\n\v-–—:|¦•·,;.→>\\"
CLOSING = " \t\n\v-–—:|¦•·,;→\\"
# What a link leaves behind: `( , x)`, `a , b`, `a. . b`.
_FIRST_HOLE = re.compile(r"([(\[【（]) ?[,;·|¦](?: ?[,;·|¦])* ?")
_LAST_HOLE = re.compile(r"[ ,;·|¦]{1,9}(?=[)\]】）])")
_HOLES = re.compile(r" (?=[,;.](?: |$))")
_DOUBLED = re.compile(r"(?<!\.)([,;.])\1(?=[ ,;]|$)")
_CELLS = re.compile(r"(?: ?¦[ ,;]*(?:\. ?$)?)+")
_STOP = frozenset("and or for by in on with via see also the a an e.g to of from using based".split())
_PAIRS = {")": "(", "]": "[", "】": "【", "）": "（"}
_SHORT_LEAD, _LONG = 25, 20
_BOTH, _SAYS = 60, 4  # letters of a title that may hold a description, words that describe


def is_generic(text: str) -> bool:
    """Whether the words of a link say only what kind of link it is."""
    return all(map(_says_nothing, _WORD.findall(text[:TITLE].casefold())))


def _says_nothing(word: str) -> bool:
    return word in _GENERIC or word.strip("v").isdigit() or word.rstrip("0123456789") in _NUMBERED


def is_own_badge(alt: str) -> bool:
    """Whether a picture's text names a link of the entry itself, such as its paper or its code."""
    words = _WORD.findall(alt[:TITLE].casefold())
    return bool(words) and all(word in _BADGES for word in words)


def is_part(heading: str) -> bool:
    """Whether a heading is a part of an entry, such as its links, rather than a section of the list."""
    words = _WORD.findall(heading.casefold())
    return bool(words) and all(word in _PARTS for word in words)


def is_fragment(text: str) -> bool:
    """Whether words say nothing alone: a date, `Paper`, `see also`."""
    words = _WORD.findall(text[:TITLE].casefold())
    return all(word in _KINDS or word in _STOP or _DATE.match(word) for word in words)


def split_title(lead: str) -> tuple[str, str]:
    """The title in the words before a link such as `code`, and the words that are none of it.

    What is bold or in quotes at the start is the title, else the first cell, else the first line, else all of it.
    """
    lead = _EMPTY_BRACKETS.sub("", SHORTCODE.sub("", lead)).strip(OPENING)
    found = _set_apart(lead)
    if found:
        return _cut(_bare(found["title"])), f"{lead[: found.start()]} {lead[found.end() :]}"
    parts = [part for part in _BREAK.split(lead) if part.strip(OPENING)]
    number = next((at for at, part in enumerate(parts) if not is_fragment(part)), None)
    if number is None or len(parts) == 1:
        return _cut(_bare(lead)), ""
    return _cut(_bare(parts[number])), " ¦ ".join(parts[:number] + parts[number + 1 :])


def _set_apart(lead: str) -> re.Match[str] | None:
    for kind in (_BOLD, _QUOTED, _SLANTED):
        found = kind.search(lead)
        if found is None or _is_label(found, lead):
            continue
        if is_fragment(lead[: found.start()]) and found.start() <= _SHORT_LEAD:
            return found
        apart = lead[: found.start()].rstrip().endswith((".", ",", ":", ")"))
        once = not kind.search(lead, found.end())
        if kind is not _SLANTED and apart and once and len(found["title"]) >= _LONG:
            return found  # authors, **title**, venue
    return None


def _is_label(found: re.Match[str], lead: str) -> bool:
    """Whether what is set apart is a date, or a word such as `Paper:`, rather than a name."""
    words = _WORD.findall(found["title"].casefold())
    if all(word in _STOP or _DATE.match(word) for word in words):
        return True
    return is_fragment(found["title"]) and (found["title"].endswith(":") or lead[found.end() :].startswith(":"))


def split_said(title: str) -> tuple[str, str | None]:
    """A link's words that hold the description as well, `Name - what it is for`, as the two that they are."""
    name, dash, said = title.partition(" - ") if " - " in title else title.partition(" — ")
    if not dash or len(title) < _BOTH or is_generic(name) or len(said.split()) < _SAYS:
        return title, None
    return name.rstrip(OPENING), describe(said)


def link_title(text: str) -> str:
    """A link's own words as a title."""
    text = _paired(tidy(text))
    return text[1:-1].strip() if re.fullmatch(r"[\"“'«].*[\"”'»]", text) else text


def _bare(text: str) -> str:
    """Words without the signs around them, and without one half of a pair."""
    return _paired(tidy(text).strip(OPENING + "\"“”'")).strip(OPENING + "\"“”'")


def _paired(text: str) -> str:
    """Words without one half of a pair at an end, and without a pair around all of them."""
    for closing, opening in _PAIRS.items():
        if text.endswith(closing) and opening not in text:
            text = text[:-1]
        if text.startswith(opening) and closing not in text:
            text = text[1:]
        if text.endswith(opening):
            text = text[:-1].rstrip()
        if text.startswith(opening) and text.endswith(closing) and text.count(opening) == 1:
            text = text[1:-1]
    return text


def _cut(text: str) -> str:
    return text if len(text) <= TITLE else text[:TITLE].rpartition(" ")[0] or text[:TITLE]


def address_title(url: str) -> str:
    """What an address is called for want of a better name: itself, without what every address has."""
    return re.sub(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co/(?:datasets/|spaces/)?)?", "", url).rstrip("/")[:TITLE]


def describe(said: str) -> str | None:
    """A description from what was said beside a title: one line of words, or none if it says nothing."""
    text = tidy(_EMPTY_BRACKETS.sub("", said[: 4 * DESCRIPTION].replace("\v", "¦"))).lstrip(OPENING)
    for closing, opening in _PAIRS.items():
        if closing in text:
            text = _without_half(text, opening, closing)
    text = _HOLES.sub("", tidy(_EMPTY_BRACKETS.sub("", _LAST_HOLE.sub("", _FIRST_HOLE.sub(r"\1", text)))))
    text = _DOUBLED.sub(r"\1", text).strip(CLOSING).lstrip(OPENING)
    text = _CELLS.sub(" · ", text)[:DESCRIPTION].rstrip(CLOSING + "([【（")
    if is_fragment(text) and not text.isdigit():
        return None
    return text


def _without_half(text: str, opening: str, closing: str) -> str:
    """The text without the closing brackets that nothing has opened."""
    depth = 0
    kept: list[str] = []
    for char in text:
        if char == opening:
            depth += 1
        elif char == closing and depth == 0:
            if not kept or not kept[-1].isalnum():  # not `1)`
                continue
        elif char == closing:
            depth -= 1
        kept.append(char)
    return "".join(kept)
