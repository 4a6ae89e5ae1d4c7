"""The HTTP cache: what it spares, and that no trouble with it is trouble for the user."""

from __future__ import annotations

import pickle
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from scaffold.github.api import GitHub
from scaffold.github.deadline import Deadline
from scaffold.github.facts import cached_facts
from scaffold.settings import Settings
from tests.conftest import REPOSITORY
from tests.github_server import GitHubServer

CANARY = "ghp_c4n4ry+/=T0ken"


def _github(server: GitHubServer, **options: Any) -> GitHub:
    return GitHub(Settings(api_url=server.url, token=CANARY), Deadline.after(10), **options)


def _file(home: Path, what: str = "answers") -> Path:
    (path,) = home.joinpath("http").glob(f"{what}-*.sqlite3")
    return path


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


def test_two_processes_share_the_cache(server: GitHubServer, isolated: Path) -> None:
    code = (
        "import sys; from scaffold.github.api import GitHub; from scaffold.settings import Settings\n"
        "print(len(GitHub(Settings(api_url=sys.argv[1], token='t')).search_repositories('nlp')))"
    )
    command = [sys.executable, "-c", code, server.url]
    running = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in "ab"]
    for process in running:
        assert process.communicate(timeout=60) == (b"3\n", b"")
    before = len(server.requests)
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=60).stdout == b"3\n"
    assert len(server.requests) == before


@pytest.mark.parametrize("begin", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_a_file_that_another_process_holds_is_done_without(
    server: GitHubServer, isolated: Path, monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    monkeypatch.setattr("scaffold.github.keeping._READ_SECONDS", 0.1)
    monkeypatch.setattr("scaffold.github.keeping._WRITE_SECONDS", 0.1)
    _github(server).search_repositories("nlp")
    holders = [sqlite3.connect(_file(isolated, what), isolation_level=None) for what in ("answers", "facts")]
    for holder in holders:
        holder.execute(begin)
    github = _github(server)
    assert github.search_repositories("odd")
    assert github.requests_made == 1
    for holder in holders:
        holder.close()
    after = _github(server)
    assert after.search_repositories("nlp")
    assert after.requests_made == 0


def test_an_answer_that_cannot_be_kept_is_used_and_asked_for_once(server: GitHubServer, isolated: Path) -> None:
    _github(server).search_repositories("nlp")
    for what, table in (("answers", "responses"), ("facts", "facts")):
        with sqlite3.connect(_file(isolated, what)) as connection:
            connection.execute(f"CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END")
    github = _github(server)
    assert github.search_repositories("odd")
    assert github.requests_made == 1


def test_a_file_in_place_of_the_folder_is_no_trouble(server: GitHubServer, isolated: Path) -> None:
    isolated.mkdir(exist_ok=True)
    isolated.joinpath("http").write_text("in the way")
    assert _github(server).search_repositories("nlp")
    assert cached_facts(Settings(api_url=server.url, token=CANARY), ["two/odd"]) == {}


@pytest.mark.parametrize("value", ["{nonsense", "[]", "null", '{"_content": 5}', b"\x00\xff"])
def test_a_damaged_row_is_asked_for_again_in_silence(
    server: GitHubServer, isolated: Path, capfd: pytest.CaptureFixture[str], value: str | bytes
) -> None:
    expected = _github(server).search_repositories("nlp")
    with sqlite3.connect(_file(isolated)) as connection:
        connection.execute("UPDATE responses SET value = ?", (value,))
    again = _github(server)
    assert again.search_repositories("nlp") == expected
    assert again.requests_made == 1
    assert capfd.readouterr() == ("", "")


def test_a_cookie_is_neither_kept_nor_sent(server: GitHubServer, isolated: Path) -> None:
    github = _github(server)
    github.search_repositories("nlp")
    github.search_repositories("odd")
    assert all("cookie" not in request.headers for request in server.requests)
    assert b"_octo" not in _file(isolated).read_bytes()


def test_what_is_old_is_asked_for_conditionally_and_then_new_again(server: GitHubServer, isolated: Path) -> None:
    expected = _github(server).repository("two/nlp-kit")
    with sqlite3.connect(_file(isolated)) as connection:
        connection.execute('UPDATE responses SET value = replace(value, \'"expires": "20\', \'"expires": "19\')')
        connection.execute("UPDATE responses SET expires = 1")
    again = _github(server)
    assert again.repository("two/nlp-kit") == expected
    assert "if-none-match" in server.requests[-1].headers
    third = _github(server)
    assert third.repository("two/nlp-kit") == expected
    assert third.requests_made == 0


def test_refresh_asks_anew_and_leaves_the_other_answers(server: GitHubServer) -> None:
    _github(server).search_repositories("nlp")
    _github(server).search_repositories("odd")
    server.add("new/nlp", description="nlp")
    assert len(_github(server, refresh=True).search_repositories("nlp")) == 4
    after = _github(server)
    assert len(after.search_repositories("nlp")) == 4
    assert after.search_repositories("odd")
    assert after.requests_made == 0
