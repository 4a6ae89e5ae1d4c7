"""Single files of public repositories, asked conditionally, never with a token."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urljoin, urlsplit

import requests

from scaffold.errors import NotFoundError, RefusedError
from scaffold.github import errors
from scaffold.github.deadline import Deadline
from scaffold.github.session import read_body
from scaffold.settings import Settings

_CONNECT = 5.0
_READ = 10.0
_REDIRECTS = 4


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
        url = f"{self._base}/{repo}/HEAD/{quote(path)}"
        for left in (1, 0):
            try:
                return self._fetch(url, repo, path, etag, deadline)
            except errors.NetworkError:
                if not left or deadline.remaining() < 1:
                    raise
        raise AssertionError("unreachable")

    def _fetch(self, url: str, repo: str, path: str, etag: str | None, deadline: Deadline) -> RawFile:
        base = urlsplit(self._base)
        for _ in range(_REDIRECTS):
            response = self._get(url, etag, deadline)
            if response.status_code in (301, 302, 307, 308):
                url = urljoin(url, response.headers.get("Location", ""))
                response.close()
                parts = urlsplit(url)
                if (parts.scheme, parts.netloc) != (base.scheme, base.netloc):
                    raise RefusedError(f"{repo}: sent on to another host ({parts.netloc}), where we do not go")
                names = parts.path.removeprefix(base.path).strip("/").split("/")
                if len(names) > 2:
                    repo = f"{names[0]}/{names[1]}"
                continue
            return self._answer(response, url, repo, path, etag, deadline)
        raise errors.garbled(url, "redirects without end")

    def _answer(
        self, response: requests.Response, url: str, repo: str, path: str, etag: str | None, deadline: Deadline
    ) -> RawFile:
        if response.status_code == 304:
            response.close()
            return RawFile("unchanged", repo, path, etag=etag)
        body = read_body(response, deadline, url)
        error = errors.from_status(
            url, response.status_code, response.headers, body[:2000].decode("utf-8", "replace"), signed_in=False
        )
        if isinstance(error, NotFoundError):
            return RawFile("missing", repo, path)
        if error:
            raise error
        if response.status_code != 200:
            raise errors.garbled(url, f"HTTP {response.status_code}")
        return RawFile("fetched", repo, path, body, response.headers.get("ETag"))

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
        except requests.Timeout:
            raise errors.late(url) from None
        except (requests.RequestException, OSError) as error:
            raise errors.unreachable(url, error) from None

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.auth = lambda request: request  # anything but None keeps .netrc out
            session.headers["User-Agent"] = "scaffold"
        return session
