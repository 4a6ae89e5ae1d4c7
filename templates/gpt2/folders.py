"""Finding model folders and reading what stands in them, without torch and transformers, which take seconds to load."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.settings import UserError

RUNS = Path("runs")  # everything that this project makes
SCRATCH = "scratch"  # the model name that means: none, make a new one
END = "<|endoftext|>"  # GPT-2's token for the end of a text; it begins texts too
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
WEIGHTS = "model.safetensors"
MADE_FROM = "made_from.json"  # in a converted copy: which model it is of
COPY_FORMAT = 1  # of the copies' files; another number makes convert.py make them anew
# What engine_torch.py and engine_onnx.py compute. A GPT-2 that wants it otherwise is left to transformers.
USUAL = {
    "model_type": "gpt2",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
ACTIVATIONS = ("gelu_new", "gelu_pytorch_tanh", "gelu")


@dataclass(frozen=True)
class Shape:
    """The dimensions of a GPT-2, as its config.json gives them."""

    layers: int
    heads: int
    width: int
    positions: int
    epsilon: float  # what keeps a layer norm from dividing by zero
    activation: str


@dataclass(frozen=True)
class Text:
    """How a model's text becomes numbers and comes back; `begin` stands for an empty prompt, `ends` end a text."""

    size: int  # how many different tokens there are
    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]
    begin: int
    ends: frozenset[int]


def find_folder(name: str, revision: str = "") -> Path | None:
    """The folder of a model: `name` itself, or the hub's cache when it is a hub id. None when it is in neither."""
    if Path(name).is_dir():
        return Path(name)
    if not HUB_ID.fullmatch(name):
        return None
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"))
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or home / "hub"
    cache = Path(hub).expanduser() / f"models--{name.replace('/', '--')}"
    branch = cache / "refs" / (revision or "main")  # a file that holds the commit
    commit = branch.read_text(encoding="ascii").strip() if branch.is_file() else revision
    folder = cache / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def newest_made() -> Path | None:
    """The folder of the small model that was made last on this machine."""
    made = sorted(RUNS.glob(f"{SCRATCH}*/model/config.json"), key=lambda file: file.stat().st_mtime)
    return made[-1].parent if made else None


def read_json(file: Path) -> dict[str, Any]:
    """What a JSON file holds, nothing when there is none. Raises UserError when it can't be read."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{file} is not valid JSON: {error}") from None
    return document if isinstance(document, dict) else {}


def read_shape(folder: Path) -> Shape | None:
    """The dimensions of the GPT-2 in a folder; None when it takes transformers to compute or to read what is there."""
    config = read_json(folder / "config.json")
    known = all(config.get(key, usual) == usual for key, usual in USUAL.items()) and "model_type" in config
    activation = config.get("activation_function", "gelu_new")
    files = all((folder / file).is_file() for file in (WEIGHTS, "tokenizer.json"))
    if not (known and files and activation in ACTIVATIONS):
        return None
    return Shape(
        layers=config.get("n_layer", 12),
        heads=config.get("n_head", 12),
        width=config.get("n_embd", 768),
        positions=config.get("n_positions", 1024),
        epsilon=config.get("layer_norm_epsilon", 1e-5),
        activation=activation,
    )


def copy_place(folder: Path, kind: str) -> Path:
    """Where the faster copy of a model stands, once convert.py has made it."""
    path = str(folder.resolve())
    return RUNS / "converted" / f"{folder.resolve().name[:20]}-{zlib.crc32(path.encode()):08x}" / kind


def fingerprint(folder: Path) -> list[object]:
    """What tells whether a model is still the one that a copy was made of. Reading all of it would take too long."""
    files = [folder / name for name in ("config.json", WEIGHTS)]
    return [COPY_FORMAT, *([file.stat().st_size, file.stat().st_mtime_ns] for file in files)]


def has_copy(folder: Path, kind: str) -> bool:
    """Whether there is a copy of this kind of the model as it is now."""
    return read_json(copy_place(folder, kind) / MADE_FROM).get("made_from") == fingerprint(folder)


def read_text(folder: Path) -> Text:
    """The tokenizer of a folder that has a tokenizer.json. Raises UserError when it is none."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library knows no narrower kind
        raise UserError(f"the tokenizer of {folder} can't be loaded: {error}") from None
    if not tokenizer.encode("Once upon a time", add_special_tokens=False).ids:
        raise UserError(f"{folder} has no tokenizer; it needs tokenizer.json, or vocab.json and merges.txt")
    model = read_json(folder / "config.json")
    ends = read_json(folder / "generation_config.json").get("eos_token_id", model.get("eos_token_id"))
    ends = tokenizer.token_to_id(END) if ends is None else ends
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    begin = model.get("bos_token_id")
    begin = begin if begin is not None else ends[0] if ends else 0
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    return Text(size, lambda text: tokenizer.encode(text).ids, tokenizer.decode, begin, frozenset(ends))
