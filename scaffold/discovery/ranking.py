"""The order of hits. Every weight of the ranking stands here.

A hit's score is how well it *matches* times how *good* it is, both between 0 and about 1:

- match: each concept of the query (a word, or a task with all its wordings) is looked for in every field of a
  document. Evidence from several fields adds up as independent chances do (noisy or), and the concepts multiply
  (weighted geometric mean), so that a hit which lacks one of two words falls behind.
- quality: the catalog's grade, how many independent lists name it, stars where they are known; what is archived,
  unmaintained or has a successor counts less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# --- match: evidence of one field that holds the concept as it was typed --------------------------------------------
NAME = 0.55
OWNER = 0.25
TITLE = 0.45
KEYWORDS = 0.4
DESCRIPTION = 0.35
# What the catalog says a repository is for, by the place of the task in its entry.
TASK_PLACE = (0.9, 0.7, 0.55, 0.45, 0.35, 0.3)
# What a list's serving a related task counts: a narrow topic often has no list of its own.
RELATED = 0.3
# A list that names the project: under a heading that holds the concept, in its words, or as a list about nothing else.
SECTION = 0.5
MENTION_TEXT = 0.3
SUBJECT = 0.4
# A list's own sections: the share of its entries under headings that hold the concept, and that there is one at all.
OWN_SECTION = 0.30
OWN_SECTION_SHARE = 0.35
# The share of the best projects for the query that a list names.
CONTENT = 0.4
# Strength of a wording that was not typed: the task's title or an abbreviation's full form; a mere synonym; one synonym
# for another; one of the whole task where only a part of it was typed.
SAME = 0.95
SYNONYM = 0.7
BESIDE = 0.5
NEAR = 0.35
CORRECTED = 0.9
# All words of a phrase apart from each other, and a word that alone gives the phrase away: one that stands in at most
# this share of all documents, in an index of so many that the share means something.
APART = 0.8
ALONE = 0.6
RARE = 0.01
ENOUGH = 3000
# What serving the task counts where a narrower word for it was typed (`adversarial attack` for security), and where
# another name of it was typed, which may be narrower too.
NARROWER = 0.5
ALIAS = 0.8
# How much more matching counts than quality.
SHARPNESS = 2.0
# What a concept counts for where nothing of it was found.
MISSING = 0.04

# --- quality ---------------------------------------------------------------------------------------------------------
GRADE = {3: 1.0, 2: 0.8, 1: 0.6}
UNGRADED = 0.6
# What the catalog's word alone counts: no list names the repository, and no stars speak for it.
UNCITED = 0.8
# Per doubling of (weighted) independent lists that name it.
CITATIONS = 0.1
# Per power of ten of stars over what is usual: GitHub's, or those that a list wrote beside its entry. Most entries are
# written without, and what is not known counts as usual.
STARS = 0.08
USUAL_STARS = 2_000
# A list is worth more with more entries, per power of ten over ten.
ENTRIES = 0.06
# A list that has not been read: nothing but its name and the catalog's word speaks for it.
UNREAD = 0.8
ARCHIVED = 0.5
UNMAINTAINED = 0.6
SUCCEEDED = 0.45
# What a year without a change costs after the second, and when a repository is called unmaintained.
IDLE = 0.03
IDLE_MOST = 0.25
UNMAINTAINED_AFTER = 4.0
# One list's mention: what remains of it for the list's own owner, for the same text pasted into several lists, and
# for the size of a list that names everything.
OWN_MENTION = 0.2
PASTED_MENTION = 0.3
LARGE_LIST = 500


@dataclass(frozen=True, slots=True)
class Quality:
    """What is known of a repository apart from the query. What is not known is None or 0.

    Attributes:
        entries: of a list; None for one that was not read.
    """

    grade: int | None = None
    citations: float = 0.0
    stars: int | None = None
    entries: int | None = 0
    archived: bool = False
    unmaintained: bool = False
    succeeded: bool = False
    idle_years: float = 0.0


def quality(known: Quality) -> float:
    """How good a repository is, whatever the query: about 0.2 to 1.6."""
    value = GRADE.get(known.grade or 0, UNGRADED)
    if not known.citations and known.stars is None:
        value *= UNCITED
    value += CITATIONS * math.log2(1 + known.citations)
    if known.stars is not None:
        value += STARS * math.log10(max(known.stars, 10) / USUAL_STARS)
    value += ENTRIES * max(0.0, math.log10(max(known.entries or 1, 1)) - 1)
    value -= min(IDLE_MOST, IDLE * max(0.0, known.idle_years - 2))
    if known.entries is None:
        value *= UNREAD
    if known.archived:
        value *= ARCHIVED
    if known.unmaintained:
        value *= UNMAINTAINED
    if known.succeeded:
        value *= SUCCEEDED
    return value


def mention_weight(*, entries: int, own: bool, pasted: bool) -> float:
    """What one list's mention counts: less from the owner, less when pasted, less from a list of thousands."""
    weight = 1.0 / (1.0 + math.log10(max(entries, 1) / LARGE_LIST)) if entries > LARGE_LIST else 1.0
    if own:
        weight *= OWN_MENTION
    if pasted:
        weight *= PASTED_MENTION
    return weight


def either(chances: list[float]) -> float:
    """Independent pieces of evidence together (noisy or)."""
    against = 1.0
    for chance in chances:
        against *= 1.0 - chance
    return 1.0 - against


def match(strengths: list[tuple[float, float]]) -> float:
    """The concepts together: a geometric mean of their strengths.

    Args:
        strengths: for each concept its weight in the query and its strength in the document, 0 to 1.
    """
    total = sum(weight for weight, _ in strengths)
    mean = sum(weight * math.log(max(strength, MISSING)) for weight, strength in strengths) / total
    return math.exp(SHARPNESS * mean)
