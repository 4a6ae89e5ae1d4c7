"""Nothing half there: what an end at any moment leaves behind, and what the next run makes of it."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.git_server import Fault, GitServer, git
from tests.references.conftest import leftovers, linux, posix, processes_about, wait_until

Call = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]


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
    wait_until(lambda: server.trickling.is_set() and (in_tmp / "references/a/one").exists())
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
    wait_until(server.trickling.is_set)
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
