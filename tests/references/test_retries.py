"""Servers that fail: how often one is asked again, what is said of it, and that nobody else waits for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaffold.references.bring import CloneJob
from scaffold.references.clone import clone_named
from scaffold.settings import Settings
from tests.git_server import Fault, GitServer, git
from tests.references.conftest import leftovers, linux, processes_about

Call = Callable[..., Any]


def test_two_breaks_are_two_more_tries_and_then_all_is_well(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    """With the real pauses, as a person meets it."""
    server.add("a/one")
    server.faults["a/one"] = Fault(cut_after=100, times=2)
    answer = scaffold("clone", "a/one")
    assert answer.code == 0
    lines = answer.err.splitlines()
    assert [line.rpartition("; ")[2] for line in lines[:2]] == [
        "trying again in 1 s",
        "trying again in 4 s",
    ]
    assert all("the connection broke off" in line for line in lines[:2])
    assert lines[2:] == ["a/one: cloned"]
    assert server.tries("a/one") == 3
    git(in_tmp / "references/a/one", "fsck", "--full", "--strict")
    assert leftovers(in_tmp) == []


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(cut_after=0), "the connection broke off"),
        (Fault(cut_after=200), "the connection broke off"),
        (Fault(status=500), "returned error: 500"),
        (Fault(status=502), "returned error: 502"),
        (Fault(hang=True), "stopped answering"),
        (Fault(trickle=True), "stopped answering"),
    ],
)
def test_one_that_always_breaks_is_tried_three_times(
    server: GitServer, scaffold: Call, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, words: str
) -> None:
    monkeypatch.setenv("GIT_HTTP_LOW_SPEED_TIME", "1")
    server.add("a/one")
    server.faults["a/one"] = fault
    answer = scaffold("clone", "a/one", "--json")
    assert answer.code == 1
    (reference,) = answer.json["references"]
    assert words in reference["error"]
    assert reference["error"].endswith("tried 3 times")
    assert answer.err.count("trying again") == 2
    assert server.tries("a/one") == 3
    assert list(in_tmp.iterdir()) == []


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(status=404), 3),
        (Fault(status=403), 5),
        (Fault(status=429), 6),
        (Fault(token="secret"), 3),
        (Fault(location="http://127.0.0.1:9"), 4),
    ],
)
def test_what_would_fail_again_is_asked_once(
    server: GitServer, scaffold: Call, in_tmp: Path, fault: Fault, code: int
) -> None:
    server.add("a/one")
    server.faults["a/one"] = fault
    answer = scaffold("clone", "a/one")
    assert answer.code == code
    assert "trying" not in answer.err
    assert "tried" not in answer.err
    # Where it has moved to is looked up by one request more.
    assert server.tries("a/one") == (2 if fault.location else 1)


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_sends_one_round_and_round_is_left(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    for name, other in (("a/one", "a/two"), ("a/two", "a/one")):
        server.faults[name] = Fault(location=server.url, renamed=other)
    answer = scaffold("clone", "a/one")
    assert answer.code == 1
    assert "has moved" in answer.err
    assert len(server.requests) <= 8


def test_the_job_says_how_often_and_how_long(server: GitServer, settings: Settings, in_tmp: Path) -> None:
    server.add("a/one")
    server.faults["a/one"] = Fault(cut_after=100)
    told: list[tuple[str, float]] = []
    job = CloneJob(
        directory=in_tmp / "references",
        lock_path=in_tmp / "references.lock",
        settings=settings,
        pauses=(0.01, 0.02, 0.03),
        on_retry=lambda repo, reason, pause: told.append((repo, pause)),
    )
    (reference,) = clone_named(["a/one"], job)
    assert reference.error is not None
    assert reference.error.endswith("tried 4 times")
    assert told == [("a/one", 0.01), ("a/one", 0.02), ("a/one", 0.03)]
    server.requests.clear()
    (reference,) = clone_named(["a/one"], dataclasses.replace(job, pauses=()))
    assert reference.error is not None
    assert "tried" not in reference.error
    assert server.tries("a/one") == 1


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("broken", [Fault(cut_after=100, times=1), Fault(status=503, times=1)])
def test_an_update_is_tried_again_too(server: GitServer, scaffold: Call, in_tmp: Path, broken: Fault) -> None:
    server.add("a/one")
    scaffold("clone", "a/one")
    commit = server.commit("a/one", {"new.txt": "new"})
    server.publish("a/one")
    server.faults["a/one"] = broken
    answer = scaffold("clone", "a/one", "--json")
    assert answer.code == 0
    assert answer.json["references"][0]["commit"] == commit
    assert answer.err.count("trying again") == 1


@pytest.mark.usefixtures("no_pauses")
def test_one_that_takes_too_long_as_a_whole_is_given_up_at_once(
    server: GitServer, scaffold: Call, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What took an hour is not begun again twice, and a slow drip does not go on for ever."""
    monkeypatch.setattr("scaffold.vcs._SHALLOW_SECONDS", 1.0)
    monkeypatch.setenv("GIT_HTTP_LOW_SPEED_TIME", "600")
    server.add("a/one")
    server.faults["a/one"] = Fault(trickle=True)
    answer = scaffold("clone", "a/one")
    assert answer.code == 1
    assert "took too long" in answer.err
    assert server.tries("a/one") == 1
    assert list(in_tmp.iterdir()) == []


@linux
@pytest.mark.usefixtures("no_pauses")
def test_twenty_of_which_three_are_broken(
    server: GitServer, scaffold: Call, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_HTTP_LOW_SPEED_TIME", "1")
    names = [f"a/repo{number}" for number in range(20)]
    for name in names:
        server.add(name, {"README.md": name, "data.txt": f"{name}\n" * 1000})
    faults = {"a/repo3": Fault(status=404), "a/repo8": Fault(hang=True), "a/repo15": Fault(cut_after=500)}
    server.faults.update(faults)
    answer = scaffold("clone", *names, "--json", "--jobs", "4")
    assert answer.code == 7
    by_name = {reference["repo"]: reference for reference in answer.json["references"]}
    assert list(by_name) == names
    failed = {name: item["error"] for name, item in by_name.items() if item["status"] == "failed"}
    assert list(failed) == ["a/repo3", "a/repo8", "a/repo15"]
    for error, words in zip(failed.values(), ("not found", "stopped answering", "broke off"), strict=True):
        assert words in error
        assert error.split("; tried")[0] in answer.err
    assert [by_name[name]["exit_code"] for name in failed] == [3, 1, 1]
    lock = (in_tmp / "references.lock").read_text()
    for name in set(names) - set(faults):
        folder = in_tmp / "references" / name
        git(folder, "fsck", "--full", "--strict")
        assert git(folder, "status", "--porcelain") == ""
        assert git(folder, "rev-parse", "HEAD") == by_name[name]["commit"]
        assert by_name[name]["commit"] in lock
    assert lock.count("[[references]]") == 17
    assert sorted(path.name for path in (in_tmp / "references/a").iterdir()) == sorted(
        name.partition("/")[2] for name in set(names) - set(faults)
    )
    assert leftovers(in_tmp) == []
    assert processes_about(server.url) == []
