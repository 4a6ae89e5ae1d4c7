"""Workers: calls made by threads that never keep a process from ending."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_TURN_SECONDS = 0.2


class Workers(Generic[_Key, _Value]):
    """A few daemon threads that take calls in order; their results come back as they are done.

    A thread pool of the standard library waits for its threads at exit, so that one hanging server would hold the
    whole command after Ctrl-C.
    """

    def __init__(self, count: int) -> None:
        self._calls: queue.SimpleQueue[tuple[_Key, Callable[[], _Value]] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[_Key, _Value | None, Exception | None]] = queue.SimpleQueue()
        self._waiting = 0
        for _ in range(max(1, count)):
            threading.Thread(target=self._work, daemon=True).start()
        self._count = max(1, count)

    def submit(self, key: _Key, call: Callable[[], _Value]) -> None:
        """Have a call made."""
        self._waiting += 1
        self._calls.put((key, call))

    def results(self) -> Iterator[tuple[_Key, _Value | None, Exception | None]]:
        """Each call's key with its value or its error, until none is left; more may be submitted meanwhile."""
        while self._waiting:
            done = self._next(math.inf)
            assert done is not None
            self._waiting -= 1
            yield done

    def _next(self, seconds: float) -> tuple[_Key, _Value | None, Exception | None] | None:
        """The next result; None where none comes in time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            # Short waits: a signal is only noticed between them on some systems.
            with contextlib.suppress(queue.Empty):
                return self._done.get(timeout=min(_TURN_SECONDS, left))
        return None

    def stop(self) -> None:
        """Let the threads end once they have nothing to do."""
        for _ in range(self._count):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            key, act = call
            try:
                self._done.put((key, act(), None))
            except Exception as error:
                self._done.put((key, None, error))


def within(seconds: float, act: Callable[[], _Value], late: Callable[[], Exception]) -> _Value:
    """What a call gives, if it gives it in time; whatever it hangs in is left behind.

    Raises:
        Exception: what the call raises, or `late()` when the time is over.
    """
    workers: Workers[str, _Value] = Workers(1)
    workers.submit("", act)
    workers.stop()
    found = workers._next(seconds)
    if found is None:
        raise late()
    _, value, error = found
    if error:
        raise error
    return value  # type: ignore[return-value]  # without an error there is a value
