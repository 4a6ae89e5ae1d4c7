"""GPT-2 models: find one on the hub or on the disk, or make a new and small one, with the tokenizer that fits it."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.utils import enable_progress_bars
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
)
from transformers.activations import FastGELUActivation, NewGELUActivation

from config import ScratchConfig
from folders import END, HUB_ID
from hub import ask_hub, in_short
from runtime.checkpoints import load_checkpoint
from runtime.settings import UserError

LONG_WORD = 1000

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def load_pretrained(name: str, revision: str = "") -> tuple[Any, Any]:
    """(model, tokenizer) from a folder, or by a hub id from the hub's cache or else from the hub.

    Raises HubUnreachable when only the hub could help and it does not answer, UserError for everything that is wrong
    with the name or the files.
    """
    if Path(name, "shards").is_dir():
        return _load_parts(name)
    if Path(name).is_dir():
        if (Path(name) / "adapter_config.json").is_file() and not (Path(name) / "config.json").is_file():
            raise UserError(
                f"{name} holds LoRA's adapters alone; the model that has them is {Path(name).parent / 'model'}"
            )
        if (Path(name) / "model" / "config.json").is_file() and not (Path(name) / "config.json").is_file():
            raise UserError(f"{name} is the folder of a run; its model is {Path(name) / 'model'}")
        return _load(name, None, local=True)
    if not HUB_ID.fullmatch(name):
        raise UserError(f"there is no model folder {name}")
    try:
        return _load(name, revision, local=True)
    except UserError:  # not in the cache, or not all of it
        ask_hub(name, revision)
    enable_progress_bars()  # a download takes a while
    return _load(name, revision, local=False)


def load_tokenizer(name: str, **where: Any) -> Any:
    """The tokenizer of a folder (tokenizer.json, or vocab.json and merges.txt) or hub id, ready for batches.

    Raises UserError where there is none: transformers 5 would give one that turns every text into nothing.
    """
    folder = Path(name)
    alone = (folder / "merges.txt").is_file() and not (folder / "config.json").is_file()
    kind = GPT2Tokenizer if alone else AutoTokenizer  # the latter asks config.json which tokenizer the model has
    try:
        tokenizer = kind.from_pretrained(name, **where)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"the tokenizer of {name} can't be loaded: {in_short(error)}") from None
    if not tokenizer.encode("Once upon a time", add_special_tokens=False):
        raise UserError(f"{name} has no tokenizer; it needs tokenizer.json, or vocab.json and merges.txt")
    if tokenizer.pad_token is None:  # GPT-2 has none; any token will do, for what it fills up is masked
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"  # the model goes on after the last position, so that must be text
    return tokenizer


def _load(name: str, revision: str | None, *, local: bool) -> tuple[Any, Any]:
    where = {"revision": revision or None, "local_files_only": local}
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True, **where
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(f"the model {name} can't be loaded: {in_short(error)}") from None
    if report["missing_keys"]:
        raise UserError(f"the weights of {name} are not complete: {sorted(report['missing_keys'])[0]} is missing")
    tokenizer = load_tokenizer(name, **where)
    check_fit(model, tokenizer, name)
    compute_gelu_at_once(model)
    ends = model.generation_config.eos_token_id or tokenizer.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=ends)  # how to sample is config.toml's business alone
    return model, tokenizer


def compute_gelu_at_once(model: nn.Module) -> None:
    """GPT-2's gelu_new is written as eight steps, and training would keep what comes out of five of them. torch has
    the same function as one step.
    """
    for module in model.modules():
        for name, part in module.named_children():
            if isinstance(part, NewGELUActivation | FastGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))


def check_fit(model: Any, tokenizer: Any, name: str) -> None:
    """Raise UserError when the tokenizer has ids for which the model has no embedding."""
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise UserError(f"{name}: its tokenizer has {len(tokenizer)} tokens, but its model knows only {rows}")


def train_tokenizer(documents: Sequence[str], vocab_size: int) -> Any:
    """A byte-level BPE tokenizer like GPT-2's, with at most `vocab_size` tokens learned from the documents.

    A word of more than LONG_WORD signs, such as a genome, is learned from in parts: the time that learning
    takes grows with the square of a word's length.
    """
    texts = (re.sub(rf"(\S{{{LONG_WORD}}})(?=\S)", r"\1\n", document) for document in documents)
    tokenizer = GPT2Tokenizer().train_new_from_iterator(texts, vocab_size, show_progress=False)
    tokenizer.pad_token = END
    tokenizer.padding_side = "left"
    return tokenizer


def new_model(shape: ScratchConfig, context: int, tokenizer: Any) -> GPT2LMHeadModel:
    """A GPT-2 of the given shape with random weights."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=context,
            n_embd=shape.n_embd,
            n_layer=shape.n_layer,
            n_head=shape.n_head,
            activation_function="gelu",  # exact: a CPU is quicker with it than with GPT-2's approximation
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def save_pretrained(folder: Path, model: Any, tokenizer: Any, weights: dict[str, Tensor] | None = None) -> None:
    """Write an ordinary Hugging Face model folder, which `--model FOLDER` and every other program can load.

    `weights` are the model's, where it holds only a part of them itself.
    """
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)


def save_shell(folder: Path, model: Any, tokenizer: Any) -> None:
    """All of a model folder but the weights."""
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _load_parts(name: str) -> tuple[Any, Any]:
    """A checkpoint that several processes wrote, each its part of the weights."""
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(name), dtype=torch.float32)
    compute_gelu_at_once(model)
    load_checkpoint(Path(name), model=model)
    model.generation_config = GenerationConfig.from_pretrained(name)
    return model.eval(), load_tokenizer(name)


def layers_of(model: Any) -> list[nn.Module]:
    """The row of equal layers that a language model consists of, mostly."""
    return list(max((part for part in model.modules() if isinstance(part, nn.ModuleList)), key=len))
