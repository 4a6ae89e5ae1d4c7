"""Lists in a folder: `DIR/owner/name/README*`, with the further texts that they link to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scaffold.discovery.plain import MAX_BYTES
from scaffold.discovery.store import MISSING, StoredFile
from scaffold.errors import NotFoundError, RefusedError, ScaffoldError
from scaffold.repository import parse_name

_README = re.compile(r"readme(?P<rest>.*?)(?P<ending>\.md|\.markdown|\.rst|\.txt|)", re.IGNORECASE)
_ENDINGS = (".md", ".markdown", ".rst", ".txt", "")
_FOLDERS = ("", "docs", ".github")  # where GitHub looks for a README
_LAYOUT = "The layout is DIR/owner/name/README.md, one folder for each list."


@dataclass(frozen=True, slots=True)
class LocalList:
    """A folder that stands for a list.

    Attributes:
        root: the tree it belongs to; nothing outside it is read.
        problem: why it is none.
    """

    repo: str
    place: Path
    root: Path
    problem: ScaffoldError | None = None


def local_lists(folder: Path) -> list[LocalList]:
    """The lists of a folder tree, those that cannot be read among them.

    Raises:
        NotFoundError: there is no such folder.
        ScaffoldError: no list is in it.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder} is not a folder", hint=_LAYOUT)
    root = folder.resolve()
    found: dict[str, LocalList] = {}
    twins = []
    for owner in _folders(folder):
        try:
            places = _folders(owner)
        except ScaffoldError as error:
            found[owner.name.casefold()] = LocalList(owner.name, owner, root, error)
            continue
        for place in places:
            item = LocalList(f"{owner.name}/{place.name}", place, root, _problem(place, root))
            first = found.setdefault(item.repo.casefold(), item)
            if first is not item:
                problem = ScaffoldError(f"{place} and {first.place} name the same list", hint="Remove one of them.")
                twins.append(LocalList(item.repo, place, root, problem))
    if all(isinstance(item.problem, NotFoundError) for item in found.values()):
        raise ScaffoldError(f"there is no list in {folder}", hint=_LAYOUT)
    return [*found.values(), *twins]


def main_readme(place: Path) -> str:
    """The path of a list's README: the plain one before translations and other kinds.

    Raises:
        NotFoundError: there is none.
    """
    for folder in _FOLDERS:
        if not (place / folder).is_dir():
            continue
        ranked = []
        for path in (place / folder).iterdir():
            match = _README.fullmatch(path.name)
            if match and not _is_folder(path):
                ranked.append((match["rest"] != "", _ENDINGS.index(match["ending"].lower()), len(path.name), path.name))
        if ranked:
            return f"{folder}/{min(ranked)[3]}" if folder else min(ranked)[3]
    raise NotFoundError(f"there is no README in {place}")


def read_file(place: Path, path: str, root: Path) -> StoredFile:
    """One text of a list; of a huge one as much as the parser takes.

    Raises:
        NotFoundError: it is not there.
        RefusedError: it lies outside `root`.
        ScaffoldError: it cannot be read.
    """
    target = place / path
    try:
        resolved = target.resolve(strict=True)
        if not resolved.is_relative_to(root):
            raise RefusedError(f"{target} leads out of {root}")
        if not resolved.is_file():  # a pipe would never end
            raise ScaffoldError(f"{target} is not a file")
        with resolved.open("rb") as file:
            return StoredFile(path, file.read(MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"{target} is not there") from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScaffoldError(f"{target} cannot be read: {reason}") from error


def read_linked(item: LocalList, paths: Sequence[str], room: int) -> list[StoredFile]:
    """The further texts of a list that are there, `room` bytes of them at most.

    Those that are not, or may not be read, are named as missing, so that it shows when they come.
    """
    files = []
    for path in paths:
        try:
            file = read_file(item.place, path, item.root)
        except ScaffoldError:
            file = StoredFile(path, b"", MISSING)
        room -= len(file.content)
        if room < 0:
            break
        files.append(file)
    return files


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise ScaffoldError(f"{place} cannot be read: {error.strerror}") from error


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, RuntimeError):  # a link that leads to itself
        return False


def _problem(place: Path, root: Path) -> ScaffoldError | None:
    try:
        if not place.resolve().is_relative_to(root):
            return RefusedError(f"{place} leads out of {root}")
        main_readme(place)
        parse_name(f"{place.parent.name}/{place.name}")
    except ScaffoldError as error:
        return error
    except (OSError, RuntimeError) as error:
        return ScaffoldError(f"{place} cannot be read: {getattr(error, 'strerror', None) or error}")
    return None
