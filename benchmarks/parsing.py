"""What the parser finds in real lists, beside a naive count of the repository links in the raw text.

    python benchmarks/parsing.py CORPUS [--missing OWNER/NAME]

CORPUS: `owner/name/README*`. The naive count takes every distinct `github.com/owner/name` outside images, comments and
fenced code; it counts badges, contributors and mentions in sentences too, so a difference is a question, not a fault.
What is no entry is sorted by where its links stand in the raw text, by rules of this file and not the parser's:

    badge        around a picture
    struck       between ~~ and ~~
    own affairs  below a heading about the list itself: contributing, licence, thanks
    opening      in running text above the second section, where a list speaks of itself and of others
    sentence     in the running text of a section
    pointer      a word such as `here` that says nothing of what it leads to
    mention      in an item or a row, after another link and further words
    words        in an item or a row that begins with four words or more before any link
    other        none of these

A repository whose links stand in several such places has the last of them in this order.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)|<img[^>]*>|<!--.*?-->|```.*?```", re.DOTALL)
_LINK = re.compile(r"https?://(?:www\.)?github\.com/[\w.-]+/[\w.-]+")
_ANY_LINK = re.compile(r"\]\(\s*\w+:|<a\s|https?://")
_CLASSES = "badge", "struck", "own affairs", "opening", "sentence", "pointer", "mention", "words", "other"
_OWN = re.compile(r"contribut|licen[cs]e|thank|acknowledg|credit|citation|citing|sponsor|maintain|기여|贡献", re.I)
_HEADING = re.compile(r"(?:#{1,6}\s+|<h[1-6][^>]*>)(.*)")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,4}[.)]|\|)\s|.*\|.*\|")
_POINTER = re.compile(r"\[[^\]]*\b(?:here|this|these)\b[^\]]*\]\($", re.I)
_WORD = re.compile(r"[^\W\d_]+")
_NEAR, _MANY, _LONG = 0.95, 0.05, 4


def naive(text: str, own: str) -> set[str]:
    """Distinct repositories linked from the raw text, in lower case."""
    from scaffold.discovery.links import repository_of

    found = (repository_of(url) for url in _LINK.findall(_IMAGE.sub(" ", text)))
    return {repo.lower() for repo in found if repo} - {own.lower()}


def places(text: str) -> dict[str, str]:
    """Where each repository's links stand: its class, the one that comes last of them."""
    from scaffold.discovery.links import repository_of

    found: dict[str, str] = {}
    heading, sections = "", 0
    # A picture leaves a sign behind: what is linked around it is a badge.
    for line in _IMAGE.sub("\0", text).split("\n"):
        if head := _HEADING.match(line.lstrip()):
            heading, sections = head[1], sections + 1
        for link in _LINK.finditer(line):
            repo = (repository_of(link[0]) or "").lower()
            place = _place(line, link, heading, sections)
            if _CLASSES.index(place) >= _CLASSES.index(found.get(repo, place)):
                found[repo] = place
    return found


def _place(line: str, link: re.Match[str], heading: str, sections: int) -> str:
    before = line[: link.start()]
    if re.search(r"\[[\0\s]*\0[\0\s]*\]\($", before) or line[link.end() :].partition(">")[2].lstrip().startswith("\0"):
        return "badge"
    if before.count("~~") % 2:
        return "struck"
    if _OWN.search(heading):
        return "own affairs"
    if _POINTER.search(before):
        return "pointer"
    name = before.rfind("[")  # where the words of this very link begin
    said = before[:name] if name >= 0 else before
    if not _ITEM.match(line):
        return "opening" if sections <= 2 else "sentence"
    if _ANY_LINK.search(said):
        return "mention"
    return "words" if len(_WORD.findall(said)) >= _LONG else "other"


def explained(missing: set[str], texts: list[str]) -> Counter[str]:
    """How many of the repositories that are no entries stand in which place."""
    where: dict[str, str] = {}
    for text in texts:
        for repo, place in places(text).items():
            if _CLASSES.index(place) >= _CLASSES.index(where.get(repo, place)):
                where[repo] = place
    return Counter(where.get(repo, "other") for repo in missing)


def said(classes: Counter[str]) -> str:
    """The classes in words, the largest first."""
    return ", ".join(f"{count} {name}" for name, count in classes.most_common())


def main() -> None:
    """Parse every list of the corpus and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--missing", help="print what of this list's naive count is no entry, and what is more")
    options = parser.parse_args()
    if not options.corpus.is_dir():
        sys.exit(f"{options.corpus} is not there: the corpus does not travel with the project")
    from scaffold.discovery.store import ListStore
    from scaffold.discovery.sync import sync_local

    with tempfile.TemporaryDirectory() as home, ListStore.open(Path(home) / "lists.sqlite3") as store:
        start = time.perf_counter()
        sync_local(store, options.corpus)
        seconds = time.perf_counter() - start
        print(f"{'list':<58}{'entries':>8}{'repos':>7}{'naive':>7}{'of naive':>10}{'more':>6}  what is no entry")
        total = [0, 0, 0, 0]
        classes: Counter[str] = Counter()
        for repo in sorted(store.list_names(), key=str.casefold):
            entries = list(store.entries(repo))
            found = {entry.repo.lower() for entry in entries if entry.repo}
            paths = (options.corpus / repo / path for path in store.file_names(repo))
            texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
            expected = set().union(*(naive(text, repo) for text in texts))
            why = explained(expected - found, texts)
            classes += why
            show(repo, len(entries), found, expected, why)
            if (options.missing or "").lower() == repo.lower():
                print("  not entries:", *sorted(expected - found))
                print("  more:", *sorted(found - expected))
            for number, value in enumerate((len(entries), len(found), len(expected), len(found & expected))):
                total[number] += value
        print(f"{'all':<58}{total[0]:8}{total[1]:7}{total[2]:7}{total[3] / total[2]:10.3f}  {said(classes)}")
        print(f"{seconds:.1f} s to read, parse and store")


def show(repo: str, entries: int, found: set[str], expected: set[str], why: Counter[str]) -> None:
    """Prints a list's line; with what is no entry where the difference is large."""
    both, more = len(found & expected), len(found - expected)
    share = f"{both / len(expected):10.3f}" if expected else f"{'-':>10}"
    large = bool(expected) and (both / len(expected) < _NEAR or more / len(expected) > _MANY)
    note = said(why) if large else ""
    print(f"{repo:<58}{entries:8}{len(found):7}{len(expected):7}{share}{more:6}  {note}".rstrip())


if __name__ == "__main__":
    main()
