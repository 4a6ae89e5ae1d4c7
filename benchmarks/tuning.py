"""Whether the ranking's weights hold for queries they were not tuned on: tune on one half, report the other.

    python benchmarks/tuning.py CORPUS JUDGMENTS [JUDGMENTS…]

The queries of all files are dealt into two halves (odd, even). On each half every weight of the ranking is moved up and
down in turn, and a move is kept where it gains (coordinate ascent on the mean of nDCG@10 for lists and for projects);
then the other half is ranked with what was found. A gain that the other half does not share is overfitting. The weights
found are printed to be judged by a person: nothing is written.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import relevance

from scaffold.discovery import ranking

FIXED = {
    # What the judgments say nothing about: damage, age, and what was weighed when the index was built.
    *("ARCHIVED", "UNMAINTAINED", "SUCCEEDED", "IDLE", "IDLE_MOST", "UNMAINTAINED_AFTER", "ENOUGH"),
    *("OWN_MENTION", "PASTED_MENTION", "LARGE_LIST"),
}
STEPS = (0.75, 1.35)
LEAST_GAIN = 0.001

# A weight's place: the constant's name, and the key inside it where it is a table.
Place = tuple[str, int | None]


def places() -> Iterator[Place]:
    """Every weight that may be moved."""
    for name, value in vars(ranking).items():
        if not name.isupper() or name in FIXED:
            continue
        if isinstance(value, float):
            yield name, None
        elif isinstance(value, tuple):
            yield from ((name, position) for position in range(len(value)))
        elif name == "GRADE":
            yield from ((name, grade) for grade in value if grade < 3)


def get(place: Place) -> float:
    """A weight as it stands."""
    name, key = place
    value = getattr(ranking, name)
    return float(value if key is None else value[key])


def put(place: Place, weight: float) -> None:
    """Set a weight for the rest of this process."""
    name, key = place
    value = getattr(ranking, name)
    if key is None:
        setattr(ranking, name, weight)
    elif isinstance(value, tuple):
        setattr(ranking, name, (*value[:key], weight, *value[key + 1 :]))
    else:
        setattr(ranking, name, {**value, key: weight})


class Judge:
    """Ranks queries with the weights as they stand."""

    def __init__(self, ranker: relevance.Ranker, aliases: dict[str, str]) -> None:
        self._ranker, self._aliases = ranker, aliases

    def by_kind(self, judged: list[relevance.Judged]) -> dict[str, float]:
        """Mean nDCG@10 for lists and for projects."""
        figures = relevance.evaluate(judged, self._ranker, self._aliases, float)
        return {kind: relevance.mean(value for value, _ in values) for kind, values in figures.items()}

    def score(self, judged: list[relevance.Judged]) -> float:
        """The mean of both kinds: what is tuned for."""
        return statistics.fmean(self.by_kind(judged).values())


def tune(judge: Judge, judged: list[relevance.Judged], rounds: int) -> dict[Place, float]:
    """Move one weight at a time as long as it gains; returns the weights found, and leaves them set."""
    best = judge.score(judged)
    for _ in range(rounds):
        before = best
        for place in places():
            for step in STEPS:
                old = get(place)
                highest = 1.0 if old <= 1 else 4.0
                put(place, min(old * step, highest))
                score = judge.score(judged)
                if score > best + LEAST_GAIN:
                    best = score
                else:
                    put(place, old)
        if best < before + LEAST_GAIN:
            break
    return {place: get(place) for place in places()}


def main() -> None:
    """Tune on each half, report both, print what moved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("judgments", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--all", action="store_true", help="tune on all queries too, and print the weights")
    parser.add_argument("--home", type=Path, help="keep the index in this folder")
    options = parser.parse_args()
    judged: list[relevance.Judged] = []
    aliases: dict[str, str] = {}
    for path in options.judgments:
        more, names = relevance.read_judgments(path)
        judged += more
        aliases |= names
    with tempfile.TemporaryDirectory() as temporary:
        home = str(options.home or temporary)
        judge = Judge(relevance.scaffold_ranker(relevance.build(options.corpus, home)), aliases)
        original = {place: get(place) for place in places()}
        halves = {"odd": judged[::2], "even": judged[1::2]}
        tuned_on: dict[str, dict[Place, float]] = {}
        print(f"{'':27}{'lists':>17}{'projects':>17}")
        for half, queries in halves.items():
            rest = halves["even" if half == "odd" else "odd"]
            before = [judge.by_kind(queries), judge.by_kind(rest)]
            tuned_on[half] = tune(judge, queries, options.rounds)
            after = [judge.by_kind(queries), judge.by_kind(rest)]
            for name, old, new in zip(("tuned", "other half"), before, after, strict=True):
                cells = "".join(f"{old[kind]:9.3f} → {new[kind]:.3f}" for kind in relevance.KINDS)
                print(f"tuned on {half:<5} {name:<12}{cells}", flush=True)
            for place, weight in original.items():
                put(place, weight)
        if options.all:
            tuned_on["all"] = tune(judge, judged, options.rounds)
        print(f"\n{'weight':<24}{'now':>8}" + "".join(f"{name:>8}" for name in tuned_on))
        for place, weight in original.items():
            moved = [weights[place] for weights in tuned_on.values()]
            if any(value != weight for value in moved):
                label = place[0] if place[1] is None else f"{place[0]}[{place[1]}]"
                print(f"{label:<24}{weight:8.3f}" + "".join(f"{value:8.3f}" for value in moved))


if __name__ == "__main__":
    main()
