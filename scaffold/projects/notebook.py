"""Notebooks written as scripts with `# %%` lines between the cells, made into what Jupyter, Colab and Kaggle open."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

FILES = "__FILES__"  # stands in the script where the project's files go
_COLAB_GPUS = ("T4", "L4", "A100")


def to_notebook(script: str, files: Mapping[str, bytes], *, gpu: str) -> bytes:
    """A notebook of format 4 from a script.

    Args:
        script: cells that begin with `# %%` or `# %% [markdown]`.
        files: the project's files, which the notebook carries along: path → content.
        gpu: the accelerator that the notebook asks for: it is what people open one there for.
    """
    cells = [_cell(number, kind, text, files) for number, (kind, text) in enumerate(_cells(script))]
    metadata = {
        "accelerator": "GPU",
        "colab": {"gpuType": gpu, "provenance": []},
        "kaggle": {"accelerator": "nvidiaTeslaT4", "isGpuEnabled": True, "isInternetEnabled": True},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    document = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    text = json.dumps(document, ensure_ascii=False, indent=1)
    # In the code that the notebook carries these would read as markers that were not rendered.
    return (text.replace("{{", "{\\u007b").replace("{%", "{\\u0025") + "\n").encode()


def colab_gpu(card: str | None) -> str:
    """The nearest accelerator that Colab rents out to a card's name."""
    return next((name for name in _COLAB_GPUS if re.search(rf"\b{name}\b", card or "")), _COLAB_GPUS[0])


def _cells(script: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        first, _, body = part.partition("\n")
        yield "markdown" if "[markdown]" in first else "code", body.strip("\n")


def _cell(number: int, kind: str, text: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    if kind == "markdown":
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
    metadata: dict[str, Any] = {}
    if FILES in text:
        metadata = {"cellView": "form", "jupyter": {"source_hidden": True}}
        carried = {path: content.decode() for path, content in files.items()}
        text = text.replace(FILES, json.dumps(carried, ensure_ascii=False, indent=4))
    cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": metadata}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell | {"source": text.splitlines(keepends=True)}
