"""The data files beside the code. Without pathlib, whose import costs a third of ``python -c pass``."""

from __future__ import annotations

import os
from functools import cache
from typing import Any


@cache
def table(name: str) -> dict[str, Any]:
    """A data file as a dictionary, read once; ``name`` without ``.toml``."""
    import tomllib

    with open(os.path.join(os.path.dirname(__file__), f"{name}.toml"), "rb") as file:  # noqa: PTH118, PTH120, PTH123
        return tomllib.load(file)
