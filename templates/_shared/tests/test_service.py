"""Whatever is served: on this computer only, and nothing is read that is too large or does not say how large it is."""

from __future__ import annotations

import argparse
import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runtime.service import answer_requests, curl, new_app, read_arguments

pytest.importorskip("fastapi", reason="python serve.py needs fastapi")
uvicorn = pytest.importorskip("uvicorn", reason="python serve.py needs uvicorn")

MOST = 100  # bytes
Post = Callable[..., int]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where a service listens that takes whatever it is sent."""
    app = new_app("anything", MOST)

    @app.post("/")
    def take(asked: dict[str, str]) -> dict[str, str]:
        return asked

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture
def post(port: int) -> Post:
    """post(body): the status of the answer."""

    def posted(body: Any, **options: bool) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/", body, {"content-type": "application/json"}, **options)
        return connection.getresponse().status

    return posted


def of_size(size: int) -> bytes:
    return b'{"text": "' + b"x" * (size - 12) + b'"}'


def test_a_request_may_be_so_large_and_no_larger(post: Post) -> None:
    assert len(of_size(MOST)) == MOST
    assert [post(of_size(size)) for size in (MOST, MOST + 1)] == [200, 413]


def test_a_request_without_its_size_is_refused(post: Post) -> None:
    """In chunks, it could go on without end."""
    assert post(iter([of_size(50)]), encode_chunked=True) == 413


def test_others_do_not_reach_it_unless_somebody_wants_that(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **settings: heard.update(settings))
    for argv, host, port in (([], "127.0.0.1", 8000), (["--host", "0.0.0.0", "--port", "80"], "0.0.0.0", 80)):
        arguments = read_arguments(argparse.ArgumentParser(), argv)
        answer_requests(None, arguments.host, arguments.port)
        assert (heard["host"], heard["port"]) == (host, port)


@pytest.mark.parametrize("port", ["65536", "-1"])
def test_a_port_that_cannot_be_is_explained(capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit):
        read_arguments(argparse.ArgumentParser(), ["--port", port])
    assert f"--port must be from 0 to 65535, not {port}" in capsys.readouterr().err


@pytest.mark.parametrize(("system", "name"), [("nt", "curl.exe"), ("posix", "curl")])
def test_curl_is_called_as_powershell_finds_it(monkeypatch: pytest.MonkeyPatch, system: str, name: str) -> None:
    monkeypatch.setattr(os, "name", system)
    assert curl() == name
