"""Dropout on a CPU, where torch's own takes longer than some of the layers around it, and on Apple's GPU where a layer
is computed twice. On other GPUs torch's is next to free and right.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from runtime.core import Device


def drop(values: Tensor, share: float) -> Tensor:
    """The values, each set to zero with the chance `share`, and the others made larger so that their mean stays.

    torch's dropout draws a random number for each value. Here one of 64 bits serves four values: 16 bits decide finely
    enough.
    """
    count = values.numel()
    drawn = torch.randint(-(2**63), 2**63 - 1, (-(-count // 4),), device=values.device)
    stays = drawn.view(torch.int16)[:count].view(values.shape) >= round(share * 2**16) - 2**15
    return values * stays.to(values.dtype).mul_(1 / (1 - share))


class QuickDropout(nn.Dropout):
    """nn.Dropout by `drop`."""

    def forward(self, input: Tensor) -> Tensor:
        return drop(input, self.p) if self.training and self.p > 0 else input


def quicken_dropout(model: nn.Module, dev: Device) -> None:
    """Have each nn.Dropout in the model computed by `drop`, where the model runs on a CPU uncompiled."""
    if dev.device.type != "cpu" or dev.compile:
        return
    for module in model.modules():
        for name, part in module.named_children():
            if type(part) is nn.Dropout:
                setattr(module, name, QuickDropout(part.p).train(part.training))


def recomputing(device: torch.device) -> dict[str, Any]:
    """What torch's checkpoint() has to be told besides, so that a layer computed again drops what it dropped before.

    It brings back the random numbers of every device but Apple's: there the gradients would be of another layer.
    """
    return {"context_fn": _with_the_same_numbers} if device.type == "mps" else {}


def _with_the_same_numbers() -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
    return contextlib.nullcontext(), _drawing_from(torch.mps.get_rng_state())


@contextlib.contextmanager
def _drawing_from(state: Tensor) -> Iterator[None]:
    now = torch.mps.get_rng_state()
    torch.mps.set_rng_state(state)
    try:
        yield
    finally:
        torch.mps.set_rng_state(now)
