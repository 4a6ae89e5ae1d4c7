"""How git is run: arguments, environment, the first commit of a project."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaffold.errors import ScaffoldError
from scaffold.settings import Settings
from scaffold.vcs import Repositories, init_and_commit
from scaffold.vcs.environment import environment
from tests.git_server import GitServer, git, serve


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with serve(tmp_path_factory.mktemp("host")) as host:
        yield host


def _run(code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python where git has not been loaded yet."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **variables}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_first_commit_where_git_knows_nobody(in_tmp: Path) -> None:
    project = in_tmp / "내 프로젝트 $HOME"
    (project / "src").mkdir(parents=True)
    (project / "src" / "main.py").write_text("print(1)\n")
    commit = init_and_commit(project, "Generate the project\n\n-- with two lines")
    assert git(project, "rev-parse", "HEAD") == commit
    assert git(project, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "log", "--format=%an <%ae> %cn %s", "-1") == (
        "scaffold <scaffold@localhost> scaffold Generate the project"
    )
    assert "scaffold" not in (project / ".git/config").read_text()


def test_the_first_commit_carries_the_users_name_and_runs_nothing_of_theirs(in_tmp: Path, isolated: Path) -> None:
    hooks = in_tmp / "template/hooks"
    hooks.mkdir(parents=True)
    for hook in ("pre-commit", "commit-msg", "post-commit"):
        (hooks / hook).write_text(f"#!/bin/sh\ntouch '{in_tmp}/sentinel'\nexit 1\n")
        (hooks / hook).chmod(0o755)
    (isolated.parent / ".gitconfig").write_text(
        "[user]\n\tname = 홍길동\n\temail = me@example.invalid\n[commit]\n\tgpgSign = true\n"
        f"[init]\n\tdefaultBranch = trunk\n\ttemplateDir = {in_tmp}/template\n[core]\n\thooksPath = {hooks}\n"
    )
    project = in_tmp / "project"
    project.mkdir()
    (project / "a.txt").write_text("a")
    init_and_commit(project, "Generate")
    assert git(project, "log", "--format=%an <%ae>", "-1") == "홍길동 <me@example.invalid>"
    assert git(project, "branch", "--show-current") == "main"
    assert not (in_tmp / "sentinel").exists()
    assert not (project / ".git/hooks").exists()


def test_a_surrounding_git_does_not_matter(in_tmp: Path) -> None:
    around = in_tmp / "around"
    around.mkdir()
    git(around, "init", "--quiet")
    before = sorted(path.relative_to(around) for path in around.rglob("*"))
    project = around.parent / "project"
    project.mkdir()
    (project / "a.txt").write_text("a")
    code = "from pathlib import Path; from scaffold.vcs import init_and_commit; init_and_commit(Path('project'), 'x')"
    variables = {"GIT_DIR": f"{around}/.git", "GIT_INDEX_FILE": f"{around}/.git/index", "GIT_WORK_TREE": str(around)}
    done = _run(code, in_tmp, **variables)
    assert done.returncode == 0, done.stderr
    assert git(project, "ls-files") == "a.txt"
    assert sorted(path.relative_to(around) for path in around.rglob("*")) == before


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for git is a shell script")
def test_operands_come_after_the_options_and_the_environment_is_closed(server: GitServer, in_tmp: Path) -> None:
    """Every command that names an address or another folder names it behind `--`."""
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    (in_tmp / "bin").mkdir()
    spy = in_tmp / "bin/git"
    spy.write_text(
        f"#!/bin/sh\n{{ printf '%s\\t' \"$@\"; echo; }} >>'{in_tmp}/calls'\n"
        f"env >>'{in_tmp}/env'\nexec '{real}' \"$@\"\n"
    )
    spy.chmod(0o755)
    server.add("a/one")
    commit = git(server.root / "work/a/one", "rev-parse", "HEAD")
    code = f"""
