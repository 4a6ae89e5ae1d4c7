"""Hostile repositories: nothing of theirs is run, and nobody is asked whom the user did not allow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.git_server import Fault, GitServer, git, serve
from tests.references.conftest import leftovers, posix

Call = Callable[..., Any]


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


_PROGRAMS = {
    "core.fsmonitor": "{script}",
    "core.hooksPath": "{folder}/hooks",
    "core.sshCommand": "{script}",
    "core.pager": "{script}",
    "core.editor": "{script}",
    "core.askPass": "{script}",
    "core.gitProxy": "{script}",
    "core.alternateRefsCommand": "{script}",
    "credential.helper": "!{script}",
    "diff.external": "{script}",
    "filter.evil.clean": "{script}",
    "filter.evil.smudge": "{script}",
    "filter.evil.process": "{script}",
    "gpg.program": "{script}",
    "include.path": "{folder}/included",
    "includeIf.gitdir:/.path": "{folder}/included",
    "pager.status": "{script}",
    "remote.origin.uploadpack": "{script}",
    "remote.origin.vcs": "ext",
    "remote.origin.receivepack": "{script}",
}


@pytest.mark.parametrize("setting", _PROGRAMS)
@posix
def test_the_configuration_of_a_reference_that_is_there_runs_nothing(
    server: GitServer, scaffold: Call, in_tmp: Path, setting: str
) -> None:
    """A folder from elsewhere, such as an archive of references, brings a configuration along."""
    server.add("a/one", {".gitattributes": "* filter=evil diff=evil\n", "README.md": "one\n"})
    assert scaffold("clone", "a/one").code == 0
    folder = in_tmp / "references/a/one"
    sentinel, script = in_tmp / "sentinel", in_tmp / "script"
    script.write_text(f"#!/bin/sh\ntouch '{sentinel}'\ncat\n")
    script.chmod(0o755)
    (in_tmp / "hooks").mkdir()
    for hook in ("post-checkout", "post-index-change", "reference-transaction", "fsmonitor-watchman"):
        shutil.copy(script, in_tmp / "hooks" / hook)
    (in_tmp / "included").write_text(f'[filter "evil"]\n\tclean = {script}\n\tsmudge = {script}\n')
    git(folder, "config", setting, _PROGRAMS[setting].format(script=script, folder=in_tmp))
    (folder / "README.md").write_text("one\n")  # its time differs, so that git has to look into it
    os.utime(folder / "README.md", (1, 1))
    server.commit("a/one", {"new.txt": "new"})
    server.publish("a/one")
    if setting.startswith(("credential", "core.askPass")):
        server.faults["a/one"] = Fault(token="secret")
    answer = scaffold("clone", "a/one", "--full", "--json")
    assert not sentinel.exists()
    if answer.code == 4:
        assert setting.lower() in answer.err.lower()


@pytest.mark.parametrize(
    "setting",
    [
        "core.worktree={folder}/elsewhere",
        "url.{other}/.insteadOf={server}/",
        "http.proxy={other}",
        "remote.origin.proxy={other}",
        "remote.evil.promisor=true remote.evil.url={other}/a/one.git",
        "remote.origin.url={other}/a/one.git remote.origin.url={server}/a/one.git",
        "extensions.partialClone=evil remote.evil.url={other}/a/one.git",
        "extensions.worktreeConfig=true",
        "http.cookieFile={folder}/cookies http.saveCookies=true",
        "http.extraHeader=X:y",
        "http.sslVerify=false",
    ],
)
def test_the_configuration_of_a_reference_leads_nowhere_else(
    server: GitServer, scaffold: Call, in_tmp: Path, tmp_path_factory: pytest.TempPathFactory, setting: str
) -> None:
    server.add("a/one")
    assert scaffold("clone", "a/one").code == 0
    folder = in_tmp / "references/a/one"
    (in_tmp / "elsewhere").mkdir()
    server.commit("a/one", {"new.txt": "new"})
    server.publish("a/one")
    with serve(tmp_path_factory.mktemp("other")) as other:
        other.add("a/one", {"evil.txt": "evil"})
        filled = setting.format(folder=in_tmp, other=other.url, server=server.url)
        if filled.startswith("remote.origin.url"):
            git(folder, "config", "--unset", "remote.origin.url")
        for key, _, value in (text.partition("=") for text in filled.split()):
            git(folder, "config", "--add", key, value)
        for arguments in ([], ["--full"]):
            answer = scaffold("clone", "a/one", *arguments)
            assert answer.code == 4
            assert filled.partition("=")[0].lower() in answer.err.lower()
        assert other.requests == []
    assert list((in_tmp / "elsewhere").iterdir()) == []


def test_settings_that_people_make_in_a_clone_of_theirs_are_no_matter(
    server: GitServer, scaffold: Call, in_tmp: Path
) -> None:
    server.add("a/one")
    scaffold("clone", "a/one")
    folder = in_tmp / "references/a/one"
    for key, value in {
        "user.email": "me@example.invalid",
        "core.autocrlf": "false",
        "core.hooksPath": ".husky",
        "commit.gpgsign": "true",
        "pull.rebase": "true",
        "alias.st": "!status",
        "branch.main.description": "mine",
        "remote.mine.url": "https://github.com/me/one.git",
        "remote.mine.fetch": "+refs/heads/*:refs/remotes/mine/*",
        "push.autoSetupRemote": "true",
    }.items():
        git(folder, "config", key, value)
    server.commit("a/one", {"new.txt": "new"})
    server.publish("a/one")
    assert scaffold("clone", "a/one").code == 0
    assert (folder / "new.txt").exists()


@pytest.mark.parametrize("trick", ["file", "link", "commondir", "inner-link"])
def test_a_git_folder_elsewhere_is_not_touched(server: GitServer, scaffold: Call, in_tmp: Path, trick: str) -> None:
    server.add("a/one")
    assert scaffold("clone", "a/one").code == 0
    assert scaffold("clone", "a/one", "--dir", "mine").code == 0
    server.commit("a/one", {"new.txt": "new"})
    server.publish("a/one")
    here, theirs = in_tmp / "references/a/one/.git", in_tmp / "mine/a/one/.git"
    if trick == "commondir":
        (here / "commondir").write_text(f"{theirs}\n")
    elif trick == "inner-link":
        shutil.rmtree(here / "refs")
        (here / "refs").symlink_to(theirs / "refs")
    else:
        shutil.rmtree(here)
        here.write_text(f"gitdir: {theirs}\n") if trick == "file" else here.symlink_to(theirs)
    before = {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()}
    answer = scaffold("clone", "a/one", "--full")
    assert answer.code == 4
    assert "not a git repository of its own" in answer.err
    assert {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_two_hundred_thousand_files(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    work = server.add("a/many")
    blob = git(work, "hash-object", "-w", "README.md")
    inner = git(work, "mktree", stdin="".join(f"100644 blob {blob}\t{number:04}\n" for number in range(2000)))
    top = git(work, "mktree", stdin="".join(f"040000 tree {inner}\t{number:03}\n" for number in range(100)))
    commit = git(work, "commit-tree", top, "-m", "many")
    git(work, "update-ref", "refs/heads/main", commit)
    server.publish("a/many")
    server.add("a/one")
    answer = scaffold("clone", "a/many", "a/one", "--json")
    assert answer.code == 0
    folder = in_tmp / "references/a/many"
    assert sum(1 for path in folder.glob("*/*") if ".git" not in path.parts) == 200_000
    assert git(folder, "status", "--porcelain") == ""
    assert leftovers(in_tmp) == []


@posix
@pytest.mark.parametrize(
    "setting",
    [
        "credential.helper=!{script}",
        "url.{other}/.insteadOf={server}/",
        "http.proxy={other}",
        "alias.ls-remote=!{script}",
        "pager.ls-remote={script}",
        "core.askPass={script}",
    ],
)
def test_where_one_stands_does_not_matter(
    server: GitServer,
    scaffold: Call,
    in_tmp: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
) -> None:
    """A repository around the working directory has its say only about itself."""
    server.add("a/one")
    around, sentinel, script = in_tmp / "around", in_tmp / "sentinel", in_tmp / "script"
    script.write_text(f"#!/bin/sh\ntouch '{sentinel}'\n")
    script.chmod(0o755)
    around.mkdir()
    git(around, "init", "--quiet")
    monkeypatch.chdir(around)
    with serve(tmp_path_factory.mktemp("other")) as other:
        other.add("a/one")
        key, _, value = setting.format(script=script, other=other.url, server=server.url).partition("=")
        git(around, "config", key, value)
        for arguments in ([], ["--full"], ["--ref", "main"]):
            assert scaffold("clone", "a/one", *arguments).code == 0
        server.faults["a/one"] = Fault(token="secret")
        assert scaffold("clone", "a/one").code == 3
        assert other.requests == []
    assert not sentinel.exists()
    assert (around / "references/a/one/README.md").exists()
