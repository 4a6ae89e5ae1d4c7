"""GitHub's API through PyGithub: search, facts, one repository. Bounded in time and requests; errors are ours."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import github
import requests
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, Requester

from scaffold.errors import AuthError, NotFoundError, ScaffoldError
from scaffold.github import errors
from scaffold.github.deadline import Deadline
from scaffold.github.facts import RepositoryFacts, remember
from scaffold.github.session import Budget, open_session
from scaffold.repository import parse_name
from scaffold.settings import Settings

_AT_ONCE = 50
_UNKNOWN_LICENCES = frozenset({"NOASSERTION", "NONE", ""})
_FIELDS = (
    "nameWithOwner description stargazerCount licenseInfo { spdxId } primaryLanguage { name } isArchived pushedAt"
    " isFork isPrivate repositoryTopics(first: 20) { nodes { topic { name } } }"
)
_Answer = TypeVar("_Answer")
# Importing PyGithub puts a handler on this logger that would write to the user's terminal.
logging.getLogger("github").handlers.clear()
logging.getLogger("github").addHandler(logging.NullHandler())
logging.getLogger("github").propagate = False


class GitHub:
    """One user's (or nobody's) access to the API for one command.

    Args:
        settings: endpoint and token.
        deadline: when everything must be done.
        max_requests: how many requests may leave.
        refresh: ask anew what the cache holds.
    """

    def __init__(
        self,
        settings: Settings,
        deadline: Deadline | None = None,
        max_requests: int = 12,
        *,
        refresh: bool = False,
    ) -> None:
        self.settings = settings
        self.deadline = deadline or Deadline.after(3600)
        self._budget = Budget(max_requests)
        self._session = open_session(settings, self.deadline, self._budget, refresh=refresh)
        self._api = _connect(settings, self._session)

    @property
    def requests_made(self) -> int:
        """Requests that really left; what the cache answered is not among them."""
        return self._budget.used

    def late(self) -> errors.NetworkError:
        """The error for an answer that did not come within the deadline."""
        return errors.late(self.settings.api_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections and cache."""
        self._session.close()

    def search_repositories(self, query: str, *, sort: str | None = None, limit: int = 30) -> list[RepositoryFacts]:
        """The first repositories for a query in GitHub's own syntax: one request.

        Raises:
            ScaffoldError: of the family, for whatever goes wrong.
        """

        def ask() -> list[RepositoryFacts]:
            options: dict[str, Any] = {"sort": sort} if sort else {}
            page = self._api.search_repositories(query, **options).get_page(0)
            return [facts for found in page[:limit] if (facts := _safe(found._rawData))]

        self._api.per_page = min(100, limit)
        self._api.requester.per_page = min(100, limit)
        found = _asked(ask, self.settings.api_url)
        remember(self.settings, [(facts.repo, facts) for facts in found])
        return found

    def repository(self, repo: str) -> RepositoryFacts:
        """One repository; a renamed one is followed and comes back under its new name.

        Raises:
            NotFoundError: there is none, or this user may not see it.
            ScaffoldError: of the family, for whatever else goes wrong.
        """
        name = str(parse_name(repo))
        try:
            facts = _asked(lambda: _from_rest(self._api.get_repo(name)._rawData), self.settings.api_url)
        except NotFoundError:
            hint = "Check the spelling; a private one needs a token that may see it."
            raise NotFoundError(f"GitHub has no repository {name}", hint=hint) from None
        remember(self.settings, [(name, facts)])
        return facts

    def facts(self, repos: Sequence[str]) -> dict[str, RepositoryFacts]:
        """Many repositories, fifty a request, by the name asked for; what GitHub does not know is left out.

        Raises:
            AuthError: without a token.
            ScaffoldError: of the family, for whatever else goes wrong.
        """
        if not self.settings.token:
            raise AuthError("many repositories at once need a token", hint="Set GITHUB_TOKEN.")
        found: dict[str, RepositoryFacts] = {}
        for start in range(0, len(repos), _AT_ONCE):
            found |= self._some_facts(repos[start : start + _AT_ONCE])
        remember(self.settings, found.items())
        return found

    def _some_facts(self, repos: Sequence[str]) -> dict[str, RepositoryFacts]:
        names = [parse_name(repo) for repo in repos]
        parts = [
            f'r{number}: repository(owner: "{name.owner}", name: "{name.name}") {{ {_FIELDS} }}'
            for number, name in enumerate(names)
        ]

        def ask() -> dict[str, Any]:
            try:
                _, answer = self._api.requester.graphql_query("query { " + " ".join(parts) + " }", {})
            except github.GithubException as error:
                answer = error.data if isinstance(error.data, dict) else {}
                if not isinstance(answer.get("data"), dict):
                    raise
            return answer

        data = _asked(ask, self.settings.api_url).get("data") or {}
        nodes = {repo: data.get(f"r{number}") for number, repo in enumerate(repos)}
        return {repo: _from_graphql(node) for repo, node in nodes.items() if isinstance(node, dict)}


