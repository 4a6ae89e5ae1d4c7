"""Live search: GitHub's own answers beside the index, within a few requests and one deadline.

Two search requests (lists, repositories) bring up to thirty results each with all their facts; one GraphQL request
adds the facts of the index's hits when there is a token. Whatever goes wrong, the index has answered already: trouble
becomes a notice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from scaffold.discovery.fields import Fields, pack
from scaffold.discovery.hits import Hit, hit_from_row
from scaffold.discovery.matching import Candidate, Needles, look
from scaffold.discovery.query import Query
from scaffold.discovery.search import Filters, SearchResult, Sort, answer, look_up, ranked, room_for
from scaffold.discovery.words import has_cjk, spelt_out, words_of
from scaffold.discovery.workers import within
from scaffold.errors import ScaffoldError

if TYPE_CHECKING:
    from scaffold.github.api import GitHub
    from scaffold.github.facts import RepositoryFacts

# The whole command answers within fifteen seconds; starting and the index need some of them.
SECONDS = 11.0
_RESULTS = 30
_ENRICHED = 50


def search_live(
    connection: sqlite3.Connection,
    text: str,
    github: GitHub,
    filters: Filters | None = None,
    sort: Sort = "best",
    limit: int = 20,
) -> SearchResult:
    """The index's hits and GitHub's, ranked together.

    Args:
        github: a session with its own deadline and budget of requests.

    Raises:
        UsageError: for an unknown task in the filters, or an empty query. Trouble with GitHub is a notice instead.
    """
    filters = filters or Filters()
    looked = look_up(connection, text, filters, room_for(filters, sort, limit))
    if looked.query is None:
        return answer(connection, looked, (), sort=sort, limit=limit)
    notices: list[str] = []
    found = _ask(github, looked.query, looked.filters, notices)
    by_repo = {facts.repo.casefold(): facts for facts in found}
    known = {candidate.row["repo"].casefold(): candidate for candidate in looked.candidates}
    unseen = _unseen(connection, looked.query, found, known)
    looked = replace(looked, candidates=(*looked.candidates, *unseen))
    asked = bool(found) or not notices  # GitHub may well have answered that it finds nothing
    hits = ranked(looked, by_repo)
    facts = _enrich(github, hits, limit, by_repo, notices)
    if facts:
        hits = ranked(looked, {**facts, **by_repo})
    looked = replace(looked, notices=(*looked.notices, *notices))
    return answer(connection, looked, _one_each(hits), sort=sort, limit=limit, offline=not (asked or facts))


def find_live(connection: sqlite3.Connection, repo: str, github: GitHub) -> Hit:
    """What GitHub says of a repository that the index does not know, perhaps under the name it has there now.

    Raises:
        NotFoundError: GitHub does not know it either.
        ScaffoldError: of the family, for whatever else goes wrong.
    """
    facts = within(github.deadline.remaining() + 0.5, lambda: github.repository(repo), github.late)
    row = connection.execute("SELECT * FROM documents WHERE repo = ?", (facts.repo,)).fetchone()
    return hit_from_row(row or _new_row(facts), today=date.today(), facts=facts)


def phrase(query: Query) -> str:
    """The query in GitHub's own words: English where a wording is known, as GitHub's texts mostly are."""
    words = []
    for concept in query.concepts:
        plain = [wording.text for wording in concept.wordings if not wording.is_cjk]
        typed = words_of(concept.typed)
        words.append(typed if not has_cjk(typed) and typed in plain else plain[0] if plain else typed)
    return " ".join(words)


def _ask(github: GitHub, query: Query, filters: Filters, notices: list[str]) -> list[RepositoryFacts]:
    topic = phrase(query)
    narrowed = _qualifiers(filters)
    asked = []
    if filters.kind != "project":
        asked.append(f"awesome {topic} in:name,description,topics{narrowed}")
    if filters.kind != "list":
        asked.append(f"{topic} in:name,description,topics{narrowed}")
    found: list[RepositoryFacts] = []

    def ask() -> None:
        for text in asked:
            found.extend(github.search_repositories(text, limit=_RESULTS))

    try:
        within(github.deadline.remaining() + 0.5, ask, github.late)
    except ScaffoldError as error:
        part = "the answer is partly from the index" if found else "the answer is from the index"
        notices.append(f"GitHub: {error.message}; {part}. {error.hint or ''}".strip())
    return list(found)


def _qualifiers(filters: Filters) -> str:
    """The filters that GitHub can apply itself."""
    parts = []
    if filters.language:
        parts.append(f' language:"{filters.language}"')
    if filters.license:
        parts.append(f" license:{filters.license.casefold()}")
    if filters.min_stars:
        parts.append(f" stars:>={filters.min_stars}")
    return "".join(parts)


def _unseen(
    connection: sqlite3.Connection, query: Query, found: Iterable[RepositoryFacts], known: dict[str, Candidate]
) -> list[Candidate]:
    """GitHub's results that the query did not reach in the index: its own row where it has one, else a new one."""
    needles = [Needles(concept) for concept in query.concepts]
    unseen = []
    for facts in found:
        if facts.repo.casefold() in known or facts.fork:
            continue
        row = connection.execute("SELECT * FROM documents WHERE repo = ?", (facts.repo,)).fetchone()
        candidate = look(row or _new_row(facts), query, needles)
        known[facts.repo.casefold()] = candidate
        unseen.append(candidate)
    return unseen


