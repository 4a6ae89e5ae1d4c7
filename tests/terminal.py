"""A terminal for tests: a command runs in a pseudo-terminal, as a process of its own, and its screen can be read.

The screen understands what a command may send; every other control sequence is kept in `stray`. Waits are bounded.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.conftest import REPOSITORY

DOWN, ENTER, SPACE, CTRL_C, CTRL_D, CTRL_Q, ESCAPE = "\x1b[B", "\r", " ", "\x03", "\x04", "\x11", "\x1b"
_SECONDS = 40  # the longest that anything may take
# What would have a command think of another terminal than this one.
_FOREIGN = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PROMPT_TOOLKIT_NO_CPR"}
# Opening a session's first terminal needs a process of its own: in this one, threads may be running.
_LAUNCHER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "scaffold", *sys.argv[1:]])
"""
_SEQUENCE = re.compile(r"\x1b\[(?P<private>\??)(?P<numbers>[\d;]*)(?P<kind>[A-Za-z])")
_MODES = {"1", "7", "12", "25", "2004"}  # cursor keys, wrapping, blinking, cursor shown, bracketed paste


class Screen:
    """What a person sees: lines of text, and whether the cursor is shown.

    Attributes:
        stray: control characters and sequences that no command has a reason to send.
        sent: everything that came, as it came.
        modes: terminal modes by number, as they were last set.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.stray: list[str] = []
        self.sent = ""
        self.modes: dict[str, bool] = {}
        self.row = self.column = 0
        self.top = 0  # lines that have scrolled away
        self._columns, self._rows = columns, rows
        self._lines: list[list[str]] = [[]]
        self._rest = ""

    @property
    def text(self) -> str:
        """All lines, also those that have scrolled away."""
        return "\n".join("".join(line).rstrip() for line in self._lines).rstrip("\n")

    def feed(self, text: str) -> None:
        """Take what the command sent."""
        self.sent += text
        text, self._rest = self._rest + text, ""
        place = 0
        while place < len(text):
            found = _SEQUENCE.match(text, place)
            if found:
                self._sequence(found)
                place = found.end()
            elif text[place] == "\x1b" and re.fullmatch(r"\x1b(\[\??[\d;]*)?", text[place:]):
                self._rest = text[place:]  # its end has not come yet
                return
            else:
                self._letter(text[place])
                place += 1

    def _letter(self, letter: str) -> None:
        if letter == "\r":
            self.column = 0
        elif letter == "\n":
            self._go_to(self.row + 1)
        elif letter == "\b":
            self.column = max(0, self.column - 1)
        elif unicodedata.category(letter) == "Cc":
            self.stray.append(letter)
        elif not unicodedata.combining(letter):
            width = 2 if unicodedata.east_asian_width(letter) in "WF" else 1
            if self.column + width > self._columns:
                self._go_to(self.row + 1)
                self.column = 0
            line = self._lines[self.row]
            line.extend(" " * (self.column + width - len(line)))
            line[self.column : self.column + width] = [letter, *[""] * (width - 1)]
            self.column += width

    def _go_to(self, row: int) -> None:
        self.row = max(self.top, row)
        self._lines.extend([] for _ in range(self.row + 1 - len(self._lines)))
        self.top = max(self.top, self.row + 1 - self._rows)

    def _sequence(self, found: re.Match[str]) -> None:
        kind, numbers = found["kind"], found["numbers"]
        count = int(numbers) if numbers.isdecimal() else 0
        if found["private"]:
            if kind not in "hl" or numbers not in _MODES:
                self.stray.append(found[0])
            self.modes[numbers] = kind == "h"
        elif kind in "AB":
            self._go_to(self.row + max(1, count) * (1 if kind == "B" else -1))
        elif kind in "CD":
            self.column = min(self._columns - 1, max(0, self.column + max(1, count) * (1 if kind == "C" else -1)))
        elif kind == "K" and count in (0, 2):
            del self._lines[self.row][0 if count == 2 else self.column :]
        elif kind == "J" and count == 0:
            del self._lines[self.row][self.column :]
            del self._lines[self.row + 1 :]
        elif kind not in "mn":
            self.stray.append(found[0])


class Terminal:
    """`scaffold` with some arguments, at a terminal. A context manager: in the end the process is gone.

    Args:
        arguments: the command line after `scaffold`.
        folder: where it runs.
        stdout: a file that gets its stdout instead of the terminal.
    """

    def __init__(self, *arguments: str, folder: Path, stdout: IO[bytes] | None = None) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self.screen = Screen(columns=100, rows=40)
        self._asked = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._end = time.monotonic() + _SECONDS
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self._settings = termios.tcgetattr(self._ours)
        kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER, *arguments],
            stdin=theirs,
            stdout=stdout or theirs,
            stderr=theirs,
            cwd=folder,
            env={**kept, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._ours)

    @property
    def is_as_before(self) -> bool:
        """Whether the terminal is as the command found it: settings, cursor, and nothing stray was sent."""
        import termios

        modes = self.screen.modes
        quiet = not self.screen.stray and modes.get("25", True) and modes.get("7", True) and not modes.get("2004")
        return bool(quiet) and termios.tcgetattr(self._ours) == self._settings

    def press(self, *keys: str) -> None:
        """Type keys: the terminal itself makes a signal of Ctrl-C, as long as the command lets it."""
        os.write(self._ours, "".join(keys).encode())

    def wait_for(self, text: str) -> None:
        """Read until a text stands on the screen."""
        self._wait(lambda: text in self.screen.text, f"“{text}” did not appear")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Read until something outside is so."""
        self._wait(condition, "it did not happen")

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        for _ in self._parts():
            if condition():
                return
        raise AssertionError(f"{otherwise}:\n{self.screen.text}")

    def end(self) -> int:
        """Read until the command has ended. Returns its exit code."""
        for _ in self._parts():
            pass
        return self._process.wait(timeout=max(1, self._end - time.monotonic()))

    def _parts(self) -> Iterator[None]:
        """Now and then, and whenever something came; ends with the command's output."""
        yield
        while time.monotonic() < self._end:
            if not select.select([self._ours], [], [], 0.05)[0]:
                yield
                continue
            try:
                part = os.read(self._ours, 65536)
            except OSError:  # Linux says so when nobody has the terminal open any more
                return
            if not part:
                return
            self.screen.feed(self._decoder.decode(part))
            self._answer()
            yield
        raise AssertionError(f"it did not end:\n{self.screen.text}")

    def _answer(self) -> None:
        """Say where the cursor is, to a command that asked."""
        asked = self.screen.sent.count("\x1b[6n")
        for _ in range(asked - self._asked):
            self.press(f"\x1b[{self.screen.row - self.screen.top + 1};{self.screen.column + 1}R")
        self._asked = asked
