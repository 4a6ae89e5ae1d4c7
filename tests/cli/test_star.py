"""`scaffold star` as a person and a script meet it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from scaffold.github import stars
from tests.conftest import Answer
from tests.github_account import Account
from tests.github_server import GitHubServer

Scaffold = Callable[..., Answer]
TOKEN = "ghp_c4n4ryStar"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(stars, "WRITE_PAUSE", 0.0)
        for name in ("a/one", "a/two"):
            running.add(name)
        yield running


@pytest.fixture
def me(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    return server.accounts.add(TOKEN, "me")


def test_a_star_is_given_and_taken_away(scaffold: Scaffold, server: GitHubServer, me: Account) -> None:
    answer = scaffold("star", "a/one", "a/two")
    assert (answer.code, answer.out, answer.err) == (0, "a/one: starred\na/two: starred\n", "")
    assert me.stars == {"a/one", "a/two"}
    answer = scaffold("star", "--remove", "a/one", "--json")
    assert answer.code == 0
    assert answer.json == {"stars": [{"repo": "a/one", "status": "unstarred", "error": None}]}
    assert me.stars == {"a/two"}


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["a/none"], 3),
        (["a/../b"], 4),
        (["no-slash"], 2),
        (["a/none", "a/nothing"], 1),
        (["a/one", "a/none"], 7),
        (["a/one", "a/two"], 0),
    ],
)
def test_the_exit_code_says_how_it_went(
    scaffold: Scaffold, server: GitHubServer, me: Account, names: list[str], code: int
) -> None:
    answer = scaffold("star", "--json", *names)
    assert answer.code == code
    assert [item["repo"] for item in answer.json["stars"]] == names
    assert all((item["error"] is None) == (item["status"] == "starred") for item in answer.json["stars"])


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ({"status": 429, "headers": {"Retry-After": "60"}}, 6, "it ends in 60 s"),
        ({"status": 401}, 5, "token is not accepted"),
        ({"status": 404, "headers": {"X-OAuth-Scopes": "gist"}}, 5, "lacks the scope public_repo"),
    ],
)
def test_one_reason_for_all_is_told_once_and_has_its_code(
    scaffold: Scaffold, server: GitHubServer, me: Account, fault: dict[str, object], code: int, text: str
) -> None:
    server.fail(**fault)
    answer = scaffold("star", "a/one", "a/two", "--json")
    assert answer.code == code
    assert [item["status"] for item in answer.json["stars"]] == ["failed", "failed"]
    assert all(text in item["error"] for item in answer.json["stars"])
    assert answer.err.count(text) == 1
    assert "1 more" in answer.err
    assert len(server.requests) == 1
    assert TOKEN not in answer.out + answer.err


def test_a_limit_in_the_middle_is_partial(scaffold: Scaffold, server: GitHubServer, me: Account) -> None:
    server.fail(status=429, path="a/two")
    answer = scaffold("star", "a/one", "a/two", "--json")
    assert answer.code == 7
    assert [item["status"] for item in answer.json["stars"]] == ["starred", "failed"]


def test_nobody_signed_in_is_told_how_and_the_document_is_there(scaffold: Scaffold, server: GitHubServer) -> None:
    answer = scaffold("star", "a/one", "a/two", "--json")
    assert answer.code == 5
    assert [item["status"] for item in answer.json["stars"]] == ["failed", "failed"]
    assert "GITHUB_TOKEN" in answer.err
    assert server.requests == []


def test_the_document_is_there_also_where_nothing_could_begin(
    scaffold: Scaffold, server: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scaffold("star", "--json").code == 2
    assert scaffold("star", "--json").json == {"stars": []}
    monkeypatch.setenv("GITHUB_API_URL", "no address")
    answer = scaffold("star", "a/one", "--json")
    assert answer.code == 2
    assert [item["status"] for item in answer.json["stars"]] == ["failed"]
    assert "GITHUB_API_URL" in answer.json["stars"][0]["error"]
