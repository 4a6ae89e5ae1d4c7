"""How processes that torchrun started find each other, and what is said when they don't.

Left alone, torch waits for half an hour. Here it is under a minute, loading torch included.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist

from runtime.settings import BEGUN, UserError

MEETING_SECONDS = 45.0  # until all have met, from the start of this process: with what is said then, under a minute
AT_LEAST = 10.0  # of them after torch was loaded. From a slow disk that takes longer: then raise both
GPU_SECONDS = 60.0  # to talk for the first time when all have met: each starts its GPU first, on full nodes one by one
WORK_SECONDS = 2 * 60 * 60  # for one process to wait for another at work; it is torchrun that notices a dead one
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl", "xpu": "cpu:gloo,xpu:xccl"}


def connect(rank: int, size: int, kind: str) -> None:
    """Make the group of all processes, for devices of this kind. Raises UserError that names the address."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    where = f"rank {rank} on {socket.gethostname()}"
    ending = max(BEGUN + MEETING_SECONDS, time.monotonic() + AT_LEAST)
    unreachable = (
        f"{where} can't reach {host}:{port}, where all meet; check the address, and that nothing blocks the way to it"
    )
    with _until(ending + 2 * (rank > 0), unreachable):
        try:
            if rank > 0 or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # else it is met here
                _knock(host, port, ending)
            left = timedelta(seconds=max(ending - time.monotonic(), 1.0))
            store, *_ = next(dist.rendezvous("env://", timeout=left))
            meeting = _greet(store, rank, size, ending, f"{where} waited at {host}:{port}")
        except (dist.DistError, RuntimeError, OSError) as error:
            raise UserError(f"{unreachable} ({in_short(error)})") from None
    trouble = (
        f"{where} reaches {host}:{port} but not every other process; with several networks, name the one between the "
        "nodes: GLOO_SOCKET_IFNAME=eth0 and NCCL_SOCKET_IFNAME=eth0"
    )
    ending = max(ending, time.monotonic() + (AT_LEAST / 2 if kind == "cpu" else GPU_SECONDS))
    with _until(ending + 2 * (rank > 0), trouble):  # torch's own time-out would have to be that for the work
        try:
            dist.init_process_group(
                BACKENDS[kind],
                store=dist.PrefixStore(meeting, store),
                rank=rank,
                world_size=size,
                timeout=timedelta(seconds=WORK_SECONDS),
            )
            dist.all_reduce(torch.zeros(1, device=kind))
        except (dist.DistError, RuntimeError) as error:
            raise UserError(f"{trouble} ({in_short(error)})") from None


def _knock(host: str, port: int, ending: float) -> None:
    """Wait until somebody answers there. torch would say at every try what failed, with a page of its own code."""
    while True:
        left = ending - time.monotonic()
        try:
            socket.create_connection((host, port), timeout=max(left, 0.1)).close()
            return
        except OSError:
            if left < 0.5:
                raise
        time.sleep(0.2)


def _greet(store: dist.Store, rank: int, size: int, ending: float, waited: str) -> str:
    """Meet all others at the store; returns a name for this meeting that no earlier one had.

    After a restart the store is the same, and still holds what the dead ones wrote. So each process that comes writes a
    fresh token under its rank, and rank 0 answers every token that it finds, until a process of each rank has replied.
    """
    token = secrets.token_hex(8)
    if rank > 0:
        store.set(f"token {rank}", token)
        while not (meeting := _look(store, f"answer {token}")):
            _go_on_until(ending, f"{waited}, but rank 0 did not come")
        store.set(f"reply {meeting} {rank}", token)
        return meeting
    waiting = set(range(1, size))
    while waiting:
        for other in sorted(waiting):
            if found := _look(store, f"token {other}"):
                store.set(f"answer {found}", token)
            if _look(store, f"reply {token} {other}"):
                waiting.remove(other)
        if waiting:
            _go_on_until(ending, f"{waited}, but rank {', '.join(map(str, sorted(waiting)))} of {size} did not come")
    return token


def _look(store: dist.Store, key: str) -> str | None:
    return store.get(key).decode() if store.check([key]) else None


def _go_on_until(ending: float, complaint: str) -> None:
    if time.monotonic() > ending:
        raise UserError(f"{complaint} {_in_time()}")
    time.sleep(0.02)


def _in_time() -> str:
    return f"(gave up {time.monotonic() - BEGUN:.0f} s after it was started)"


@contextlib.contextmanager
def _until(ending: float, complaint: str) -> Iterator[None]:
    """End this process with a message when the block takes longer: torch can't be interrupted while it connects."""

    def give_up() -> None:
        print(f"error: {complaint} {_in_time()}", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(max(ending - time.monotonic(), 0.1), give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def is_about_contact(error: Exception) -> bool:
    """Whether an error says that another process is gone."""
    signs = ("onnection closed", "onnection reset", "roken pipe", "imed out", "timeout", "NCCL", "gloo", "Socket")
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in signs)


def in_short(error: Exception) -> str:
    """An error's first sentence without the place in torch's own code."""
    line = (str(error).splitlines() or [""])[0].rpartition("] ")[2].split(". ")[0].strip()
    return line[:120] or type(error).__name__
