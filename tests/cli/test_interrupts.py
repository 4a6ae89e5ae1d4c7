"""What ends a command, also where a system has other signals or waits in another way."""

from __future__ import annotations

import errno
import os
import queue
import signal
import threading
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scaffold.cli import main
from scaffold.cli.interrupts import terminable
from scaffold.discovery import workers
from scaffold.references.clone import CloneJob, clone_named
from scaffold.references.standing import standings
from scaffold.settings import Settings
from tests.git_server import GitServer
from tests.references.conftest import posix, server, settings

__all__ = ["server", "settings"]


@posix
def test_ctrl_break_ends_a_command_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), signal.SIGUSR1)


def test_nothing_is_waited_for_without_an_end(
    server: GitServer, settings: Settings, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to Python 3.13, Windows lets no Ctrl-C into such a wait: a large clone could not be interrupted."""
    waited: list[float | None] = []
    wait = threading.Condition.wait

    def noted(condition: threading.Condition, timeout: float | None = None) -> bool:
        # A thread that starts is waited for as well, but not for long.
        starting = any(frame.name == "start" for frame in traceback.extract_stack())
        if threading.current_thread() is threading.main_thread() and not starting:
            waited.append(timeout)
        return wait(condition, timeout)

    server.add("a/one")
    monkeypatch.setattr(threading.Condition, "wait", noted)
    job = CloneJob(directory=in_tmp / "references", lock_path=in_tmp / "references.lock", settings=settings)
    (reference,) = clone_named(["a/one"], job)
    assert reference.status == "cloned"
    assert [one.status for one in standings(job.directory, job.lock_path, settings)] == ["current"]
    assert waited
    assert None not in waited


def test_an_answer_is_waited_for_in_short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[Any] = []

    class Noted(queue.Queue[Any]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            if threading.current_thread() is threading.main_thread():
                turns.append(timeout)
            return super().get(block, timeout)

    monkeypatch.setattr(queue, "SimpleQueue", Noted)
    assert workers.within(60, lambda: time.sleep(0.3) or "done", TimeoutError) == "done"
    assert len(turns) > 1
    assert max(turns) <= 0.5
    with pytest.raises(TimeoutError):
        workers.within(0.3, lambda: time.sleep(1), TimeoutError)


@pytest.mark.parametrize(("system", "gone"), [("nt", True), ("posix", False)])
def test_a_reader_that_has_gone_is_no_error_on_windows_either(
    system: str, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "os", SimpleNamespace(name=system))
    assert main._is_reader_gone(OSError(errno.EINVAL, "Invalid argument")) is gone
    assert main._is_reader_gone(BrokenPipeError())
    assert not main._is_reader_gone(OSError(errno.EINVAL, "Invalid argument", "a?b"))
