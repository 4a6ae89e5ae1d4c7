"""Runs one long command: its lines as they come, a time limit, and an end to all of its processes at once."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from scaffold import programs
from scaffold.references.howto.files import plain

_KEPT_LINES = 12
_LINE_BYTES = 4000
# What still holds a pipe after its command has ended is not waited for.
_LINGER_SECONDS = 2.0


class Failed(Exception):
    """A command ended with an error or took too long; `last_lines` is the end of what it said."""

    def __init__(self, last_lines: Sequence[str], *, timed_out: bool) -> None:
        super().__init__("\n".join(last_lines))
        self.last_lines = tuple(last_lines)
        self.timed_out = timed_out


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
    on_line: Callable[[str], None],
) -> None:
    """Run a command to its end.

    Args:
        command: the program and its arguments; no shell reads them.
        folder: where it runs.
        environment: all of its environment.
        seconds: the longest it may take.
        on_line: called from another thread with each line of its stdout, free of control characters.

    Raises:
        Failed: it could not be started, ended with an error or took too long.
    """
    process = _start(command, folder, environment)
    errors: deque[str] = deque(maxlen=_KEPT_LINES)
    readers = [_reader(process.stdout, on_line), _reader(process.stderr, errors.append)]
    try:
        process.wait(timeout=max(seconds, 0.0))
    except subprocess.TimeoutExpired:
        _end(process)
        raise Failed(list(errors), timed_out=True) from None
    except BaseException:
        _end(process)
        raise
    for reader in readers:
        reader.join(_LINGER_SECONDS)
    if process.returncode != 0:
        raise Failed(list(errors), timed_out=False)


def _start(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise Failed([plain(str(error))], timed_out=False) from error


def _reader(stream: IO[bytes] | None, on_line: Callable[[str], None]) -> threading.Thread:
    def read() -> None:
        assert stream is not None
        with stream, contextlib.suppress(OSError, ValueError):
            while line := stream.readline(_LINE_BYTES):
                if text := plain(line.decode("utf-8", "replace")):
                    on_line(text)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _end(process: subprocess.Popen[bytes]) -> None:
    programs.end(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LINGER_SECONDS)