def _new_row(facts: RepositoryFacts) -> dict[str, Any]:
    """What a row of `documents` would be for a repository that only GitHub told of."""
    owner, _, name = facts.repo.partition("/")
    topics = words_of(" · ".join(facts.topics))
    description = facts.description or ""
    told = f"{words_of(name)} {topics} {words_of(description)}"
    is_list = "awesome" in words_of(spelt_out(name)).split() or "awesome list" in told
    title = words_of(spelt_out(name))
    fields = Fields(title, words_of(spelt_out(owner)), title, topics, words_of(description), [], [])
    return {
        "repo": facts.repo,
        "kind": "list" if is_list else "project",
        "title": name,
        "description": facts.description,
        "tasks": "[]",
        "grade": None,
        "license": None,
        "language": None,
        "archived": None,
        "pushed_at": None,
        "successor": None,
        "unmaintained": 0,
        "cited_by": 0,
        "citations": 0.0,
        "entries": 0,
        "listed_stars": None,
        "sources": "[]",
        "fields": pack(fields),
    }


def _enrich(
    github: GitHub, hits: Sequence[Hit], limit: int, known: dict[str, RepositoryFacts], notices: list[str]
) -> dict[str, RepositoryFacts]:
    """Facts of the hits that would be shown: one request with a token, else what earlier answers told."""
    from scaffold.github.facts import cached_facts

    shown: list[str] = []
    for kind in ("list", "project"):
        shown += [hit.repo for hit in hits if hit.kind == kind][:limit]
    missing = [repo for repo in shown if repo.casefold() not in known][:_ENRICHED]
    if not missing:
        return {}
    facts = {} if github.refresh else dict(cached_facts(github.settings, missing))
    missing = [repo for repo in missing if repo.casefold() not in {name.casefold() for name in facts}]
    if missing and github.settings.token and not notices:
        try:
            facts |= within(github.deadline.remaining() + 0.5, lambda: github.facts(missing), github.late)
        except ScaffoldError as error:
            notices.append(f"GitHub: {error.message}; stars and dates are partly unknown.")
    return {name.casefold(): told for name, told in facts.items()}


def _one_each(hits: Iterable[Hit]) -> list[Hit]:
    """Each repository once: a rename may have brought two under one name."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.repo.casefold(), hit)
    return list(best.values())
