"""Single files of public repositories, asked conditionally, never with a token."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Literal
from urllib.parse import quote, urljoin, urlsplit

import requests

from scaffold.errors import NotFoundError, RefusedError, ScaffoldError
from scaffold.github import errors
from scaffold.github.body import read_body
from scaffold.github.deadline import Deadline
from scaffold.github.watch import Watch, WatchedAdapter
from scaffold.repository import parse_name
from scaffold.settings import Settings

_CONNECT = 5.0
_READ = 10.0
_REDIRECTS = 4
_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file as it came.

    Attributes:
        repo: the repository's name now; another one than asked for where it was renamed.
    """

    status: Literal["fetched", "unchanged", "missing"]
    repo: str
    path: str
    content: bytes = b""
    etag: str | None = None


class RawFiles:
    """Files as `RAW_URL/OWNER/NAME/HEAD/PATH`. Threads may share it; each has a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.raw_url.rstrip("/")
        self._local = threading.local()
        self.requests_made = 0
        self._lock = threading.Lock()

    def fetch(self, repo: str, path: str, *, etag: str | None = None, deadline: Deadline) -> RawFile:
        """One file of a repository's default branch; one repetition when the connection breaks or the server fails.

        Raises:
            RateLimitError: the server asks us to wait.
            NetworkError: no answer, or none in time.
            RefusedError: a redirect to another host.
        """
        if {".", ".."} & set(path.split("/")):
            return RawFile("missing", repo, path)  # no file has such a name, and a server might look elsewhere
        url = f"{self._base}/{parse_name(repo)}/HEAD/{quote(path)}"
        for left in (1, 0):
            try:
                return self._fetch(url, repo, path, etag, deadline)
            except errors.NetworkError as error:
                if not left or not error.passing or deadline.remaining() < 1:
                    raise
        raise AssertionError("unreachable")

    def _fetch(self, url: str, repo: str, path: str, etag: str | None, deadline: Deadline) -> RawFile:
        for _ in range(_REDIRECTS):
            with Watch(deadline):
                response = self._get(url, etag, deadline)
                if response.status_code not in (301, 302, 307, 308):
                    return self._answer(response, url, repo, path, etag, deadline)
                response.close()
            url, repo = self._moved(url, response.headers.get("Location", ""), repo)
        raise errors.garbled(url, "redirects without end")

    def _moved(self, url: str, location: str, repo: str) -> tuple[str, str]:
        """The next address and the repository's name in it."""
        base = urlsplit(self._base)
        try:
            url = urljoin(url, location)
            parts = urlsplit(url)
        except ValueError:
            raise errors.garbled(self._base, "an address that is none") from None
        if (parts.scheme, parts.netloc.lower()) != (base.scheme, base.netloc.lower()):
            raise RefusedError(f"{repo}: sent on to another host ({parts.netloc}), where we do not go")
        names = parts.path.removeprefix(base.path).strip("/").split("/")
        try:
            return url, str(parse_name("/".join(names[:2])))
        except ScaffoldError:
            raise errors.garbled(url, "an address that is no repository's") from None

    def _answer(
        self, response: requests.Response, url: str, repo: str, path: str, etag: str | None, deadline: Deadline
    ) -> RawFile:
        body = read_body(response, deadline, url)  # an empty one too: only then is the connection used again
        if response.status_code == 304 and etag:
            return RawFile("unchanged", repo, path, etag=etag)
        # Files are asked for without a token, so that signing in is no remedy.
        error = errors.from_status(
            url, response.status_code, response.headers, body[:2000].decode("utf-8", "replace"), signed_in=True
        )
        if isinstance(error, NotFoundError):
            return RawFile("missing", repo, path)
        if error:
            raise error
        if response.status_code != 200:
            raise errors.garbled(url, f"HTTP {response.status_code}")
        if "html" in response.headers.get("Content-Type", "").lower() and _PAGE.match(body):
            raise errors.garbled(url, "a web page instead of a file")
        tag = response.headers.get("ETag", "")
        # It is kept and sent back: only what a tag can look like.
        usable = tag.isascii() and tag.isprintable() and 0 < len(tag) <= 256
        return RawFile("fetched", repo, path, body, tag if usable else None)

    def _get(self, url: str, etag: str | None, deadline: Deadline) -> requests.Response:
        if deadline.expired:
            raise errors.late(url)
        with self._lock:
            self.requests_made += 1
        left = deadline.remaining()
        try:
            return self._session().get(
                url,
                headers={"If-None-Match": etag} if etag else {},
                timeout=(min(_CONNECT, left), min(_READ, left)),
                stream=True,
                allow_redirects=False,
            )
        except ValueError:  # requests looks at a redirect's address before we do
            raise errors.garbled(self._base, "an address that is none") from None
        except (requests.RequestException, OSError) as error:
            late = deadline.expired or isinstance(error, requests.Timeout)
            raise (errors.late(url) if late else errors.unreachable(url, error)) from None

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.auth = lambda request: request  # anything but None keeps .netrc out
            session.headers["User-Agent"] = "scaffold"
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
            session.mount("https://", WatchedAdapter())
            session.mount("http://", WatchedAdapter())
        return session
