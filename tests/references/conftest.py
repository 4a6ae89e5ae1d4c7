"""A git host on this machine, and `scaffold clone` against it as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scaffold.settings import Settings
from tests.git_server import GitServer, serve

REPOSITORY = Path(__file__).parents[2]

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")
linux = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    """The host that `owner/name` means in a test."""
    with serve(tmp_path_factory.mktemp("host")) as host:
        monkeypatch.setenv("GITHUB_SERVER_URL", host.url)
        yield host


@pytest.fixture
def settings(server: GitServer) -> Settings:
    return Settings(server_url=server.url)


@pytest.fixture
def start(in_tmp: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `scaffold clone` in the test's working directory."""

    def call(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "scaffold", "clone", *arguments],
            cwd=in_tmp,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return call


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that another process or thread does; half a minute at most."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 30 seconds")


def leftovers(folder: Path) -> list[Path]:
    """What staging left behind below a folder."""
    return list(folder.rglob(".scaffold-*")) + list(folder.rglob(".references.lock*"))


def processes_about(text: str) -> list[str]:
    """The command lines of running processes that mention a text. Linux only."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow one another at once; their number stays as it is."""
    monkeypatch.setattr("scaffold.vcs.local.LocalRepositories.wait", lambda repositories, seconds: None)
