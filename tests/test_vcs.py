"""How git is run: arguments, environment, the first commit of a project."""

from __future__ import annotations

import os
import re
import shutil
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
from scaffold.vcs.errors import TransientError, explain
from tests.git_server import Fault, GitServer, git, serve


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


# Every word that a command of scaffold's may hold before `--`; a `*` stands for what follows `=`.
_WORDS = set(
    """
    init --quiet --template= remote add get-url set-url fetch --progress --no-recurse-submodules --depth=1 --unshallow
    --filter=blob:none --refetch --no-filter checkout --detach reset --keep clone --origin=origin --branch=*
    ls-remote --symref config --local --get --list --null --get-regexp --unset-all --blob=HEAD:.gitmodules true
    rev-parse --git-dir --git-common-dir --verify HEAD^{tree} HEAD^{commit} --is-shallow-repository
    fsck --connectivity-only --no-dangling --no-progress status --porcelain --untracked-files=no
    --ignore-submodules=all for-each-ref --count=1 --contains=HEAD refs/remotes refs/tags refs/scaffold symbolic-ref
    --short HEAD ls-tree -r -z --full-tree add --all commit --no-verify --no-gpg-sign --message=* var
    GIT_AUTHOR_IDENT GIT_COMMITTER_IDENT remote.origin.url remote.upstream.url remote.origin.promisor
    remote.origin.partialclonefilter remote.origin.fetch blob:none +refs/heads/*:refs/remotes/origin/* version
    --version ^submodule\\..*\\.(path|url)$ refs/scaffold/wanted
    update-ref refs/scaffold/before
    """.split()
)


_FORK = """
from pathlib import Path
from scaffold.references.bring import CloneJob
from scaffold.references.fork import bring_fork
from scaffold.settings import load_settings
job = CloneJob(directory=Path("forks"), lock_path=Path("lock"), settings=load_settings())
bring_fork("me/one", "a/one", job)
"""


@pytest.fixture
def spy(in_tmp: Path) -> Path:
    """A folder for PATH whose `git` writes down arguments and environment and does what git does.

    GitPython asks for the version by itself, without our environment; that command does nothing else.
    """
    real = shutil.which("git")
    folder = in_tmp / "bin"
    folder.mkdir()
    (folder / "git").write_text(
        # One write for a call: several run at once.
        f"#!/bin/sh\nline=$(printf '%s\\t' \"$@\")\nprintf '%s\\n' \"$line\" >>'{folder}/calls'\n"
        f"[ \"$1\" = version ] || {{ env; echo; }} >>'{folder}/env'\nexec '{real}' \"$@\"\n"
    )
    (folder / "git").chmod(0o755)
    return folder


def _calls(folder: Path) -> list[list[str]]:
    return [line.rstrip("\n").split("\t")[:-1] for line in (folder / "calls").read_text().splitlines()]


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for git is a shell script")
def test_every_command_is_fixed_words_then_two_dashes_then_operands(server: GitServer, in_tmp: Path, spy: Path) -> None:
    """A spy in git's place sees all that the commands which use git give it, in every way of cloning there is."""
    server.add("a/leaf")
    leaf = git(server.root / "work/a/leaf", "rev-parse", "HEAD")
    work = server.add("a/one", {".gitmodules": '[submodule "leaf"]\n\tpath = leaf\n\turl = ../leaf\n'})
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{leaf},leaf")
    git(work, "commit", "--quiet", "--message=With a submodule")
    commit = git(work, "rev-parse", "HEAD")
    server.commit("a/one", {"b.txt": "b"})
    git(work, "branch", "some/branch")
    server.publish("a/one", "main", "some/branch")
    server.add("me/one")
    server.faults["a/old"] = Fault(location=server.url, renamed="a/one")
    variables = {"PATH": f"{spy}{os.pathsep}{os.environ['PATH']}", "GITHUB_SERVER_URL": server.url}
    lines = (
        "clone a/one a/missing a/old",
        "clone a/old",
        f"clone a/one@{commit}",
        "clone a/one@some/branch --history",
        "clone a/one --full --submodules",
        "clone a/one --ref main --history --dir elsewhere",
        "clone --locked --dir third",
        "new sklearn project",
    )
    for line in lines:
        code = f"import sys; from scaffold.cli.main import run; sys.exit(run({line.split()!r}))"
        done = _run(code, in_tmp, **variables, GITHUB_TOKEN="canary")
        assert done.returncode in (0, 7), done.stderr
        if line == lines[0]:
            server.commit("a/one", {"c.txt": "c"})
            server.publish("a/one")
    done = _run(_FORK, in_tmp, **variables)
    assert done.returncode == 0, done.stderr
    seen: set[str] = set()
    for call in _calls(spy):
        words = call[2:] if call[0] == "-C" else call
        options = words[: words.index("--")] if "--" in words else words
        plain = {re.sub(r"^(--branch|--message)=.*", r"\1=*", word) for word in options}
        assert plain <= _WORDS, (sorted(plain - _WORDS), call)
        seen.add(options[0])
    kinds = "clone init fetch reset checkout ls-remote ls-tree config fsck remote commit status rev-parse".split()
    assert set(kinds) <= seen
    assert "canary" not in (spy / "calls").read_text()
    for seen in (spy / "env").read_text().split("\n\n"):
        environment = dict(line.partition("=")[::2] for line in seen.splitlines())
        if environment:
            _check_environment(environment)


def _check_environment(environment: dict[str, str]) -> None:
    """What stands in the way of everything that git might do by itself."""
    # The first commit of a project needs no server, so no plain http either.
    assert environment["GIT_ALLOW_PROTOCOL"] in {"https:ssh:http", "https:ssh"}
    fixed = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ASKPASS": "",
        "GCM_INTERACTIVE": "never",
    }
    assert {name: environment.get(name) for name in fixed} == fixed
    numbers = range(int(environment["GIT_CONFIG_COUNT"]))
    settings = {environment[f"GIT_CONFIG_KEY_{n}"]: environment[f"GIT_CONFIG_VALUE_{n}"] for n in numbers}
    wanted = {
        "core.fsmonitor": "false",
        "core.hooksPath": "/dev/null",
        "core.longpaths": "true",
        "fetch.recurseSubmodules": "false",
        "http.followRedirects": "false",
        "http.lowSpeedLimit": "100",
        "http.lowSpeedTime": "30",
        "init.templateDir": "",
        "protocol.ext.allow": "never",
        "protocol.file.allow": "never",
        "submodule.recurse": "false",
        "transfer.bundleURI": "false",
        "transfer.fsckObjects": "true",
    }
    assert {name: settings.get(name) for name in wanted} == wanted


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


@pytest.mark.parametrize("missing", [301, 308, 401, 403, 404, 429, 500])
def test_the_bytes_that_a_cut_left_out_are_no_status(missing: int) -> None:
    said = (
        "error: RPC failed; curl 56 Recv failure: Connection reset by peer\n"
        f"error: {missing} bytes of body are still expected\n"
        "fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF\n"
    )
    error = explain(said, "a/one")
    assert isinstance(error, TransientError)
    assert "the connection broke off" in str(error)


@pytest.mark.parametrize(
    "said",
    ["error: invalid path 'src/aux.c'", f"error: unable to create file {'deep/' * 60}a.py: Filename too long"],
)
def test_a_name_that_windows_cannot_have_is_told_as_such(said: str) -> None:
    error = explain(f"Cloning into 'one'...\n{said}\nfatal: unable to checkout working tree", "a/one")
    assert error.message.startswith("a/one holds a file whose name this system cannot have (")
