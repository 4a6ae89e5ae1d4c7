"""Forks over real HTTP: found, asked for once, waited for, and why they are refused."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from scaffold.errors import AuthError, NotFoundError, RateLimitError, RefusedError, ScaffoldError, UsageError
from scaffold.github.api import GitHub
from scaffold.github.errors import NetworkError, TokenError
from scaffold.github.facts import cached_facts
from scaffold.github.forks import Fork, fork
from scaffold.settings import Settings
from tests.github_account import Account
from tests.github_server import GitHubServer

TOKEN = "ghp_f0rk"
POST = "POST /repos/two/nlp-kit/forks"
LOOK = "GET /repos/me/nlp-kit"
BEFORE = ["GET /user", "GET /repos/two/nlp-kit", LOOK]


@pytest.fixture
def me(server: GitHubServer) -> Account:
    return server.accounts.add(TOKEN, "me")


def _settings(server: GitHubServer, token: str | None = TOKEN) -> Settings:
    return Settings(api_url=server.url, token=token)


def _fork(server: GitHubServer, repo: str = "two/nlp-kit", *, limit: float = 2, **options: Any) -> Fork:
    return fork(repo, _settings(server), limit=limit, **options)


def _lines(error: ScaffoldError) -> str:
    return f"{error.message} | {error.hint}"


def test_a_new_fork_is_asked_for_once_and_looked_for_until_it_is_there(server: GitHubServer, me: Account) -> None:
    server.accounts.delay = 2
    waited: list[tuple[str, float]] = []
    made = _fork(server, on_wait=lambda repo, seconds: waited.append((repo, seconds)))
    assert made == Fork("me/nlp-kit", "two/nlp-kit", "https://github.com/me/nlp-kit", "created")
    assert server.paths() == [*BEFORE, POST, LOOK, LOOK, LOOK]
    assert [repo for repo, _ in waited] == ["me/nlp-kit"] * 2
    assert waited[0][1] < waited[1][1] < 2


def test_a_fork_that_is_there_is_found_without_asking_for_one(server: GitHubServer, me: Account) -> None:
    server.accounts.add_fork("me/nlp-kit", "two/nlp-kit")
    for _ in range(2):
        assert _fork(server, "Two/NLP-Kit").status == "existing"
    assert not [path for path in server.paths() if path.startswith("POST")]


def test_an_answer_that_was_kept_does_not_hide_what_has_changed(server: GitHubServer, me: Account) -> None:
    server.accounts.add_fork("me/nlp-kit", "two/nlp-kit")
    with GitHub(_settings(server)) as github:
        github.repository("me/nlp-kit")
        github.facts(["me/odd"])
    # One fork was deleted on GitHub, another is made here, both within the life of an answer.
    del server.repositories["me/nlp-kit"]
    assert _fork(server).status == "created"
    assert _fork(server, "two/odd").status == "created"
    with GitHub(_settings(server)) as github:
        assert github.facts(["me/odd"])["me/odd"].fork
    assert cached_facts(_settings(server), ["me/odd"])["me/odd"].repo == "me/odd"


def test_a_renamed_repository_is_forked_under_its_name_now(server: GitHubServer, me: Account) -> None:
    made = _fork(server, "old/nlp-kit")
    assert (made.repo, made.parent, made.status) == ("me/nlp-kit", "two/nlp-kit", "created")
    assert server.paths().count(POST) == 1


def test_an_organisation_can_get_the_fork(server: GitHubServer, me: Account) -> None:
    assert _fork(server, organization="team").repo == "team/nlp-kit"
    assert "GET /user" not in server.paths()
    assert _fork(server, organization="team").status == "existing"
    with pytest.raises(RefusedError):
        _fork(server, organization="--evil")
    server.fail(status=404, method="POST")
    with pytest.raises(AuthError) as raised:
        _fork(server, organization="nobody")
    assert "nobody must be an organisation" in _lines(raised.value)


def test_another_repository_of_that_name_is_named_and_left_alone(server: GitHubServer, me: Account) -> None:
    server.add("me/nlp-kit")
    with pytest.raises(RefusedError, match="me/nlp-kit is there and is no fork of two/nlp-kit"):
        _fork(server)
    server.add("three/nlp-kit")
    server.accounts.add_fork("me/nlp-kit", "three/nlp-kit")
    with pytest.raises(RefusedError, match="me/nlp-kit is a fork of three/nlp-kit, not of two/nlp-kit"):
        _fork(server)
    assert not [path for path in server.paths() if path.startswith("POST")]


def test_a_fork_of_another_in_the_same_family_is_told(server: GitHubServer, me: Account) -> None:
    server.accounts.add_fork("three/kit", "two/nlp-kit")
    server.accounts.add_fork("me/nlp-kit", "two/nlp-kit")
    with pytest.raises(RefusedError, match="me/nlp-kit is a fork of two/nlp-kit, not of three/kit") as raised:
        _fork(server, "three/kit")
    assert "--org" in _lines(raised.value)


def test_a_fork_under_another_name_is_told_as_there(server: GitHubServer, me: Account) -> None:
    server.accounts.add_fork("me/my-kit", "two/nlp-kit")
    made = _fork(server)
    assert (made.repo, made.status) == ("me/my-kit", "existing")


def test_where_github_does_not_say_whose_fork_it_is_asking_for_it_does(server: GitHubServer, me: Account) -> None:
    server.accounts.add_fork("me/nlp-kit", "two/nlp-kit")
    plain = {**server.repositories["me/nlp-kit"]}
    del plain["parent"]
    server.fail(status=200, body=json.dumps(plain), path="/repos/me/nlp-kit", times=1)
    assert _fork(server).status == "existing"
    assert server.paths().count(POST) == 1


def test_nobody_forks_their_own(server: GitHubServer, me: Account) -> None:
    server.add("Me/own")
    with pytest.raises(ScaffoldError, match="Me/own belongs to me") as raised:
        _fork(server, "me/own")
    assert "scaffold clone Me/own" in _lines(raised.value)
    assert server.paths() == ["GET /user", "GET /repos/me/own"]


def test_an_archived_one_is_forked_and_told_as_such(server: GitHubServer, me: Account) -> None:
    assert _fork(server, "two/odd").archived is True
    assert _fork(server).archived is False


def test_what_is_not_there_is_not_found(server: GitHubServer, me: Account) -> None:
    with pytest.raises(NotFoundError, match="no repository no/body"):
        _fork(server, "no/body")
    with pytest.raises(UsageError):
        _fork(server, "nobody")


def test_without_a_token_nothing_is_asked(server: GitHubServer) -> None:
    with pytest.raises(AuthError, match="signed in") as raised:
        fork("two/nlp-kit", _settings(server, None))
    assert "public_repo" in _lines(raised.value)
    assert "Administration" in _lines(raised.value)
    assert server.requests == []


def test_a_fork_that_never_appears_is_said_to_be_on_its_way(server: GitHubServer, me: Account) -> None:
    server.accounts.delay = None
    began = time.monotonic()
    with pytest.raises(ScaffoldError, match="me/nlp-kit is not there after 1 s: GitHub is still copying") as raised:
        _fork(server, limit=1)
    assert "Try again" in _lines(raised.value)
    assert 1 <= time.monotonic() - began < 4
    assert server.paths().count(POST) == 1
    assert raised.value.exit_code == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "cut"},
        {"kind": "drop"},
        {"status": 500},
        {"status": 502},
        {"status": 200, "body": "<html>", "headers": {"Content-Type": "text/html"}},
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_after_a_lost_answer_the_fork_is_looked_for_and_not_asked_for_again(
    server: GitHubServer, me: Account, fault: dict[str, Any], done: bool
) -> None:
    server.accounts.delay = 1
    server.fail(**fault, method="POST", done=done)
    if done:
        assert _fork(server, limit=1).status == "created"
        assert server.paths() == [*BEFORE, POST, LOOK, LOOK]
        return
    with pytest.raises(NetworkError) as raised:
        _fork(server, limit=0.5)
    assert "it looks first" in _lines(raised.value)
    assert "--offline" not in _lines(raised.value)
    assert server.paths().count(POST) == 1
    server.faults.clear()
    assert _fork(server, limit=1).status == "created"


def test_trouble_while_waiting_is_waited_through(server: GitHubServer, me: Account) -> None:
    server.fail(status=502, path="/repos/me/", times=3)
    server.fail(status=404, path="/repos/me/", times=1)
    assert _fork(server).status == "created"
    server.fail(status=502, path="/repos/me/")
    server.fail(status=404, path="/repos/me/", times=1)
    with pytest.raises(NetworkError, match="HTTP 502") as raised:
        _fork(server, "two/odd", limit=0.5)
    assert "me/odd was asked for" in _lines(raised.value)


SECONDARY = '{"message": "You have exceeded a secondary rate limit."}'


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429},
        {"status": 429, "headers": {"Retry-After": "42"}},
        {"status": 403, "body": SECONDARY},
        {"status": 403, "headers": {"X-RateLimit-Remaining": "0"}},
    ],
)
def test_a_limit_ends_it_at_once(server: GitHubServer, me: Account, fault: dict[str, Any]) -> None:
    server.fail(**fault, method="POST")
    with pytest.raises(RateLimitError) as raised:
        _fork(server)
    assert raised.value.exit_code == 6
    assert server.paths() == [*BEFORE, POST]
    assert "--offline" not in _lines(raised.value)


def test_a_limit_while_waiting_says_that_the_fork_was_asked_for(server: GitHubServer, me: Account) -> None:
    server.fail(status=429, path="/repos/me/")
    server.fail(status=404, path="/repos/me/", times=1)
    with pytest.raises(RateLimitError) as raised:
        _fork(server)
    assert "me/nlp-kit was asked for" in _lines(raised.value)


SSO = "required; url=https://github.com/orgs/two/sso?authorization_request=abc"
FORBIDDEN = '{"message": "Resource not accessible by personal access token"}'


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ({"status": 401}, TokenError, "token is not accepted"),
        ({"status": 403, "body": FORBIDDEN}, AuthError, "Administration"),
        ({"status": 404}, AuthError, "public_repo"),
        ({"status": 403, "headers": {"X-OAuth-Scopes": "gist, read:org"}}, TokenError, "lacks the scope public_repo"),
        ({"status": 404, "headers": {"X-OAuth-Scopes": ""}}, TokenError, "gh auth refresh --scopes public_repo"),
        ({"status": 404, "headers": {"X-OAuth-Scopes": "gist", "X-Accepted-OAuth-Scopes": "repo"}}, TokenError,
         "lacks the scope repo"),
        ({"status": 403, "headers": {"X-Accepted-GitHub-Permissions": "administration=write,contents=read"}},
         TokenError, "GitHub names administration (write) and contents (read)"),
        ({"status": 403, "headers": {"X-GitHub-SSO": SSO}}, AuthError, SSO.partition("url=")[2]),
        ({"status": 403, "headers": {"X-GitHub-SSO": "required; url=javascript:x"}}, AuthError, "settings/tokens"),
        ({"status": 403, "body": '{"message": "The repository exists, but forking is disabled."}'}, AuthError,
         "two/nlp-kit may not be forked"),
        ({"status": 403, "body": '{"message": "It contains no Git content. Empty repositories cannot be forked."}'},
         ScaffoldError, "two/nlp-kit is empty"),
        ({"status": 403, "body": '{"message": "Resource not accessible by integration"}'}, TokenError, "workflow"),
        ({"status": 422, "body": '{"message": "Name already\\nexists"}'}, ScaffoldError, "two/nlp-kit: Name already e"),
        ({"status": 403, "body": "[" * 9000}, AuthError, "permission to fork"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_missing_and_is_asked_once(
    server: GitHubServer, me: Account, fault: dict[str, Any], error: type[ScaffoldError], text: str
) -> None:
    server.fail(**fault, method="POST")
    with pytest.raises(error) as raised:
        _fork(server)
    assert text in _lines(raised.value)
    assert server.paths() == [*BEFORE, POST]


def test_forking_that_the_repository_forbids_is_not_asked_for(server: GitHubServer, me: Account) -> None:
    server.add("two/closed", allow_forking=False)
    with pytest.raises(AuthError, match="two/closed may not be forked"):
        _fork(server, "two/closed")
    assert not [path for path in server.paths() if path.startswith("POST")]


@pytest.mark.parametrize("scopes", ["gist", "", None])
def test_a_token_that_may_not_is_told_what_it_lacks(server: GitHubServer, scopes: str | None) -> None:
    server.accounts.add(TOKEN, "me", scopes=scopes, may=False)
    with pytest.raises(TokenError, match="may not fork a repository: it lacks"):
        _fork(server)


@pytest.mark.parametrize("answer", [{"full_name": "../x"}, {"full_name": "other/nlp-kit"}, {"name": 5}, {}])
def test_an_odd_answer_is_not_believed(server: GitHubServer, me: Account, answer: dict[str, Any]) -> None:
    server.fail(status=202, body=json.dumps(answer), method="POST")
    with pytest.raises(NetworkError):
        _fork(server, limit=0.3)
    assert server.paths().count(POST) == 1


def test_a_user_without_a_name_is_not_believed(server: GitHubServer, me: Account) -> None:
    for body in ("{}", '{"login": "--evil"}', '{"login": "../x"}', '{"login": 5}'):
        server.fail(status=200, body=body, path="/user")
        with pytest.raises(NetworkError):
            _fork(server)
    server.fail(status=403, body='{"message": "Resource not accessible by integration"}', path="/user")
    with pytest.raises(AuthError) as raised:
        _fork(server)
    assert "personal access token" in _lines(raised.value)
    assert set(server.paths()) == {"GET /user"}


def test_another_host_gets_neither_the_fork_nor_the_token(server: GitHubServer, me: Account) -> None:
    with GitHubServer() as elsewhere:
        location = {"Location": f"{elsewhere.url}/repos/two/nlp-kit/forks"}
        for status in (301, 307, 308):
            server.fail(status=status, headers=location, method="POST")
            with pytest.raises(RefusedError, match="another host"):
                _fork(server)
        assert elsewhere.requests == []


def test_who_the_user_is_stays_out_of_the_cache(server: GitHubServer, me: Account, isolated: Path) -> None:
    _fork(server)
    (path,) = isolated.joinpath("http").glob("answers-*")
    with sqlite3.connect(path) as connection:
        rows = [value for (value,) in connection.execute("SELECT value FROM responses")]
    kept = [base64.b64decode(json.loads(value)["_content"]).decode() for value in rows]
    assert any("two/nlp-kit" in content for content in kept)
    assert not any("private@example.invalid" in content for content in kept)
    assert not any(TOKEN in content for content in [*rows, *kept])
