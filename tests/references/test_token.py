"""The token: it opens its own server, reaches no other one, and shows nowhere."""

from __future__ import annotations

import base64
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaffold.errors import RefusedError, ScaffoldError
from scaffold.settings import Settings
from scaffold.vcs import Repositories
from scaffold.vcs.redirects import resolve
from tests.git_server import Fault, GitServer, git, serve
from tests.references.conftest import linux, processes_about, wait_until

Call = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]
_CANARY = "canary-5f0c1e"


@linux
def test_a_token_opens_its_own_server_and_shows_nowhere(
    server: GitServer, start: Start, in_tmp: Path, isolated: Path
) -> None:
    home = isolated.parent
    (home / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    server.add("a/private")
    server.add("a/slow")
    server.faults = {name: Fault(token=_CANARY) for name in ("a/private", "a/slow")}
    server.faults["a/slow"].trickle = True
    forms = [_CANARY, base64.b64encode(f"x-access-token:{_CANARY}".encode()).decode()]
    process = start("a/private", "a/missing", "a/slow", "--json", GITHUB_TOKEN=_CANARY)
    wait_until(lambda: server.trickling.is_set() and (in_tmp / "references/a/private").exists())
    assert processes_about(server.url)
    assert not any(processes_about(form) for form in forms)
    process.send_signal(signal.SIGINT)
    written = list(process.communicate(timeout=30))
    process = start("a/private", "a/missing", "--json", "--debug", GITHUB_TOKEN=_CANARY)
    written += process.communicate(timeout=30)
    assert process.returncode == 7, written
    files = [path.read_bytes() for top in (in_tmp, home) for path in top.rglob("*") if path.is_file()]
    assert not any(form in text for form in forms for text in written)
    assert not any(form.encode() in content for form in forms for content in files)
    assert any(request.authorization for request in server.requests)


def test_a_token_that_is_not_accepted(
    server: GitServer, scaffold: Call, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("a/private")
    server.faults["a/private"] = Fault(token="another")
    monkeypatch.setenv("GITHUB_TOKEN", _CANARY)
    answer = scaffold("clone", "a/private")
    assert answer.code == 3
    assert _CANARY not in answer.out + answer.err


def test_a_redirect_leads_to_allowed_hosts_only_and_takes_no_token_there(
    server: GitServer,
    scaffold: Call,
    in_tmp: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", _CANARY)
    with serve(tmp_path_factory.mktemp("other")) as other:
        server.add("a/moved")
        other.add("a/moved")
        server.faults["a/moved"] = Fault(location=other.url)
        answer = scaffold("clone", "a/moved")
        assert answer.code == 4
        assert other.url.removeprefix("http://") in answer.err
        assert other.requests == []
    assert list(in_tmp.iterdir()) == []


def test_a_redirect_to_a_host_that_is_allowed_takes_no_token_there(
    server: GitServer,
    scaffold: Call,
    in_tmp: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only https leads to a further allowed host, so here the server itself is the one that is asked by git."""
    monkeypatch.setenv("GITHUB_TOKEN", _CANARY)
    with serve(tmp_path_factory.mktemp("other")) as other:
        server.add("a/moved")
        server.faults["a/moved"] = Fault(location=other.url)
        monkeypatch.setenv("SCAFFOLD_ALLOWED_HOSTS", other.url.removeprefix("http://"))
        answer = scaffold("clone", "a/moved")
        assert answer.code == 4  # plain http to a host that is not the server
        assert other.requests == []
    # The look-up itself shows the token to the server's exact host and port alone.
    with serve(tmp_path_factory.mktemp("third")) as third:
        third.faults["a/moved"] = Fault(location=server.url, renamed="b/new")
        settings = Settings(server_url=server.url, token=_CANARY, allowed_hosts=())
        assert resolve(f"{third.url}/a/moved.git", settings) == f"{server.url}/b/new.git"
        assert [request.authorization for request in third.requests] == [None]
        server.requests.clear()
        server.faults["a/moved"] = Fault(location=server.url, renamed="b/new")
        resolve(f"{server.url}/a/moved.git", settings)
        assert all(request.authorization for request in server.requests)
        lookalike = Settings(server_url=third.url[:-1], token=_CANARY)
        third.requests.clear()
        with pytest.raises(RefusedError):
            resolve(f"{third.url}/a/moved.git", lookalike)
        assert [request.authorization for request in third.requests] == [None]


@pytest.mark.parametrize("asks", [401, 403])
def test_another_host_that_asks_for_a_password_gets_none(
    server: GitServer, in_tmp: Path, tmp_path_factory: pytest.TempPathFactory, asks: int
) -> None:
    """git itself, with the token at hand: a host on the same machine, at another port, is not the server."""
    with serve(tmp_path_factory.mktemp("other")) as other:
        other.add("a/private")
        other.faults["a/private"] = Fault(token=_CANARY) if asks == 401 else Fault(status=asks)
        git_runs = Repositories(Settings(server_url=server.url, token=_CANARY))
        with pytest.raises(ScaffoldError) as caught:
            git_runs.clone(f"{other.url}/a/private.git", in_tmp / "x")
        assert _CANARY not in f"{caught.value.message} {caught.value.__cause__!r}"
        assert other.requests
        assert all(request.authorization is None for request in other.requests)


def test_a_renamed_repository_is_followed_on_its_own_server(
    server: GitServer, scaffold: Call, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", _CANARY)
    server.add("b/new")
    server.faults["b/new"] = Fault(token=_CANARY)
    server.faults["a/old"] = Fault(location=server.url, renamed="b/new")
    assert scaffold("clone", "a/old").code == 0
    folder = in_tmp / "references/a/old"
    assert git(folder, "config", "remote.origin.url") == f"{server.url}/a/old.git"
    work = server.commit("b/new", {"more.txt": "more"})
    server.publish("b/new")
    assert scaffold("clone", "a/old", "--json").json["references"][0]["commit"] == work
