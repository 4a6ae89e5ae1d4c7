"""What the parser finds in real lists, beside a naive count of the repository links in the raw text.

    python benchmarks/parsing.py CORPUS [--missing OWNER/NAME]

CORPUS: `owner/name/README*`. The naive count takes every distinct `github.com/owner/name` outside images, comments and
fenced code; it counts badges, contributors and mentions in sentences too, so a difference is a question, not a fault.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)|<img[^>]*>|<!--.*?-->|```.*?```", re.DOTALL)
_LINK = re.compile(r"https?://(?:www\.)?github\.com/[\w.-]+/[\w.-]+")


def naive(text: str, own: str) -> set[str]:
    """Distinct repositories linked from the raw text, in lower case."""
    from scaffold.discovery.links import repository_of

    found = (repository_of(url) for url in _LINK.findall(_IMAGE.sub(" ", text)))
    return {repo.lower() for repo in found if repo} - {own.lower()}


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
        print(f"{'list':<58}{'entries':>8}{'repos':>7}{'naive':>7}{'of naive':>10}{'more':>6}")
        total = [0, 0, 0, 0]
        for repo in sorted(store.list_names(), key=str.casefold):
            folder = options.corpus / repo
            entries = list(store.entries(repo))
            found = {entry.repo.lower() for entry in entries if entry.repo}
            texts = [path.read_text(encoding="utf-8", errors="replace") for path in store_files(store, repo, folder)]
            expected = set().union(*(naive(text, repo) for text in texts))
            both = len(found & expected)
            share = f"{both / len(expected):10.3f}" if expected else f"{'-':>10}"
            print(f"{repo:<58}{len(entries):8}{len(found):7}{len(expected):7}{share}{len(found - expected):6}")
            for number, value in enumerate((len(entries), len(found), len(expected), both)):
                total[number] += value
            if options.missing and options.missing.lower() == repo.lower():
                print("  not entries:", *sorted(expected - found))
                print("  more:", *sorted(found - expected))
        print(f"{'all':<58}{total[0]:8}{total[1]:7}{total[2]:7}{total[3] / total[2]:10.3f}")
        print(f"{seconds:.1f} s to read, parse and store")


def store_files(store: object, repo: str, folder: Path) -> list[Path]:
    """The files of a list that were read."""
    return [folder / path for path in store.file_names(repo)]  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
