"""Which model writes, and which engine computes it: decided here and nowhere else."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import Config, MachineConfig
from decoding import Engine
from folders import SCRATCH, WEIGHTS, Text, find_folder, newest_made, read_shape, read_text
from settings import UserError

if TYPE_CHECKING:
    from runtime import Device


@dataclass(frozen=True)
class Writer:
    """A model that is ready to write, and one line about where it comes from and what computes it."""

    engine: Engine
    text: Text
    about: str


def open_writer(config: Config, name: str | None = None, revision: str | None = None) -> Writer:
    """The model that `name` or else config.toml names. Where config.toml's can't be had, a small one steps in."""
    wanted = name or config.model.name
    revision = config.model.revision if revision is None else revision
    if wanted == SCRATCH:
        return writer_from(small_model(config), config.machine)
    folder = find_folder(wanted, revision)
    if folder and read_shape(folder):
        return writer_from(folder, config.machine, wanted)

    # Another kind of model, or one that is not on this machine yet: that is transformers' business.
    from models import HubUnreachable, load_pretrained

    try:
        model, tokenizer = load_pretrained(wanted, revision)
    except HubUnreachable as trouble:
        if name:  # asked for by name: nothing else will do
            raise UserError(f"{trouble}. Without --model a small GPT-2 made on this machine answers") from None
        tell(f"{trouble}.")
        return writer_from(small_model(config), config.machine)
    folder = find_folder(wanted, revision)
    if folder and read_shape(folder):  # it came from the hub just now
        return writer_from(folder, config.machine, wanted)
    return hf_writer(model, tokenizer, config.machine, wanted)


def small_model(config: Config) -> Path:
    """The folder of the small GPT-2 that was made last on this machine; the first time, it is made now."""
    folder = newest_made()
    if folder is None:
        from train import train_from_scratch

        tell("So this machine now trains a small GPT-2 of its own, once; that takes one to three minutes.")
        folder = train_from_scratch(config)
    return folder


def writer_from(folder: Path, machine: MachineConfig, name: str = "") -> Writer:
    """The GPT-2 in a folder, computed by this project's own engine. Raises UserError when its files are wrong."""
    shape, text = read_shape(folder), read_text(folder)
    if shape is None:
        raise UserError(f"{folder} holds no GPT-2 in {WEIGHTS} with a tokenizer.json")
    from engine_torch import open_torch

    dev = find_device(machine)
    engine = open_torch(folder, shape, text.size, dev.device, dev.dtype)
    return Writer(engine, text, about(name or str(folder), f"torch on {dev.device.type} in {dev.precision}", dev.note))


def hf_writer(model: Any, tokenizer: Any, machine: MachineConfig, name: str) -> Writer:
    """A model of transformers, of whatever kind, computed by transformers."""
    from engine_hf import HfEngine, hf_text

    dev = find_device(machine)
    engine = HfEngine(model.to(dev.device), dev)
    how = f"transformers on {dev.device.type} in {dev.precision}"
    return Writer(engine, hf_text(model, tokenizer), about(name, how, dev.note))


def find_device(machine: MachineConfig) -> Device:
    """Where torch computes on this machine, and in which numbers."""
    from runtime import choose_device, set_threads

    set_threads(machine.threads)
    return choose_device(machine.device, machine.precision, tf32=machine.tf32)


def about(name: str, how: str, note: str | None) -> str:
    """The one line that says what is at work."""
    return "; ".join(filter(None, [f"model {name} by {how}", note]))


def tell(text: str) -> None:
    """A line on standard error, which keeps standard output for the texts."""
    print(text, file=sys.stderr, flush=True)
