"""The order of hits. Every weight of the ranking stands here.

A hit's score is how well it *matches* times how *good* it is, both between 0 and 1:

- match: does it serve the tasks that the query names, and do its texts hold the words that are left. Where a query has
  both, the tasks count most: in "image generation model" the model is not the point.
- quality: the catalog's grade; what is archived or has a successor counts less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# How much of a task match remains when the task is an entry's first, second, … one.
TASK_PLACE = (1.0, 0.8, 0.65, 0.55)
# BM25 weight of each column of the full-text table, in its order.
COLUMN_WEIGHTS = {"name": 6.0, "title": 5.0, "keywords": 4.0, "description": 2.0, "tasks": 1.0, "cjk": 2.0}
# The best text match counts this much of a perfect task match.
TEXT = 0.9
# Where a query names a task and holds further words, the words' share of the match.
WORDS = 0.3
# Quality of an entry by the catalog's grade; an entry without one is ungraded.
GRADE = {3: 1.0, 2: 0.85, 1: 0.7}
UNGRADED = 0.6
ARCHIVED = 0.5
SUCCEEDED = 0.45
# Weight of a repository's citations by independent lists, per power of ten.
CITATIONS = 0.1


@dataclass(frozen=True)
class Signals:
    """What is known of one hit for one query.

    Attributes:
        task_places: for each task that the query names, its place among the entry's tasks, or None.
        words: whether the query holds words besides the tasks.
        text: 0 to 1, the text match relative to the best of this query.
        coverage: share of the query's left-over words that the texts hold.
    """

    task_places: tuple[int | None, ...]
    words: bool
    text: float
    coverage: float
    grade: int | None
    archived: bool
    succeeded: bool
    cited_by: int


def score(signals: Signals) -> float:
    """The score of a hit, between 0 and about 1.3."""
    places = signals.task_places
    task = sum(0.0 if place is None else TASK_PLACE[min(place, 3)] for place in places) / max(len(places), 1)
    text = signals.text * signals.coverage
    if not places:
        match = TEXT * text
    elif not signals.words:
        match = task
    else:
        match = (1 - WORDS) * task + WORDS * text
    quality = GRADE.get(signals.grade or 0, UNGRADED)
    if signals.archived:
        quality *= ARCHIVED
    if signals.succeeded:
        quality *= SUCCEEDED
    return match * quality * (1 + CITATIONS * math.log10(1 + signals.cited_by))
