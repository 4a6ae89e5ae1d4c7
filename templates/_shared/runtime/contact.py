"""How processes that torchrun started find each other, and what is said when they don't.

Left alone, torch waits for half an hour and then names no address. Here it is under a minute.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import torch
import torch.distributed as dist

from runtime.settings import UserError

CONTACT_SECONDS = 50.0
WORK_SECONDS = 2 * 60 * 60  # for one process to wait for another at work; it is torchrun that notices a dead one
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl", "xpu": "cpu:gloo,xpu:xccl"}


def connect(rank: int, size: int, kind: str) -> None:
    """Make the group of all processes, for devices of this kind. Raises UserError that names the address."""
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    where = f"rank {rank} on {socket.gethostname()}"
    unreachable = (
        f"{where} can't reach {address}, where all meet; check the address, and that nothing blocks the way to it"
    )
    with _at_most(CONTACT_SECONDS + 2 * (rank > 0), unreachable):
        try:
            store, *_ = next(dist.rendezvous("env://", timeout=timedelta(seconds=CONTACT_SECONDS)))
        except (dist.DistError, RuntimeError, OSError) as error:
            raise UserError(f"{unreachable} ({in_short(error)})") from None
    meeting = _greet(store, rank, size, f"{where} waited {CONTACT_SECONDS:.0f} s at {address}")
    trouble = (
        f"{where} reaches {address} but not every other process; with several networks, name the one between the "
        "nodes: GLOO_SOCKET_IFNAME=eth0 and NCCL_SOCKET_IFNAME=eth0"
    )
    with _at_most(CONTACT_SECONDS + 2 * (rank > 0), trouble):  # torch's own time-out would have to be that for the work
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


def _greet(store: dist.Store, rank: int, size: int, waited: str) -> str:
    """Meet all others at the store; returns a name for this meeting that no earlier one had.

    After a restart the store is the same, and still holds what the dead ones wrote. So each process that comes writes a
    fresh token under its rank, and rank 0 answers every token that it finds, until a process of each rank has replied.
    """
    ending, token = time.monotonic() + CONTACT_SECONDS, secrets.token_hex(8)
    if rank > 0:
        store.set(f"token {rank}", token)
        meeting = _wait_for(lambda: _look(store, f"answer {token}"), ending, f"{waited}, but rank 0 did not come")
        store.set(f"reply {meeting} {rank}", token)
        return meeting
    waiting = set(range(1, size))
    while waiting:
        for other in sorted(waiting):
            if found := _look(store, f"token {other}"):
                store.set(f"answer {found}", token)
            if _look(store, f"reply {token} {other}"):
                waiting.remove(other)
        if waiting and time.monotonic() > ending:
            raise UserError(f"{waited}, but rank {', '.join(map(str, sorted(waiting)))} of {size} did not come")
        time.sleep(0.02)
    return token


def _look(store: dist.Store, key: str) -> str | None:
    return store.get(key).decode() if store.check([key]) else None


def _wait_for(look: Callable[[], str | None], ending: float, complaint: str) -> str:
    while (found := look()) is None:
        if time.monotonic() > ending:
            raise UserError(complaint)
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def _at_most(seconds: float, complaint: str) -> Iterator[None]:
    """End this process with a message when the block takes longer: torch can't be interrupted while it connects."""

    def give_up() -> None:
        print(f"error: {complaint} (gave up after {seconds:.0f} s)", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
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
