"""`scaffold clone`: what is brought, updated, left alone, and what each failure says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaffold.vcs import Repositories
from tests.git_server import Fault, GitServer, git, serve
from tests.references.conftest import leftovers

Call = Callable[..., Any]


def _statuses(answer: Any) -> list[str]:
    return [reference["status"] for reference in answer.json["references"]]


def test_several_at_once_are_complete_shallow_and_pinned(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    names = [f"owner/repo{number}" for number in range(6)]
    for name in names:
        server.add(name, {"README.md": name, "src/main.py": "print(1)\n"})
        server.commit(name, {"more.txt": "more"})
        server.publish(name)
    answer = scaffold("clone", *names, "--json")
    assert answer.code == 0
    assert [reference["repo"] for reference in answer.json["references"]] == names
    for reference in answer.json["references"]:
        folder = in_tmp / reference["path"]
        told = {key: reference[key] for key in ("repo", "path", "commit", "status", "error")}
        assert told == {
            "repo": reference["repo"],
            "path": f"references/{reference['repo']}",
            "commit": git(folder, "rev-parse", "HEAD"),
            "status": "cloned",
            "error": None,
        }
        assert (folder / "README.md").read_text() == reference["repo"]
        assert git(folder, "status", "--porcelain") == ""
        assert git(folder, "rev-list", "--count", "HEAD") == "1"
        assert git(folder, "symbolic-ref", "HEAD") == "refs/heads/main"
        assert reference["commit"] in (in_tmp / "references.lock").read_text()
    assert leftovers(in_tmp) == []


def test_of_two_runs_for_one_reference_the_slower_takes_what_the_faster_brought(
    server: GitServer, scaffold: Call, start: Call, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("a/one")
    verify = Repositories.verify

    def overtaken(*arguments: Any) -> None:
        assert start("a/one").wait(timeout=60) == 0
        verify(*arguments)

    monkeypatch.setattr(Repositories, "verify", overtaken)
    answer = scaffold("clone", "a/one", "--json")
    assert (answer.code, _statuses(answer)) == (0, ["unchanged"]), answer.err
    assert leftovers(in_tmp) == []


def test_a_missing_one_fails_alone(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one")
    server.add("a/two")
    answer = scaffold("clone", "a/one", "a/missing", "https://evil.example/a/b", "nlp", "a/two", "--json")
    assert answer.code == 7
    assert _statuses(answer) == ["cloned", "failed", "failed", "failed", "cloned"]
    missing, refused, malformed = answer.json["references"][1:4]
    assert "not found, or is private" in missing["error"]
    assert "evil.example" in refused["error"]
    assert "owner/name" in malformed["error"]
    assert refused["path"] is None
    assert sorted(path.name for path in (in_tmp / "references" / "a").iterdir()) == ["one", "two"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["a/missing"], 3),
        (["a/missing", "b/missing"], 1),
        (["-x/y"], 2),
        (["--", "-x/y"], 4),
        (["ext::sh -c id"], 4),
        (["file:///etc"], 4),
        (["nlp"], 2),
        (["a/one", "--ref", "nowhere"], 3),
        (["a/one", "--ref", "--upload-pack=x"], 4),
        (["a/one@v1", "a/one@v2"], 2),
        (["a/one", "--from", "no-such-file"], 3),
        (["--locked"], 3),
        (["--locked", "--ref", "v1"], 2),
        ([], 2),
    ],
)
def test_exit_codes_when_nothing_was_brought(
    server: GitServer, scaffold: Call, in_tmp: Path, arguments: list[str], code: int
) -> None:
    server.add("a/one")
    assert scaffold("clone", *arguments).code == code
    assert list(in_tmp.iterdir()) == []


def test_a_list_of_names_that_cannot_be_read_is_told_with_the_document(scaffold: Call, in_tmp: Path) -> None:
    answer = scaffold("clone", "--from", ".", "--json")  # a folder
    assert (answer.code, answer.json) == (1, {"references": []})
    assert answer.err.startswith("error: . cannot be read: ")


def test_a_drive_without_owners_is_told(
    server: GitServer, scaffold: Call, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("a/one")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    answer = scaffold("clone", "a/one")
    assert answer.code == 1
    assert "git mistrusts the folder" in answer.err
    assert list(in_tmp.glob("references/*")) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_is_read_as_notepad_and_powershell_write_it(
    server: GitServer, scaffold: Call, in_tmp: Path, encoding: str
) -> None:
    server.add("a/one")
    (in_tmp / "list.txt").write_text("# 읽을 것\r\na/one\r\n", encoding, newline="")
    answer = scaffold("clone", "--from", "list.txt", "--json")
    assert [item["repo"] for item in answer.json["references"]] == ["a/one"]


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (Fault(status=404), 3, "not found"),
        (Fault(token="secret"), 3, "private"),
        (Fault(status=403), 5, "did not let us in"),
        (Fault(status=429), 6, "slow down"),
        (Fault(status=503), 1, "503"),
        (Fault(cut_after=300), 1, "the connection broke off"),
    ],
)
def test_reasons_are_told_apart(
    server: GitServer, scaffold: Call, in_tmp: Path, fault: Fault, code: int, words: str
) -> None:
    server.add("a/one")
    server.faults["a/one"] = fault
    answer = scaffold("clone", "a/one", "--json")
    assert answer.code == code
    assert words in answer.json["references"][0]["error"]
    assert words in answer.err
    assert list(in_tmp.iterdir()) == []


def test_a_server_that_is_not_there(scaffold: Call, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_SERVER_URL", "http://127.0.0.1:9")
    answer = scaffold("clone", "a/one")
    assert answer.code == 1
    assert "could not be reached" in answer.err


def test_an_unchanged_reference_costs_one_listing(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one")
    scaffold("clone", "a/one")
    before = (in_tmp / "references.lock").read_bytes()
    server.requests.clear()
    answer = scaffold("clone", "a/one", "--json")
    assert _statuses(answer) == ["unchanged"]
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", "/a/one.git/info/refs?service=git-upload-pack"),
        ("POST", "/a/one.git/git-upload-pack"),
    ]
    assert (in_tmp / "references.lock").read_bytes() == before


def test_behind_means_fast_forward(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one")
    scaffold("clone", "a/one")
    folder = in_tmp / "references/a/one"
    (folder / "notes.txt").write_text("mine")
    commit = server.commit("a/one", {"new.txt": "new"})
    server.publish("a/one")
    answer = scaffold("clone", "A/One", "--json")
    assert _statuses(answer) == ["updated"]
    assert answer.json["references"][0]["commit"] == commit == git(folder, "rev-parse", "HEAD")
    assert commit in (in_tmp / "references.lock").read_text()
    assert (folder / "new.txt").read_text() == "new"
    assert (folder / "notes.txt").read_text() == "mine"
    assert git(folder, "status", "--porcelain", "--branch") == "## main...origin/main\n?? notes.txt"
    assert [path.name for path in (in_tmp / "references").iterdir()] == ["a"]


def test_local_changes_and_commits_are_never_touched(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    for name in ("a/changed", "a/committed"):
        server.add(name)
    scaffold("clone", "a/changed", "a/committed")
    lock = (in_tmp / "references.lock").read_bytes()
    changed, committed = (in_tmp / "references/a" / name for name in ("changed", "committed"))
    for folder in (changed, committed):
        (folder / "README.md").write_text("mine")
    git(committed, "commit", "--all", "--quiet", "--message=mine")
    mine = git(committed, "rev-parse", "HEAD")
    for name in ("a/changed", "a/committed"):
        server.commit(name, {"README.md": "theirs"})
        server.publish(name)
    answer = scaffold("clone", "a/changed", "a/committed", "--json")
    assert answer.code == 0
    assert _statuses(answer) == ["unchanged", "unchanged"]
    assert "local changes" in answer.json["references"][0]["error"]
    assert "commits of its own" in answer.json["references"][1]["error"]
    assert (changed / "README.md").read_text() == "mine"
    assert git(committed, "rev-parse", "HEAD") == mine
    assert (in_tmp / "references.lock").read_bytes() == lock


def test_an_untracked_file_in_the_way_stops_the_update(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one")
    scaffold("clone", "a/one")
    mine = in_tmp / "references/a/one/new.txt"
    mine.write_text("mine")
    server.commit("a/one", {"new.txt": "theirs"})
    server.publish("a/one")
    answer = scaffold("clone", "a/one")
    assert answer.code == 1
    assert "in the way" in answer.err
    assert mine.read_text() == "mine"
    mine.unlink()
    answer = scaffold("clone", "a/one", "--json")
    assert _statuses(answer) == ["updated"]
    assert mine.read_text() == "theirs"


def test_what_is_there_under_the_name_is_refused(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    for name in ("a/one", "a/two", "a/three"):
        server.add(name)
    other, plain = in_tmp / "references/a/one", in_tmp / "references/a/two"
    other.mkdir(parents=True)
    git(other, "init", "--quiet")
    git(other, "remote", "add", "origin", "https://github.com/somebody/else.git")
    plain.mkdir()
    (plain / "file").write_text("mine")
    (in_tmp / "references/a/three").symlink_to(plain)
    server.requests.clear()
    answer = scaffold("clone", "a/one", "a/two", "a/three", "--json")
    assert answer.code == 1
    errors = [reference["error"] for reference in answer.json["references"]]
    assert "somebody/else" in errors[0]
    assert all("not a git repository" in error for error in errors[1:])
    assert scaffold("clone", "a/one").code == 4
    assert (plain / "file").read_text() == "mine"
    assert server.requests == []


def test_a_clone_of_another_repository_is_never_pulled(
    server: GitServer, scaffold: Call, in_tmp: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Neither from its own remote nor from ours, whatever of the two is new, and whatever is asked for."""
    with serve(tmp_path_factory.mktemp("other")) as other:
        for host in (server, other):
            host.add("a/one", {"README.md": f"on {host.url}\n"})
        folder = in_tmp / "references/a/one"
        git(in_tmp, "clone", "--quiet", "--depth=1", f"{other.url}/a/one.git", str(folder))
        for host in (server, other):
            host.commit("a/one", {"new.txt": "new"})
            host.publish("a/one")
            host.requests.clear()
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for arguments in ([], ["--full"], ["--history"], ["--ref", "main"], ["--submodules"]):
            answer = scaffold("clone", "a/one", *arguments)
            assert answer.code == 4
            assert f"is a clone of {other.url}" in answer.err
        assert server.requests == other.requests == []
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not (in_tmp / "references.lock").exists()


