"""GitHub over real HTTP, with its faults."""

from __future__ import annotations

import base64
import pickle
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from scaffold.errors import AuthError, NotFoundError, RateLimitError, RefusedError, ScaffoldError
from scaffold.github.api import GitHub
from scaffold.github.deadline import Deadline
from scaffold.github.errors import NetworkError
from scaffold.github.facts import cached_facts
from scaffold.settings import Settings
from tests.github_server import GitHubServer

CANARY = "ghp_c4n4ry+/=T0ken"


def _github(server: GitHubServer, token: str | None = CANARY, seconds: float = 5, **options: Any) -> GitHub:
    return GitHub(Settings(api_url=server.url, token=token), Deadline.after(seconds), **options)


def test_one_search_is_one_request_whatever_is_read_of_the_results(server: GitHubServer) -> None:
    github = _github(server)
    found = {facts.repo: facts for facts in github.search_repositories("nlp")}
    assert found["two/nlp-kit"].stars == 9000
    assert found["two/nlp-kit"].license == "MIT"
    assert found["two/odd"].license is None
    assert found["two/odd"].archived is True
    assert github.requests_made == len(server.requests) == 1


@pytest.mark.parametrize("token", [CANARY, None])
def test_the_second_equal_search_asks_nobody(server: GitHubServer, token: str | None) -> None:
    first = _github(server, token).search_repositories("nlp")
    again = _github(server, token)
    assert again.search_repositories("nlp") == first
    assert again.requests_made == 0
    assert len(server.requests) == 1


def test_refresh_asks_again(server: GitHubServer) -> None:
    _github(server).search_repositories("nlp")
    _github(server, refresh=True).search_repositories("nlp")
    assert len(server.requests) == 2


def test_nobody_sees_what_another_was_told(server: GitHubServer) -> None:
    server.private["alice"] = [
        {**server.repositories["two/odd"], "full_name": "alice/secret-nlp", "private": True, "name": "secret-nlp"}
    ]
    names = {
        token: {facts.repo for facts in _github(server, token).search_repositories("nlp")}
        for token in ("alice", "bob", None)
    }
    assert "alice/secret-nlp" in names["alice"]
    assert "alice/secret-nlp" not in names["bob"] | names[None]
    assert len(server.requests) == 3
    for token in ("bob", None):
        assert not cached_facts(Settings(api_url=server.url, token=token), ["alice/secret-nlp"])
    assert cached_facts(Settings(api_url=server.url, token="alice"), ["Alice/Secret-NLP"])


def test_facts_of_many_are_one_request_and_one_unknown_loses_nobody(server: GitHubServer) -> None:
    github = _github(server)
    found = github.facts(["one/awesome-nlp", "no/body", "Old/NLP-kit"])
    assert {asked: facts.repo for asked, facts in found.items()} == {
        "one/awesome-nlp": "one/awesome-nlp",
        "Old/NLP-kit": "two/nlp-kit",
    }
    assert github.requests_made == 1
    with pytest.raises(AuthError):
        _github(server, None).facts(["one/awesome-nlp"])


def test_a_renamed_repository_is_followed_and_an_unchanged_one_not_sent_again(server: GitHubServer) -> None:
    assert _github(server).repository("old/nlp-kit").repo == "two/nlp-kit"
    with pytest.raises(NotFoundError, match="no/body"):
        _github(server).repository("no/body")


RESET = {"X-RateLimit-Remaining": "0", "X-RateLimit-Limit": "10", "X-RateLimit-Reset": str(int(time.time()) + 2700)}
SECONDARY = '{"message": "You have exceeded a secondary rate limit."}'


@pytest.mark.parametrize(
    ("fault", "error", "text", "requests"),
    [
        ({"status": 403, "headers": RESET}, RateLimitError, "10 searches a minute is used up; it ends in", 1),
        ({"status": 403, "body": SECONDARY}, RateLimitError, "many requests in a short time", 1),
        ({"status": 429}, RateLimitError, "limit of requests", 1),
        ({"status": 429, "headers": {"Retry-After": "42"}}, RateLimitError, "it ends in 42 s", 1),
        ({"status": 401}, AuthError, "token is not accepted", 1),
        ({"status": 403, "body": '{"message": "no"}'}, AuthError, "permission", 1),
        ({"status": 422}, ScaffoldError, "not understood", 1),
        ({"status": 500}, NetworkError, "HTTP 500", 2),
        ({"status": 503}, NetworkError, "HTTP 503", 2),
        ({"status": 200, "body": "<html>", "headers": {"Content-Type": "text/html"}}, NetworkError, "web page", 2),
        ({"status": 200, "body": '{"items": ['}, NetworkError, "breaks off", 2),
        ({"status": 200, "body": ""}, NetworkError, "breaks off", 2),
        ({"status": 200, "body": "[]"}, NetworkError, "means nothing", 2),
        ({"kind": "cut"}, NetworkError, "breaks off", 2),
        ({"status": 302, "headers": {"Location": "http://localhost:1/x"}}, ScaffoldError, "", 1),
    ],
)  # fmt: skip
def test_every_fault_is_one_clear_error_and_few_requests(
    server: GitHubServer, fault: dict[str, Any], error: type[ScaffoldError], text: str, requests: int
) -> None:
    server.fail(**fault)
    with pytest.raises(error) as raised:
        _github(server).search_repositories("nlp")
    assert text in raised.value.message
    assert len(server.requests) == requests
    # The fault is over: so is the trouble, and nothing of it was kept.
    server.faults.clear()
    assert _github(server).search_repositories("nlp")


