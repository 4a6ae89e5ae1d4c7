"""Which model writes, and which engine computes it: decided here and nowhere else."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import Config, MachineConfig
from decoding import Engine
from folders import (
    HUB_ID,
    RUNS,
    SCRATCH,
    WEIGHTS,
    Text,
    copy_place,
    find_folder,
    has_copy,
    newest_made,
    read_shape,
    read_text,
)
from hub import HubUnreachable, ask_hub
from runtime.extras import need
from runtime.settings import UserError

if TYPE_CHECKING:
    from runtime.core import Device

COPIES = {"onnx": "ONNX Runtime in 8 bits", "int8": "torch in 8 bits"}  # what convert.py makes, the fastest first
PAYS = 100_000_000  # bytes of weights from which on a copy in 8 bits is clearly faster


@dataclass(frozen=True)
class Writer:
    """A model that is ready to write, and one line about where it comes from and what computes it.

    `folder` is where its files lie, None for a model that is none of this project's own engines' business.
    """

    engine: Engine
    text: Text
    about: str
    folder: Path | None = None


def choose_engine(wanted: str, folder: Path, machine: MachineConfig) -> str:
    """The engine for the GPT-2 in a folder: the wanted one, and for "auto" what is fastest here.

    On a CPU that is the copy in 8 bits, if convert.py has made and judged one of just this model; else, and on a GPU,
    torch in the precision of the plan, which a measurement by probe.py may overrule.
    """
    if wanted != "auto":
        return wanted
    ready = (kind for kind in COPIES if has_copy(folder, kind) and (kind != "onnx" or find_spec("onnxruntime")))
    return next(ready, "torch") if machine.device == "cpu" else "torch"


def open_writer(
    config: Config, name: str | None = None, revision: str | None = None, engine: str | None = None
) -> Writer:
    """The model that `name` or else config.toml names. Where config.toml's can't be had, a small one steps in."""
    wanted = name or config.model.name
    revision = config.model.revision if revision is None else revision
    engine = engine or config.generate.engine
    if wanted == SCRATCH:
        wanted, revision = str(small_model(config)), ""
    folder = find_folder(wanted, revision)
    if folder and read_shape(folder) and engine != "transformers":
        return writer_from(folder, config, engine, wanted)

    # Another kind of model, or one that is not on this machine yet: that is transformers' business.
    try:
        if folder is None and HUB_ID.fullmatch(wanted):
            ask_hub(wanted, revision)  # before transformers is loaded, for the answer may well be that there is no hub
        from models import load_pretrained

        model, tokenizer = load_pretrained(wanted, revision)
    except HubUnreachable as trouble:
        if name:  # asked for by name: nothing else will do
            raise UserError(f"{trouble}. Without --model a small GPT-2 made on this machine answers") from None
        tell(f"{trouble}.")
        return writer_from(small_model(config), config, engine)
    folder = find_folder(wanted, revision)
    if folder and read_shape(folder) and engine != "transformers":  # it came from the hub just now
        return writer_from(folder, config, engine, wanted)
    if engine in COPIES:
        raise UserError(f"{wanted} is no GPT-2 in {WEIGHTS} with a tokenizer.json, so {engine} can't compute it")
    return hf_writer(model, tokenizer, config.machine, wanted)


def small_model(config: Config) -> Path:
    """The folder of the small GPT-2 that was made last on this machine; the first time, it is made now."""
    folder = newest_made()
    if folder is None:
        from train import train_from_scratch

        tell("So this machine now trains a small GPT-2 of its own, once; that takes one to three minutes.")
        folder = train_from_scratch(config)
    return folder


def writer_from(folder: Path, config: Config, engine: str = "auto", name: str = "") -> Writer:
    """The GPT-2 in a folder, computed by an engine of this project's own. Raises UserError when its files are wrong."""
    shape, text, name = read_shape(folder), read_text(folder), name or str(folder)
    if shape is None:
        raise UserError(f"{folder} holds no GPT-2 in {WEIGHTS} with a tokenizer.json")
    kind = choose_engine(engine, folder, config.machine)
    if kind in COPIES:
        if not has_copy(folder, kind):
            from convert import convert

            tell(f"there is no copy of {name} for {COPIES[kind]} yet: making one, once")
            tell(str(convert(exact_writer(folder, config), kind, config)))
        opened = open_copy(kind, copy_place(folder, kind), folder, text, config.machine)
        return Writer(opened, text, about(name, f"{COPIES[kind]} on cpu", None), folder)
    from engine_torch import open_torch

    dev = find_device(config.machine, shape.width)
    slow = dev.device.type == "cpu" and (folder / WEIGHTS).stat().st_size > PAYS
    hint = "python convert.py makes a copy that writes several times faster" if slow and engine == "auto" else None
    opened = open_torch(folder, shape, text.size, dev.device, dev.dtype)
    how = f"torch on {dev.device.type} in {dev.precision}"
    return Writer(opened, text, about(name, how, "; ".join(filter(None, [dev.note, hint]))), folder)


def exact_writer(folder: Path, config: Config) -> Writer:
    """The GPT-2 in a folder with nothing rounded off: what a copy is made of and held against."""
    machine = dataclasses.replace(config.machine, device="cpu", precision="fp32", probe=False)
    return writer_from(folder, dataclasses.replace(config, machine=machine), "torch")


def open_copy(kind: str, place: Path, folder: Path, text: Text, machine: MachineConfig) -> Engine:
    """The copy in `place` of the model in `folder`."""
    shape = read_shape(folder)
    if shape is None:
        raise UserError(f"{folder} holds no GPT-2 in {WEIGHTS} with a tokenizer.json")
    if kind == "onnx":
        need("onnxruntime", "--engine onnx")
        from engine_onnx import FILE, OnnxEngine

        return OnnxEngine(place / FILE, shape, machine.threads)
    from engine_int8 import FILE, open_int8
    from runtime.core import set_threads

    set_threads(machine.threads)
    return open_int8(place / FILE, folder, shape, text.size)


def hf_writer(model: Any, tokenizer: Any, machine: MachineConfig, name: str) -> Writer:
    """A model of transformers, of whatever kind, computed by transformers."""
    from engine_hf import HfEngine, hf_text

    dev = find_device(machine, model.config.hidden_size)
    engine = HfEngine(model.to(dev.device), dev)
    how = f"transformers on {dev.device.type} in {dev.precision}"
    return Writer(engine, hf_text(model, tokenizer), about(name, how, dev.note))


def find_device(machine: MachineConfig, width: int) -> Device:
    """Where torch computes a model of this width, and in which numbers: as planned, or as probe.py's findings say."""
    from runtime.core import choose_device, set_threads
    from runtime.findings import FILE, kept, overrule

    findings = kept(RUNS / FILE) if machine.probe else None
    wanted = overrule(machine, width, findings)[0] if findings else machine
    set_threads(wanted.threads)
    return choose_device(wanted.device, wanted.precision, tf32=wanted.tf32, measured=findings is not None)


def about(name: str, how: str, note: str | None) -> str:
    """The one line that says what is at work."""
    return "; ".join(filter(None, [f"model {name} by {how}", note]))


def tell(text: str) -> None:
    """A line on standard error, which keeps standard output for the texts."""
    print(text, file=sys.stderr, flush=True)
