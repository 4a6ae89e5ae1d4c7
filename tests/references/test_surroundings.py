"""Full and closed disks, limits, a missing git: nothing half there, and the reason said plainly."""

from __future__ import annotations

import base64
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.git_server import GitServer
from tests.references.conftest import leftovers, posix

Call = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]


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


def test_without_git_it_is_said_how_to_get_it(start: Start, in_tmp: Path) -> None:
    process = start("a/one", "--json", PATH=str(in_tmp))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "git is not installed" in err
    assert '"status": "failed"' in out
    assert list(in_tmp.iterdir()) == []
