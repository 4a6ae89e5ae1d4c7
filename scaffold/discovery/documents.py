"""Documents: what all lists together say of one repository, gathered for the index."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from scaffold.discovery import ranking
from scaffold.discovery.catalog import CatalogEntry
from scaffold.discovery.fields import Fields, pack
from scaffold.discovery.words import fold, spelt_out, words_of

_STARS = re.compile(r"(?:[⭐★🌟]|\bstars?\b:?)\ufe0f?\s*([\d][\d.,]*)\s?([kK])?\b")
_MENTIONS = 12  # mentions whose words are kept for a document; all of them count
_TEXT = 300  # letters of one mention
_SECTIONS = 200  # headings of a list that are kept
_INFERRED = 3  # tasks taken from the lists' headings where the catalog has none


@dataclass(frozen=True, slots=True)
class ListInfo:
    """A list that was synced.

    Attributes:
        subject: words of its title and name: what the list is about.
        tasks: the tasks that it is about.
    """

    repo: str
    title: str | None
    description: str | None
    entries: int
    subject: str
    tasks: tuple[str, ...]

    @property
    def owner(self) -> str:
        """Who keeps the list."""
        return self.repo.partition("/")[0].casefold()


@dataclass(frozen=True, slots=True)
class Mention:
    """One list's words on one repository."""

    source: ListInfo
    title: str
    description: str | None
    section: tuple[str, ...]
    flags: tuple[str, ...]


@dataclass
class Document:
    """One repository, as the index holds it.

    Attributes:
        places: task and the strength (0 to 1) with which the repository serves it.
        fields: what ranking looks at closely; see `matching`.
        citations: lists that name it, weighted; `cited_by` counts them.
    """

    repo: str
    kind: str
    title: str
    description: str | None
    entry: CatalogEntry | None
    cited_by: int = 0
    citations: float = 0.0
    entries: int = 0
    listed_stars: int | None = None
    unmaintained: bool = False
    tasks: tuple[str, ...] = ()
    places: dict[str, float] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    fields: str = ""

    @property
    def quality(self) -> float:
        """How good it is, whatever the query."""
        return ranking.quality(
            ranking.Quality(
                grade=self.entry.grade if self.entry else None,
                citations=self.citations,
                stars=self.listed_stars,
                entries=self.entries or (None if self.kind == "list" else 0),
                archived=bool(self.entry and self.entry.archived),
                unmaintained=self.unmaintained,
                succeeded=bool(self.entry and self.entry.successor),
            )
        )


def gather(
    repo: str,
    mentions: Sequence[Mention],
    entry: CatalogEntry | None,
    own: ListInfo | None,
    sections: Sequence[tuple[tuple[str, ...], int]],
    tasks_of: Callable[[str], tuple[str, ...]],
) -> Document:
    """What the catalog and all lists say of one repository.

    Args:
        repo: its name as it is shown.
        mentions: by other lists, one for each.
        entry: the catalog's entry, if there is one.
        own: the list itself, if the repository is a list that was synced.
        sections: for a list its headings with their number of entries.
        tasks_of: the tasks that a heading names.
    """
    weights = _weights(repo, mentions)
    best = _best_mention(mentions, weights)
    title = (entry.title if entry else None) or (own and own.title) or (best and best.title) or repo.partition("/")[2]
    description = (entry.description if entry else None) or (own and own.description) or (best and best.description)
    document = Document(repo, _kind(repo, entry, own, mentions), title, description or None, entry)
    document.cited_by = len({m.source.repo for m, weight in zip(mentions, weights, strict=True) if not _own(repo, m)})
    document.citations = sum(weights)
    document.entries = own.entries if own else 0
    document.listed_stars = max(filter(None, map(_listed_stars, mentions)), default=None)
    document.unmaintained = _unmaintained(mentions, known=entry is not None or own is not None)
    _set_tasks(document, mentions, own, tasks_of)
    _set_texts(document, mentions, weights, sections)
    return document


def _listed_stars(mention: Mention) -> int | None:
    """The stars that some lists write beside an entry (⭐ 24K): old, but telling."""
    found = _STARS.search(mention.description or "")
    if not found:
        return None
    number = float(found[1].replace(",", "") or 0) if found[1].replace(",", "").replace(".", "", 1).isdigit() else 0.0
    return int(number * (1000 if found[2] else 1)) or None


