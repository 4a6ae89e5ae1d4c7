"""Submodules, for who asks for them: only from allowed hosts, and nothing that a file says to run is run.

`git submodule` is not used: it reads addresses from a file in the work tree and takes paths for patterns, so that one
harmless entry can bring another one along. Here each is a clone of the commit that the tree names, like any reference.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scaffold.errors import RefusedError, ScaffoldError
from scaffold.repository import parse_spec, same_address, shown
from scaffold.settings import Settings
from scaffold.staging import patiently, remove
from scaffold.vcs import RemoteRef, Repositories

_DEEPEST = 4
_MOST = 200
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+ -]{0,199}")
_ROOT = re.compile(r"[a-z]+://[^/]+|git@[^/:]+:")
_LINK = re.compile(r"160000 commit ([0-9a-f]{40,64})\t(.+)", re.DOTALL)


class Submodule(NamedTuple):
    """What a commit says: a name, a folder, an address as it was written, and the commit that belongs there."""

    name: str
    path: str
    url: str
    commit: str


class LeftOutError(Exception):
    """Why a submodule was left out or left as it is."""


@dataclass(frozen=True, slots=True)
class Submodules:
    """Brings the submodules of one reference.

    Attributes:
        git: what runs git.
        settings: which hosts are allowed.
        staging: a folder to make, on the same disk as the reference; gone afterwards.
    """

    git: Repositories
    settings: Settings
    staging: Path

    def bring(self, url: str, folder: Path, deepest: int = _DEEPEST) -> list[str]:
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
        listed = _listed(self.git, folder)
        times = Counter(submodule.path for submodule in listed)
        for number, submodule in enumerate(listed):
            try:
                if number >= _MOST or deepest < 1:
                    raise LeftOutError("there are too many, or too deep ones")
                if times[submodule.path] > 1:
                    raise LeftOutError("it is listed twice")
                address = address_of(url, submodule, self.settings)
                self._bring_one(address, submodule, folder)
            except LeftOutError as error:
                left_out.append(f"submodule {submodule.path} was left out: {error}")
            else:
                left_out += self.bring(address, folder / submodule.path, deepest - 1)
        return left_out

    def _bring_one(self, address: str, submodule: Submodule, folder: Path) -> None:
        place = folder / submodule.path
        if not _is_inside(place, folder):
            raise LeftOutError("a link or a file is in its way")
        if not place.exists() or not any(place.iterdir()):
            self._bring_new(address, submodule, place)
        else:
            self._bring_forward(address, submodule, place)
        # So that the user's own git knows it.
        for key, value in (("url", address), ("active", "true")):
            name = f"submodule.{submodule.name}.{key}"
            self.git.command(["config", "--local"], [name, value], folder=folder, what=address)

    def _bring_new(self, address: str, submodule: Submodule, place: Path) -> None:
        try:
            remove(self.staging)
            self.git.clone(address, self.staging, ref=submodule.commit)
            self.git.verify(address, self.staging)
            place.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                place.rmdir()
            patiently(lambda: self.staging.rename(place))
        finally:
            remove(self.staging)

    def _bring_forward(self, address: str, submodule: Submodule, place: Path) -> None:
        git = self.git
        if not git.is_repository(place):
            raise LeftOutError("its folder holds something else")
        remote = git.remote_url(place) or "nothing"
        if not same_address(remote, address):
            raise LeftOutError(f"its folder is a clone of {shown(remote)}")
        try:
            git.check_settings(place)
        except RefusedError as error:
            raise LeftOutError(error.message) from error
        if git.head_commit(place) == submodule.commit:
            return
        if not git.is_clean(place) or git.has_local_commits(place):
            raise LeftOutError("its folder holds local changes")
        git.update(address, place, RemoteRef(submodule.commit, submodule.commit))


def _listed(git: Repositories, folder: Path) -> list[Submodule]:
    """The submodules that the checked-out commit has, by its own tree and its own `.gitmodules`."""
    text = git.answer(
        folder, "config", "--blob=HEAD:.gitmodules", "--null", "--get-regexp", r"^submodule\..*\.(path|url)$"
    )
    if not text:
        return []
    tree = git.answer(folder, "ls-tree", "-r", "-z", "--full-tree", "HEAD") or ""
    links = {found[2]: found[1] for entry in tree.split("\0") if (found := _LINK.fullmatch(entry))}
    said: dict[str, dict[str, str]] = {}
    for item in text.split("\0"):
        key, _, value = item.partition("\n")
        name, _, what = key.removeprefix("submodule.").rpartition(".")
        said.setdefault(name, {})[what.lower()] = value
    return [
        Submodule(name, values["path"], values["url"], links[values["path"]])
        for name, values in said.items()
        if name and values.get("url") and values.get("path") in links
    ]


def address_of(url: str, submodule: Submodule, settings: Settings) -> str:
    """Where a submodule is fetched from.

    Raises:
        LeftOutError: nowhere: its name is unsafe, or its address is, or leads to a host that is not allowed.
    """
    if not _NAME.fullmatch(submodule.name) or ".." in submodule.name:
        raise LeftOutError("its name is unsafe")
    text = submodule.url
    if text.startswith(("./", "../")):
        root = _ROOT.match(url)
        assert root is not None
        text = root[0] + posixpath.normpath(f"{url[root.end() :]}/{text}")
    try:
        return parse_spec(text, server_url=settings.server_url, allowed_hosts=settings.allowed_hosts).url
    except ScaffoldError as error:
        raise LeftOutError(error.message) from error


def _is_inside(place: Path, folder: Path) -> bool:
    """Whether each step from a folder to a place in it is a real folder, or not there yet."""
    parts = place.relative_to(folder).parts
    if not parts or any(part == ".." or part.casefold() == ".git" for part in parts):
        return False
    for part in parts:
        folder /= part
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            return False
    return True
