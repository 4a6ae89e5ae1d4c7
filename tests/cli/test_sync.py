"""`scaffold sync` as a person and a script meet it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scaffold import paths
from scaffold.discovery.store import ListStore
from tests.conftest import REPOSITORY, Answer
from tests.github_server import GitHubServer

Scaffold = Callable[..., Answer]
README = "# Awesome {name}\n\n## Tools\n\n- [Hammer](https://github.com/a/hammer) - Drives nails.\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        for name in ("one", "two"):
            running.add_file(f"lists/{name}", "README.md", README.format(name=name))
        yield running


def test_the_document_tells_of_every_list(scaffold: Scaffold, server: GitHubServer) -> None:
    answer = scaffold("sync", "lists/one", "lists/none", "--evil", "--json")
    assert answer.code == 2
    answer = scaffold("sync", "--json", "lists/one", "lists/none", "no-slash", "a/../b")
    assert answer.code == 7
    statuses = {item["repo"]: (item["status"], item["entries"]) for item in answer.json["lists"]}
    assert statuses == {
        "lists/one": ("synced", 1),
        "lists/none": ("failed", 0),
        "no-slash": ("failed", 0),
        "a/../b": ("failed", 0),
    }
    assert answer.json["totals"] == {"lists": 1, "entries": 1, "repositories": 1}
    assert "lists/none" in answer.err


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["lists/none"], 3),
        (["a/../b"], 4),
        (["no-slash"], 2),
        (["lists/none", "lists/nothing"], 1),
        (["lists/one", "lists/none"], 7),
        (["lists/one", "lists/two"], 0),
    ],
)
def test_the_exit_code_says_how_it_went(scaffold: Scaffold, server: GitHubServer, names: list[str], code: int) -> None:
    answer = scaffold("sync", "--json", *names)
    assert answer.code == code
    assert len(answer.json["lists"]) == len(names)


@pytest.mark.parametrize(
    ("names", "suggested"),
    [
        (["lists/none"], False),
        (["lists/none", "lists/nothing"], False),
        (["lists/one", "lists/none"], True),
        (["lists/one"], True),
    ],
)
def test_a_search_is_the_next_step_only_where_something_came(
    scaffold: Scaffold, server: GitHubServer, names: list[str], suggested: bool
) -> None:
    assert ("scaffold search" in scaffold("sync", *names).out) is suggested


def test_lists_that_fail_for_one_reason_are_told_together(scaffold: Scaffold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAFFOLD_RAW_URL", "http://127.0.0.1:9")  # nothing listens there
    names = [f"lists/l{number}" for number in range(12)]
    error, hint = scaffold("sync", *names).err.splitlines()[-2:]
    assert error.count("lists/l") == 8
    assert "and 4 more: 127.0.0.1:9 could not be reached" in error
    assert "--offline" not in hint  # which sync does not have


def test_a_rate_limit_alone_has_its_own_code(scaffold: Scaffold, server: GitHubServer) -> None:
    server.fail(status=429, headers={"Retry-After": "60"})
    assert scaffold("sync", "lists/one").code == 6


@pytest.mark.parametrize("arguments", [["--from", "nowhere"], ["--from", "."], ["--from", ".", "a/b"]])
def test_the_document_is_printed_also_when_nothing_could_be_done(
    scaffold: Scaffold, in_tmp: Path, arguments: list[str]
) -> None:
    answer = scaffold("sync", "--json", *arguments)
    assert answer.code in (1, 2, 3)
    assert answer.json == {"lists": [], "totals": {"lists": 0, "entries": 0, "repositories": 0}, "notices": []}
    assert answer.err.startswith("error: ")


def test_a_store_that_cannot_be_written_is_explained(
    scaffold: Scaffold, server: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SCAFFOLD_HOME", str(tmp_path / "file"))
    answer = scaffold("sync", "lists/one", "--json")
    assert answer.code == 1
    assert answer.json["lists"] == []
    assert "cannot be written" in answer.err
    assert "unexpected" not in answer.err


def test_a_damaged_store_is_said_in_the_document(scaffold: Scaffold, server: GitHubServer) -> None:
    paths.lists_path().parent.mkdir(parents=True)
    paths.lists_path().write_bytes(b"no database" * 500)
    answer = scaffold("sync", "lists/one", "--json")
    assert answer.code == 0
    assert "damaged" in answer.json["notices"][0]


def test_control_characters_reach_no_terminal(scaffold: Scaffold, tmp_path: Path) -> None:
    place = tmp_path / "a" / "list\x1b]0;title\x07"
    place.mkdir(parents=True)
    (place / "README.md").write_text(README)
    (tmp_path / "a" / "fine").mkdir()
    (tmp_path / "a" / "fine" / "README.md").write_text(README.format(name="\x1b[31m"))
    answer = scaffold("sync", "--from", tmp_path)
    assert answer.code == 7
    assert not {"\x1b", "\x07"} & set(answer.out + answer.err)


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_came_and_does_not_wait_for_the_rest(
    server: GitHubServer, tmp_path: Path, number: signal.Signals
) -> None:
    server.fail(kind="hang", path="lists/slow")
    command = [sys.executable, "-m", "scaffold", "sync", "lists/one", "lists/slow", "lists/two", "--json"]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        _wait_for_lists({"lists/one", "lists/two"})
        process.send_signal(number)
        out, err = process.communicate(timeout=20)  # the list that hangs would take longer
    finally:
        process.kill()
    assert process.returncode == 130
    assert {item["repo"] for item in json.loads(out)["lists"]} == {"lists/one", "lists/two"}
    assert err == "Interrupted: 2 lists kept. `scaffold sync` goes on with the rest.\n"


def _wait_for_lists(names: set[str]) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        store = ListStore.read(paths.lists_path())
        if store:
            with store:
                if set(store.list_names()) == names:
                    return
        time.sleep(0.05)
    raise AssertionError("the lists did not come")
