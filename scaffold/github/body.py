"""Reading an answer's body: whole, not too long, and in time."""

from __future__ import annotations

import requests

from scaffold.github import errors
from scaffold.github.deadline import Deadline

MAX_BODY = 20_000_000
_CHUNK = 65_536
_WITHOUT_BODY = (204, 304)


def read_body(response: requests.Response, deadline: Deadline, url: str) -> bytes:
    """The whole body, decoded.

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
        if deadline.expired or "timed out" in str(error).casefold():
            raise errors.late(url) from None
        raise errors.cut(url) from None
    finally:
        raw.close()
    if deadline.expired:  # a chunked body that was ended in its middle can look whole
        raise errors.late(url)
    expected = response.headers.get("Content-Length", "")
    if response.status_code in _WITHOUT_BODY:
        return b""  # its length is that of the file that was not sent
    if expected.isdigit() and "Content-Encoding" not in response.headers and length < int(expected):
        raise errors.cut(url)
    return b"".join(parts)
