"""Several processes that train one model together: `torchrun --standalone --nproc-per-node=2 train.py`.

torchrun starts the processes ("ranks"), tells each its number in environment variables, and ends all when one dies.
A script that was started without it is alone: then nothing in this file does anything.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Module

from runtime.checkpoints import save_checkpoint
from runtime.contact import BACKENDS, connect, in_short, is_about_contact
from runtime.settings import LostError, UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together. The first one, rank 0, speaks and writes for all."""

    rank: int = 0
    size: int = 1
    on_this_machine: int = 1
    strategy: str = "none"  # none, ddp or fsdp

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def command(self) -> str:
        """What a script is started with."""
        if self.size == self.on_this_machine:
            return "python" if self.size == 1 else f"torchrun --standalone --nproc-per-node={self.size}"
        return "torchrun (with the same options)"

    @property
    def last_words(self) -> str:
        """What to say at the end of a run that was interrupted, for then torchrun ends with a traceback of its own."""
        return "" if self.size == 1 else "\nwhat torchrun adds below is about the signal alone: everything is saved"

    @property
    def shards(self) -> int:
        """Among how many processes the weights are divided."""
        return self.size if self.strategy == "fsdp" else 1

    @property
    def judging(self) -> Ranks:
        """Those who share the work of judging the model. With fsdp all compute the same, for each call of the model
        needs all of them."""
        return ALONE if self.strategy == "fsdp" else self

    def share_of(self, batch: int, what: str) -> int:
        """How many of a batch's samples are this process's. Raises UserError where it can't be shared equally.

        The batch stays the same whatever the number of processes, so the model learns the same.
        """
        if batch % self.size:
            sizes = [size for size in range(1, batch + 1) if batch % size == 0]
            raise UserError(
                f"{batch} {what} an update (batch_size x grad_accumulation) can't be shared equally by {self.size} "
                f"processes; take {', '.join(map(str, sizes[:-1]))} or {sizes[-1]} processes, or another batch_size"
            )
        return batch // self.size

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part: every size-th item, so that a row sorted by length is shared fairly."""
        return items[self.rank :: self.size]

    def whole(self, part: Sequence[T]) -> list[T]:
        """All processes' parts together, in the order of the row that `part` cut them from."""
        parts = self.gather(list(part))
        row: list[Any] = [None] * sum(map(len, parts))
        for rank, items in enumerate(parts):
            row[rank :: self.size] = items
        return row

    def total(self, *values: float) -> list[float]:
        """The sum of each value over all processes."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums)
        return sums.tolist()

    def smallest(self, value: int) -> int:
        """The smallest of all processes' values."""
        return min(self.gather(value))

    def gather(self, value: T) -> list[T]:
        """The value of every process, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make()` returns in the first process, handed to all of them. Plain data and what pickle knows."""
        if self.size == 1:
            return make()
        found = [make() if self.first else None]
        dist.broadcast_object_list(found, src=0)
        return found[0]  # type: ignore[return-value]

    def wait(self) -> None:
        """Go on when all processes are here."""
        self.total(0)

    def agree(self, facts: dict[str, Any]) -> None:
        """Raise UserError where another process has other data or settings; they would learn different things."""
        for rank, (host, others) in enumerate(self.gather((socket.gethostname(), facts))):
            different = [name for name in facts if others.get(name) != facts[name]]
            if different:
                raise UserError(
                    f"rank {rank} on {host} differs from rank {self.rank} on {socket.gethostname()} in {different[0]}: "
                    f"{others.get(different[0])!r} there, {facts[different[0]]!r} here; all need the same files"
                )

    def reseed(self, seed: int, step: int) -> None:
        """Give this process random numbers of its own for an update. They follow from seed, step and rank alone, so
        that nothing has to be saved for an exact resume. Alone, the one stream of numbers simply goes on."""
        if self.size > 1:
            torch.manual_seed(random.Random(f"{seed} {step} {self.rank}").getrandbits(62))

    def place(
        self,
        model: Module,
        device: torch.device,
        layers: Iterable[Module],
        methods: Sequence[str] = (),
    ) -> None:
        """Move the model to the device; with fsdp, this process's part of each layer and of what is around them.

        `methods` are those that compute with the model's own weights, besides forward.
        """
        if self.strategy != "fsdp":
            model.to(device)
            return
        from runtime.sharding import shard

        shard(model, layers, methods, device)

    def gathered(self, model: Module) -> contextlib.AbstractContextManager[None]:
        """With fsdp, the block finds all layers' weights together, also those of layers that are not called as such."""
        if self.strategy != "fsdp":
            return contextlib.nullcontext()
        from runtime.sharding import gathered

        return gathered(model)

    def whole_weights(self, model: Module) -> dict[str, Tensor] | None:
        """With fsdp, all weights in the first process's memory; all have to call it. Else None: the model has them."""
        if self.strategy != "fsdp":
            return None
        from runtime.sharding import whole_weights

        return whole_weights(model)

    def save_checkpoint(self, path: Path, **what: Any) -> None:
        """checkpoints.save_checkpoint by the first process, or with fsdp by all, each its part."""
        if self.strategy == "fsdp":
            from runtime.sharding import save_sharded

            save_sharded(path, ranks=self, **what)
        elif self.first:
            save_checkpoint(path, **what)

    def wrap(self, model: Module) -> Module:
        """What to call instead of the model, so that all processes' gradients become one."""
        if self.strategy != "ddp":
            return model
        kind = next(model.parameters()).device.type
        devices = None if kind == "cpu" else [torch.accelerator.current_device_index()]
        known = inspect.signature(torch.nn.parallel.DistributedDataParallel.__init__).parameters
        buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # as of torch 2.11
        return torch.nn.parallel.DistributedDataParallel(
            model, device_ids=devices, gradient_as_bucket_view=True, **{buffers: False}
        )

    def exchanging(self, model: Module, *, last: bool) -> contextlib.AbstractContextManager[Any]:
        """The context for one part of a batch: gradients travel once, after the last part.

        With fsdp they travel after each: to wait, every process would have to hold all gradients whole.
        """
        return contextlib.nullcontext() if last or self.strategy != "ddp" else model.no_sync()  # type: ignore[operator]


