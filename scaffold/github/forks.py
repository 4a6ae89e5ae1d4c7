"""Forks of the user's own on GitHub: found, or asked for once and waited for."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from scaffold.errors import AuthError, NotFoundError, RateLimitError, RefusedError, ScaffoldError
from scaffold.github import errors
from scaffold.github.api import WRITE_PAUSE, GitHub
from scaffold.github.deadline import Deadline
from scaffold.github.errors import NetworkError
from scaffold.github.facts import remember
from scaffold.github.refusals import FORK, disabled, no_token
from scaffold.github.told import from_rest
from scaffold.repository import RepositoryName, parse_name
from scaffold.settings import Settings

FORK_SECONDS = 60.0
_REQUESTS_SECONDS = 90.0
_UNCLEAR_SECONDS = 10.0
_LONGEST_PAUSE = 8.0
_NEW_SECONDS = 60.0
_REQUESTS = 60

OnWait = Callable[[str, float], None]
"""Called before each pause with the fork's name and how many seconds have passed."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A fork of the user's.

    Attributes:
        repo: its `owner/name`; GitHub may have given it another name than its parent's.
        parent: the repository it was made from, under its name now.
        url: its page.
        status: whether it was there before.
        archived: whether the parent takes no more changes.
    """

    repo: str
    parent: str
    url: str
    status: Literal["created", "existing"]
    archived: bool = False


def fork(
    repo: str,
    settings: Settings,
    *,
    organization: str | None = None,
    on_wait: OnWait | None = None,
    limit: float = FORK_SECONDS,
) -> Fork:
    """The user's fork of a repository: the one that is there, or a new one, once it can be used.

    Args:
        repo: what to fork.
        settings: endpoints and token.
        organization: the account that gets the fork, if not the user's own.
        on_wait: called before each pause.
        limit: seconds to wait for a new fork.

    Raises:
        AuthError: not signed in, the token may not, or forking is disabled.
        NotFoundError: there is no such repository.
        RefusedError: another repository has the fork's name.
        RateLimitError: GitHub asks us to wait.
        ScaffoldError: the fork did not come to be within the limit, or whatever else goes wrong.
    """
    name = parse_name(repo)
    if organization is not None:
        parse_name(f"{organization}/{name.name}")
    if not settings.token:
        raise no_token(FORK)
    deadline = Deadline.after(limit + _REQUESTS_SECONDS)
    # Nothing that was told earlier counts: forks come and go within the life of an answer.
    with GitHub(settings, deadline, _REQUESTS, refresh=True, write_pause=WRITE_PAUSE) as github:
        try:
            return _Forking(github, on_wait or (lambda repo, seconds: None), limit).run(name, organization)
        except ScaffoldError as error:
            raise errors.without_offline(error) from None


class _Forking:
    """One fork on its way."""

    def __init__(self, github: GitHub, on_wait: OnWait, limit: float) -> None:
        self._github = github
        self._on_wait = on_wait
        self._limit = limit

    def run(self, asked: RepositoryName, organization: str | None) -> Fork:
        """As `fork`."""
        owner = organization or self._login()
        parent = self._repository(asked)
        source = self._name(parent)
        if source.owner.casefold() == owner.casefold():
            hint = f"To have it on your disk: scaffold clone {source}"
            raise ScaffoldError(f"{source} belongs to {owner}: nobody can fork what is their own", hint=hint)
        target = RepositoryName(owner, source.name)
        fork, created = self._look(target), False
        # Where GitHub tells of a fork but not whose it is, asking for it tells: it gives back the one that is there.
        if fork is None or not self._is_ours(fork, target, source):
            if parent.get("allow_forking") is False:
                raise disabled(source)
            was_there = fork is not None
            fork, is_new = self._made(source, target, organization)
            created = is_new and not was_there
        settings = self._github.settings
        repo = self._name(fork)
        facts = from_rest(fork)
        remember(settings, [(str(repo), facts)] if facts else [])
        url = f"{settings.server_url.rstrip('/')}/{repo}"
        status: Literal["created", "existing"] = "created" if created else "existing"
        return Fork(str(repo), str(source), url, status, archived=parent.get("archived") is True)

    def _made(
        self, source: RepositoryName, target: RepositoryName, organization: str | None
    ) -> tuple[dict[str, Any], bool]:
        """Ask for the fork, once. Returns it when it is there, and whether it is new."""
        body = {"organization": organization} if organization else {}
        try:
            headers, told = self._github.send("POST", f"/repos/{source}/forks", body)
            name = self._name(told)
            if name.owner.casefold() != target.owner.casefold():
                raise errors.garbled(self._github.settings.api_url, "another owner's fork")
        except AuthError as error:
            if organization:
                error.hint = (
                    f"{error.hint or ''} {organization} must be an organisation that lets you make repositories."
                )
            raise
        except NetworkError as error:
            # The answer is lost, not necessarily the fork: look for it, and never ask again blindly.
            fork = self._came(target, min(self._limit, _UNCLEAR_SECONDS))
            if fork is not None and self._is_ours(fork, target, source):
                return fork, True
            error.hint = f"It is not known whether {target} will appear. Run the same again: it looks first."
            raise
        fork = self._came(name, self._limit)
        if fork is None:
            raise ScaffoldError(
                f"{name} is not there after {self._limit:.0f} s: GitHub is still copying {source}",
                hint="Try again in a minute: the same command finds it.",
            )
        if _parent(fork) is not None:
            self._is_ours(fork, name, source)
        return fork, not _is_old(told.get("created_at"), headers.get("date", ""))

    def _came(self, name: RepositoryName, limit: float) -> dict[str, Any] | None:
        """A repository once it is there, or None where it is not within so many seconds."""
        began = time.monotonic()
        pause = min(1.0, limit / 4)
        while True:
            trouble = None
            try:
                if (there := self._look(name)) is not None:
                    return there
            except NetworkError as error:
                trouble = error
            except RateLimitError as error:
                error.hint = f"{name} was asked for; run the same again when the limit has ended: it looks first."
                raise
            passed = time.monotonic() - began
            if passed >= limit:
                if trouble:
                    trouble.hint = f"{name} was asked for. Run the same again: it looks first."
                    raise trouble
                return None
            self._on_wait(str(name), passed)
            time.sleep(min(pause, limit - passed))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _login(self) -> str:
        try:
            _, told = self._github.send("GET", "/user")
        except AuthError as error:
            error.hint = error.hint or "Set GITHUB_TOKEN to a personal access token: an app's has no account."
            raise
        login = told.get("login") if isinstance(told, dict) else None
        return self._name({"full_name": f"{login}/fork" if isinstance(login, str) else None}).owner

    def _repository(self, name: RepositoryName) -> dict[str, Any]:
        try:
            _, told = self._github.send("GET", f"/repos/{name}")
        except NotFoundError:
            hint = "Check the spelling; a private one needs a token that may see it."
            raise NotFoundError(f"GitHub has no repository {name}", hint=hint) from None
        return told if isinstance(told, dict) else {}

    def _look(self, name: RepositoryName) -> dict[str, Any] | None:
        try:
            return self._repository(name)
        except NotFoundError:
            return None

    def _name(self, told: Any) -> RepositoryName:
        try:
            return parse_name(told["full_name"])
        except (ScaffoldError, KeyError, TypeError, AttributeError):
            raise errors.garbled(self._github.settings.api_url, "an answer that means nothing") from None

    def _is_ours(self, there: dict[str, Any], name: RepositoryName, source: RepositoryName) -> bool:
        """Whether a repository is a fork of the source; False where it is one and GitHub does not say of what.

        Raises:
            RefusedError: it is something else.
        """
        parent = _parent(there)
        if there.get("fork") is not True and parent is None:
            hint = "Rename it on GitHub, or give the fork to another account with --org ORG."
            raise RefusedError(f"{name} is there and is no fork of {source}", hint=hint)
        if parent is None:
            return False
        if not self._name(parent).same_as(source):
            hint = "An account has one fork of a repository and its forks; --org ORG takes another account."
            raise RefusedError(f"{name} is a fork of {self._name(parent)}, not of {source}", hint=hint)
        return True


def _parent(there: dict[str, Any]) -> dict[str, Any] | None:
    parent = there.get("parent")
    return parent if isinstance(parent, dict) else None


def _is_old(created: Any, date: str) -> bool:
    """Whether a repository was there before it was asked for, by the server's own clock."""
    try:
        began = datetime.datetime.fromisoformat(created)
        return (parsedate_to_datetime(date) - began).total_seconds() > _NEW_SECONDS
    except (ValueError, TypeError):
        return False
