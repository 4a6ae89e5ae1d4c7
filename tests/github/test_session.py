"""What is asked only once, and answers that promise something else."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from scaffold.errors import RateLimitError
from scaffold.github.api import GitHub
from scaffold.github.deadline import Deadline
from scaffold.github.errors import NetworkError
from scaffold.github.facts import cached_facts
from scaffold.github.raw import RawFile, RawFiles
from scaffold.settings import Settings
from tests.github_server import GitHubServer


def _github(server: GitHubServer, *, refresh: bool = False) -> GitHub:
    return GitHub(Settings(api_url=server.url, token="t0ken"), Deadline.after(5), refresh=refresh)


def _fetch(files: RawFiles, etag: str | None = None) -> RawFile:
    return files.fetch("a/b", "README.md", etag=etag, deadline=Deadline.after(5))


def test_what_was_told_within_the_hour_is_not_asked_again(server: GitHubServer) -> None:
    names = ["one/awesome-nlp", "no/body", "Old/nlp-kit", "not a name"]
    found = _github(server).facts(names)
    assert set(found) == {"one/awesome-nlp", "Old/nlp-kit"}
    again = _github(server)
    assert again.facts(names) == found
    assert again.facts([*names, "two/odd"]).keys() == {*found, "two/odd"}
    assert again.requests_made == 1
    assert _github(server, refresh=True).facts(names) == found
    assert len(server.requests) == 3
    assert set(cached_facts(again.settings, names)) == {"one/awesome-nlp", "old/nlp-kit"}


def test_only_what_is_not_there_is_remembered_as_missing(server: GitHubServer) -> None:
    trouble = {"data": {"r0": None}, "errors": [{"type": "INTERNAL", "path": ["r0"], "message": "trouble"}]}
    server.fail(status=200, body=json.dumps(trouble), times=1)
    assert _github(server).facts(["two/nlp-kit"]) == {}
    assert set(_github(server).facts(["two/nlp-kit"])) == {"two/nlp-kit"}


@pytest.mark.parametrize("status", [202, 204, 206, 304])
def test_a_status_that_promises_something_else_is_an_error(server: GitHubServer, status: int) -> None:
    server.fail(status=status, body="")
    with pytest.raises(NetworkError, match="means nothing"):
        _github(server).search_repositories("nlp")
    assert len(server.requests) <= 2


def test_a_row_that_is_half_an_answer_is_asked_anew(server: GitHubServer, isolated: Path) -> None:
    found = _github(server).search_repositories("nlp")
    (path,) = isolated.joinpath("http").glob("answers-*")
    with sqlite3.connect(path) as connection:
        connection.execute("""UPDATE responses SET value = '{"content": 1}'""")
    assert _github(server).search_repositories("nlp") == found


def test_one_connection_serves_many_files(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    accept = server._server.get_request
    monkeypatch.setattr(server._server, "get_request", lambda: opened.append(1) or accept())
    server.add_file("a/b", "README.md", "text")
    files = RawFiles(Settings(raw_url=f"{server.url}/raw"))
    tag = _fetch(files).etag
    assert {_fetch(files, tag).status for _ in range(5)} == {"unchanged"}
    assert len(opened) == 1


def test_a_limit_on_files_is_not_blamed_on_a_missing_token(server: GitHubServer) -> None:
    server.fail(status=429)
    with pytest.raises(RateLimitError) as raised:
        _fetch(RawFiles(Settings(raw_url=f"{server.url}/raw")))
    assert "GITHUB_TOKEN" not in (raised.value.hint or "")


def test_a_login_page_is_no_file_but_html_in_one_is(server: GitHubServer) -> None:
    files = RawFiles(Settings(raw_url=f"{server.url}/raw"))
    html = {"Content-Type": "text/html"}
    server.fail(status=200, body="\n<!DOCTYPE html><title>Sign in</title>", headers=html, times=1)
    with pytest.raises(NetworkError, match="web page"):
        _fetch(files)
    server.fail(status=200, body="<h1 align=center>List</h1>", headers=html)
    assert _fetch(files).content == b"<h1 align=center>List</h1>"
