"""Hostile repositories: nothing of theirs is run, and nobody is asked whom the user did not allow."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.git_server import GitServer, git, serve

Call = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]


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
