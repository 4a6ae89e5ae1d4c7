"""Stars over real HTTP: given, taken away, refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from scaffold.errors import AuthError, NotFoundError, RateLimitError, RefusedError, ScaffoldError
from scaffold.github import stars
from scaffold.github.errors import NetworkError, TokenError
from scaffold.github.stars import Star, star
from scaffold.settings import Settings
from tests.github_account import Account
from tests.github_server import GitHubServer

TOKEN = "ghp_st4r"
PUT = "PUT /user/starred/two/nlp-kit"


@pytest.fixture
def me(server: GitHubServer) -> Account:
    return server.accounts.add(TOKEN, "me")


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stars, "WRITE_PAUSE", 0.0)


def _star(server: GitHubServer, *repos: str, remove: bool = False, token: str | None = TOKEN) -> list[Star]:
    return list(star(repos or ("two/nlp-kit",), Settings(api_url=server.url, token=token), remove=remove))


def _failure(done: Star) -> ScaffoldError:
    assert done.status == "failed"
    assert done.failure is not None
    return done.failure


def test_a_star_is_one_request_and_so_is_taking_it_away(server: GitHubServer, me: Account) -> None:
    assert _star(server) == [Star("two/nlp-kit", "starred")]
    assert me.stars == {"two/nlp-kit"}
    assert server.requests[0].headers["content-length"] == "0"
    assert _star(server, remove=True) == [Star("two/nlp-kit", "unstarred")]
    assert me.stars == set()
    assert server.paths() == [PUT, "DELETE /user/starred/two/nlp-kit"]


def test_between_two_stars_there_is_a_second(server: GitHubServer, me: Account) -> None:
    began = time.monotonic()
    assert [done.status for done in _star(server, "two/nlp-kit", "two/odd", "Two/NLP-kit")] == ["starred", "starred"]
    assert 1 <= time.monotonic() - began < 5
    assert server.paths() == [PUT, "PUT /user/starred/two/odd"]


def test_one_that_fails_stops_no_other(server: GitHubServer, me: Account, no_pause: None) -> None:
    done = _star(server, "no/body", "nobody", "../x", "two/odd")
    assert [item.status for item in done] == ["failed", "failed", "failed", "starred"]
    assert isinstance(_failure(done[0]), NotFoundError)
    assert "no repository no/body" in _failure(done[0]).message
    assert isinstance(_failure(done[2]), RefusedError)
    assert done[0].to_json() == {
        "repo": "no/body", "status": "failed", "error": "GitHub has no repository no/body"
    }  # fmt: skip
    assert len(server.requests) == 2


def test_a_renamed_repository_gets_its_star(server: GitHubServer, me: Account) -> None:
    location = {"Location": f"{server.url}/user/starred/two/nlp-kit"}
    server.fail(status=307, headers=location, path="/user/starred/old/nlp-kit")
    assert _star(server, "old/nlp-kit")[0].status == "starred"
    assert me.stars == {"two/nlp-kit"}


SECONDARY = '{"message": "You have exceeded a secondary rate limit."}'


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ({"status": 429, "headers": {"Retry-After": "9"}}, RateLimitError, "9 s"),
        ({"status": 403, "body": SECONDARY}, RateLimitError, "short time"),
        ({"status": 401}, TokenError, "not accepted"),
        ({"status": 403, "headers": {"X-OAuth-Scopes": "gist"}}, TokenError, "lacks the scope public_repo"),
        ({"status": 404, "headers": {"X-OAuth-Scopes": "gist"}}, TokenError, "lacks the scope public_repo"),
        ({"status": 403, "headers": {"X-Accepted-GitHub-Permissions": "starring=write; repo=admin"}}, TokenError,
         "GitHub names starring (write) or repo (admin) | Give it the account permission “Starring”"),
        ({"status": 403, "headers": {"X-Accepted-GitHub-Permissions": "?"}}, TokenError, "Starring"),
    ],
)  # fmt: skip
def test_what_would_fail_for_all_is_asked_once(
    server: GitHubServer, me: Account, fault: dict[str, Any], error: type[ScaffoldError], text: str
) -> None:
    server.fail(**fault)
    done = _star(server, "two/nlp-kit", "two/odd", "one/awesome-nlp")
    failure = _failure(done[0])
    assert isinstance(failure, error)
    assert text in f"{failure.message} | {failure.hint}"
    assert [item.failure is failure for item in done] == [True] * 3
    assert server.paths() == [PUT]


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ({"status": 403}, AuthError, "a classic token with the scope public_repo"),
        ({"status": 403, "headers": {"X-GitHub-SSO": "required; url=https://g.example/sso"}}, AuthError,
         "https://g.example/sso"),
        ({"status": 403, "body": '{"message": "Repository access blocked"}'}, AuthError, "Repository access blocked"),
        ({"status": 451}, NotFoundError, "no repository two/nlp-kit"),
        ({"status": 409, "body": '{"message": "Odd"}'}, ScaffoldError, "GitHub refused the star for two/nlp-kit: Odd"),
        ({"status": 200}, NetworkError, "means nothing"),
        ({"status": 302, "headers": {"Location": "/x"}}, NetworkError, "means nothing"),
        ({"status": 304, "body": ""}, NetworkError, "means nothing"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_is_told_of_that_one(
    server: GitHubServer, me: Account, no_pause: None, fault: dict[str, Any], error: type[ScaffoldError], text: str
) -> None:
    server.fail(**fault, path="two/nlp-kit")
    done = _star(server, "two/nlp-kit", "two/odd")
    failure = _failure(done[0])
    assert isinstance(failure, error)
    assert text in f"{failure.message} | {failure.hint}"
    assert done[1].status == "starred"
    assert server.paths() == [PUT, "PUT /user/starred/two/odd"]


@pytest.mark.parametrize("fault", [{"kind": "drop"}, {"status": 502}])
def test_a_lost_answer_is_asked_for_once_more(
    server: GitHubServer, me: Account, no_pause: None, fault: dict[str, Any]
) -> None:
    server.fail(**fault, times=1, done=True)
    assert _star(server)[0].status == "starred"
    assert server.paths() == [PUT, PUT]
    server.fail(**fault)
    failure = _failure(_star(server)[0])
    assert isinstance(failure, NetworkError)
    assert "--offline" not in f"{failure.hint}"
    assert server.paths() == [PUT] * 4


def test_a_name_that_is_not_there_is_not_taken_for_a_lacking_permission(server: GitHubServer) -> None:
    server.accounts.add(TOKEN, "me", scopes=None)
    assert isinstance(_failure(_star(server, "no/body")[0]), NotFoundError)


@pytest.mark.parametrize("scopes", ["gist, user", "", None])
def test_a_token_that_may_not_is_told_what_it_lacks(server: GitHubServer, scopes: str | None) -> None:
    account = server.accounts.add(TOKEN, "me", scopes=scopes, may=False)
    failure = _failure(_star(server)[0])
    assert isinstance(failure, TokenError)
    assert "may not star a repository: it lacks" in failure.message
    assert account.stars == set()


def test_without_a_token_nothing_is_asked(server: GitHubServer) -> None:
    done = _star(server, "two/nlp-kit", "two/odd", token=None)
    assert {_failure(item).exit_code for item in done} == {5}
    assert server.requests == []
