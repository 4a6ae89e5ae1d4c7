"""How good the first screen is: nDCG@10 of `scaffold search` against graded judgments, beside two floors.

    python benchmarks/relevance.py JUDGMENTS CORPUS [--twins FILE] [--each]

JUDGMENTS: a JSON document a line: query, kind (en, abbr, ko, typo), lists and projects (repository → grade 1 to 3) and
outside_shared_corpus (repositories the corpus does not reach: neither right nor wrong). CORPUS: `owner/name/README*`.
A file `repo-aliases.jsonl` beside the judgments names what was renamed. `judgments.jsonl` beside this file is one such
set over the same corpus; the weights were tuned on another. The floors: plain BM25 over the entries, the best entry
counting for its repository and the sum for its list; and several single signals, each alone.

Gain is the grade itself (`exp` columns: 2^grade - 1); what nobody judged counts nothing, and `judged` is the share of
the first ten that somebody judged. The halves are the odd and the even queries: tune on one, look at the other.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sqlite3
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

KINDS = ("lists", "projects")
Ranker = Callable[[str, str], list[str]]


@dataclass(frozen=True)
class Judged:
    """One query with its grades by kind; repositories in lower case and under their new names."""

    query: str
    kind: str
    grades: dict[str, dict[str, int]]
    outside: frozenset[str]


def read_judgments(path: Path) -> tuple[list[Judged], dict[str, str]]:
    """The judgments, and old name → new name."""
    aliases = {}
    beside = path.with_name("repo-aliases.jsonl")
    if beside.is_file():
        for line in beside.read_text(encoding="utf-8").splitlines():
            alias = json.loads(line)
            if "NOT a rename" not in alias.get("basis", ""):
                aliases[alias["old"].lower()] = alias["new"].lower()
    judged = []
    for line in filter(None, path.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        grades: dict[str, dict[str, int]] = {}
        for kind in KINDS:
            grades[kind] = {}
            for repo, grade in row[kind].items():
                name = aliases.get(repo.lower(), repo.lower())
                grades[kind][name] = max(grade, grades[kind].get(name, 0))
        outside = frozenset(aliases.get(repo.lower(), repo.lower()) for repo in row.get("outside_shared_corpus", ()))
        judged.append(Judged(row["query"], row["kind"], grades, outside))
    return judged, aliases


def ndcg(ranked: Iterable[str], grades: dict[str, int], gain: Callable[[int], float], depth: int = 10) -> float:
    """nDCG at `depth` (Jarvelin and Kekalainen 2002): gains discounted by log2(rank + 1), over the ideal order's."""
    got = sum(gain(grades.get(repo, 0)) / math.log2(rank + 2) for rank, repo in enumerate(list(ranked)[:depth]))
    best = sum(
        gain(grade) / math.log2(rank + 2) for rank, grade in enumerate(sorted(grades.values(), reverse=True)[:depth])
    )
    return got / best if best else math.nan


def build(corpus: Path, home: str) -> sqlite3.Connection:
    """An index of the catalog and the corpus in a folder of its own."""
    os.environ["SCAFFOLD_HOME"] = home
    from scaffold import paths
    from scaffold.discovery.index import open_index
    from scaffold.discovery.store import ListStore
    from scaffold.discovery.sync import sync_local

    with ListStore.open(paths.lists_path()) as store:
        sync_local(store, corpus)
    return open_index()


def scaffold_ranker(index: sqlite3.Connection) -> Ranker:
    """`scaffold search --kind KIND`, in process."""
    from scaffold.discovery.search import Filters, search

    def rank(query: str, kind: str) -> list[str]:
        hits = search(index, query, Filters(kind=kind.removesuffix("s")), limit=20).hits
        return [hit.repo for hit in hits]

    return rank


