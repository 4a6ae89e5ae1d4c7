"""GitHub's descriptions of a repository, REST's and GraphQL's, read as if anybody could have written them."""

from __future__ import annotations

import datetime
from typing import Any

from scaffold.errors import ScaffoldError
from scaffold.github.facts import RepositoryFacts
from scaffold.repository import parse_name

_UNKNOWN_LICENCES = frozenset({"NOASSERTION", "NONE", ""})
_LONGEST = 2000
_TOPICS = 50


def from_rest(data: Any) -> RepositoryFacts | None:
    """What REST says, or None where it names no repository."""
    if not isinstance(data, dict):
        return None
    return _facts(
        repo=data.get("full_name"),
        description=data.get("description"),
        stars=data.get("stargazers_count"),
        license=_inside(data.get("license"), "spdx_id"),
        language=data.get("language"),
        archived=data.get("archived"),
        pushed_at=data.get("pushed_at"),
        topics=data.get("topics"),
        fork=data.get("fork"),
        private=data.get("private"),
        size=data.get("size"),
    )


def from_graphql(node: Any) -> RepositoryFacts | None:
    """What GraphQL says, or None where it names no repository."""
    if not isinstance(node, dict):
        return None
    topics = _inside(node.get("repositoryTopics"), "nodes")
    return _facts(
        repo=node.get("nameWithOwner"),
        description=node.get("description"),
        stars=node.get("stargazerCount"),
        license=_inside(node.get("licenseInfo"), "spdxId"),
        language=_inside(node.get("primaryLanguage"), "name"),
        archived=node.get("isArchived"),
        pushed_at=node.get("pushedAt"),
        topics=[_inside(_inside(topic, "topic"), "name") for topic in topics] if isinstance(topics, list) else [],
        fork=node.get("isFork"),
        private=node.get("isPrivate"),
        size=node.get("diskUsage"),
    )


def _facts(
    *,
    repo: Any,
    description: Any,
    stars: Any,
    license: Any,
    language: Any,
    archived: Any,
    pushed_at: Any,
    topics: Any,
    fork: Any,
    private: Any,
    size: Any,
) -> RepositoryFacts | None:
    try:
        name = str(parse_name(repo))
    except (ScaffoldError, TypeError, AttributeError):
        return None
    spdx = _text(license)
    return RepositoryFacts(
        repo=name,
        description=_text(description),
        stars=stars if type(stars) is int and 0 <= stars < 2**53 else None,
        license=None if (spdx or "").upper() in _UNKNOWN_LICENCES else spdx,
        language=_text(language),
        archived=archived if isinstance(archived, bool) else None,
        pushed_at=_moment(pushed_at),
        topics=tuple(filter(None, map(_text, topics[:_TOPICS]))) if isinstance(topics, list) else (),
        fork=fork is True,
        private=private is not False and private is not None,  # what is not plainly public is kept as private
        size=size if type(size) is int and 0 <= size < 2**53 else None,
    )


def _inside(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _text(value: Any) -> str | None:
    """Text that can be written anywhere: no half characters, no megabytes."""
    if not isinstance(value, str):
        return None
    return value[:_LONGEST].encode("utf-8", "replace").decode("utf-8").strip() or None


def _moment(value: Any) -> str | None:
    text = _text(value)
    try:
        return text if text and datetime.datetime.fromisoformat(text) else None
    except ValueError:
        return None
