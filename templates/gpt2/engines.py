"""Which engine computes the model, decided here and nowhere else."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from config import Config, MachineConfig
from decoding import Engine
from folders import SCRATCH, Shape, Text, find_folder, newest_made, read_shape, read_text
from settings import UserError


@dataclass(frozen=True)
class Writer:
    """A model that is ready to write, and one line about it."""

    engine: Engine
    text: Text
    about: str


def open_writer(config: Config, name: str | None, revision: str | None, engine: str | None = None) -> Writer:
    """The model that `name` or else config.toml names. Where config.toml's can't be had, a small one steps in."""
    wanted = name or config.model.name
    revision = config.model.revision if revision is None else revision
    if wanted == SCRATCH:
        wanted, revision = str(_small_model(config)), ""
    folder = find_folder(wanted, revision)
    if folder is None or not read_shape(folder):
        from models import HubUnreachable, load_pretrained

        try:
            model, tokenizer = load_pretrained(wanted, revision)
        except HubUnreachable as trouble:
            if name:  # asked for by name: nothing else will do
                raise UserError(f"{trouble}. Without --model a small GPT-2 made on this machine answers") from None
            tell(f"{trouble}.")
            wanted = str(_small_model(config))
        folder = find_folder(wanted, revision)
"""
"""
