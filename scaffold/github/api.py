"""GitHub's API through PyGithub: search, facts, one repository. Bounded in time and requests; errors are ours."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import github
import requests
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, Requester

from scaffold.errors import AuthError, NotFoundError, ScaffoldError
from scaffold.github import errors
from scaffold.github.deadline import Deadline
from scaffold.github.facts import RepositoryFacts, remember, told_within
from scaffold.github.session import Budget, open_session
from scaffold.github.told import from_graphql, from_rest
from scaffold.repository import RepositoryName, parse_name
from scaffold.settings import Settings

_AT_ONCE = 50
_FACTS_LIVE = 3600.0
WRITE_PAUSE = 1.0  # seconds: what GitHub asks of those who change several things
_FIELDS = (
    "nameWithOwner description stargazerCount licenseInfo { spdxId } primaryLanguage { name } isArchived pushedAt"
    " isFork isPrivate diskUsage repositoryTopics(first: 20) { nodes { topic { name } } }"
)
# PyGithub takes its connections from its class: two threads must not give it theirs at once.
_injecting = threading.Lock()
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
        write_pause: seconds between two requests that change something; None where nothing is changed.
    """

    def __init__(
        self,
        settings: Settings,
        deadline: Deadline | None = None,
        max_requests: int = 12,
        *,
        refresh: bool = False,
        write_pause: float | None = None,
    ) -> None:
        self.settings = settings
        self.refresh = refresh
        self.deadline = deadline or Deadline.after(3600)
        self._budget = Budget(max_requests)
        self._session = open_session(settings, self.deadline, self._budget, refresh=refresh)
        self._api = _connect(settings, self._session, write_pause)

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

    def send(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        """One request: the answer's headers, by their names in lower case, and its document; None where it has none.

        Raises:
            ScaffoldError: of the family, for whatever goes wrong.
        """
        return _asked(lambda: self._api.requester.requestJsonAndCheck(verb, path, input=body), self.settings.api_url)

    def search_repositories(self, query: str, *, sort: str | None = None, limit: int = 30) -> list[RepositoryFacts]:
        """The first repositories for a query in GitHub's own syntax: one request.

        Raises:
            ScaffoldError: of the family, for whatever goes wrong.
        """

        def ask() -> list[RepositoryFacts]:
            options: dict[str, Any] = {"sort": sort} if sort else {}
            page = self._api.search_repositories(query, **options).get_page(0)
            return [facts for found in page[:limit] if (facts := from_rest(found._rawData))]

        self._api.requester.per_page = self._api.per_page = min(100, max(1, limit))
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
            facts = _asked(lambda: from_rest(self._api.get_repo(name)._rawData), self.settings.api_url)
        except NotFoundError:
            hint = "Check the spelling; a private one needs a token that may see it."
            raise NotFoundError(f"GitHub has no repository {name}", hint=hint) from None
        if facts is None:
            raise errors.garbled(self.settings.api_url, "an answer that means nothing")
        remember(self.settings, [(name, facts)])
        return facts

    def facts(self, repos: Sequence[str]) -> dict[str, RepositoryFacts]:
        """Many repositories, fifty a request, by the name asked for; what GitHub does not know is left out.

        So is what cannot be a repository's name. What was told within the hour, also that there is no such repository,
        is not asked again.

        Raises:
            AuthError: without a token.
            ScaffoldError: of the family, for whatever else goes wrong.
        """
        if not self.settings.token:
            raise AuthError("many repositories at once need a token", hint="Set GITHUB_TOKEN.")
        names = {repo: name for repo in repos if (name := _name(repo))}
        fresh = {} if self.refresh else told_within(self.settings, list(names), _FACTS_LIVE)
        asked = [repo for repo in names if repo.casefold() not in fresh]
        told = {repo: fresh[repo.casefold()] for repo in names if repo.casefold() in fresh}
        for start in range(0, len(asked), _AT_ONCE):
            some = self._some_facts({repo: names[repo] for repo in asked[start : start + _AT_ONCE]})
            remember(self.settings, some.items())
            told |= some
        return {repo: facts for repo, facts in told.items() if facts}

    def _some_facts(self, names: Mapping[str, RepositoryName]) -> dict[str, RepositoryFacts | None]:
        """Facts by name; None where there is no such repository. What failed otherwise is left out."""
        parts = [
            f'r{number}: repository(owner: "{name.owner}", name: "{name.name}") {{ {_FIELDS} }}'
            for number, name in enumerate(names.values())
        ]
        data, absent = _asked(lambda: self._graphql("query { " + " ".join(parts) + " }"), self.settings.api_url)
        told = {repo: (f"r{number}", from_graphql(data.get(f"r{number}"))) for number, repo in enumerate(names)}
        return {repo: facts for repo, (place, facts) in told.items() if facts or place in absent}

    def _graphql(self, query: str) -> tuple[dict[str, Any], set[str]]:
        """The data of an answer, also where parts of it are errors, and where it says that there is nothing."""
        try:
            _, answer = self._api.requester.graphql_query(query, {})
        except github.GithubException as error:
            answer = error.data if isinstance(error.data, dict) else {}
            if not isinstance(answer.get("data"), dict):
                raise errors.from_graphql(self.settings.api_url, answer.get("errors"), error.headers or {}) from None
        data = answer.get("data")
        if not isinstance(data, dict):
            raise errors.garbled(self.settings.api_url, "an answer that means nothing")
        return data, _absent(answer.get("errors"))


def _absent(told: Any) -> set[str]:
    """The places in an answer where there is no such repository, or none that this user may see."""
    absent: set[str] = set()
    for error in told if isinstance(told, list) else []:
        if isinstance(error, dict) and error.get("type") in ("NOT_FOUND", "FORBIDDEN"):
            path = error.get("path")
            absent.update(str(part) for part in (path if isinstance(path, list) else ()))
    return absent


def _name(repo: str) -> RepositoryName | None:
    try:
        return parse_name(repo)
    except ScaffoldError:
        return None


def _connect(settings: Settings, session: requests.Session, write_pause: float | None) -> github.Github:
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

    with _injecting:
        Requester.injectConnectionClasses(Http, Https)
        try:
            # No pauses where the only POSTs are queries.
            return github.Github(
                base_url=settings.api_url,
                retry=None,
                seconds_between_requests=None,
                seconds_between_writes=write_pause,
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
