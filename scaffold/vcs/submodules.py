"""Submodules, for who asks for them: only from allowed hosts, and nothing that a file says to run is run."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from scaffold.errors import ScaffoldError
from scaffold.repository import parse_spec
from scaffold.settings import Settings
from scaffold.vcs.local import LocalRepositories

_DEEPEST = 4
_MOST = 200
_SECONDS = 3600.0
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+ -]{0,199}")


class Submodule(NamedTuple):
    """What `.gitmodules` says: a name, a folder, and an address as it was written."""

    name: str
    path: str
    url: str


def bring_submodules(
    git: LocalRepositories, url: str, folder: Path, settings: Settings, deepest: int = _DEEPEST
) -> list[str]:
    """Bring the submodules of a checked-out repository, and theirs, one commit each.

    Args:
        url: the repository's address, which relative ones are relative to.
        folder: where it is.
        deepest: how many levels of submodules inside submodules to follow.

    Returns:
        Why some were left out, a line each.

    Raises:
        ScaffoldError: one that is allowed could not be brought.
    """
    left_out = []
    for number, submodule in enumerate(_listed(git, folder)):
        if number >= _MOST or deepest < 1:
            left_out.append(f"{submodule.path}: there are too many submodules, or too deep ones")
            continue
        try:
            address = _address(url, submodule, settings)
        except ScaffoldError as error:
            left_out.append(f"submodule {submodule.path} was left out: {error.message}")
            continue
        operands = [submodule.path]
        git.command(["submodule", "--quiet", "init"], operands, folder=folder, what=address)
        git.command(["config", "--local"], [f"submodule.{submodule.name}.url", address], folder=folder, what=address)
        options = ["submodule", "--quiet", "update", "--checkout", "--depth=1", "--no-recommend-shallow"]
        git.command(options, operands, folder=folder, what=address, seconds=_SECONDS)
        left_out += bring_submodules(git, address, folder / submodule.path, settings, deepest - 1)
    return left_out


def _listed(git: LocalRepositories, folder: Path) -> Iterator[Submodule]:
    # From the commit, not from the file: a link in its place leads nowhere.
    text = git.answer(
        folder, "config", "--blob=HEAD:.gitmodules", "--null", "--get-regexp", r"^submodule\..*\.(path|url)$"
    )
    found: dict[str, dict[str, str]] = {}
    for item in (text or "").split("\0"):
        key, _, value = item.partition("\n")
        name, _, what = key.removeprefix("submodule.").rpartition(".")
        found.setdefault(name, {})[what.lower()] = value
    for name, values in found.items():
        if name and values.get("path") and values.get("url"):
            yield Submodule(name, values["path"], values["url"])


def _address(url: str, submodule: Submodule, settings: Settings) -> str:
    if not _NAME.fullmatch(submodule.name) or ".." in submodule.name or submodule.path.startswith("-"):
        raise ScaffoldError("its name is unsafe")
    text = submodule.url
    if text.startswith(("./", "../")):
        base = urlsplit(url)
        text = f"{base.scheme}://{base.netloc}{posixpath.normpath(f'{base.path}/{text}')}"
    spec = parse_spec(text, server_url=settings.server_url, allowed_hosts=settings.allowed_hosts)
    return spec.url
