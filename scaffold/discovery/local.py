"""Lists in a folder: `DIR/owner/name/README*`, with the further texts that they link to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scaffold.discovery.plain import MAX_BYTES
from scaffold.discovery.store import StoredFile
from scaffold.errors import NotFoundError, RefusedError, ScaffoldError, UsageError
from scaffold.repository import parse_name

_README = re.compile(r"readme(?P<rest>.*?)(?P<ending>\.md|\.markdown|\.rst|\.txt|)", re.IGNORECASE)
_ENDINGS = (".md", ".markdown", ".rst", ".txt", "")
_LAYOUT = "The layout is DIR/owner/name/README.md, one folder for each list."


def local_lists(folder: Path) -> Iterator[tuple[str, Path]]:
    """The lists of a folder tree: name and folder.

    Raises:
        NotFoundError: there is no such folder.
        ScaffoldError: no list is in it.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder} is not a folder", hint=_LAYOUT)
    found = False
    for owner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for place in sorted(path for path in owner.iterdir() if path.is_dir()):
            try:
                name = parse_name(f"{owner.name}/{place.name}")
            except (UsageError, RefusedError):
                continue
            found = True
            yield str(name), place
    if not found:
        raise ScaffoldError(f"there is no list in {folder}", hint=_LAYOUT)


def main_readme(place: Path) -> str:
    """The name of a list's README: the plain one before translations and other kinds.

    Raises:
        NotFoundError: there is none.
    """
    ranked = []
    for path in place.iterdir():
        match = _README.fullmatch(path.name)
        if match and path.is_file():
            ranked.append((match["rest"] != "", _ENDINGS.index(match["ending"].lower()), len(path.name), path.name))
    if not ranked:
        raise NotFoundError(f"there is no README in {place}")
    return min(ranked)[3]


def read_file(place: Path, path: str) -> StoredFile:
    """One text of a list.

    Raises:
        NotFoundError: it is not there.
        RefusedError: it lies outside the list's own folder.
        ScaffoldError: it cannot be read.
    """
    target = place / path
    try:
        resolved = target.resolve(strict=True)
        if not resolved.is_relative_to(place.resolve()):
            raise RefusedError(f"{target} leads out of the list's folder")
        with resolved.open("rb") as file:
            return StoredFile(path, file.read(MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"{target} is not there") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise ScaffoldError(f"{target} cannot be read: {error}") from error
