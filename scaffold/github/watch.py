"""A watch on connections: at the deadline they end, whatever the server is doing.

A time-out for each read is no bound: a server that sends a byte a second, in its header, in a chunk's length or in a
compressed body, never meets it.
"""

from __future__ import annotations

import contextlib
import contextvars
import socket
import threading
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from scaffold.github.deadline import Deadline


class Watch:
    """Ends the connection that is used within its block when the deadline comes."""

    def __init__(self, deadline: Deadline) -> None:
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(deadline.remaining(), self._end)
        self._timer.daemon = True

    def __enter__(self) -> Watch:
        self._before = _current.set(self)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._socket = None
        _current.reset(self._before)

    def over(self, connected: socket.socket | None) -> None:
        """Watch over this one now."""
        self._socket = connected

    def _end(self) -> None:
        connected = self._socket
        if connected is not None:
            with contextlib.suppress(OSError):
                # Not the method of a TLS socket: that would take it apart under the thread that reads it.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)


_current: contextvars.ContextVar[Watch | None] = contextvars.ContextVar("_current", default=None)


class WatchedAdapter(HTTPAdapter):
    """Sends requests over connections that a `Watch` can end."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """As requests does it, with our connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """As requests does it, with our connections; a SOCKS proxy needs its own."""
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


def _watch(connected: socket.socket | None) -> None:
    watch = _current.get()
    if watch is not None:
        watch.over(connected)


class _Http(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        _watch(connected)
        return connected

    def getresponse(self) -> Any:
        _watch(self.sock)
        return super().getresponse()


class _Https(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        _watch(connected)
        return connected

    def getresponse(self) -> Any:
        _watch(self.sock)
        return super().getresponse()


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


_POOLS = {"http": _HttpPool, "https": _HttpsPool}
