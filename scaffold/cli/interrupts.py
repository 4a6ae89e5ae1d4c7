"""Ctrl-C, SIGTERM and a terminal that closes: each ends a command as KeyboardInterrupt, at a fit moment."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator

_PATIENCE = 10.0  # seconds in which what is sent again is not heeded: it would break off the tidying up


class _State:
    """What the handler knows; there is one, as there is one main thread that Python runs handlers in."""

    def __init__(self) -> None:
        self.heeded: float | None = None
        self.undivided = 0
        self.waiting = False


_state = _State()


def _interrupt(number: int, frame: object) -> None:
    if _state.heeded is not None and time.monotonic() - _state.heeded <= _PATIENCE:
        return
    _state.heeded = time.monotonic()
    if _state.undivided:
        _state.waiting = True
        return
    raise KeyboardInterrupt


def _system_signals() -> list[signal.Signals]:
    """Those that not all systems have: Ctrl-Break of Windows, the closed terminal of the others."""
    return [getattr(signal, name) for name in ("SIGBREAK", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let the signals that end a command do so as Ctrl-C does, so that nothing half stays behind."""
    numbers = [signal.SIGINT, signal.SIGTERM, *_system_signals()]
    # What is ignored stays ignored, as under nohup.
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    _state.heeded, _state.waiting = None, False
    try:
        for number in before:
            signal.signal(number, _interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undivided() -> Iterator[None]:
    """What is short and must not be left in the middle, such as a drawing: an interrupt waits for its end.

    Raises:
        KeyboardInterrupt: at the end, if one came meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.undivided += 1
    try:
        yield
    finally:
        _state.undivided -= 1
        if _state.waiting and not _state.undivided:
            _state.waiting = False
            raise KeyboardInterrupt
