"""Why GitHub refused to change something: which permission the token lacks, or what stands against it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from scaffold.errors import AuthError, NotFoundError, RateLimitError, ScaffoldError
from scaffold.github import errors
from scaffold.github.errors import NetworkError, TokenError

_READS = ("GET", "HEAD")
# A scope holds those that follow it.
_HOLDS = {"repo": ("public_repo",)}
_LONGEST = 200
_PERMISSION = re.compile(r"([a-z_]+)=(read|write|admin)")


class _Need(NamedTuple):
    """What a token must be allowed: `verb` says what for."""

    verb: str
    scope: str
    permission: str


STAR = _Need("star a repository", "public_repo", "the account permission “Starring” (read and write)")
FORK = _Need(
    "fork a repository",
    "public_repo",
    "the repository permissions “Administration” (read and write) and “Contents” (read-only) on the account that"
    " gets the fork",
)


def is_write(method: str | None, url: str) -> bool:
    """Whether a request changes something; GraphQL's POSTs from here only ask."""
    return method not in _READS and not urlsplit(url).path.endswith("/graphql")


def no_token(need: _Need) -> TokenError:
    """Nobody is signed in."""
    hint = f"Sign in with `gh auth login`, or set GITHUB_TOKEN to {_tokens(need)}."
    return TokenError(f"to {need.verb} you must be signed in", hint=hint)


def disabled(name: object) -> AuthError:
    """The owner lets nobody fork it."""
    hint = f"To have it on your disk all the same: scaffold clone {name}"
    return AuthError(f"{name} may not be forked: its owner has disabled that", hint=hint)


def from_write(url: str, status: int, headers: Mapping[str, str], body: str) -> ScaffoldError | None:
    """The error that the answer to a write means, or None where it was done."""
    error = errors.from_status(url, status, headers, body, signed_in=True)
    path = urlsplit(url).path
    starring = "/user/starred/" in path
    name = "/".join(path.removesuffix("/forks").rsplit("/", 2)[-2:])
    message = _message(body)
    if status in (400, 409, 422):
        said = f": {message}" if message else ""
        return ScaffoldError(f"GitHub refused {'the star for' if starring else 'a fork of'} {name}{said}")
    if error is None or isinstance(error, RateLimitError | NetworkError | TokenError):
        return error
    headers = {f"{name}".lower(): f"{value}" for name, value in headers.items()}
    if status in (403, 404, 410, 451):
        if "x-github-sso" in headers:
            return errors.unauthorised(headers["x-github-sso"])
        need = STAR if starring else FORK
        # GitHub names the permissions in every answer: one to a star's 404 may mean only that nothing is there.
        fine = status == 403 or not starring
        lacking = _lacking_scope(need, headers) or (_lacking_permission(need, headers) if fine else None)
        return _stands_against(name, message) or lacking or _unexplained(name, status, starring, message)
    return error


def _stands_against(name: str, message: str) -> ScaffoldError | None:
    """What GitHub says in words: about the repository, or about a kind of token that never may."""
    text = message.casefold()
    if "forking is disabled" in text or "forking is not" in text or "not allowed to be forked" in text:
        return disabled(name)
    if "no git content" in text or "empty repositor" in text:
        return ScaffoldError(f"{name} is empty: GitHub forks only what holds commits")
    if "blocked" in text:
        return AuthError(f"GitHub refused {name}: {message}")
    if "by integration" in text:
        return TokenError(
            "this token is that of an app or a workflow, which has no account of its own",
            hint="Set GITHUB_TOKEN to a personal access token.",
        )
    return None


def _lacking_scope(need: _Need, headers: Mapping[str, str]) -> TokenError | None:
    """The scope that a classic token lacks; only such a one has scopes."""
    if "x-oauth-scopes" not in headers:
        return None
    held = _scopes(headers["x-oauth-scopes"])
    wanted = _scopes(headers.get("x-accepted-oauth-scopes", "")) or {need.scope, "repo"}
    if held & wanted or any(set(_HOLDS.get(scope, ())) & wanted for scope in held):
        return None
    scope = need.scope if need.scope in wanted else min(wanted)
    return TokenError(
        f"the token may not {need.verb}: it lacks the scope {scope[:80]}",
        hint=f"Add that scope at https://github.com/settings/tokens, or: gh auth refresh --scopes {scope[:80]}",
    )


def _lacking_permission(need: _Need, headers: Mapping[str, str]) -> TokenError | None:
    """The permission that a fine-grained token lacks."""
    told = headers.get("x-accepted-github-permissions")
    if told is None:
        return None
    ways = [" and ".join(f"{name} ({level})" for name, level in _PERMISSION.findall(way)) for way in told.split(";")]
    named = " or ".join(filter(None, ways))[:_LONGEST]
    return TokenError(
        f"the token may not {need.verb}: it lacks a permission" + (f"; GitHub names {named}" if named else ""),
        hint=f"Give it {need.permission} at https://github.com/settings/personal-access-tokens.",
    )


def _unexplained(name: str, status: int, starring: bool, message: str) -> ScaffoldError:
    """Nothing says why. What the token would need is then the best advice."""
    if status != 403 and starring:
        hint = "Check the spelling; a private one needs a token that may see it."
        return NotFoundError(f"GitHub has no repository {name}", hint=hint)
    need = STAR if starring else FORK
    said = f" ({message})" if message and status == 403 else ""
    return AuthError(f"{name}: the permission to {need.verb} is missing{said}", hint=f"It takes {_tokens(need)}.")


def _tokens(need: _Need) -> str:
    return f"a classic token with the scope {need.scope}, or a fine-grained one with {need.permission}"


def _scopes(header: str) -> set[str]:
    return {scope.strip() for scope in header.split(",") if scope.strip()}


def _message(body: str) -> str:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    message = document.get("message") if isinstance(document, dict) else None
    return " ".join(message[:_LONGEST].split()) if isinstance(message, str) else ""
