"""Generating a project: all of it or nothing.

Files are written into a staging folder beside the destination and renamed into place.
"""

from __future__ import annotations

import errno
import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from scaffold.errors import RefusedError, ScaffoldError, UsageError
from scaffold.projects.provenance import generated_hashes
from scaffold.staging import patiently, staging_folder


def check_destination(destination: Path, *, force: bool) -> None:
    """Refuse a destination that holds something, unless `force` is given.

    Raises:
        UsageError: naming what is in the way.
        RefusedError: a name that no project should have, as from a script gone wrong.
    """
    if any(unicodedata.category(letter) == "Cc" for letter in str(destination)):
        raise RefusedError(f"refused {str(destination)!r}: it holds control characters", hint="Choose another name.")
    if ".git" in [part.lower() for part in destination.parts]:
        raise RefusedError(f"refused {destination}: a repository's own files lie in .git", hint="Choose another name.")
    if destination.is_symlink() and not destination.exists():
        raise UsageError(f"{destination} is a link to nothing", hint="Remove it or choose another name.")
    if destination.exists() and not destination.is_dir():
        raise UsageError(f"{destination} is a file", hint="Choose another name.")
    if destination.is_dir() and any(destination.iterdir()) and not force:
        raise UsageError(
            f"{destination} is not empty",
            hint="Choose another name; or `scaffold new --force` adds to it and keeps a file in the way as .bak.",
        )


def write_project(
    destination: Path,
    files: Mapping[str, bytes],
    *,
    force: bool = False,
    finish: Callable[[Path], None] | None = None,
) -> None:
    """Write a project so that the destination is complete or untouched, also after Ctrl-C or a full disk.

    Args:
        destination: a folder that does not exist, is empty, or with `force` any folder.
        files: path relative to the destination → content.
        force: add to a folder that holds something. A file that scaffold wrote and nobody changed is replaced; any
            other file in the way is kept beside the new one, with `.bak` at its end.
        finish: called with the staged project before it moves, for `git init` and the first commit. Not called when
            files are added to a folder that holds something.

    Raises:
        UsageError: if something is in the way.
        ScaffoldError: if the disk refuses.
    """
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 - resolve() would follow a link at the end
    check_destination(destination, force=force)
    adding = destination.is_dir() and any(destination.iterdir())
    made = _make_parents(destination.parent)
    try:
        with staging_folder(destination.parent) as staging:
            project = staging / "project"
            _write_files(project, files)
            if finish and not adding:
                finish(project)
            if adding or (destination.is_dir() and destination.samefile(Path.cwd())):
                _move_into(project, destination)
            else:
                _rename(project, destination)
            made = []
    except OSError as error:
        if error.errno is None:
            raise
        raise ScaffoldError(
            f"cannot write {destination}: {os.strerror(error.errno).lower()}",
            hint="Nothing was changed there. "
            + ("Free some space." if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Choose another folder."),
        ) from error
    finally:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()


def _make_parents(parent: Path) -> list[Path]:
    """Make the folders above the destination; returns those that were made, outermost first."""
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    made: list[Path] = []
    try:
        for folder in reversed(missing):
            folder.mkdir()
            made.append(folder)
    except OSError as error:
        for folder in reversed(made):
            folder.rmdir()
        raise ScaffoldError(
            f"cannot make {error.filename}: {os.strerror(error.errno or 0).lower()}", hint="Choose another folder."
        ) from error
    return made


def _write_files(project: Path, files: Mapping[str, bytes]) -> None:
    project.mkdir()
    for relative, content in files.items():
        path = project / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _rename(project: Path, destination: Path) -> None:
    there = destination.is_dir() and not destination.is_symlink()
    try:
        if there:
            destination.rmdir()  # empty: but Windows renames nothing to a name that is taken
        patiently(lambda: project.rename(destination))
    except OSError as error:
        if there and not destination.exists():
            destination.mkdir()
        if destination.is_dir() and any(destination.iterdir()):
            raise ScaffoldError(
                f"{destination} was made by another program meanwhile", hint="Choose another name."
            ) from error
        raise


def _move_into(project: Path, destination: Path) -> None:
    """Move the staged files into a folder that exists; on any trouble put everything back as it was."""
    ours = generated_hashes(destination)
    undo: list[Callable[[], object]] = []
    try:
        for source in sorted(path for path in project.rglob("*") if path.is_file()):
            relative = source.relative_to(project)
            target = destination / relative
            _make_folders(destination, relative, undo)
            if target.is_symlink() or target.is_dir():
                raise UsageError(f"{target} is in the way: a folder or link", hint="Move it aside.")
            if target.exists():
                undo.append(_set_aside(target, source, ours.get(relative.as_posix())))
            else:
                undo.append(target.unlink)
            source.replace(target)
    except BaseException:
        for step in reversed(undo):
            with suppress(OSError):
                step()
        raise


def _make_folders(destination: Path, relative: Path, undo: list[Callable[[], object]]) -> None:
    for parent in reversed(list(relative.parents)[:-1]):
        folder = destination / parent
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UsageError(f"{folder} is in the way: a file or link", hint="Move it aside.")
        if not folder.exists():
            folder.mkdir()
            undo.append(folder.rmdir)


def _set_aside(target: Path, source: Path, digest: str | None) -> Callable[[], object]:
    """Make room for a file that is there. Returns how to put it back."""
    content = target.read_bytes()
    mine = digest == hashlib.sha256(content).hexdigest() or content == source.read_bytes()
    if mine:
        return lambda: target.write_bytes(content)
    kept = next(path for path in _backup_names(target) if not path.exists())
    target.rename(kept)
    return lambda: kept.replace(target)


def _backup_names(target: Path) -> Iterator[Path]:
    yield target.with_name(f"{target.name}.bak")
    number = 2
    while True:
        yield target.with_name(f"{target.name}.bak{number}")
        number += 1
