"""`search`, `sync` and `show` against a GitHub on this machine."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scaffold.discovery.index import open_index
from tests.conftest import Answer
from tests.github_server import GitHubServer

Scaffold = Callable[..., Answer]
README = "# Awesome Knots\n\n## Bends\n- [Reef](https://github.com/k/reef) - A knot for sails.\n- [Museum of knots](https://k.example)\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer() as running:
        running.add("new/awesome-knots", description="Awesome list on knots", topics=["awesome-list"])
        running.add("new/knots", description="Ties knots", stargazers_count=40_000, language="Rust")
        running.add("explosion/spaCy", description="nlp", stargazers_count=30_000)
        running.add_file("new/awesome-knots", "README.md", README)
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


def test_what_only_github_knows_is_found_in_two_requests_and_then_in_none(
    scaffold: Scaffold, server: GitHubServer
) -> None:
    document = scaffold("search", "knots", "--json").json
    assert document["offline"] is False
    hits = {hit["repo"]: hit for hit in document["hits"]}
    assert hits["new/awesome-knots"]["kind"] == "list"
    assert hits["new/knots"]["stars"] == 40_000
    assert hits["new/knots"]["sources"] == ["github"]
    assert all(hit["why"] for hit in document["hits"])
    assert len(server.requests) == 2
    assert scaffold("search", "knots", "--json").json == document
    assert len(server.requests) == 2
    scaffold("search", "knots", "--json", "--refresh")
    assert len(server.requests) > 2


def test_a_github_that_finds_nothing_was_asked_all_the_same(scaffold: Scaffold, server: GitHubServer) -> None:
    document = scaffold("search", "speech recognition", "--json").json
    assert {source for hit in document["hits"] for source in hit["sources"]} == {"catalog"}
    assert (document["offline"], document["notices"]) == (False, [])


def test_with_a_token_the_hits_of_the_index_get_their_facts_in_one_more(
    scaffold: Scaffold, server: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "t0ken")
    document = scaffold("search", "nlp", "--json").json
    assert {hit["repo"]: hit["stars"] for hit in document["hits"]}["explosion/spaCy"] == 30_000
    first = len(server.requests)
    assert first <= 3
    assert scaffold("search", "nlp", "--json").json == document
    assert len(server.requests) == first
    # Remembered, also for the next search without a network.
    offline = scaffold("search", "nlp", "--json", "--offline").json
    assert {hit["repo"]: hit["stars"] for hit in offline["hits"]}["explosion/spaCy"] == 30_000
    monkeypatch.delenv("GITHUB_TOKEN")
    anonymous = scaffold("search", "nlp", "--json", "--offline").json
    assert {hit["repo"]: hit["stars"] for hit in anonymous["hits"]}["explosion/spaCy"] is None


@pytest.mark.parametrize(
    ("fault", "notice"),
    [
        ({"status": 403, "headers": {"X-RateLimit-Remaining": "0"}}, "GITHUB_TOKEN"),
        ({"status": 500}, "has trouble"),
        ({"kind": "cut"}, "breaks off"),
        ({"status": 401}, "not accepted"),
    ],
)
def test_trouble_online_is_a_notice_and_the_index_answers(
    scaffold: Scaffold, server: GitHubServer, fault: dict[str, object], notice: str
) -> None:
    server.fail(**fault)
    answer = scaffold("search", "nlp", "--json")
    assert answer.code == 0
    assert answer.json["offline"] is True
    assert "explosion/spaCy" in [hit["repo"] for hit in answer.json["hits"]]
    assert len(answer.json["notices"]) == 1
    assert notice in answer.json["notices"][0]
    assert len(server.requests) <= 2


def test_a_server_that_hangs_costs_no_more_than_the_deadline(
    scaffold: Scaffold, server: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaffold.discovery.live.SECONDS", 0.8)
    server.fail(kind="trickle")
    before = time.monotonic()
    answer = scaffold("search", "nlp", "--json")
    assert answer.json["hits"]
    assert "in time" in answer.json["notices"][0]
    assert time.monotonic() - before < 15  # the promise to the user, not a measurement


def test_building_the_index_counts_as_well(
    scaffold: Scaffold, server: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(**_: object) -> sqlite3.Connection:
        time.sleep(0.4)
        return open_index()

    monkeypatch.setattr("scaffold.discovery.index.open_index", slowly)
    monkeypatch.setattr("scaffold.discovery.live.SECONDS", 0.3)
    answer = scaffold("search", "nlp", "--json")
    assert answer.json["hits"]
    assert "in time" in answer.json["notices"][0]
    assert server.requests == []


def test_offline_asks_nobody(scaffold: Scaffold, server: GitHubServer) -> None:
    assert scaffold("search", "nlp", "--offline").code == 0
    assert scaffold("show", "explosion/spaCy", "--offline").code == 0
    assert server.requests == []
    assert scaffold("search", "nlp", "--offline", "--refresh").code == 2


def test_lists_found_live_can_be_synced_at_once(scaffold: Scaffold, server: GitHubServer) -> None:
    document = scaffold("search", "knots", "--kind", "list", "--sync", "--json").json
    assert "new/awesome-knots" in [hit["repo"] for hit in document["hits"]]
    assert "k/reef" in [hit["repo"] for hit in scaffold("search", "reef knot", "--offline", "--json").json["hits"]]


def test_sync_and_show_tell_what_is_inside(scaffold: Scaffold, server: GitHubServer) -> None:
    answer = scaffold("sync", "new/awesome-knots", "no/list", "--json")
    assert answer.code == 7
    assert [item["status"] for item in answer.json["lists"]] == ["synced", "failed"]
    assert answer.json["totals"] == {"lists": 1, "entries": 2, "repositories": 1}
    shown = scaffold("show", "New/Awesome-Knots", "--json").json
    assert shown["sections"] == [{"path": ["Bends"], "entries": 2}]
    assert shown["entries"][0]["repo"] == "k/reef"
    project = scaffold("show", "k/reef", "--json").json
    assert project["lists"] == ["new/awesome-knots"]
    assert project["mentions"][0]["description"] == "A knot for sails."
    text = scaffold("show", "k/reef").out
    assert "A knot for sails." in text
    readme = scaffold("show", "new/awesome-knots", "--readme")
    assert "## Bends" in readme.out


@pytest.mark.parametrize(("arguments", "code"), [(("no/list",), 3), (("-x/y",), 2), (("a/../b",), 4), (("noname",), 2)])
def test_the_only_one_that_fails_gives_its_own_code(
    scaffold: Scaffold, server: GitHubServer, arguments: tuple[str, ...], code: int
) -> None:
    answer = scaffold("sync", *arguments, "--json")
    assert answer.code == code
    if code != 2 or "noname" in arguments:
        assert "lists" in answer.json


def test_what_the_index_does_not_know_is_asked_from_github(scaffold: Scaffold, server: GitHubServer) -> None:
    shown = scaffold("show", "new/knots", "--json").json
    assert (shown["stars"], shown["language"], shown["sources"]) == (40_000, "Rust", ["github"])
    assert scaffold("show", "no/body").code == 3


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 403, "headers": {"X-RateLimit-Remaining": "0"}}, 6),
        ({"status": 401}, 5),
        ({"status": 500}, 3),
    ],
)
def test_what_keeps_github_from_telling_of_a_repository_has_its_code(
    scaffold: Scaffold, server: GitHubServer, fault: dict[str, Any], code: int
) -> None:
    server.fail(**fault)
    answer = scaffold("show", "no/body", "--json")
    assert (answer.code, answer.out) == (code, "")
    assert "the index does not know no/body, and GitHub: " in answer.err


def test_a_folder_is_synced_without_a_network(scaffold: Scaffold, server: GitHubServer, tmp_path: Path) -> None:
    (tmp_path / "me/knots").mkdir(parents=True)
    (tmp_path / "me/knots/README.md").write_text(README, encoding="utf-8")
    answer = scaffold("sync", "--from", tmp_path)
    assert answer.code == 0
    assert "2 entries of 1 list," in answer.out
    assert server.requests == []
    assert scaffold("sync", "--from", tmp_path / "none").code == 3
    assert scaffold("sync", "a/b", "--from", tmp_path).code == 2
