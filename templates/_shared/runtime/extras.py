"""Parts that most people don't need: each script that uses one says in one line how to install it."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

from runtime.settings import UserError

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def need(module: str, what: str) -> None:
    """Raise UserError with the command that installs `module`, if it is not there. `what` is what needs it."""
    if importlib.util.find_spec(module):
        return
    wanted = next((group for group in extras() if module in map(distribution, group)), [module])
    listed = " ".join(f'"{requirement}"' for requirement in wanted)
    raise UserError(f"{what} needs {module}, which is not installed: python -m pip install {listed}")


def extras() -> list[list[str]]:
    """The groups of optional requirements that pyproject.toml lists; none where it can't be read."""
    try:
        return list(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"].values())
    except (OSError, ValueError, KeyError):
        return []


def distribution(requirement: str) -> str:
    """The name at the start of a requirement such as `optuna>=5,<6`."""
    return re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
