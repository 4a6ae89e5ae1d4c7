"""Workers: calls made by threads that never keep a process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


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
            while True:
                try:
                    # Short waits: a signal is only noticed between them on some systems.
                    done = self._done.get(timeout=0.2)
                    break
                except queue.Empty:
                    continue
            self._waiting -= 1
            yield done

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
    try:
        _, value, error = workers._done.get(timeout=seconds)
    except queue.Empty:
        raise late() from None
    if error:
        raise error
    return value  # type: ignore[return-value]  # without an error there is a value