def _own(repo: str, mention: Mention) -> bool:
    return mention.source.owner == repo.partition("/")[0].casefold()


def _weights(repo: str, mentions: Sequence[Mention]) -> list[float]:
    seen: Counter[str] = Counter()
    weights = []
    for mention in mentions:
        text = fold(mention.description or "")
        # The same sentence in several lists was pasted there by one hand, most often the project's own.
        pasted = len(text) > 40 and seen[text] > 0
        seen[text] += 1
        weights.append(ranking.mention_weight(entries=mention.source.entries, own=_own(repo, mention), pasted=pasted))
    return weights


def _best_mention(mentions: Sequence[Mention], weights: Sequence[float]) -> Mention | None:
    """The one whose words are shown: with a description of a readable length, from the list that counts most."""

    def readable(pair: tuple[Mention, float]) -> tuple[bool, float, int]:
        length = len(pair[0].description or "")
        return (length >= 15, pair[1], -abs(length - 90))

    pairs = list(zip(mentions, weights, strict=True))
    return max(pairs, key=readable)[0] if pairs else None


def _kind(repo: str, entry: CatalogEntry | None, own: ListInfo | None, mentions: Sequence[Mention]) -> str:
    if entry:
        return entry.kind
    if own:
        return "list"
    name = words_of(spelt_out(repo.partition("/")[2])).split()
    if "awesome" in name or any("awesome list" in words_of(m.description or "") for m in mentions):
        return "list"
    return "project"


def _unmaintained(mentions: Sequence[Mention], *, known: bool) -> bool:
    """Whether most of the lists that name it mark it so; for what the catalog knows one list's word is not enough."""
    marked = sum(bool(mention.flags) for mention in mentions)
    return marked > known and 2 * marked >= len(mentions)


def _set_tasks(
    document: Document, mentions: Sequence[Mention], own: ListInfo | None, tasks_of: Callable[[str], tuple[str, ...]]
) -> None:
    if document.entry:
        document.tasks = document.entry.tasks
        for place, task in enumerate(document.tasks):
            document.places[task] = ranking.TASK_PLACE[min(place, len(ranking.TASK_PLACE) - 1)]
        return
    if own:
        document.tasks = own.tasks
        document.places = dict.fromkeys(own.tasks, ranking.SUBJECT)
        return
    votes: Counter[str] = Counter()
    for mention in mentions:
        named = {task for heading in mention.section for task in tasks_of(heading)}
        for task in named | set(mention.source.tasks[:1]):
            votes[task] += 1
    document.tasks = tuple(task for task, _ in votes.most_common(_INFERRED))


def _set_texts(
    document: Document,
    mentions: Sequence[Mention],
    weights: Sequence[float],
    sections: Sequence[tuple[tuple[str, ...], int]],
) -> None:
    entry = document.entry
    owner, _, plain_name = document.repo.partition("/")
    name = words_of(spelt_out(plain_name))
    titles = _distinct([document.title, *(mention.title for mention in mentions)])
    title = words_of(" ".join(spelt_out(text) for text in titles[:4]))
    keywords = words_of(" · ".join(entry.keywords)) if entry else ""
    description = words_of(document.description or "")
    kept = sorted(zip(weights, mentions, strict=True), key=lambda pair: -pair[0])[:_MENTIONS]
    told = [
        (
            mention.source.repo.casefold(),
            f"{weight:.3f}",
            words_of(" / ".join(mention.section)),
            words_of((mention.description or "")[:_TEXT]),
            mention.source.subject,
        )
        for weight, mention in kept
    ]
    own_sections = [(words_of(" / ".join(path)), str(count)) for path, count in sections[:_SECTIONS]]
    document.fields = pack(Fields(name, words_of(spelt_out(owner)), title, keywords, description, told, own_sections))
    texts = _distinct([description, *(line[3] for line in told)])
    headings = [line[2] for line in told] + [path for path, _ in own_sections]
    subjects = [line[4] for line in told]
    document.columns = (
        f"{words_of(spelt_out(owner))} {name}",
        title,
        keywords,
        " ".join(texts),
        " ".join(headings),
        " ".join(subjects),
    )


def _distinct(texts: Iterable[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]
