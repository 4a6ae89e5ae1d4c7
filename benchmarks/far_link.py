"""A loopback proxy that makes a server on this machine feel far away: round trips, a shared rate, and slow starts.

A connection costs two round trips before its first byte (TCP and TLS), each direction is half a round trip long, all
connections share one rate per direction, and each begins with what TCP sends in its first round trip and doubles from
there. Nothing gets lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_CHUNK = 16 * 1024
_FIRST_WINDOW = 10 * 1460
_LARGEST_WINDOW = 16_000_000
_HANDSHAKES = 2
_AHEAD_SECONDS = 0.01  # a connection hands over this long before its turn, as the loop's clock is no finer


@dataclass
class Lane:
    """One direction of the link. `moved` is how many bytes went through."""

    bytes_per_second: float
    moved: int = 0
    _free_at: float = 0.0

    def leaves_at(self, size: int) -> float:
        """When the last of `size` further bytes has left."""
        self.moved += size
        self._free_at = max(time.monotonic(), self._free_at) + size / self.bytes_per_second
        return self._free_at


@dataclass
class FarLink:
    """A running link. `url` stands for the server's."""

    port: int  # the server's
    round_trip: float
    down: Lane
    up: Lane
    url: str = ""
    _ready: threading.Event = field(default_factory=threading.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def moved(self) -> int:
        """Bytes in both directions."""
        return self.down.moved + self.up.moved

    def run(self) -> None:
        """Carry connections until `end` is called from another thread."""
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def wait(self) -> None:
        """Return when `url` is known."""
        self._ready.wait()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._ended.wait()
        server.close()
        underway = asyncio.all_tasks() - {asyncio.current_task()}
        for task in underway:
            task.cancel()
        await asyncio.gather(*underway, return_exceptions=True)

    async def _carry(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(self.round_trip * _HANDSHAKES)
            far, far_out = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                await asyncio.gather(self._move(near, far_out, self.up), self._move(far, near_out, self.down))
            finally:
                far_out.close()
        except (OSError, asyncio.CancelledError):  # cancelled only when the link ends
            near_out.transport.abort()
        finally:
            near_out.close()

    async def _move(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, lane: Lane) -> None:
        underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arrivals = asyncio.create_task(_arrive(underway, sink))
        window, may_send_at = float(_FIRST_WINDOW), 0.0
        try:
            while chunk := await source.read(_CHUNK):
                now = time.monotonic()
                may_send_at = max(now, may_send_at) + len(chunk) * self.round_trip / window
                window = min(window + len(chunk), _LARGEST_WINDOW)
                leaves_at = max(lane.leaves_at(len(chunk)), may_send_at)
                underway.put_nowait((leaves_at + self.round_trip / 2, chunk))
                # Reading no further before this has left is what lets the connections take turns.
                await asyncio.sleep(max(0.0, leaves_at - now - _AHEAD_SECONDS))
            underway.put_nowait((time.monotonic() + self.round_trip / 2, b""))
            await arrivals
        finally:
            arrivals.cancel()


async def _arrive(underway: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
    while True:
        arrives_at, chunk = await underway.get()
        await asyncio.sleep(max(0.0, arrives_at - time.monotonic()))
        if not chunk:
            with contextlib.suppress(OSError, RuntimeError):
                sink.write_eof()
            return
        sink.write(chunk)
        await sink.drain()


@contextmanager
def far_link(port: int, *, round_trip: float, bytes_per_second: float) -> Iterator[FarLink]:
    """Carry connections to a loopback port for as long as the context lasts.

    Args:
        port: where the server listens.
        round_trip: seconds.
        bytes_per_second: of all connections together, in each direction.
    """
    link = FarLink(port, round_trip, Lane(bytes_per_second), Lane(bytes_per_second))
    thread = threading.Thread(target=link.run, daemon=True)
    thread.start()
    link.wait()
    try:
        yield link
    finally:
        link.end()
        thread.join()
