"""Lists' files over real HTTP."""

from __future__ import annotations

import threading

import pytest

from scaffold.errors import RateLimitError, RefusedError, ScaffoldError
from scaffold.github.deadline import Deadline
from scaffold.github.errors import NetworkError
from scaffold.github.raw import RawFile, RawFiles
from scaffold.settings import Settings
from tests.github_server import GitHubServer


def _raw(server: GitHubServer) -> RawFiles:
    return RawFiles(Settings(raw_url=f"{server.url}/raw", token="ghp_c4n4ry"))


def _fetch(server: GitHubServer, repo: str = "one/list", path: str = "README.md", etag: str | None = None) -> RawFile:
    return _raw(server).fetch(repo, path, etag=etag, deadline=Deadline.after(3))


def test_a_file_comes_once_and_never_with_a_token(server: GitHubServer) -> None:
    server.add_file("one/list", "읽어 보기.md", "# 목록\n")
    first = _fetch(server, path="읽어 보기.md")
    assert (first.status, first.content.decode(), first.repo) == ("fetched", "# 목록\n", "one/list")
    again = _fetch(server, path="읽어 보기.md", etag=first.etag)
    assert (again.status, again.content, again.etag) == ("unchanged", b"", first.etag)
    assert all(request.token is None for request in server.requests)


def test_what_is_not_there_is_missing(server: GitHubServer) -> None:
    assert _fetch(server).status == "missing"


@pytest.mark.parametrize("path", ["../other/README.md", "a/../../x", "./README.md"])
def test_no_path_leads_out_of_the_repository(server: GitHubServer, path: str) -> None:
    assert _fetch(server, path=path).status == "missing"
    assert server.requests == []


@pytest.mark.parametrize("repo", ["../x", "a/b/c", "-a/b", "a/b?c", "a b/c"])
def test_no_name_leads_elsewhere(server: GitHubServer, repo: str) -> None:
    with pytest.raises(ScaffoldError):
        _fetch(server, repo)
    assert server.requests == []


def test_a_rename_is_followed_and_told(server: GitHubServer) -> None:
    server.renamed["old/list"] = "one/list"
    server.add_file("one/list", "README.md", "x")
    assert _fetch(server, "old/list").repo == "one/list"


@pytest.mark.parametrize("location", ["http://localhost:1/a/b", "//evil.test/a/b", "https://127.0.0.1/a", "ftp://x/y"])
def test_another_host_is_refused(server: GitHubServer, location: str) -> None:
    server.fail(status=302, headers={"Location": location})
    with pytest.raises(RefusedError, match="another host"):
        _fetch(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["http://[/", "/", "/raw/", "/raw/-x/y/HEAD/z", "/raw/a"])
def test_a_redirect_to_no_repository_is_no_answer(server: GitHubServer, location: str) -> None:
    server.fail(status=301, headers={"Location": location})
    with pytest.raises(NetworkError):
        _fetch(server)
    assert len(server.requests) == 1


def test_redirects_without_end_end(server: GitHubServer) -> None:
    server.renamed.update({"a/a": "b/b", "b/b": "a/a"})
    with pytest.raises(NetworkError, match="redirects without end"):
        _fetch(server, "a/a")
    assert len(server.requests) == 4


@pytest.mark.parametrize("kind", ["trickle", "hang", "slow-headers", "slow-chunk"])
def test_the_deadline_ends_what_would_not_end(server: GitHubServer, kind: str) -> None:
    server.fail(kind=kind)
    with pytest.raises(NetworkError, match="did not answer in time"):
        _raw(server).fetch("one/list", "README.md", deadline=Deadline.after(0.6))


def test_trouble_is_one_repetition_and_a_limit_none(server: GitHubServer) -> None:
    server.add_file("one/list", "README.md", "x")
    server.fail(kind="cut", times=1)
    assert _fetch(server).content == b"x"
    server.fail(status=502)
    with pytest.raises(NetworkError, match="HTTP 502"):
        _fetch(server)
    server.fail(status=429, headers={"Retry-After": "7"})
    with pytest.raises(RateLimitError, match="7 s"):
        _fetch(server)
    assert len(server.requests) == 2 + 2 + 1


def test_a_tag_that_is_none_is_not_kept(server: GitHubServer) -> None:
    server.fail(status=200, body="x", headers={"ETag": "x" * 5000})
    assert _fetch(server).etag is None


def test_an_endless_file_is_left(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaffold.github.body.MAX_BODY", 100_000)
    server.add_file("one/list", "README.md", b"x" * 500_000)
    with pytest.raises(NetworkError, match="more than"):
        _fetch(server)
    assert len(server.requests) == 1


def test_threads_share_one(server: GitHubServer) -> None:
    raw = _raw(server)
    found: list[bytes] = []
    for number in range(8):
        server.add_file("one/list", f"{number}.md", f"{number}")

    def fetch(number: int) -> None:
        found.append(raw.fetch("one/list", f"{number}.md", deadline=Deadline.after(5)).content)

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"{number}".encode() for number in range(8)]
    assert raw.requests_made == 8
