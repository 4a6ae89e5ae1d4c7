"""The notebooks of the usual folders, read as JSON."""

from __future__ import annotations

from typing import Any

from scaffold.references.howto.files import Folder, is_plain, plain
from scaffold.references.howto.model import Notebook

_FOLDERS = (
    "",
    "notebooks",
    "notebook",
    "examples",
    "example",
    "docs",
    "tutorials",
    "tutorial",
    "demo",
    "demos",
    "colab",
)
_MAX_NOTEBOOKS = 12
# Pictures are kept in a notebook, which makes it large without making it hostile.
_MAX_BYTES = 4_000_000


def read_notebooks(folder: Folder) -> tuple[Notebook, ...]:
    """The first notebooks of the top folder and of those that usually hold some."""
    paths = []
    for name in _FOLDERS:
        if not name or name in folder.folders():
            files = [file for file in folder.files(name) if file.endswith(".ipynb") and is_plain(file)]
            paths += [f"{name}/{file}" if name else file for file in files]
    return tuple(_read(folder, path) for path in paths[:_MAX_NOTEBOOKS])


def _read(folder: Folder, path: str) -> Notebook:
    document = folder.json(path, _MAX_BYTES)
    about = _table(document, "metadata")
    kernel = _table(about, "kernelspec")
    language = kernel.get("language") or _table(about, "language_info").get("name")
    if not language and str(kernel.get("name")).startswith("python"):
        language = "python"
    known = plain(language, 40).lower() if isinstance(language, str) else None
    return Notebook(path, known or None, "colab" in about, about.get("accelerator") == "GPU")


def _table(document: Any, key: str) -> dict[str, Any]:
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, dict) else {}