class Floors:
    """Rankings that anyone would try first, over the same entries."""

    def __init__(self, store_path: Path) -> None:
        self._db = sqlite3.connect(":memory:")
        source = sqlite3.connect(f"{store_path.absolute().as_uri()}?mode=ro", uri=True)
        self._lists = dict(source.execute("SELECT id, repo FROM lists"))
        self._rows = source.execute(
            "SELECT list, repo, title, coalesce(description, ''), section FROM entries"
        ).fetchall()
        source.close()
        self._db.execute("CREATE VIRTUAL TABLE bm25 USING fts5 (title, description, section)")
        self._db.executemany(
            "INSERT INTO bm25 (rowid, title, description, section) VALUES (?, ?, ?, ?)",
            [(number, *row[2:]) for number, row in enumerate(self._rows)],
        )

    def _matching(self, query: str) -> list[tuple[int, float]]:
        words = [word for word in "".join(c if c.isalnum() else " " for c in query).split() if word]
        match = " OR ".join(f'"{word}"' for word in words)
        return self._db.execute("SELECT rowid, -bm25(bm25) FROM bm25 WHERE bm25 MATCH ?", (match,)).fetchall()

    def bm25(self, query: str, kind: str) -> list[str]:
        """The best entry counts for a repository, the sum of its entries for a list."""
        score: dict[str, float] = defaultdict(float)
        for number, value in self._matching(query):
            listed, repo = self._rows[number][:2]
            if kind == "lists":
                score[self._lists[listed]] += value
            elif repo:
                score[repo.lower()] = max(score[repo.lower()], value)
        return sorted(score, key=lambda repo: -score[repo])

    def lists_naming(self, query: str, kind: str) -> list[str]:
        """How many lists name a repository in a matching entry; for a list, how many such entries it has."""
        found: dict[str, set[int]] = defaultdict(set)
        for number, _ in self._matching(query):
            listed, repo = self._rows[number][:2]
            if kind == "lists":
                found[self._lists[listed]].add(number)
            elif repo:
                found[repo.lower()].add(listed)
        return sorted(found, key=lambda repo: (-len(found[repo]), repo))

    def name(self, query: str, kind: str) -> list[str]:
        """How many of the query's words stand in the repository's name."""
        words = query.lower().split()
        repos = set(self._lists.values()) if kind == "lists" else {row[1] for row in self._rows if row[1]}
        score = {repo: sum(word in repo.lower() for word in words) for repo in repos}
        return sorted((repo for repo in score if score[repo]), key=lambda repo: (-score[repo], len(repo), repo))


def evaluate(
    judged: list[Judged], ranker: Ranker, aliases: dict[str, str], gain: Callable[[int], float]
) -> dict[str, list[tuple[float, float]]]:
    """For each kind, (nDCG@10, share of the first ten that was judged) of each query."""
    figures: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for item in judged:
        for kind in KINDS:
            names = [aliases.get(repo.lower(), repo.lower()) for repo in ranker(item.query, kind)]
            ranked = [repo for repo in dict.fromkeys(names) if repo not in item.outside][:10]
            share = sum(repo in item.grades[kind] for repo in ranked) / max(len(ranked), 1)
            figures[kind].append((ndcg(ranked, item.grades[kind], gain), share))
    return figures


def mean(values: Iterable[float]) -> float:
    """The mean, without the queries that have no judged repository of a kind."""
    kept = [value for value in values if not math.isnan(value)]
    return statistics.fmean(kept) if kept else math.nan


def report(judged: list[Judged], rankers: dict[str, Ranker], aliases: dict[str, str]) -> None:
    """One row for each ranking: all queries, each kind of query, the two halves."""
    kinds = list(dict.fromkeys(item.kind for item in judged))
    columns = ["all", "exp", *kinds, "odd", "even", "judged"]
    print(f"{len(judged)} queries: " + ", ".join(f"{sum(i.kind == k for i in judged)} {k}" for k in kinds))
    for kind in KINDS:
        print(f"\nnDCG@10, {kind:<9}" + " " * 14 + "".join(f"{column:>8}" for column in columns))
        for name, ranker in rankers.items():
            linear = evaluate(judged, ranker, aliases, float)[kind]
            exponential = evaluate(judged, ranker, aliases, lambda grade: 2.0**grade - 1)[kind]
            row = [mean(value for value, _ in linear), mean(value for value, _ in exponential)]
            row += [mean(f[0] for f, i in zip(linear, judged, strict=True) if i.kind == k) for k in kinds]
            row += [mean(f[0] for f in linear[start::2]) for start in (0, 1)]
            row.append(mean(share for _, share in linear))
            print(f"  {name:<30}" + "".join(f"{value:8.3f}" for value in row))