def test_a_damaged_clone_inside_another_repository_is_no_repository(
    server: GitServer, scaffold: Call, in_tmp: Path
) -> None:
    server.add("a/one")
    git(in_tmp, "init", "--quiet")
    git(in_tmp, "remote", "add", "origin", f"{server.url}/a/one.git")
    (in_tmp / "references/a/one/.git").mkdir(parents=True)
    assert scaffold("clone", "a/one").code == 4


def test_branches_tags_and_commits(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    work = server.add("a/one")
    first = git(work, "rev-parse", "HEAD")
    git(work, "tag", "--annotate", "--message=one", "v1")
    second = server.commit("a/one", {"b.txt": "b"})
    git(work, "branch", "feature/x")
    third = server.commit("a/one", {"c.txt": "c"})
    server.publish("a/one", "main", "v1", "feature/x")
    folder = in_tmp / "references/a/one"
    for ref, commit, status in (
        ("v1", first, "cloned"),
        ("v1", first, "unchanged"),
        ("feature/x", second, "updated"),
        (third, third, "updated"),
        (first, first, "updated"),
        ("main", third, "updated"),
    ):
        answer = scaffold("clone", "a/one", "--ref", ref, "--json")
        assert (answer.code, _statuses(answer)) == (0, [status]), ref
        assert answer.json["references"][0]["commit"] == commit == git(folder, "rev-parse", "HEAD")
    assert scaffold("clone", f"a/one@{first}", "--dir", "by-commit").code == 0
    assert git(in_tmp / "by-commit/a/one", "rev-parse", "HEAD") == first


def test_without_a_ref_a_reference_stays_on_its_own(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    work = server.add("a/one")
    git(work, "tag", "v1")
    server.commit("a/one", {"b.txt": "b"})
    server.publish("a/one", "main", "v1")
    assert scaffold("clone", "a/one@v1").code == 0
    assert _statuses(scaffold("clone", "a/one", "--json")) == ["unchanged"]
    assert 'ref = "v1"' in (in_tmp / "references.lock").read_text()


def test_full_brings_all_history(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one")
    server.commit("a/one", {"b.txt": "b"})
    server.publish("a/one")
    assert scaffold("clone", "a/one", "--full").code == 0
    assert git(in_tmp / "references/a/one", "rev-list", "--count", "HEAD") == "2"
    commit = server.commit("a/one", {"c.txt": "c"})
    server.publish("a/one")
    assert _statuses(scaffold("clone", "a/one", "--json")) == ["updated"]
    assert git(in_tmp / "references/a/one", "rev-parse", "HEAD") == commit
    assert git(in_tmp / "references/a/one", "rev-list", "--count", "HEAD") == "3"


def test_locked_brings_exactly_those_commits_back(
    server: GitServer, scaffold: Call, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/one", "a/two"):
        server.add(name)
    first = scaffold("clone", "a/one", "a/two", "--json").json["references"]
    for name in ("a/one", "a/two"):
        server.commit(name, {"b.txt": "b"})
        server.publish(name)
    elsewhere = in_tmp / "다른 곳"
    elsewhere.mkdir()
    lock = (in_tmp / "references.lock").read_bytes()
    (elsewhere / "references.lock").write_bytes(lock)
    monkeypatch.chdir(elsewhere)
    answer = scaffold("clone", "--locked", "--json")
    assert answer.code == 0
    assert answer.json["references"] == first
    assert [git(elsewhere / item["path"], "rev-parse", "HEAD") for item in first] == [item["commit"] for item in first]
    assert (elsewhere / "references.lock").read_bytes() == lock
    scaffold("clone", "a/one")
    (elsewhere / "references.lock").write_bytes(lock)
    answer = scaffold("clone", "--locked", "a/one", "--json")
    assert _statuses(answer) == ["updated"]
    assert answer.json["references"][0]["commit"] == first[0]["commit"]


def test_names_from_a_file_and_from_standard_input(
    server: GitServer, scaffold: Call, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/one", "a/two", "a/three"):
        server.add(name)
    listed = f"\ufeff# my list\n\na/one  # the first\n{server.url}/a/two#readme\r\n"
    (in_tmp / "목록.txt").write_text(listed, encoding="utf-8", newline="")
    answer = scaffold("clone", "a/three", "--from", "목록.txt", "--json")
    assert [reference["repo"] for reference in answer.json["references"]] == ["a/three", "a/one", "a/two"]
    assert _statuses(answer) == ["cloned"] * 3
    monkeypatch.setattr("sys.stdin", (in_tmp / "목록.txt").open(encoding="utf-8-sig"))
    assert _statuses(scaffold("clone", "--from", "-", "--json")) == ["unchanged"] * 2


def test_paths_with_spaces_and_korean(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one", {"데이터 폴더/읽어 보세요.txt": "안녕"})
    answer = scaffold("clone", "a/one", "--dir", "참고 자료/$HOME")
    assert answer.code == 0
    folder = in_tmp / "참고 자료/$HOME/a/one"
    assert (folder / "데이터 폴더/읽어 보세요.txt").read_text(encoding="utf-8") == "안녕"
    assert "ls '참고 자료/$HOME/a/one'" in answer.out


def test_with_json_the_document_is_printed_whatever_happens(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    (in_tmp / "references.lock").write_text("version = 1\n<<<<<<< ours\n")
    answer = scaffold("clone", "a/one", "--json")
    assert answer.code == 1
    assert _statuses(answer) == ["failed"]
    assert "references.lock is damaged" in answer.json["references"][0]["error"]
    assert "line 2" in answer.err
    assert json.loads(scaffold("clone", "--json").out) == {"references": []}


def test_an_empty_repository(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    (server.root / "a").mkdir()
    git(server.root, "init", "--quiet", "--bare", "a/empty.git")
    answer = scaffold("clone", "a/empty")
    assert answer.code == 1
    assert "no commits" in answer.err
    assert list(in_tmp.iterdir()) == []