def _connect(settings: Settings, session: requests.Session) -> github.Github:
    """PyGithub on our session, without its own retries, pauses and credentials."""

    class Http(HTTPRequestsConnectionClass):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.session.close()
            self.session = session

        def close(self) -> None:
            """The session is shared and stays open."""

    class Https(HTTPSRequestsConnectionClass):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.session.close()
            self.session = session

        def close(self) -> None:
            """The session is shared and stays open."""

    Requester.injectConnectionClasses(Http, Https)
    try:
        return github.Github(
            base_url=settings.api_url, retry=None, seconds_between_requests=None, seconds_between_writes=1.0
        )
    finally:
        Requester.resetConnectionClasses()


def _asked(ask: Callable[[], _Answer], url: str) -> _Answer:
    """What a call gives, with everything PyGithub and requests can raise turned into our errors."""
    try:
        return ask()
    except ScaffoldError:
        raise
    except github.GithubException as error:
        body = str(error.data)[:2000]
        known = errors.from_status(url, error.status, error.headers or {}, body, signed_in=True)
        raise known or errors.garbled(url, "an answer that means nothing") from None
    except requests.RequestException as error:
        raise errors.unreachable(url, error) from None
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, AssertionError):
        raise errors.garbled(url, "an answer that means nothing") from None


def _safe(data: Any) -> RepositoryFacts | None:
    """One result of a search, or None where it has no name that could be a repository's."""
    try:
        return _from_rest(data)
    except (ScaffoldError, KeyError, TypeError, AttributeError):
        return None


def _from_rest(data: Any) -> RepositoryFacts:
    spdx = (data.get("license") or {}).get("spdx_id")
    return RepositoryFacts(
        repo=str(parse_name(data["full_name"])),
        description=data.get("description"),
        stars=data.get("stargazers_count"),
        license=None if (spdx or "") in _UNKNOWN_LICENCES else spdx,
        language=data.get("language"),
        archived=data.get("archived"),
        pushed_at=data.get("pushed_at"),
        topics=tuple(data.get("topics") or ()),
        fork=bool(data.get("fork")),
        private=bool(data.get("private")),
    )


def _from_graphql(node: dict[str, Any]) -> RepositoryFacts:
    spdx = (node.get("licenseInfo") or {}).get("spdxId")
    topics = (node.get("repositoryTopics") or {}).get("nodes") or ()
    return RepositoryFacts(
        repo=str(parse_name(node["nameWithOwner"])),
        description=node.get("description"),
        stars=node.get("stargazerCount"),
        license=None if (spdx or "") in _UNKNOWN_LICENCES else spdx,
        language=(node.get("primaryLanguage") or {}).get("name"),
        archived=node.get("isArchived"),
        pushed_at=node.get("pushedAt"),
        topics=tuple(topic["topic"]["name"] for topic in topics),
        fork=bool(node.get("isFork")),
        private=bool(node.get("isPrivate")),
    )
