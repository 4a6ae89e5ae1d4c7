"""`--history` and `--full`: how much of a reference is brought, from the start or afterwards, whatever breaks off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.git_server import Fault, GitServer, git
from tests.references.conftest import leftovers

Call = Callable[..., Any]


@pytest.fixture(params=[True, False], ids=["filters", "no-filters"])
def server(request: pytest.FixtureRequest, server: GitServer) -> GitServer:
    """A host with `a/one`: three commits of the same file, a branch and a tag, with and without partial clones."""
    server.add("a/one", {"a.txt": "first\n" * 100})
    work = server.root / "work/a/one"
    git(work, "checkout", "--quiet", "-b", "side")
    server.commit("a/one", {"side.txt": "side"})
    git(work, "tag", "aside")
    git(work, "checkout", "--quiet", "main")
    for text in ("second", "third"):
        server.commit("a/one", {"a.txt": f"{text}\n" * 100})
    git(work, "branch", "other", "main~1")
    server.publish("a/one", "main", "other", "aside")
    if request.param:
        server.allow_filters("a/one")
    return server


def _count(folder: Path) -> int:
    return int(git(folder, "rev-list", "--count", "HEAD"))


def _missing(folder: Path) -> list[str]:
    """The objects that are left at the server."""
    objects = git(folder, "rev-list", "--objects", "--all", "--missing=print").splitlines()
    return [line for line in objects if line.startswith("?")]


def _has_filters(server: GitServer) -> bool:
    return "allowfilter" in git(server.root / "a/one.git", "config", "--list")


def _whole(folder: Path) -> None:
    """Everything is there: with the server gone, git misses nothing."""
    git(folder, "remote", "set-url", "origin", "http://127.0.0.1:9/gone.git")
    assert _missing(folder) == []
    git(folder, "fsck", "--full", "--strict")
    assert git(folder, "rev-parse", "--is-shallow-repository") == "false"


def _statuses(answer: Any) -> list[str]:
    return [reference["status"] for reference in answer.json["references"]]


def test_history_brings_the_commits_and_leaves_older_contents(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    answer = scaffold("clone", "a/one", "--history", "--json")
    assert (answer.code, _statuses(answer)) == (0, ["cloned"])
    folder = in_tmp / "references/a/one"
    assert _count(folder) == 3
    assert git(folder, "rev-parse", "--is-shallow-repository") == "false"
    assert bool(_missing(folder)) == _has_filters(server)
    assert git(folder, "status", "--porcelain") == ""
    assert "first" in git(folder, "show", "HEAD~2:a.txt")  # brought when it is looked at
    assert _statuses(scaffold("clone", "a/one", "--history", "--json")) == ["unchanged"]


def test_a_shallow_reference_gets_its_history_afterwards(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    scaffold("clone", "a/one")
    folder = in_tmp / "references/a/one"
    assert _count(folder) == 1
    assert _statuses(scaffold("clone", "a/one", "--history", "--json")) == ["updated"]
    assert _count(folder) == 3
    assert _statuses(scaffold("clone", "a/one", "--history", "--json")) == ["unchanged"]


@pytest.mark.parametrize("before", [[], ["--history"], ["--ref", "aside"], ["--ref", "other", "--history"]])
def test_full_afterwards_brings_everything(server: GitServer, scaffold: Call, in_tmp: Path, before: list[str]) -> None:
    assert scaffold("clone", "a/one", *before).code == 0
    folder = in_tmp / "references/a/one"
    head = git(folder, "rev-parse", "HEAD")
    answer = scaffold("clone", "a/one", "--full", "--json")
    assert (answer.code, _statuses(answer)) == (0, ["updated"])
    assert git(folder, "rev-parse", "HEAD") == head
    assert git(folder, "rev-parse", "origin/other")
    assert _statuses(scaffold("clone", "a/one", "--full", "--json")) == ["unchanged"]
    _whole(folder)


@pytest.mark.parametrize("option", ["--history", "--full"])
def test_a_ref_with_its_history(server: GitServer, scaffold: Call, in_tmp: Path, option: str) -> None:
    work = server.root / "work/a/one"
    commits = {ref: git(work, "rev-parse", f"{ref}^{{commit}}") for ref in ("other", "aside", "main~1", "main")}
    for number, (ref, commit) in enumerate(commits.items()):
        wanted = commit if ref == "main~1" else ref
        answer = scaffold("clone", "a/one", "--ref", wanted, option, "--dir", str(number), "--json")
        assert answer.code == 0, answer.err
        folder = in_tmp / f"{number}/a/one"
        assert git(folder, "rev-parse", "HEAD") == answer.json["references"][0]["commit"] == commit
        assert _count(folder) == int(git(work, "rev-list", "--count", commit))
        # and from one ref to another, in one folder
        answer = scaffold("clone", "a/one", "--ref", wanted, option, "--json")
        assert answer.code == 0, answer.err
        assert git(in_tmp / "references/a/one", "rev-parse", "HEAD") == commit
        assert _count(in_tmp / "references/a/one") == int(git(work, "rev-list", "--count", commit))


@pytest.mark.parametrize("option", ["--history", "--full"])
def test_locked_after_it_goes_back_and_keeps_the_history(
    server: GitServer, scaffold: Call, in_tmp: Path, option: str
) -> None:
    scaffold("clone", "a/one", option)
    lock = (in_tmp / "references.lock").read_bytes()
    old = git(in_tmp / "references/a/one", "rev-parse", "HEAD")
    new = server.commit("a/one", {"b.txt": "b"})
    server.publish("a/one")
    folder = in_tmp / "references/a/one"
    assert _statuses(scaffold("clone", "a/one", "--json")) == ["updated"]
    assert git(folder, "rev-parse", "HEAD") == new
    assert _count(folder) == 4
    (in_tmp / "references.lock").write_bytes(lock)
    answer = scaffold("clone", "--locked", "--json")
    assert (answer.code, _statuses(answer)) == (0, ["updated"])
    assert git(folder, "rev-parse", "HEAD") == old
    assert _count(folder) == 3
    assert scaffold("clone", "--locked", option, "--dir", "else where").code == 0
    assert _count(in_tmp / "else where/a/one") == 3


@pytest.mark.parametrize("before", [[], ["--history"]])
@pytest.mark.parametrize("option", ["--history", "--full"])
@pytest.mark.parametrize("cut_after", [0, 50, 700])
@pytest.mark.usefixtures("no_pauses")
def test_what_breaks_off_is_made_up_for(
    server: GitServer, scaffold: Call, in_tmp: Path, before: list[str], option: str, cut_after: int
) -> None:
    """The connection breaks while history comes: the reference stays as it was, and the next run brings the rest."""
    scaffold("clone", "a/one", *before)
    folder = in_tmp / "references/a/one"
    head = git(folder, "rev-parse", "HEAD")
    server.faults["a/one"] = Fault(cut_after=cut_after)
    answer = scaffold("clone", "a/one", option)
    if before != [option]:
        assert answer.code == 1
        assert "tried 3 times" in answer.err
    assert git(folder, "rev-parse", "HEAD") == head
    assert git(folder, "status", "--porcelain") == ""
    server.faults.clear()
    assert scaffold("clone", "a/one", option).code == 0
    assert _count(folder) == 3
    if option == "--full":
        _whole(folder)
    assert leftovers(in_tmp) == []
