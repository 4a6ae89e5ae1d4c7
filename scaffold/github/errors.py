"""What can go wrong with GitHub, each as one clear line."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from scaffold.errors import AuthError, NotFoundError, RateLimitError, ScaffoldError

_TOKEN_HINT = "Set GITHUB_TOKEN (or sign in with `gh auth login`): signed in you may ask far more often."

_OFFLINE = "; --offline asks no server"


class NetworkError(ScaffoldError):
    """GitHub could not be reached, or did not answer as it should.

    Attributes:
        passing: whether the next moment may bring a better answer.
    """

    passing = True


class TokenError(AuthError):
    """The token itself is at fault: whatever else is asked with it would fail in the same way."""


def unreachable(url: str, error: Exception) -> NetworkError:
    """No connection: no network, no such host, refused, a broken certificate."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    text = f"{error}".casefold()
    if "name or service" in text or "resolve" in text or "getaddrinfo" in text or "nodename" in text:
        reason = "its address could not be found"
    elif "refused" in text:
        reason = "the connection was refused"
    elif "certificate" in text or "ssl" in text:
        reason = "its certificate was not accepted"
    elif "timed out" in text or "timeout" in text:
        return late(url)
    else:
        reason = "the connection broke"
    return NetworkError(f"{host} could not be reached: {reason}", hint=f"Check the network{_OFFLINE}.")


def late(url: str) -> NetworkError:
    """The answer did not come in time."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    return NetworkError(f"{host} did not answer in time", hint=f"Try again later{_OFFLINE}.")


def cut(url: str) -> NetworkError:
    """An answer ended before its end."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    return NetworkError(f"{host} gave an answer that breaks off", hint=f"Try again later{_OFFLINE}.")


def garbled(url: str, what: str) -> NetworkError:
    """An answer came that is none."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    error = NetworkError(f"{host} gave {what}", hint="Is a proxy or a login page in between? Try again later.")
    error.passing = False
    return error


def from_graphql(url: str, told: Any, headers: Mapping[str, str]) -> ScaffoldError:
    """The error that an answer of GraphQL without any data means."""
    listed = [error for error in told if isinstance(error, dict)] if isinstance(told, list) else []
    kinds = {str(error.get("type", "")) for error in listed}
    text = " ".join(str(error.get("message", "")) for error in listed)
    if kinds & {"RATE_LIMITED", "RATE_LIMIT"} or "rate limit" in text.casefold():
        return _limit(_lower(headers), text, signed_in=True, search=False)
    if kinds & {"INSUFFICIENT_SCOPES", "FORBIDDEN"}:
        return AuthError("the token lacks a permission for this", hint="Renew GITHUB_TOKEN with leave to read.")
    return garbled(url, "no answer to a question about many repositories")


def from_status(
    url: str, status: int, headers: Mapping[str, str], body: str, *, signed_in: bool
) -> ScaffoldError | None:
    """The error that an HTTP status means, or None for an answer."""
    if status < 400:
        return None
    headers = _lower(headers)
    path = urlsplit(url).path
    limited = status == 429 or (
        status == 403
        and (
            headers.get("x-ratelimit-remaining") == "0"
            or "retry-after" in headers
            or "rate limit" in body.casefold()
            or "abuse" in body.casefold()
        )
    )
    if limited:
        return _limit(headers, body, signed_in=signed_in, search="/search/" in path)
    if status == 401:
        return TokenError("the token is not accepted", hint="Renew GITHUB_TOKEN, or unset it to ask without one.")
    if status == 403:
        if "x-github-sso" in headers:
            return unauthorised(headers["x-github-sso"])
        needed = headers.get("x-accepted-github-permissions") or headers.get("x-accepted-oauth-scopes")
        missing = f"; it needs {needed[:200]}" if needed else ""
        return AuthError(f"the permission for this is missing{missing}", hint=None if signed_in else _TOKEN_HINT)
    if status in (404, 410, 451):
        return NotFoundError(f"there is nothing at {path.removeprefix('/repos/')}")
    if status == 422:
        return ScaffoldError("the search was not understood", hint="Use fewer or plainer words.")
    if status >= 500:
        host = urlsplit(url).netloc
        return NetworkError(f"{host} has trouble (HTTP {status})", hint=f"Try again later{_OFFLINE}.")
    return NetworkError(f"HTTP {status} for {path}", hint="Try again later.")


def without_offline(error: ScaffoldError) -> ScaffoldError:
    """The same error for a command that has no `--offline`."""
    error.hint = error.hint and error.hint.replace(_OFFLINE, "")
    return error


def unauthorised(header: str) -> AuthError:
    """An organisation with single sign-on does not know the token; `X-GitHub-SSO` may say where that is mended."""
    address = header.partition("url=")[2].split(";")[0].strip()
    shown = address.startswith("https://") and address.isascii() and address.isprintable() and " " not in address
    where = address if shown and len(address) < 500 else "https://github.com/settings/tokens (Configure SSO)"
    return AuthError(
        "the permission for this is missing; its organisation wants the token to be authorised for single sign-on",
        hint=f"Authorise the token at {where}, then run the same again.",
    )


def _limit(headers: Mapping[str, str], body: str, *, signed_in: bool, search: bool) -> RateLimitError:
    wait = _seconds(headers)
    secondary = "secondary" in body.casefold() or "abuse" in body.casefold()
    limit = headers.get("x-ratelimit-limit", "")
    if not limit.isdigit() and search and not signed_in:
        limit = "10"
    if secondary:
        what = "the limit for many requests in a short time is reached"
    elif limit.isdigit():
        what = f"the limit of {limit[:9]} {'searches a minute' if search else 'requests an hour'} is used up"
    else:
        what = "the limit of requests is used up"
    when = ""
    if wait is not None:
        at = datetime.datetime.fromtimestamp(time.time() + wait).strftime("%H:%M")
        when = f"; it ends in {_span(wait)}, at {at}"
    hint = f"Try again then{_OFFLINE}." if when else "Try again in some minutes."
    if not signed_in:
        hint = f"{hint} {_TOKEN_HINT}"
    return RateLimitError(f"{what}{when}", hint=hint)


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds until one may ask again: at least 1, at most a day; None where it is not said."""
    after = headers.get("retry-after", "").strip()
    reset = headers.get("x-ratelimit-reset", "").strip()
    # Measured on the server's clock: this machine's may be hours off.
    now = _moment(headers.get("date", "")) or time.time()
    wait: float | None = None
    if after.isdecimal() and len(after) < 9:
        wait = float(after)
    elif moment := _moment(after):
        wait = moment - now
    elif reset.isdecimal() and len(reset) < 12:
        wait = int(reset) - now
    return None if wait is None else min(86_400.0, max(1.0, wait))


def _moment(text: str) -> float | None:
    """A date of HTTP as seconds since 1970."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {f"{name}".lower(): f"{value}" for name, value in headers.items()}


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
