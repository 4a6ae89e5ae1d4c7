"""The token, wherever it comes from and whatever goes wrong: in no output, no file and no command line."""

from __future__ import annotations

import base64
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from scaffold.github import stars
from scaffold.github.deadline import Deadline
from tests.conftest import Answer
from tests.git_server import Fault, GitServer, serve
from tests.github_server import GitHubServer

Scaffold = Callable[..., Answer]
_CANARY = "ghp_c4n4ry+/=T0k3n~%"
_FORMS = [
    form.encode()
    for form in (
        _CANARY,
        quote(_CANARY),
        quote(_CANARY, safe=""),
        base64.b64encode(_CANARY.encode()).decode(),
        base64.b64encode(f"x-access-token:{_CANARY}".encode()).decode(),
        base64.urlsafe_b64encode(_CANARY.encode()).decode(),
    )
]
_COMMANDS = (
    ("search", "knots", "--refresh"),
    ("search", "knots", "--sync"),
    ("show", "k/kit"),
    ("show", "k/kit", "--readme"),
    ("star", "k/kit", "k/none"),
    ("star", "k/kit", "--remove"),
    ("sync", "k/awesome-knots"),
    ("fork", "k/kit", "--clone"),
    ("clone", "k/kit", "k/none"),
    ("clone", "k/kit", "--full", "--submodules"),
    ("new", "sklearn", "project"),
    ("start", "knots", "started", "--yes"),
)


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """Where git fetches from: two private repositories."""
    with serve(tmp_path_factory.mktemp("host")) as running:
        for name in ("k/kit", "me/kit"):
            running.add(name, {"README.md": "# kit\n"})
            running.faults[name] = Fault(token=_CANARY)
        yield running


@pytest.fixture
def server(host: GitServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer() as running:
        for name, value in {**running.environment, "GITHUB_SERVER_URL": host.url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(stars, "WRITE_PAUSE", 0.0)
        running.add("k/kit", description="knots")
        running.add("k/awesome-knots", description="A list of knots", topics=["awesome"])
        running.add_file(
            "k/awesome-knots", "README.md", "# Knots\n\n## All\n\n- [kit](https://github.com/k/kit) - Ties.\n"
        )
        running.accounts.add(_CANARY, "me")
        yield running


def _signed_in(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the token: in a variable, or by a stand-in for `gh` in a folder."""
    if source != "gh":
        monkeypatch.setenv(source, _CANARY)
        return
    (folder / "gh").write_text(f"#!/bin/sh\necho '{_CANARY}'\n")
    (folder / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@contextmanager
def _command_lines() -> Iterator[list[bytes]]:
    """Looks again and again at the command lines of all processes for the token. Yields those that hold it."""
    found: list[bytes] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = entry.read_bytes()
                except OSError:
                    continue
                found.extend(line for form in _FORMS if form in line)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _fail(state: str, server: GitHubServer, host: GitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    if state == "well":
        return
    if state == "hang":
        server.fail(kind="hang")
        after = Deadline.after
        monkeypatch.setattr(Deadline, "after", lambda seconds: after(min(seconds, 0.3)))
        monkeypatch.setenv("GIT_HTTP_LOW_SPEED_TIME", "1")
        monkeypatch.setattr("scaffold.vcs.local.LocalRepositories.wait", lambda repositories, seconds: None)
        host.faults.update({name: Fault(hang=True) for name in ("k/kit", "me/kit")})
    else:
        # GitHub repeats nothing of a token; another server might.
        server.fail(status=int(state), body='{"message": "no"}')
        host.faults.update({name: Fault(status=int(state)) for name in ("k/kit", "me/kit")})


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for gh is a shell script")
@pytest.mark.parametrize(
    ("source", "state"),
    [
        *(("GITHUB_TOKEN", state) for state in ("well", "401", "403", "404", "hang")),
        *(("GH_TOKEN", state) for state in ("well", "403")),
        *(("gh", state) for state in ("well", "401")),
    ],
)
def test_the_token_shows_nowhere(
    scaffold: Scaffold,
    server: GitHubServer,
    host: GitServer,
    source: str,
    state: str,
    in_tmp: Path,
    isolated: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _signed_in(source, tmp_path_factory.mktemp("bin"), monkeypatch)
    _fail(state, server, host, monkeypatch)
    said = []
    codes = {}
    with _command_lines() as seen:
        for command in _COMMANDS:
            for options in (("--json", "--debug"),) if state == "hang" else (("--json",), ("--debug",)):
                try:
                    answer = scaffold(*command, *options)
                    said.append(answer.out + answer.err)
                    codes[command] = answer.code
                except Exception as error:
                    said.append("".join(traceback.format_exception(error)))
    assert seen == []
    text = "\n".join(said).encode()
    assert [form for form in _FORMS if form in text] == []
    files = [path for top in (in_tmp, isolated.parent) for path in top.rglob("*") if path.is_file()]
    assert [path for path in files for form in _FORMS if form in path.read_bytes()] == []
    # It was there to be found: both servers were shown it, and where all was well, it opened them.
    assert any(request.token == _CANARY for request in server.requests)
    if state == "well":
        assert any(request.authorization for request in host.requests)
        assert codes["fork", "k/kit", "--clone"] == codes["clone", "k/kit", "--full", "--submodules"] == 0
        assert len(files) > 50
