"""What can go wrong with GitHub, each as one clear line."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from scaffold.errors import AuthError, NotFoundError, RateLimitError, ScaffoldError

_TOKEN_HINT = "Set GITHUB_TOKEN (or sign in with `gh auth login`): signed in you may ask far more often."


class NetworkError(ScaffoldError):
    """GitHub could not be reached, or did not answer as it should."""


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
    return NetworkError(f"{host} could not be reached: {reason}", hint="Check the network; --offline asks no server.")


def late(url: str) -> NetworkError:
    """The answer did not come in time."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    return NetworkError(f"{host} did not answer in time", hint="Try again later; --offline asks no server.")


def garbled(url: str, what: str) -> NetworkError:
    """An answer came that is none."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    return NetworkError(f"{host} gave {what}", hint="Is a proxy or a login page in between? Try again later.")


def from_status(
    url: str, status: int, headers: Mapping[str, str], body: str, *, signed_in: bool
) -> ScaffoldError | None:
    """The error that an HTTP status means, or None for an answer."""
    if status < 400:
        return None
    path = urlsplit(url).path
    limited = status == 429 or (
        status == 403
        and (
            headers.get("X-RateLimit-Remaining") == "0"
            or "Retry-After" in headers
            or "rate limit" in body.casefold()
            or "abuse" in body.casefold()
        )
    )
    if limited:
        return _limit(headers, body, signed_in=signed_in, search="/search/" in path)
    if status == 401:
        return AuthError("the token is not accepted", hint="Renew GITHUB_TOKEN, or unset it to ask without one.")
    if status == 403:
        needed = headers.get("X-Accepted-GitHub-Permissions") or headers.get("X-Accepted-OAuth-Scopes")
        missing = f"; it needs {needed}" if needed else ""
        return AuthError(f"the permission for this is missing{missing}", hint=None if signed_in else _TOKEN_HINT)
    if status in (404, 410, 451):
        return NotFoundError(f"there is nothing at {path.removeprefix('/repos/')}")
    if status == 422:
        return ScaffoldError("the search was not understood", hint="Use fewer or plainer words.")
    if status >= 500:
        host = urlsplit(url).netloc
        return NetworkError(f"{host} has trouble (HTTP {status})", hint="Try again later; --offline asks no server.")
    return NetworkError(f"HTTP {status} for {path}", hint="Try again later.")


def _limit(headers: Mapping[str, str], body: str, *, signed_in: bool, search: bool) -> RateLimitError:
    wait = _seconds(headers)
    secondary = "secondary" in body.casefold() or "abuse" in body.casefold()
    limit = headers.get("X-RateLimit-Limit", "")
    if secondary:
        what = "the limit for many requests in a short time is reached"
    elif limit.isdigit():
        what = f"the limit of {limit} {'searches a minute' if search else 'requests an hour'} is used up"
    else:
        what = "the limit of requests is used up"
    when = ""
    if wait is not None:
        at = datetime.datetime.fromtimestamp(time.time() + wait).strftime("%H:%M")
        when = f"; it ends in {_span(wait)}, at {at}"
    hint = "Try again then; --offline asks no server." if when else "Try again in some minutes."
    if not signed_in:
        hint = f"{hint} {_TOKEN_HINT}"
    return RateLimitError(f"{what}{when}", hint=hint)


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds until one may ask again: at least 1, at most a day; None where it is not said."""
    after = headers.get("Retry-After", "")
    if after.isdigit():
        return float(min(86_400, max(1, int(after))))
    reset = headers.get("X-RateLimit-Reset", "")
    if reset.isdigit():
        return min(86_400.0, max(1.0, int(reset) - time.time()))
    return None


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