ALONE = Ranks()


def set_aside(checkpoint: Path) -> None:
    """At the start of a new run under torchrun: put a former run's checkpoint away, as FOLDER.former.

    Else, should a process die before the first save, the processes started anew would go on with that.
    """
    if "TORCHELASTIC_RESTART_COUNT" in os.environ and os.environ["RANK"] == "0" and checkpoint.exists():
        former = checkpoint.with_name(f"{checkpoint.name}.former")
        shutil.rmtree(former, ignore_errors=True)
        checkpoint.rename(former)


def restarted() -> bool:
    """Whether torchrun --max-restarts started this process anew after one had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


@contextlib.contextmanager
def together(strategy: str, device: str) -> Iterator[Ranks]:
    """Find the other processes that torchrun started. In the block, a lost one becomes a LostError."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks()
        return
    ranks = _join("ddp" if strategy == "none" else strategy, _kind(device))
    silence = contextlib.nullcontext() if ranks.first else contextlib.redirect_stdout(_Silence())
    try:
        with silence:
            yield ranks
            ranks.wait()
    except (dist.DistError, RuntimeError) as error:
        if not is_about_contact(error):
            raise
        raise LostError(
            f"rank {ranks.rank} lost another process, so training ends ({in_short(error)}). Look above for that one's "
            "own message; what was saved is whole: go on with --resume"
        ) from None


class _Silence:
    """Where the other processes' prints go: one process speaks for all."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def _kind(device: str) -> str:
    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if found and device != "cpu" else "cpu"


def _join(strategy: str, kind: str) -> Ranks:
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local, here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if kind not in BACKENDS:
        raise UserError(f"several processes can't share {kind}; run: python train.py")
    if kind != "cpu":
        count = torch.accelerator.device_count()
        if here > count:
            raise UserError(
                f"{here} processes on {socket.gethostname()}, but it has {count} {kind} device(s) for them; "
                f"start it with --nproc-per-node={count}"
            )
        if not (dist.is_nccl_available() if kind == "cuda" else dist.is_xccl_available()):
            raise UserError("torch for this system lets no GPUs work together; run: python train.py")
        torch.accelerator.set_device_index(local)
    connect(rank, size, kind)
    return Ranks(rank, size, here, strategy)