def test_a_result_with_an_unsafe_name_is_left_out(server: GitHubServer) -> None:
    server.fail(status=200, body='{"items": [{"full_name": "../x"}, {"full_name": "a/b"}]}', times=1)
    assert [facts.repo for facts in _github(server).search_repositories("nlp")] == ["a/b"]


@pytest.mark.parametrize("kind", ["trickle", "hang"])
def test_the_deadline_ends_what_would_not_end(server: GitHubServer, kind: str) -> None:
    server.fail(kind=kind)
    with pytest.raises(NetworkError, match="did not answer in time"):
        _github(server, seconds=0.8).search_repositories("nlp")


def test_one_bad_answer_is_asked_once_more(server: GitHubServer) -> None:
    server.fail(status=502, times=1)
    assert _github(server).search_repositories("nlp")
    assert len(server.requests) == 2


def test_redirects_without_end_stop_at_the_budget(server: GitHubServer) -> None:
    server.renamed["a/b"] = "a/b"
    with pytest.raises(ScaffoldError):
        _github(server, max_requests=5).repository("a/b")
    assert len(server.requests) <= 5


def test_another_host_gets_neither_token_nor_request(server: GitHubServer) -> None:
    with GitHubServer() as elsewhere:
        server.fail(status=301, headers={"Location": f"{elsewhere.url}/repos/a/b"}, body="{}", path="/repos")
        with pytest.raises((RefusedError, NetworkError)):
            _github(server).repository("two/nlp-kit")
        assert elsewhere.requests == []


def test_the_token_is_in_no_file_and_no_message(
    server: GitHubServer, isolated: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    messages = []
    for fault in ({}, {"status": 401}, {"status": 500}, {"status": 429}, {"kind": "cut"}):
        server.faults.clear()
        if fault:
            server.fail(**fault)
        try:
            _github(server).search_repositories(f"nlp {len(messages)}")
            _github(server).facts(["two/nlp-kit"])
        except ScaffoldError as error:
            messages.append(f"{error.message} {error.hint} {error.__cause__!r} {error.__context__!r}")
    assert all(request.token == CANARY for request in server.requests)
    written = b"".join(path.read_bytes() for path in isolated.rglob("*") if path.is_file())
    out, err = capfd.readouterr()
    said = f"{messages} {out} {err}".encode()
    for form in (CANARY.encode(), base64.b64encode(CANARY.encode()), quote(CANARY, safe="").encode()):
        assert form not in written
        assert form not in said
    assert isolated.joinpath("http").stat().st_mode & 0o77 == 0
    assert all(path.stat().st_mode & 0o77 == 0 for path in isolated.joinpath("http").iterdir())


@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated", "folder"])
def test_a_damaged_cache_is_no_trouble(server: GitHubServer, isolated: Path, damage: str) -> None:
    expected = _github(server).search_repositories("nlp")
    for path in isolated.joinpath("http").iterdir():
        content = path.read_bytes()
        path.unlink()
        if damage == "folder":
            path.mkdir()
        else:
            path.write_bytes({"empty": b"", "garbage": b"x" * 5000, "truncated": content[:5000]}[damage])
    assert _github(server).search_repositories("nlp") == expected
    assert cached_facts(Settings(api_url=server.url, token=CANARY), ["x/y"]) == {}


def test_a_planted_pickle_is_never_loaded(server: GitHubServer, isolated: Path, tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"

    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(sentinel), "w"))

    _github(server).search_repositories("nlp")
    (path,) = isolated.joinpath("http").glob("answers-*")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE responses SET value = ?", (pickle.dumps(Planted()),))
    assert _github(server).search_repositories("nlp")
    assert not sentinel.exists()


def test_many_at_once_share_the_cache(server: GitHubServer) -> None:
    failures: list[Exception] = []

    def search(number: int) -> None:
        try:
            assert _github(server).search_repositories(f"nlp {number % 2}") is not None
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_no_network_is_said_in_one_line() -> None:
    with pytest.raises(NetworkError, match="could not be reached"):
        GitHub(Settings(api_url="http://127.0.0.1:9"), Deadline.after(3)).search_repositories("nlp")
