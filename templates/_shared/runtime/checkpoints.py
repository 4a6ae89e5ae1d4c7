"""Checkpoints: everything that training needs to go on, written all or not at all."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from runtime.settings import UserError

TRIES, PAUSE = 60, 0.5  # half a minute for what is in the way of a rename


@contextlib.contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill. It becomes `path` when the block ends well; when it fails `path` stays as it was."""
    fresh, old = path.with_name(path.name + ".new"), path.with_name(path.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
    except BaseException as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if _is_about_writing(error):
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{path} can't be written, is the disk full? ({reason}) What was saved there before is whole"
            ) from None
        raise
    _take_place(fresh, path, old)
    shutil.rmtree(old, ignore_errors=True)


def _take_place(fresh: Path, path: Path, old: Path) -> None:
    """Windows renames no folder while a virus scanner, OneDrive or another program has a file in it open."""
    for left in reversed(range(TRIES)):
        try:
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)
                path.rename(old)  # killed right here, the checkpoint is `old`: _existing() knows
            fresh.rename(path)
            return
        except (PermissionError, FileExistsError) as error:
            if not left:
                raise UserError(
                    f"{path} can't be replaced ({error.strerror}): another program has it open, perhaps serve.py or "
                    f"OneDrive. End that; what was just saved is whole, in {fresh}: rename it to {path.name}"
                ) from None
            time.sleep(PAUSE)


def _is_about_writing(error: BaseException) -> bool:
    """Whether a file could not be written; safetensors and torch.save tell of a full disk in errors of their own."""
    signs = ("PytorchStreamWriter", "inline_container", "iostream")
    return isinstance(error, OSError | SafetensorError) or any(sign in str(error) for sign in signs)


def mend(parent: Path) -> None:
    """Give the folders in `parent` their names back that a program lost when it was killed while it replaced them."""
    for old in parent.glob("*.old"):
        with contextlib.suppress(OSError):  # another process was faster
            if not old.with_suffix("").exists():
                old.rename(old.with_suffix(""))


def _existing(path: Path) -> Path:
    for folder in (path, path.with_name(path.name + ".old")):
        if (folder / "checkpoint.json").is_file():
            return folder
    raise UserError(f"there is no checkpoint in {path}; run train.py first")


def save_checkpoint(
    path: Path,
    *,
    model: torch.nn.Module,
    step: int,
    extra: Mapping[str, Any],
    also: Callable[[Path], object] | None = None,
    **stateful: Any,
) -> None:
    """Write the folder `path`: model.safetensors, checkpoint.json (step, extra) and state.pt, all of it or nothing.

    `extra` is plain JSON data. `stateful` are objects with a state_dict (optimizer=, scheduler=, scaler=); state.pt
    holds theirs and the random generators', so that a resumed run goes on exactly as if it had never stopped.
    `also(folder)` may add files of its own.
    """
    with replace_folder(path) as folder:
        if also:
            also(folder)
        save_model(model, str(folder / "model.safetensors"), metadata={"format": "pt"})
        write_state(folder, next(model.parameters()).device, step, extra, stateful)


def write_state(
    folder: Path, device: torch.device, step: int, extra: Mapping[str, Any], stateful: Mapping[str, Any]
) -> None:
    """All of a checkpoint but its weights."""
    state = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if device.type != "cpu":
        state[device.type] = torch.get_device_module(device).get_rng_state()
    torch.save({"random": state} | {name: it.state_dict() for name, it in stateful.items()}, folder / "state.pt")
    document = json.dumps({"step": step, "extra": extra}, ensure_ascii=False, indent=1)
    (folder / "checkpoint.json").write_text(document, encoding="utf-8")


def read_checkpoint(path: Path) -> tuple[int, dict[str, Any]]:
    """(step, extra) of a checkpoint, read without its weights. Raises UserError when there is none."""
    file = _existing(path) / "checkpoint.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return document["step"], document["extra"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file} is damaged or of another program; train anew") from None


def load_checkpoint(path: Path, *, model: torch.nn.Module, **stateful: Any) -> tuple[int, dict[str, Any]]:
    """Put a checkpoint's weights into `model` and return (step, extra).

    With the objects that were saved (optimizer=, scheduler=, scaler=) their state and that of the random generators
    comes back too. Raises UserError when there is no checkpoint, or it is damaged or of another model.
    """
    folder, weight = _existing(path), next(model.parameters())
    device = weight.device
    try:
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True) if stateful else {}
        if (folder / "shards").is_dir() or hasattr(weight, "device_mesh"):  # written in parts, or the model is in parts
            from runtime.sharding import load_parts

            load_parts(folder, model, stateful.pop("optimizer", None), state)
        else:
            load_model(model, str(folder / "model.safetensors"))
        if state:
            for name, it in stateful.items():
                if state[name]:  # a loss scaler that was off has none: in fp16 on this machine it begins anew
                    it.load_state_dict(state[name])
            random.setstate(state["random"]["python"])
            torch.set_rng_state(state["random"]["torch"])
            if device.type in state["random"]:  # else it was another kind of device
                torch.get_device_module(device).set_rng_state(state["random"][device.type])
    except (RuntimeError, KeyError, ValueError, EOFError, FileNotFoundError, UnpicklingError, SafetensorError) as error:
        raise UserError(
            f"{folder} is damaged or does not fit the settings in config.toml, train anew: {_reason(error)}"
        ) from None
    return read_checkpoint(path)


def _reason(error: Exception) -> str:
    if isinstance(error, UnpicklingError | KeyError):  # torch's own words advise to trust the file, or are a number
        return "state.pt holds something else"
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{Path(error.filename).name} is missing"
    return " ".join(str(error).split())[:300] or type(error).__name__
