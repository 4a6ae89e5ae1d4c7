"""FSDP2, for a model that does not fit into one device with its gradients and moments: each process holds a part.

A layer's weights are brought together when its turn comes, and dropped after it. Checkpoints are written in parts too,
one file for each process; any number of processes can read them, also one alone.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import distribute_tensor

from runtime.checkpoints import replace_folder, write_state
from runtime.distributed import Ranks

SHARDS = "shards"  # the folder in a checkpoint


def shard(model: nn.Module, layers: Iterable[nn.Module], methods: Iterable[str], device: torch.device) -> None:
    """Divide the model among all processes, layer by layer, so that no device ever holds it whole.

    `methods` are those that compute with the model's own weights, besides forward.
    """
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for method in methods:
        register_fsdp_forward_method(model, method)


@contextlib.contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """All weights together in every process. They alone are a quarter of what training takes."""
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """All weights of a divided model in the first process's memory; nothing in the others. All have to call it."""
    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))


def save_sharded(
    path: Path,
    *,
    ranks: Ranks,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    extra: Mapping[str, Any],
    also: Callable[[Path], object] | None = None,
    **stateful: Any,
) -> None:
    """save_checkpoint for a divided model: each process writes its part. All have to call it."""
    folder = path.with_name(path.name + ".new")
    with replace_folder(path) if ranks.first else contextlib.nullcontext():
        ranks.wait()  # until the folder is there
        weights, moments = get_state_dict(model, optimizer)
        try:
            dcp.save({"model": weights, "optimizer": moments}, checkpoint_id=folder / SHARDS)
        except dcp.CheckpointException as error:
            raise OSError(_first_failure(error)) from None
        if ranks.first:
            if also:
                also(folder)
            write_state(folder, next(model.parameters()).device, step, extra, stateful)
    ranks.wait()


def load_parts(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None, state: Mapping[str, Any]
) -> None:
    """Read a checkpoint that is in parts, or put a whole one into a model that is in parts.

    `state` is a whole checkpoint's state.pt. Raises RuntimeError for a checkpoint that is damaged or of another model.
    """
    if not (folder / SHARDS).is_dir():
        set_model_state_dict(model, _whole_file(folder), options=StateDictOptions(full_state_dict=True))
        if optimizer:
            optimizer.load_state_dict(_divided(optimizer, state["optimizer"]))
        return
    _check_parts(folder / SHARDS)
    weights, moments = get_state_dict(model, optimizer) if optimizer else (get_model_state_dict(model), {})
    wanted = {"model": weights, "optimizer": moments} if optimizer else {"model": weights}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process alone reads all parts
        try:
            dcp.load(wanted, checkpoint_id=folder / SHARDS)
        except dcp.CheckpointException as error:
            raise RuntimeError(_first_failure(error)) from None
    set_model_state_dict(model, weights)
    if optimizer:
        set_optimizer_state_dict(model, optimizer, moments)


def _first_failure(error: dcp.CheckpointException) -> str:
    """What went wrong in one of the processes. To Python the error of all together is no Exception."""
    first = next(iter(error.failures.values()))[0]
    return str(first) or type(first).__name__


def _check_parts(folder: Path) -> None:
    """Raise RuntimeError where a part is missing or the list of them can't be read: torch would print pages."""
    try:
        metadata = dcp.FileSystemReader(folder).read_metadata()
        names = {info.relative_path for info in metadata.storage_data.values()}
    except Exception as error:  # whatever unpickling runs into
        raise RuntimeError(f"the list of its parts can't be read ({error})") from None
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        raise RuntimeError(f"its part {missing[0]} is missing")


def _whole_file(folder: Path) -> dict[str, Tensor]:
    """The weights of model.safetensors; those that are shared stand there once, and the header names the others."""
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        shared = {name: kept for name, kept in file.metadata().items() if kept in weights}
    return weights | {name: weights[kept] for name, kept in shared.items()}


def _divided(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """What an optimizer saved that had whole weights, divided like the weights of this one."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]

    def part(value: Tensor, weight: Any) -> Tensor:
        if value.shape != weight.shape:  # the number of steps
            return value
        return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)

    moments = {
        number: {name: part(value, weights[number]) for name, value in of_weight.items()}
        for number, of_weight in state["state"].items()
    }
    return {**state, "state": moments}
