"""The HTTP session: a cache for each identity, the token to one host only, one deadline and one budget of requests."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import requests_cache
from requests.adapters import HTTPAdapter
from requests.models import PreparedRequest, Response
from requests_cache import CachedSession
from requests_cache.backends.sqlite import SQLiteCache

from scaffold.errors import RefusedError, ScaffoldError
from scaffold.github import errors
from scaffold.github.deadline import Deadline
from scaffold.github.facts import identity, private_folder
from scaffold.settings import Settings

MAX_BODY = 20_000_000
_CONNECT = 5.0
_READ = 8.0
_RETRIES = 1
_SEARCH_LIVES = 3600
_OTHERS_LIVE = 300
_CHUNK = 65_536


@dataclass
class Budget:
    """How many requests may leave, and how many have left."""

    limit: int
    used: int = 0


class GuardedAdapter(HTTPAdapter):
    """Sends a request with the token added at the last moment and taken away again, so that no cache sees it.

    Whatever comes back is read whole within the deadline; what is no answer is raised as an error of the family.
    """

    def __init__(self, settings: Settings, deadline: Deadline | None, budget: Budget) -> None:
        super().__init__(max_retries=0)
        self._settings = settings
        self._deadline = deadline or Deadline.after(3600)
        self._budget = budget
        api = urlsplit(settings.api_url)
        self._host = (api.scheme, api.netloc.lower())

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """One request and at most one repetition, of a GET only.

        Raises:
            ScaffoldError: of the family, for everything that is not an answer.
        """
        url = request.url or ""
        parts = urlsplit(url)
        if (parts.scheme, _authority(parts.netloc, parts.scheme)) != (
            self._host[0],
            _authority(self._host[1], self._host[0]),
        ):
            raise RefusedError(f"GitHub sent us on to another host ({parts.netloc}), where we do not go")
        for left in range(_RETRIES if request.method == "GET" else 0, -1, -1):
            try:
                return self._once(request, url)
            except errors.NetworkError:
                if not left or self._deadline.remaining() < 1:
                    raise
        raise AssertionError("unreachable")

    def _once(self, request: PreparedRequest, url: str) -> Response:
        if self._budget.used >= self._budget.limit:
            raise ScaffoldError(f"more than {self._budget.limit} requests would be needed")
        if self._deadline.expired:
            raise errors.late(url)
        self._budget.used += 1
        sent = request.copy()
        if self._settings.token:
            sent.headers["Authorization"] = f"Bearer {self._settings.token}"
        timeout = (min(_CONNECT, self._deadline.remaining()), min(_READ, self._deadline.remaining()))
        try:
            response = super().send(sent, stream=True, timeout=timeout)
        except requests.Timeout:
            raise errors.late(url) from None
        except (requests.RequestException, OSError) as error:
            raise errors.unreachable(url, error) from None
        body = read_body(response, self._deadline, url)
        response._content = body  # what `response.content` would have read
        response._content_consumed = True  # type: ignore[attr-defined]
        response.request = request
        for name in ("Set-Cookie", "Vary"):
            response.headers.pop(name, None)
        self._check(response, url, body)
        return response

    def _check(self, response: Response, url: str, body: bytes) -> None:
        text = body[:4000].decode("utf-8", "replace") if response.status_code >= 400 else ""
        error = errors.from_status(
            url, response.status_code, response.headers, text, signed_in=bool(self._settings.token)
        )
        if error:
            raise error
        if response.status_code in (302, 303, 307, 308):
            response.status_code = 301  # PyGithub follows this one
        if response.status_code == 200:
            if "json" not in response.headers.get("Content-Type", "").lower():
                raise errors.garbled(url, "a web page instead of data")
            try:
                document = json.loads(body)
            except ValueError:
                raise errors.garbled(url, "an answer that breaks off") from None
            if not isinstance(document, dict) or ("/search/" in url and not isinstance(document.get("items"), list)):
                raise errors.garbled(url, "an answer that means nothing")


def read_body(response: Response, deadline: Deadline, url: str) -> bytes:
    """The whole body, read as it comes, so that a trickle ends with the deadline.

    Raises:
        NetworkError: too late, too long, or cut off.
    """
    raw = response.raw
    parts: list[bytes] = []
    length = 0
    try:
        while True:
            if deadline.expired:
                raise errors.late(url)
            part = raw.read1(_CHUNK, decode_content=True)
            if not part:
                break
            parts.append(part)
            length += len(part)
            if length > MAX_BODY:
                raise errors.garbled(url, f"more than {MAX_BODY // 1_000_000} MB")
    except errors.NetworkError:
        raise
    except Exception as error:  # urllib3 and http.client have a dozen for a body that breaks off
        if "timed out" in str(error).casefold():
            raise errors.late(url) from None
        raise errors.garbled(url, "an answer that breaks off") from None
    finally:
        raw.close()
    expected = response.headers.get("Content-Length", "")
    if expected.isdigit() and "Content-Encoding" not in response.headers and length < int(expected):
        raise errors.garbled(url, "an answer that breaks off")
    return b"".join(parts)


def _authority(netloc: str, scheme: str) -> str:
    netloc = netloc.lower()
    default = ":443" if scheme == "https" else ":80"
    return netloc.removesuffix(default)


def open_session(
    settings: Settings, deadline: Deadline | None, budget: Budget, *, refresh: bool = False
) -> requests.Session:
    """A session with this identity's cache; without a cache where it cannot be opened."""
    session = _cached_session(settings, refresh=refresh) or requests.Session()
    adapter = GuardedAdapter(settings, deadline, budget)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.auth = lambda request: request  # anything but None keeps .netrc out
    session.headers.pop("Cookie", None)
    return session


class _PatientSession(CachedSession):
    """A cached session that goes on without its cache where that fails."""

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Any:
        try:
            return super().send(request, *args, **options)
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, requests.RequestException):
                raise
            options.pop("expire_after", None)
            return requests.Session.send(self, request, **options)


def _cached_session(settings: Settings, *, refresh: bool) -> requests.Session | None:
    try:
        path = private_folder() / f"answers-{identity(settings)}.sqlite3"
        for _ in range(2):
            if not path.exists():
                path.touch(mode=0o600)
            try:
                return _open(path.as_posix(), refresh=refresh)
            except sqlite3.OperationalError:
                return None
            except sqlite3.DatabaseError:
                path.unlink(missing_ok=True)
    except OSError:
        return None
    return None


def _open(path: str, *, refresh: bool) -> requests.Session:
    # JSON, never pickle: who can write the file must not be able to run code through it.
    backend = SQLiteCache(path, serializer=requests_cache.json_serializer, busy_timeout=2000)
    session = _PatientSession(
        backend=backend,
        urls_expire_after={"*/search/*": _SEARCH_LIVES, "*": _OTHERS_LIVE},
        allowable_methods=("GET",),
        allowable_codes=(200,),
        stale_if_error=False,
    )
    backend.responses.get("a key, to see that the file can be read")
    if refresh:
        session.settings.expire_after = 0
        session.cache.clear()  # type: ignore[no-untyped-call]
    return session
