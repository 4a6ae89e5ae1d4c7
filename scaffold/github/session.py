"""The HTTP session: a cache for each identity, the token to one host only, one deadline and one budget of requests."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.models import PreparedRequest, Response
from requests_cache import DO_NOT_CACHE, CachedSession

from scaffold.errors import RefusedError, ScaffoldError
from scaffold.github import errors
from scaffold.github.answers import STATUSES, AnswerCache
from scaffold.github.body import read_body
from scaffold.github.deadline import Deadline
from scaffold.github.keeping import file_of
from scaffold.github.refusals import from_write, is_write
from scaffold.github.watch import Watch, WatchedAdapter
from scaffold.settings import Settings

_CONNECT = 5.0
_READ = 8.0
_RETRIES = 1
_REDIRECTS = 4
_SEARCH_LIVES = 3600
_OTHERS_LIVE = 300
_MOVED = (301, 302, 303, 307, 308)
# What a request that changes something is answered with; 302 and 303 would have it asked again as another one.
_WRITTEN = {"POST": (200, 201, 202), "PUT": (204,), "DELETE": (204,)}
_WRITE_MOVED = (301, 307, 308)
# An unreadable answer in the cache is simply asked for again; nobody needs to read of it.
logging.getLogger("requests_cache").addHandler(logging.NullHandler())
logging.getLogger("requests_cache").propagate = False


@dataclass
class Budget:
    """How many requests may leave, and how many have left."""

    limit: int
    used: int = 0


class GuardedAdapter(WatchedAdapter):
    """Sends a request with the token added at the last moment and taken away again, so that no cache sees it.

    Whatever comes back is read whole within the deadline; what is no answer is raised as an error of the family.
    """

    def __init__(self, settings: Settings, deadline: Deadline, budget: Budget) -> None:
        super().__init__(max_retries=0)
        self._settings = settings
        self._deadline = deadline
        self._budget = budget
        self._host = _host(settings.api_url)

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """One request and at most one repetition, of a GET only.

        Raises:
            ScaffoldError: of the family, for everything that is not an answer.
        """
        url = request.url or ""
        self._refuse_others(url)
        # What the environment says of proxies and certificates; how long to wait is ours to say.
        ways: dict[str, Any] = {name: options[name] for name in ("verify", "cert", "proxies") if name in options}
        for left in range(_RETRIES if request.method == "GET" else 0, -1, -1):
            try:
                return self._once(request, url, ways)
            except errors.NetworkError as error:
                if not left or not error.passing or self._deadline.remaining() < 1:
                    raise
        raise AssertionError("unreachable")

    def _refuse_others(self, url: str) -> None:
        try:
            host = _host(url)
        except ValueError:
            raise errors.garbled(self._settings.api_url, "an address that is none") from None
        if host != self._host:
            raise RefusedError(f"GitHub sent us on to another host ({host[1]}), where we do not go")

    def _once(self, request: PreparedRequest, url: str, ways: dict[str, Any]) -> Response:
        if self._budget.used >= self._budget.limit:
            raise ScaffoldError(f"more than {self._budget.limit} requests to GitHub would be needed")
        if self._deadline.expired:
            raise errors.late(url)
        self._budget.used += 1
        sent = request.copy()
        if self._settings.token:
            sent.headers["Authorization"] = f"Bearer {self._settings.token}"
        left = self._deadline.remaining()
        with Watch(self._deadline):
            try:
                response = super().send(sent, stream=True, timeout=(min(_CONNECT, left), min(_READ, left)), **ways)
            except (requests.RequestException, OSError) as error:
                late = self._deadline.expired or isinstance(error, requests.Timeout)
                raise (errors.late(url) if late else errors.unreachable(url, error)) from None
            body = read_body(response, self._deadline, url)
        response._content = body  # what `response.content` would have read
        response._content_consumed = True  # type: ignore[attr-defined]
        response.request = request
        response.cookies.clear()
        for name in ("Set-Cookie", "Vary"):
            response.headers.pop(name, None)
        self._check(response, url, body)
        return response

    def _check(self, response: Response, url: str, body: bytes) -> None:
        text = body[:4000].decode("utf-8", "replace") if response.status_code >= 400 else ""
        writes = is_write(response.request.method, url)
        if writes:
            error = from_write(url, response.status_code, response.headers, text)
        else:
            signed_in = bool(self._settings.token)
            error = errors.from_status(url, response.status_code, response.headers, text, signed_in=signed_in)
        if error:
            raise error
        if response.status_code in (_WRITE_MOVED if writes else _MOVED):
            self._refuse_others(urljoin(url, response.headers.get("Location", "")))
            response.status_code = 301  # PyGithub follows this one
            return
        known = response.status_code == 304 and "If-None-Match" in response.request.headers
        if response.status_code in (_WRITTEN.get(response.request.method or "", ()) if writes else (200,)):
            if response.status_code != 204:
                _check_document(url, response, body)
        elif writes or not known:
            # PyGithub would sleep over a 202 to a GET and ask again.
            raise errors.garbled(url, "an answer that means nothing")


def _check_document(url: str, response: Response, body: bytes) -> None:
    """Raises where an answer that should hold data holds something else."""
    if "json" not in response.headers.get("Content-Type", "").lower():
        raise errors.garbled(url, "a web page instead of data")
    try:
        document = json.loads(body)
    except ValueError:
        raise errors.cut(url) from None
    except RecursionError:
        document = None
    if not isinstance(document, dict) or ("/search/" in url and not isinstance(document.get("items"), list)):
        raise errors.garbled(url, "an answer that means nothing")


def open_session(settings: Settings, deadline: Deadline, budget: Budget, *, refresh: bool = False) -> requests.Session:
    """A session with this identity's cache; `refresh` asks anew and keeps the new answers."""
    session = _Session(
        refresh,
        backend=AnswerCache(file_of(settings, "answers")),
        # Who is asking is nobody's to read in a file.
        urls_expire_after={"*/user": DO_NOT_CACHE, "*/search/*": _SEARCH_LIVES, "*": _OTHERS_LIVE},
        allowable_methods=("GET",),
        allowable_codes=STATUSES,
        stale_if_error=False,
    )
    adapter = GuardedAdapter(settings, deadline, budget)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.auth = lambda request: request  # anything but None keeps .netrc out
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return session


class _Session(CachedSession):
    """A cached session that goes along with a few redirects in a row, wherever they come from."""

    def __init__(self, anew: bool, **options: Any) -> None:
        super().__init__(**options)
        self._anew = anew
        self._hops = 0

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Any:
        if self._anew:
            options["force_refresh"] = True
        response = super().send(request, *args, **options)
        self._hops = self._hops + 1 if response.status_code == 301 else 0
        if self._hops > _REDIRECTS:
            raise errors.garbled(request.url or "", "redirects without end")
        return response


def _host(url: str) -> tuple[str, str]:
    """Scheme and host with its port, each in one way of writing.

    Raises:
        ValueError: the address is none.
    """
    parts = urlsplit(url)
    default = ":443" if parts.scheme == "https" else ":80"
    return parts.scheme, parts.netloc.lower().removesuffix(default)
