"""`scaffold fork` as a person and a script meet it, with its clone from a git host on this machine."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import REPOSITORY, Answer
from tests.git_server import Fault, GitServer, git, serve
from tests.github_account import Account
from tests.github_server import GitHubServer

Scaffold = Callable[..., Answer]
TOKEN = "ghp_c4n4ry+/=F0rk"


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """Where git fetches from: the parent, and the fork one commit behind it."""
    with serve(tmp_path_factory.mktemp("host")) as running:
        for name in ("a/kit", "me/kit"):
            running.add(name, {"README.md": "# kit\n"})
        running.commit("a/kit", {"new.py": "x = 1\n"}, "Newer than the fork")
        running.publish("a/kit")
        running.commit("me/kit", {"mine.py": "y = 2\n"}, "Mine")
        running.publish("me/kit", "main", "main:topic")
        yield running


@pytest.fixture
def server(host: GitServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer() as running:
        monkeypatch.setenv("GITHUB_API_URL", running.url)
        monkeypatch.setenv("GITHUB_SERVER_URL", host.url)
        running.add("a/kit")
        yield running


@pytest.fixture
def me(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    return server.accounts.add(TOKEN, "me")


def test_a_fork_is_made_once_and_found_afterwards(
    scaffold: Scaffold, server: GitHubServer, host: GitServer, me: Account, in_tmp: Path
) -> None:
    answer = scaffold("fork", "a/kit", "--json")
    assert answer.code == 0
    url = f"{host.url}/me/kit"
    assert answer.json == {
        "fork": {"repo": "me/kit", "parent": "a/kit", "url": url, "status": "created", "path": None}
    }  # fmt: skip
    answer = scaffold("fork", "a/kit")
    assert answer.code == 0
    assert f"There is a fork of a/kit already: {url}" in answer.out
    assert "scaffold fork a/kit --clone" in answer.out
    assert server.paths().count("POST /repos/a/kit/forks") == 1
    assert list(in_tmp.iterdir()) == []


def test_the_clone_has_origin_upstream_and_all_history(
    scaffold: Scaffold, server: GitHubServer, host: GitServer, me: Account, in_tmp: Path
) -> None:
    answer = scaffold("fork", "a/kit", "--clone", "--json")
    assert answer.code == 0, answer.err
    clone = in_tmp / "references/me/kit"
    assert answer.json["fork"]["path"] == "references/me/kit"
    assert git(clone, "remote", "get-url", "origin") == f"{host.url}/me/kit.git"
    assert git(clone, "remote", "get-url", "upstream") == f"{host.url}/a/kit.git"
    assert git(clone, "rev-parse", "--abbrev-ref", "main@{upstream}") == "origin/main"
    assert git(clone, "rev-parse", "--is-shallow-repository") == "false"
    assert git(clone, "log", "--format=%s", "HEAD") == "Mine\nA change"
    assert git(clone, "log", "--format=%s", "-1", "upstream/main") == "Newer than the fork"
    assert git(clone, "rev-parse", "origin/topic")
    assert git(clone, "status", "--porcelain") == ""
    assert 'repo = "me/kit"' in (in_tmp / "references.lock").read_text()
    # What the clone is for: a commit of one's own, on top of what upstream has.
    (clone / "more.py").write_text("z = 3\n")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message=More")
    git(clone, "rebase", "--quiet", "upstream/main")
    again = scaffold("fork", "a/kit", "--clone")
    assert again.code == 0
    assert "cd references/me/kit" in again.out
    assert git(clone, "log", "--format=%s", "-1") == "More"


def test_a_clone_that_lacks_the_remote_gets_it_and_another_remote_is_left_alone(
    scaffold: Scaffold, server: GitHubServer, host: GitServer, me: Account, in_tmp: Path
) -> None:
    assert scaffold("clone", "me/kit", "--dir", "한 글").code == 0
    clone = in_tmp / "한 글/me/kit"
    assert scaffold("fork", "a/kit", "--clone", "--dir", "한 글").code == 0
    assert git(clone, "log", "--format=%s", "-1", "upstream/main") == "Newer than the fork"
    git(clone, "remote", "set-url", "upstream", f"{host.url}/b/other.git")
    answer = scaffold("fork", "a/kit", "--clone", "--dir", "한 글", "--json")
    assert answer.code == 7
    assert answer.json["fork"]["status"] == "existing"
    assert answer.json["fork"]["path"] is None
    assert "b/other.git" in answer.err
    assert "remote rename upstream" in answer.err
    assert git(clone, "remote", "get-url", "upstream") == f"{host.url}/b/other.git"


def test_the_clone_waits_for_the_content_of_a_new_fork(
    scaffold: Scaffold, server: GitHubServer, host: GitServer, me: Account, in_tmp: Path
) -> None:
    bare, elsewhere = host.root / "me/kit.git", host.root / "later.git"
    bare.rename(elsewhere)

    def copied() -> None:
        # git asks twice, the second time with the token: the third request is that of another look.
        while sum("me/kit.git" in path for path in host.paths()) < 3:
            time.sleep(0.02)
        elsewhere.rename(bare)

    copying = threading.Thread(target=copied)
    copying.start()
    answer = scaffold("fork", "a/kit", "--clone")
    copying.join()
    assert answer.code == 0, answer.err
    assert answer.err.count("Waiting until GitHub has made me/kit") == 1
    assert (in_tmp / "references/me/kit/mine.py").exists()


def test_a_fork_that_cannot_be_cloned_is_still_told_as_made(
    scaffold: Scaffold, server: GitHubServer, host: GitServer, me: Account, in_tmp: Path
) -> None:
    host.faults["me/kit"] = Fault(status=500)
    answer = scaffold("fork", "a/kit", "--clone", "--json")
    assert answer.code == 7
    assert answer.json["fork"]["status"] == "created"
    assert answer.json["fork"]["path"] is None
    assert "trying again" in answer.err
    assert "\nme/kit: failed\nerror: " in answer.err
    assert not (in_tmp / "references").exists()
    host.faults["me/kit"] = Fault()
    host.faults["a/kit"] = Fault(status=500)
    assert scaffold("fork", "a/kit", "--clone").code == 7
    host.faults.clear()
    assert scaffold("fork", "a/kit", "--clone").code == 0
    assert git(in_tmp / "references/me/kit", "rev-parse", "upstream/main")


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ({"status": 401}, 5, "token is not accepted"),
        ({"status": 403, "headers": {"X-OAuth-Scopes": "gist"}, "method": "POST"}, 5, "lacks the scope public_repo"),
        ({"status": 429, "method": "POST"}, 6, "limit"),
        ({"status": 404, "path": "/repos/a/kit"}, 3, "GitHub has no repository a/kit"),
        ({"status": 500, "path": "/user"}, 1, "HTTP 500"),
    ],
)
def test_a_failure_is_a_line_and_a_code_and_no_document(
    scaffold: Scaffold,
    server: GitHubServer,
    me: Account,
    in_tmp: Path,
    fault: dict[str, object],
    code: int,
    text: str,
) -> None:
    server.fail(**fault)
    answer = scaffold("fork", "a/kit", "--clone", "--json")
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("error: ")
    assert text in answer.err
    assert list(in_tmp.iterdir()) == []


@pytest.mark.parametrize(("name", "code"), [("a/../b", 4), ("kit", 2), ("--evil", 2)])
def test_an_unsafe_or_odd_name_asks_nobody(
    scaffold: Scaffold, server: GitHubServer, me: Account, name: str, code: int
) -> None:
    assert scaffold("fork", name).code == code
    assert server.requests == []


def test_nobody_signed_in_is_told_how(scaffold: Scaffold, server: GitHubServer) -> None:
    answer = scaffold("fork", "a/kit")
    assert answer.code == 5
    assert "GITHUB_TOKEN" in answer.err
    assert server.requests == []


def test_an_archived_parent_is_noted(scaffold: Scaffold, server: GitHubServer, me: Account) -> None:
    server.add("a/old", archived=True)
    answer = scaffold("fork", "a/old")
    assert answer.code == 0
    assert "a/old is archived" in answer.err


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_while_waiting_says_what_goes_on(server: GitHubServer, me: Account, in_tmp: Path) -> None:
    server.accounts.delay = None
    process = subprocess.Popen(
        [sys.executable, "-m", "scaffold", "fork", "a/kit", "--json"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "Waiting until GitHub has made me/kit" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "GitHub goes on making me/kit" in err
    assert server.paths().count("POST /repos/a/kit/forks") == 1


def test_the_token_is_in_no_file_and_no_message(
    scaffold: Scaffold, server: GitHubServer, host: GitServer, me: Account, in_tmp: Path, isolated: Path
) -> None:
    host.faults.update({name: Fault(token=TOKEN) for name in ("a/kit", "me/kit")})
    said = []
    for fault in ({}, {"status": 401}, {"status": 403}, {"status": 500}, {"status": 429}, {"kind": "cut"}):
        server.faults.clear()
        if fault:
            server.fail(**fault)
        for command in (("fork", "a/kit", "--clone"), ("star", "a/kit")):
            answer = scaffold(*command, "--json")
            said.append(answer.out + answer.err)
            if not fault:
                assert answer.code == 0, answer.err
    assert all(request.token == TOKEN for request in server.requests)
    assert any(request.authorization for request in host.requests)
    everywhere = [path.read_bytes() for folder in (in_tmp, isolated) for path in folder.rglob("*") if path.is_file()]
    everywhere.append(json.dumps(said).encode())
    basic = base64.b64encode(f"x-access-token:{TOKEN}".encode())
    for form in (TOKEN.encode(), base64.b64encode(TOKEN.encode()), basic, quote(TOKEN, safe="").encode()):
        assert not any(form in content for content in everywhere)
