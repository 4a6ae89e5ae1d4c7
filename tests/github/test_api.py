"""GitHub over real HTTP, with its faults."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from scaffold.errors import AuthError, NotFoundError, RateLimitError, RefusedError, ScaffoldError
from scaffold.github import errors
from scaffold.github.api import GitHub
from scaffold.github.deadline import Deadline
from scaffold.github.errors import NetworkError
from scaffold.github.facts import RepositoryFacts, cached_facts
from scaffold.github.session import Budget, open_session
from scaffold.github.told import from_rest
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


def test_a_renamed_repository_is_followed_and_is_not_asked_for_twice(server: GitHubServer) -> None:
    assert _github(server).repository("old/nlp-kit").repo == "two/nlp-kit"
    again = _github(server)
    assert again.repository("old/nlp-kit").stars == 9000
    assert again.requests_made == 0
    with pytest.raises(NotFoundError, match="no/body"):
        _github(server).repository("no/body")


RESET = {"X-RateLimit-Remaining": "0", "X-RateLimit-Limit": "10", "X-RateLimit-Reset": str(int(time.time()) + 2700)}
SECONDARY = '{"message": "You have exceeded a secondary rate limit."}'


@pytest.mark.parametrize(
    ("fault", "error", "text", "count"),
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
        ({"status": 200, "body": "<html>", "headers": {"Content-Type": "text/html"}}, NetworkError, "web page", 1),
        ({"status": 200, "body": '{"items": ['}, NetworkError, "breaks off", 2),
        ({"status": 200, "body": ""}, NetworkError, "breaks off", 2),
        ({"status": 200, "body": "[]"}, NetworkError, "means nothing", 1),
        ({"kind": "cut"}, NetworkError, "breaks off", 2),
        ({"status": 200, "body": "[" * 100_000}, NetworkError, "means nothing", 1),
        ({"status": 302, "headers": {"Location": "http://localhost:1/x"}}, RefusedError, "another host", 1),
        ({"status": 301, "headers": {"Location": "http://[/"}}, NetworkError, "", 1),
    ],
)  # fmt: skip
def test_every_fault_is_one_clear_error_and_few_requests(
    server: GitHubServer, fault: dict[str, Any], error: type[ScaffoldError], text: str, count: int
) -> None:
    server.fail(**fault)
    with pytest.raises(error) as raised:
        _github(server).search_repositories("nlp")
    assert text in raised.value.message
    assert len(server.requests) == count
    # The fault is over: so is the trouble, and nothing of it was kept.
    server.faults.clear()
    assert _github(server).search_repositories("nlp")


def test_a_result_with_an_unsafe_name_is_left_out(server: GitHubServer) -> None:
    server.fail(status=200, body='{"items": [{"full_name": "../x"}, {"full_name": "a/b"}]}', times=1)
    assert [facts.repo for facts in _github(server).search_repositories("nlp")] == ["a/b"]


@pytest.mark.parametrize("kind", ["trickle", "hang", "slow-headers", "slow-chunk"])
def test_the_deadline_ends_what_would_not_end(server: GitHubServer, kind: str) -> None:
    server.fail(kind=kind)
    with pytest.raises(NetworkError, match="did not answer in time"):
        _github(server, seconds=0.8).search_repositories("nlp")


def test_one_bad_answer_is_asked_once_more(server: GitHubServer) -> None:
    server.fail(status=502, times=1)
    assert _github(server).search_repositories("nlp")
    assert len(server.requests) == 2


def test_redirects_without_end_are_left_also_when_the_cache_knows_them(server: GitHubServer) -> None:
    server.renamed.update({"a/b": "b/a", "b/a": "a/b"})
    for _ in range(2):
        with pytest.raises(NetworkError, match="redirects without end"):
            _github(server).repository("a/b")
    assert len(server.requests) <= 5


def test_no_more_requests_leave_than_were_allowed(server: GitHubServer) -> None:
    github = _github(server, max_requests=2)
    github.search_repositories("one")
    github.search_repositories("two")
    with pytest.raises(ScaffoldError, match="more than 2 requests"):
        github.search_repositories("three")
    assert len(server.requests) == 2


def test_another_host_gets_neither_token_nor_request(server: GitHubServer) -> None:
    with GitHubServer() as elsewhere:
        server.fail(status=301, headers={"Location": f"{elsewhere.url}/repos/a/b"}, body="{}", path="/repos")
        with pytest.raises(RefusedError, match="another host"):
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


def test_no_network_is_said_in_one_line() -> None:
    with pytest.raises(NetworkError, match="could not be reached"):
        GitHub(Settings(api_url="http://127.0.0.1:9"), Deadline.after(3)).search_repositories("nlp")


def test_a_proxy_of_the_environment_is_used(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    github = GitHub(Settings(api_url="http://api.nowhere.test"), Deadline.after(3))
    assert github.search_repositories("nlp")
    assert server.requests[0].path.startswith("http://api.nowhere.test:80/search/")


def test_netrc_is_left_alone(server: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    _github(server, None).search_repositories("nlp")
    assert server.requests[0].token is None


def test_the_token_goes_to_the_host_of_the_api_only() -> None:
    for other in ("http://api.github.com.evil.test", "http://api.github.com:81", "https://api.github.com.", "ftp://x"):
        session = open_session(Settings(api_url="https://api.github.com", token=CANARY), Deadline.after(3), Budget(1))
        with pytest.raises((RefusedError, requests.RequestException)):
            session.get(f"{other}/repos/a/b")


def test_the_cache_sees_a_request_without_the_token(server: GitHubServer) -> None:
    session = open_session(Settings(api_url=server.url, token=CANARY), Deadline.after(3), Budget(1))
    answer = session.get(f"{server.url}/repos/two/nlp-kit")
    assert server.requests[0].token == CANARY
    assert "authorization" not in {name.lower() for name in answer.request.headers}


GRAPHQL_LIMIT = {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (GRAPHQL_LIMIT, RateLimitError),
        ({"errors": [{"type": "INSUFFICIENT_SCOPES", "message": "no"}], "data": None}, AuthError),
        ({"errors": "odd"}, NetworkError),
        ({"errors": [{"message": "Something went wrong"}]}, NetworkError),
        ({"data": None}, NetworkError),
        ({}, NetworkError),
    ],
)
def test_a_batch_without_any_data_is_one_clear_error(
    server: GitHubServer, answer: dict[str, Any], error: type[ScaffoldError]
) -> None:
    server.fail(status=200, body=json.dumps(answer))
    with pytest.raises(error):
        _github(server).facts(["one/awesome-nlp"])
    assert len(server.requests) == 1


def test_odd_data_loses_itself_alone(server: GitHubServer) -> None:
    good = {"nameWithOwner": "two/odd", "repositoryTopics": {"nodes": [None, {"topic": {"name": "ai"}}]}}
    odd = {"nameWithOwner": "../evil"}
    server.fail(status=200, body=json.dumps({"data": {"r0": odd, "r1": good, "r2": 5}}))
    found = _github(server).facts(["a/b", "two/odd", "not a name", "c/d"])
    assert list(found) == ["two/odd"]
    assert found["two/odd"].topics == ("ai",)


def test_values_of_the_wrong_kind_are_unknown() -> None:
    odd = {"full_name": "a/b", "description": 5, "stargazers_count": "many", "license": "MIT", "topics": [1, "x"]}
    facts = from_rest({**odd, "archived": "no", "pushed_at": "yesterday", "language": "\ud800" * 9})
    assert facts == RepositoryFacts("a/b", language="?" * 9, topics=("x",))
    assert from_rest([]) is None
    assert from_rest({"full_name": 7}) is None


def test_fifty_go_into_one_request_and_what_came_is_kept(server: GitHubServer) -> None:
    names = [f"many/r{number}" for number in range(51)]
    for name in names:
        server.add(name)
    github = _github(server, max_requests=1)
    with pytest.raises(ScaffoldError, match="more than 1 request"):
        github.facts(names)
    assert len(cached_facts(github.settings, names)) == 50


def test_when_a_limit_ends_is_measured_on_the_servers_clock(server: GitHubServer) -> None:
    headers = {"X-RateLimit-Remaining": "0", "Date": "Mon, 01 Jan 2024 00:00:00 GMT", "X-RateLimit-Reset": "1704069660"}
    assert "it ends in 41 min" in errors.from_status(server.url, 403, headers, "", signed_in=True).message  # type: ignore[union-attr]
    late = {"Date": "Mon, 01 Jan 2024 00:00:00 GMT", "Retry-After": "Mon, 01 Jan 2024 00:00:42 GMT"}
    assert "it ends in 42 s" in errors.from_status(server.url, 429, late, "", signed_in=True).message  # type: ignore[union-attr]


def test_an_anonymous_searcher_is_told_of_the_limit_and_the_token(server: GitHubServer) -> None:
    server.fail(status=403, body='{"message": "API rate limit exceeded"}')
    with pytest.raises(RateLimitError, match="10 searches a minute") as raised:
        _github(server, None).search_repositories("nlp")
    assert "GITHUB_TOKEN" in str(raised.value.hint)
