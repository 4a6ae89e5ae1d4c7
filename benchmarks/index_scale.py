"""The index at 45 thousand, 430 thousand and a million entries: size, time to build, time of a query.

    python benchmarks/index_scale.py [ENTRIES ...]

The entries are made up: words drawn by a Zipf law from a vocabulary of 60,000 with the field's own words among the
usual ones, a third of the repositories named by several lists, lists of 100 to 3,000 entries. Queries: tasks in English
and Korean, abbreviations, words, two words, slips. Each query runs three times; the median counts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

# ruff: noqa: E501
QUERIES = [
    "nlp", "강화학습", "음성 인식", "reinforcment learning", "tensorfow", "vector database", "face recognition", "graph",
    "time series forecasting", "learning", "model", "deep learning framework", "speaker diarization", "rag", "asr whisper",
    "image segmentation pytorch", "knowledge distillation", "객체 탐지", "추천 시스템", "transfomer", "diffusion models",
    "medical imaging dataset", "python data tools", "multimodal llm", "robot", "chatbot", "quantizaton", "jax",
]  # fmt: skip
_WORDS = (
    "learning model data deep network neural python library image text language graph training vision pytorch tensorflow"
    " detection recognition speech dataset fast framework toolkit segmentation generation transformer agent retrieval time"
    " series video audio recommendation robot medical attention diffusion vector search embedding classification open tool"
).split()


def fill_store(path: Path, entries: int) -> None:
    """A store with so many entries, written as `ListStore` lays it out."""
    from scaffold.discovery.store import ListStore

    ListStore.open(path).close()
    chance = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = _WORDS + ["".join(chance.choices(letters, k=chance.randint(4, 11))) for _ in range(60_000)]
    weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(vocabulary))))
    repositories = max(1, int(entries * 0.7))

    def words(count: int) -> str:
        return " ".join(chance.choices(vocabulary, cum_weights=weights, k=count))

    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        number = written = 0
        while written < entries:
            number += 1
            size = min(entries - written, int(100 * 30 ** chance.random()))
            title = f"Awesome {words(2)}"
            connection.execute(
                "INSERT INTO lists VALUES (?, ?, ?, ?, NULL, 'README.md', 'made', '', 1)",
                (number, f"keeper{number}/awesome-{number}", title, words(8)),
            )
            sections = [json.dumps([words(2)]) for _ in range(max(1, size // 15))]
            rows = []
            for position in range(size):
                repo = int(repositories * chance.random() ** 1.6)
                rows.append(
                    (number, position, words(2), f"https://github.com/o{repo % 9973}/r{repo}", words(12),
                     sections[position * len(sections) // size], f"o{repo % 9973}/r{repo}", "")
                )  # fmt: skip
            connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            written += size
        connection.execute("UPDATE meta SET value = 1 WHERE key = 'generation'")


def measure(entries: int) -> None:
    """Build an index of so many entries and query it."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["SCAFFOLD_HOME"] = home
        from scaffold import paths
        from scaffold.discovery.index import open_index
        from scaffold.discovery.search import search

        fill_store(paths.lists_path(), entries)
        start = time.perf_counter()
        index = open_index()
        built = time.perf_counter() - start
        times = []
        for query in QUERIES:
            runs = []
            for _ in range(3):
                start = time.perf_counter()
                search(index, query)
                runs.append(1000 * (time.perf_counter() - start))
            times.append((statistics.median(runs), query))
        times.sort()
        documents = index.execute("SELECT count(*) FROM documents").fetchone()[0]
        size = paths.index_path().stat().st_size / 1e6
        p50, p95 = times[len(times) // 2][0], times[int(0.95 * len(times))]
        print(
            f"{entries:>10,}{documents:>12,}{size:>10.0f}{1e6 * size / entries:>12.0f}{built:>10.1f}"
            f"{1e6 * built / entries:>12.0f}{p50:>9.1f}{p95[0]:>9.1f}  {p95[1]}",
            flush=True,
        )


def main() -> None:
    """Print one row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("entries", type=int, nargs="*", default=[45_000, 430_000, 1_000_000])
    print(
        "   entries   documents        MB  bytes/entry   build s  µs/entry   p50 ms   p95 ms  (slowest but one in twenty)"
    )
    for entries in parser.parse_args().entries:
        measure(entries)


if __name__ == "__main__":
    main()