from pathlib import Path
from scaffold.settings import Settings
from scaffold.vcs import Repositories
git = Repositories(Settings(server_url={server.url!r}, token="canary"))
url, folder = {server.url!r} + "/a/one.git", Path("x")
git.clone(url, folder)
git.clone(url, Path("y"), ref="main", history="full")
git.clone(url, Path("z"), ref={commit!r})
git.update(url, folder, git.find_remote(url, "main"))
git.is_clean(folder), git.has_local_commits(folder), git.remote_url(folder), git.is_repository(folder)
"""
    done = _run(code, in_tmp, PATH=f"{in_tmp}/bin{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    calls = [line.rstrip("\n").split("\t")[:-1] for line in (in_tmp / "calls").read_text().splitlines()]
    assert len(calls) > 10
    for call in calls:
        words = call[2:] if call[0] == "-C" else call
        options = words[: words.index("--")] if "--" in words else words
        assert not any(server.url in word or commit in word for word in options), call
        assert not any("upload-pack" in word or "recurse-submodules=" in word for word in words), call
    seen = (in_tmp / "env").read_text()
    assert "GIT_ALLOW_PROTOCOL=https:ssh:http\n" in seen
    for variable in ("GIT_TERMINAL_PROMPT=0", "GIT_PROTOCOL_FROM_USER=0", "GIT_LFS_SKIP_SMUDGE=1", "GIT_ASKPASS="):
        assert f"{variable}\n" in seen
    assert "canary" not in (in_tmp / "calls").read_text()


def test_plain_http_is_a_transport_only_where_the_server_is_plain_http() -> None:
    assert environment(Settings())["GIT_ALLOW_PROTOCOL"] == "https:ssh"
    assert environment(Settings(server_url="http://127.0.0.1:1"))["GIT_ALLOW_PROTOCOL"] == "https:ssh:http"


def test_configuration_by_environment_adds_to_the_users_own() -> None:
    theirs = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.proxy", "GIT_CONFIG_VALUE_0": "http://proxy"}
    added = environment(Settings(), theirs)
    assert "GIT_CONFIG_KEY_0" not in added
    count = int(added["GIT_CONFIG_COUNT"])
    ours = {added[f"GIT_CONFIG_KEY_{number}"]: added[f"GIT_CONFIG_VALUE_{number}"] for number in range(1, count)}
    assert ours["core.hooksPath"] == "/dev/null"
    assert ours["protocol.ext.allow"] == "never"
    assert ours["core.fsmonitor"] == "false"


def test_transports_that_were_not_allowed_fail_in_git_as_well(in_tmp: Path) -> None:
    git(in_tmp, "init", "--quiet", "--bare", "local.git")
    for url in (f"file://{in_tmp}/local.git", str(in_tmp / "local.git"), f"ext::touch {in_tmp}/sentinel"):
        with pytest.raises(ScaffoldError):
            Repositories(Settings()).clone(url, in_tmp / "x")
    assert not (in_tmp / "sentinel").exists()
    assert not (in_tmp / "x").exists()


def test_after_stop_nothing_starts(in_tmp: Path) -> None:
    git_runs = Repositories(Settings())
    git_runs.stop()
    with pytest.raises(ScaffoldError, match="interrupted"):
        git_runs.init_and_commit(in_tmp, "x")
    assert list(in_tmp.iterdir()) == []


def test_progress_is_counted(server: GitServer, in_tmp: Path) -> None:
    server.add("a/one", {f"{number}.txt": str(number) for number in range(50)})
    seen: list[tuple[str, int, int]] = []
    repositories = Repositories(Settings(server_url=server.url))
    repositories.clone(
        f"{server.url}/a/one.git",
        in_tmp / "x",
        on_progress=lambda phase, done, total: seen.append((phase, done, total)),
    )
    assert ("Receiving objects", 52, 52) in seen
    assert all(done <= total for _, done, total in seen)


def test_ctrl_c_at_the_worst_moment_leaves_no_thread_to_wait_for(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = threading.Timer.start

    def start_and_interrupt(timer: threading.Timer) -> None:
        started(timer)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Timer, "start", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        init_and_commit(in_tmp, "first")
    assert all(thread.daemon for thread in threading.enumerate() if isinstance(thread, threading.Timer))
