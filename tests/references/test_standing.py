"""`scaffold references` and `scaffold references remove`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.git_server import Fault, GitServer, git
from tests.references.conftest import leftovers

Call = Callable[..., Any]


def _standing(scaffold: Call, *arguments: str) -> dict[str, dict[str, Any]]:
    answer = scaffold("references", *arguments, "--json")
    assert answer.code == 0, answer.err
    return {item["repo"]: item for item in answer.json["references"]}


@pytest.fixture
def cloned(server: GitServer, scaffold: Call, in_tmp: Path) -> Path:
    """Seven references, each standing otherwise."""
    names = ["current", "behind", "ahead", "changed", "moved", "missing", "damaged"]
    for name in names:
        server.add(f"a/{name}", {"README.md": name})
        server.commit(f"a/{name}", {"more.txt": "more"})
        server.publish(f"a/{name}")
    assert scaffold("clone", *(f"a/{name}" for name in names), "--full").code == 0
    folder = in_tmp / "references/a"
    server.commit("a/behind", {"new.txt": "new"})
    server.publish("a/behind")
    (folder / "ahead/mine.txt").write_text("mine")
    git(folder / "ahead", "add", "--all")
    git(folder / "ahead", "commit", "--quiet", "--message=mine")
    (folder / "changed/README.md").write_text("something else")
    git(folder / "moved", "checkout", "--quiet", "--detach", "HEAD~1")
    shutil.rmtree(folder / "missing")
    shutil.rmtree(folder / "damaged/.git/objects")
    return folder


def test_each_standing_is_told(server: GitServer, scaffold: Call, cloned: Path) -> None:
    found = _standing(scaffold)
    assert {repo: item["status"] for repo, item in found.items()} == {
        f"a/{name}": "behind" if name == "moved" else name
        for name in ("current", "behind", "ahead", "changed", "moved", "missing", "damaged")
    }
    assert found["a/behind"]["behind"] is True
    assert found["a/ahead"]["behind"] is False
    assert found["a/missing"]["behind"] is None
    assert found["a/current"]["commit"] == found["a/current"]["locked"] == git(cloned / "current", "rev-parse", "HEAD")
    assert found["a/missing"]["commit"] is None
    assert found["a/missing"]["path"] == "references/a/missing"


def test_offline_asks_nobody(server: GitServer, scaffold: Call, cloned: Path) -> None:
    asked = len(server.requests)
    found = _standing(scaffold, "--offline")
    assert len(server.requests) == asked
    assert found["a/behind"]["status"] == "current"
    assert found["a/behind"]["behind"] is None
    assert found["a/moved"]["status"] == "moved"


def test_what_is_behind_is_brought_by_the_command_it_names(server: GitServer, scaffold: Call, cloned: Path) -> None:
    answer = scaffold("references")
    assert "scaffold clone a/behind a/moved" in answer.out
    assert "scaffold clone --locked" in answer.out
    assert scaffold("clone", "a/behind").code == 0
    assert _standing(scaffold)["a/behind"]["status"] == "current"


def test_a_remote_that_fails_leaves_the_rest(server: GitServer, scaffold: Call, cloned: Path) -> None:
    server.faults["a/current"] = Fault(status=404)
    answer = scaffold("references", "--json")
    item = {item["repo"]: item for item in answer.json["references"]}["a/current"]
    assert (answer.code, item["status"], item["behind"]) == (0, "current", None)
    assert "a/current" in answer.err


def test_what_nobody_pinned_is_listed_too(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one")
    assert scaffold("clone", "a/one").code == 0
    (in_tmp / "references.lock").unlink()
    assert _standing(scaffold)["a/one"]["locked"] is None


def test_without_references_it_says_how_to_get_some(scaffold: Call, in_tmp: Path) -> None:
    answer = scaffold("references")
    assert answer.code == 0
    assert "scaffold clone" in answer.out


@pytest.mark.parametrize(
    ("name", "reason"), [("ahead", "commits"), ("changed", "changes"), ("damaged", "not a usable git repository")]
)
def test_work_of_the_users_is_not_removed(
    server: GitServer, scaffold: Call, cloned: Path, name: str, reason: str
) -> None:
    answer = scaffold("references", "remove", "a/current", f"a/{name}")
    assert answer.code == 4
    assert reason in answer.err
    assert (cloned / "current/README.md").exists()
    assert scaffold("references", "remove", f"a/{name}", "--force").code == 0
    assert not (cloned / name).exists()


def test_new_files_other_branches_and_stashes_are_work_too(server: GitServer, scaffold: Call, cloned: Path) -> None:
    folder = cloned / "current"
    (folder / "notes.md").write_text("mine")
    assert scaffold("references", "remove", "a/current").code == 4
    git(folder, "stash", "--include-untracked", "--quiet")
    assert scaffold("references", "remove", "a/current").code == 4
    git(folder, "stash", "drop", "--quiet")
    git(folder, "checkout", "--quiet", "-b", "mine")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=mine")
    git(folder, "checkout", "--quiet", "main")
    assert scaffold("references", "remove", "a/current").code == 4
    git(folder, "branch", "--quiet", "-D", "mine")
    assert scaffold("references", "remove", "a/current").code == 0


def test_removed_is_gone_from_disk_and_lock(server: GitServer, scaffold: Call, cloned: Path, in_tmp: Path) -> None:
    answer = scaffold("references", "remove", "A/Current", "a/missing", "--json")
    assert answer.code == 0
    assert [item["repo"] for item in answer.json["removed"]] == ["a/current", "a/missing"]
    assert not (cloned / "current").exists()
    lock = (in_tmp / "references.lock").read_text()
    assert "a/current" not in lock
    assert "a/missing" not in lock
    assert "a/behind" in lock
    assert leftovers(in_tmp) == []
    assert scaffold("references", "remove", "a/current").code == 3


def test_a_folder_whose_git_settings_run_something_is_not_looked_into(
    server: GitServer, scaffold: Call, cloned: Path, in_tmp: Path
) -> None:
    git(cloned / "current", "config", "filter.evil.clean", f"touch {in_tmp}/sentinel")
    (cloned / "current/.gitattributes").write_text("* filter=evil\n")
    answer = scaffold("references", "--json")
    item = {item["repo"]: item for item in answer.json["references"]}["a/current"]
    assert item["status"] == "damaged"
    assert "filter.evil.clean" in item["error"]
    assert not (in_tmp / "sentinel").exists()
