"""Where a repository has moved to: git itself follows no redirect, as that could lead to a host nobody allowed."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urljoin, urlsplit

from scaffold.errors import RefusedError, ScaffoldError
from scaffold.repository import parse_spec
from scaffold.settings import Settings

_SECONDS = 20.0
_MOST = 4
_LISTING = "/info/refs?service=git-upload-pack"


class _Standing(urllib.request.HTTPRedirectHandler):
    """Goes nowhere by itself."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


def resolve(url: str, settings: Settings) -> str | None:
    """The address that a repository's server sends us to, step by step; None where it cannot be told.

    Args:
        url: an https (or the server's own http) address that `scaffold.repository` built.
        settings: which hosts are allowed, and the token for the server's own.

    Raises:
        RefusedError: the way leads to a host that is not allowed.
    """
    opener = urllib.request.build_opener(_Standing)
    now = url
    for _ in range(_MOST):
        location = _location(opener, now, settings)
        if location is None:
            break
        there = urljoin(now + _LISTING, location)
        try:
            now = parse_spec(
                there.partition("/info/refs")[0], server_url=settings.server_url, allowed_hosts=settings.allowed_hosts
            ).url
        except RefusedError:
            host = urlsplit(there).netloc.rpartition("@")[2]
            raise RefusedError(
                f"{url} sends us on to {host or 'another address'}, which is not a host that scaffold may talk to",
                hint="allow a host you trust with SCAFFOLD_ALLOWED_HOSTS=host",
            ) from None
        except ScaffoldError:
            return None
    return now if now != url else None


def _location(opener: urllib.request.OpenerDirector, url: str, settings: Settings) -> str | None:
    request = urllib.request.Request(url + _LISTING, headers={"User-Agent": "git/scaffold"})
    if settings.token and url.startswith(f"{settings.server_url.rstrip('/')}/"):
        word = base64.b64encode(f"x-access-token:{settings.token}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {word}")
    try:
        with opener.open(request, timeout=_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return error.headers.get("Location") if error.code in (301, 302, 303, 307, 308) else None
    except (OSError, ValueError):
        return None
