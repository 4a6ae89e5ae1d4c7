"""Nothing half there, nothing run, no token anywhere: kills, full disks, hostile repositories."""

from __future__ import annotations

import base64
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.git_server import Fault, GitServer, git, serve
from tests.references.conftest import leftovers, processes_about

Call = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]
_CANARY = "canary-5f0c1e"

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")
linux = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")


def _wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 30 seconds")


@posix
@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_only_complete_ones_stay(
    server: GitServer, start: Start, in_tmp: Path, number: signal.Signals
) -> None:
    server.add("a/one")
    server.add("a/slow")
    server.faults["a/slow"] = Fault(trickle=True)
    process = start("a/one", "a/slow")
    _wait_until(lambda: server.trickling.is_set() and (in_tmp / "references/a/one").exists())
    process.send_signal(number)
    output = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert [path.name for path in (in_tmp / "references/a").iterdir()] == ["one"]
    assert "a/one" in (in_tmp / "references.lock").read_text()
    assert "a/slow" not in (in_tmp / "references.lock").read_text()
    assert leftovers(in_tmp) == []
    assert processes_about(server.url) == []


@posix
def test_after_a_kill_the_next_run_repairs(server: GitServer, start: Start, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one")
    server.add("a/slow")
    server.faults["a/slow"] = Fault(trickle=True)
    process = start("a/one", "a/slow")
    _wait_until(server.trickling.is_set)
    process.kill()
    process.communicate(timeout=30)
    assert leftovers(in_tmp)
    assert not (in_tmp / "references/a/slow").exists()
    server.faults.clear()
    answer = scaffold("clone", "a/one", "a/slow", "--json")
    assert answer.code == 0
    assert leftovers(in_tmp) == []
    for reference in answer.json["references"]:
        folder = in_tmp / reference["path"]
        git(folder, "fsck", "--connectivity-only")
        assert git(folder, "status", "--porcelain") == ""


@posix
@pytest.mark.slow
def test_kills_at_random_moments(server: GitServer, start: Start, scaffold: Call, in_tmp: Path) -> None:
    names = [f"a/repo{number}" for number in range(6)]
    for name in names:
        server.add(name, {f"{part}.txt": f"{part}\n" * 5000 for part in range(40)})
    seeded = random.Random(2)
    for turn in range(30):
        number = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL][turn % 3]
        process = start(*names)
        time.sleep(seeded.uniform(0.1, 1.2))
        process.send_signal(number)
        process.communicate(timeout=30)
        for folder in in_tmp.glob("references/a/*"):
            assert git(folder, "status", "--porcelain") == "", number
        if turn % 5 == 4:
            assert scaffold("clone", *names).code == 0
            assert leftovers(in_tmp) == []
            for name in names:
                git(in_tmp / "references" / name, "fsck", "--strict")
            shutil.rmtree(in_tmp / "references")


@posix
def test_a_file_size_limit(server: GitServer, start: Start, in_tmp: Path) -> None:
    import resource

    server.add("a/small")
    server.add("a/big", {"big.txt": base64.b64encode(random.Random(1).randbytes(2_000_000)).decode()})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        process = start("a/big", "a/small")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "could not store" in err
    assert "ulimit" in err
    assert [path.name for path in (in_tmp / "references/a").iterdir()] == ["small"]
    assert leftovers(in_tmp) == []


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[None]:
    """A small file system of its own in `folder`, where this account may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this account may not mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_said_plainly(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/big", {"big.txt": base64.b64encode(random.Random(1).randbytes(3_000_000)).decode()})
    with _mounted(in_tmp / "small", "size=1m"):
        answer = scaffold("clone", "a/big", "--dir", "small")
        assert answer.code == 1
        assert "the disk is full" in answer.err
        assert list((in_tmp / "small").iterdir()) == []


def test_a_read_only_disk_is_said_plainly(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one")
    with _mounted(in_tmp / "closed", "ro"):
        answer = scaffold("clone", "a/one", "--dir", "closed")
        assert answer.code == 1
        assert "closed cannot be written: read-only file system" in answer.err
        os.chdir(in_tmp / "closed")
        answer = scaffold("clone", "a/one", "--dir", in_tmp / "open", "--json")
        os.chdir(in_tmp)
        assert answer.code == 1
        assert "references.lock cannot be written" in answer.err
        assert not (in_tmp / "open").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this account")
def test_a_folder_without_permission(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one")
    (in_tmp / "closed").mkdir(mode=0o500)
    answer = scaffold("clone", "a/one", "--dir", "closed")
    assert answer.code == 1
    assert "closed cannot be written: permission denied" in answer.err


def test_a_file_where_the_folder_should_be(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one")
    (in_tmp / "references").write_text("mine")
    answer = scaffold("clone", "a/one")
    assert answer.code == 1
    assert "references cannot be written" in answer.err
    assert (in_tmp / "references").read_text() == "mine"


def test_a_hostile_repository_runs_nothing_and_reaches_nobody(
    server: GitServer, scaffold: Call, in_tmp: Path, isolated: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sentinel = in_tmp / "sentinel"
    script = f"#!/bin/sh\ntouch '{sentinel}'\n"
    hooks = in_tmp / "template/hooks"
    hooks.mkdir(parents=True)
    for hook in ("post-checkout", "post-merge", "reference-transaction", "fsmonitor"):
        (hooks / hook).write_text(script)
        (hooks / hook).chmod(0o755)
    (isolated.parent / ".gitconfig").write_text(
        f"[init]\n\ttemplateDir = {in_tmp}/template\n[core]\n\tfsmonitor = {hooks}/fsmonitor\n\thooksPath = {hooks}\n"
        "[submodule]\n\trecurse = true\n[fetch]\n\trecurseSubmodules = true\n"
    )
    with serve(tmp_path_factory.mktemp("other")) as other:
        other.add("b/sub")
        work = server.add("a/one")
        commit = git(other.root / "work/b/sub", "rev-parse", "HEAD")
        (work / ".gitmodules").write_text(f'[submodule "sub"]\n\tpath = sub\n\turl = {other.url}/b/sub.git\n')
        (work / "out").symlink_to(in_tmp / "outside")
        (work / ".gitattributes").write_text("* filter=evil\n")
        git(work, "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
        git(work, "add", ".gitmodules", "out", ".gitattributes")
        git(work, "commit", "--quiet", "--message=hostile")
        server.publish("a/one")
        assert scaffold("clone", "a/one").code == 0
        assert not list((in_tmp / "references/a/one/sub").iterdir())
        server.commit("a/one", {"more.txt": "more"})
        server.publish("a/one")
        assert scaffold("clone", "a/one", "--json").json["references"][0]["status"] == "updated"
        assert other.requests == []
    folder = in_tmp / "references/a/one"
    assert not sentinel.exists()
    assert not (in_tmp / "outside").exists()
    assert not (folder / ".git/hooks").exists()


def test_unsafe_submodule_addresses_are_refused_by_git(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/one", {".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = -u./payload\n'})
    answer = scaffold("clone", "a/one")
    assert answer.code == 1
    assert "damaged or unsafe" in answer.err
    assert list(in_tmp.iterdir()) == []


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
    _wait_until(lambda: server.trickling.is_set() and (in_tmp / "references/a/private").exists())
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


def test_without_git_it_is_said_how_to_get_it(start: Start, in_tmp: Path) -> None:
    process = start("a/one", "--json", PATH=str(in_tmp))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "git is not installed" in err
    assert '"status": "failed"' in out
    assert list(in_tmp.iterdir()) == []