def report_each(judged: list[Judged], ranker: Ranker, aliases: dict[str, str]) -> None:
    """Every query with its first ten: the grade of each, `-` where nobody judged it."""
    for item in judged:
        for kind in KINDS:
            names = [aliases.get(repo.lower(), repo.lower()) for repo in ranker(item.query, kind)]
            ranked = [repo for repo in dict.fromkeys(names) if repo not in item.outside][:10]
            grades = item.grades[kind]
            print(f"\n{item.query} [{kind}] {ndcg(ranked, grades, float):.3f}")
            print("  " + ", ".join(f"{repo}:{grades.get(repo, '-')}" for repo in ranked))
            missed = sorted((repo for repo in grades if repo not in ranked), key=lambda repo: -grades[repo])
            print("  missed: " + ", ".join(f"{repo}:{grades[repo]}" for repo in missed[:8]))


def report_twins(judged: list[Judged], twins: Path, ranker: Ranker, aliases: dict[str, str]) -> None:
    """Queries said otherwise (Korean, abbreviated, misspelt) beside the originals."""
    by_query = {item.query: item for item in judged}
    rows = [json.loads(line) for line in filter(None, twins.read_text(encoding="utf-8").splitlines())]
    pairs = [(row, by_query[row["query"]]) for row in rows if row["query"] in by_query]
    if not pairs:
        return
    print(
        f"\n{len(pairs)} twins of {len({row['query'] for row, _ in pairs})} queries"
        + " " * 8
        + "original    twin  difference"
    )
    for twin_kind in ("ko", "abbr", "typo", "all"):
        chosen = [(row, item) for row, item in pairs if twin_kind in (row["kind"], "all")]
        if not chosen:
            continue
        originals = [item for _, item in chosen]
        said = [Judged(row["twin"], row["kind"], item.grades, item.outside) for row, item in chosen]
        for kind in KINDS:
            before = mean(value for value, _ in evaluate(originals, ranker, aliases, float)[kind])
            after = mean(value for value, _ in evaluate(said, ranker, aliases, float)[kind])
            print(f"  {twin_kind:<5} {kind:<9} {len(chosen):3} {'':12}{before:8.3f}{after:8.3f}{after - before:+12.3f}")


def main() -> None:
    """Build the index, rank, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("judgments", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--twins", type=Path, default=Path(__file__).with_name("relevance_twins.jsonl"))
    parser.add_argument("--each", action="store_true", help="print the first ten of every query")
    parser.add_argument("--home", type=Path, help="keep the index in this folder")
    options = parser.parse_args()
    for path in (options.judgments, options.corpus):
        if not path.exists():
            sys.exit(f"{path} is not there: the judgments and the corpus do not travel with the project")
    judged, aliases = read_judgments(options.judgments)
    with tempfile.TemporaryDirectory() as temporary:
        home = str(options.home or temporary)
        ranker = scaffold_ranker(build(options.corpus, home))
        floors = Floors(Path(home) / "lists.sqlite3")
        rankers = {
            "scaffold search": ranker,
            "floor: plain BM25": floors.bm25,
            "signal: lists naming it": floors.lists_naming,
            "signal: words in the name": floors.name,
        }
        report(judged, rankers, aliases)
        if options.twins.is_file():
            report_twins(judged, options.twins, ranker, aliases)
        if options.each:
            report_each(judged, ranker, aliases)


if __name__ == "__main__":
    main()
