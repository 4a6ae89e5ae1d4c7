"""What the small GitHub of the tests knows of its users: their forks, which take a while to come, and their stars."""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, Any] | None, dict[str, str]]
_OLD = "2020-01-01T00:00:00Z"


def repository(name: str, **facts: Any) -> dict[str, Any]:
    """A repository as REST describes it."""
    return {
        "full_name": name,
        "name": name.split("/")[1],
        "description": None,
        "stargazers_count": 0,
        "license": None,
        "language": None,
        "archived": False,
        "pushed_at": "2026-10-01T00:00:00Z",
        "created_at": _OLD,
        "topics": [],
        "fork": False,
        "private": False,
        **facts,
    }


@dataclass
class Account:
    """One user.

    Attributes:
        scopes: what the classic token may; None for a fine-grained token.
        may: whether a fine-grained token has the permissions it needs.
    """

    login: str
    scopes: str | None = "repo"
    may: bool = True
    stars: set[str] = field(default_factory=set)

    def refused(self, permissions: str, status: int) -> Answer | None:
        """What a token without the scope or permission gets, as GitHub words it."""
        if self.scopes is None:
            if self.may:
                return None
            headers = {"X-Accepted-GitHub-Permissions": permissions}
            return 403, {"message": "Resource not accessible by personal access token"}, headers
        if {"repo", "public_repo"} & set(self.scopes.split(", ")):
            return None
        headers = {"X-OAuth-Scopes": self.scopes, "X-Accepted-OAuth-Scopes": "public_repo, repo"}
        return status, {"message": "Not Found" if status == 404 else "Must have admin rights"}, headers


class Accounts:
    """The users by their tokens, over the repositories of the server.

    Attributes:
        delay: how often one must look for a new fork until it is there; None is never.
        forks: fork name (lower case) → how often one must still look.
    """

    def __init__(self, repositories: dict[str, dict[str, Any]]) -> None:
        self.by_token: dict[str, Account] = {}
        self.delay: int | None = 0
        self._repositories = repositories
        self._coming: dict[str, int | None] = {}

    def add(self, token: str, login: str, **facts: Any) -> Account:
        """A user."""
        account = self.by_token[token] = Account(login, **facts)
        return account

    def add_fork(self, name: str, parent: str, **facts: Any) -> dict[str, Any]:
        """A fork that is there."""
        fork = repository(name, **{"fork": True, "parent": dict(self._repositories[parent.lower()]), **facts})
        self._repositories[name.lower()] = fork
        return fork

    def answer(self, method: str, path: str, token: str | None, body: str) -> Answer | None:
        """The answer to what belongs to users; None for everything else."""
        if method == "GET" and (found := re.fullmatch(r"/repos/([^/]+/[^/]+)", path)):
            return self._still_coming(found[1].lower())
        starred = re.fullmatch(r"/user/starred/([^/]+/[^/]+)", path)
        forked = re.fullmatch(r"/repos/([^/]+/[^/]+)/forks", path)
        if path != "/user" and not starred and not forked:
            return None
        account = self.by_token.get(token or "")
        if account is None:
            return 401, {"message": "Bad credentials"}, {}
        if starred:
            return self._star(account, method, starred[1].lower())
        if forked and method == "POST":
            return self._fork(account, forked[1].lower(), json.loads(body or "{}"))
        return (200, {"login": account.login, "email": "private@example.invalid"}, {}) if path == "/user" else None

    def _still_coming(self, name: str) -> Answer | None:
        if name not in self._coming:
            return None
        left = self._coming[name]
        if left == 0:
            del self._coming[name]
            return None
        self._coming[name] = None if left is None else left - 1
        return 404, {"message": "Not Found"}, {}

    def _star(self, account: Account, method: str, name: str) -> Answer:
        if refused := account.refused("starring=write,metadata=read", 404):
            return refused
        if name not in self._repositories:
            # Also here GitHub names the permission, which is not what is missing.
            headers = {"X-Accepted-GitHub-Permissions": "starring=write"} if account.scopes is None else {}
            return 404, {"message": "Not Found"}, headers
        (account.stars.add if method == "PUT" else account.stars.discard)(name)
        return 204, None, {}

    def _fork(self, account: Account, name: str, wanted: dict[str, Any]) -> Answer:
        if refused := account.refused("administration=write,contents=read", 403):
            return refused
        source = self._repositories[name]
        owner = wanted.get("organization", account.login)
        forks = [fork for fork in self._repositories.values() if fork["full_name"].split("/")[0] == owner]
        family = {name, source.get("parent", {}).get("full_name", "").lower()}
        there = [fork for fork in forks if fork.get("parent", {}).get("full_name", "").lower() in family]
        if there:
            return 202, there[0], {}
        taken = f"{owner}/{source['name']}".lower() in self._repositories
        new = f"{owner}/{source['name']}{'-1' if taken else ''}"
        fork = self.add_fork(new, name, created_at=datetime.datetime.now(datetime.UTC).isoformat())
        self._coming[new.lower()] = self.delay
        return 202, fork, {}
