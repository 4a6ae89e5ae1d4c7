"""What to know before a repository is installed or run, besides the versions that it pins."""

from __future__ import annotations

import re

from scaffold.references.howto.declared import Declared
from scaffold.references.howto.files import Folder, is_plain
from scaffold.references.howto.model import Flag
from scaffold.references.howto.pins import without_pkg_resources
from scaffold.references.howto.requirements import Needs
from scaffold.references.howto.ways import BuildNeeds

_LICENSE = re.compile(r"(?:un)?licen[sc]e|copying|copyright", re.IGNORECASE)
_LFS = b"version https://git-lfs"
_LFS_SIZE = 300
_MAX_LOOKED_AT = 200


def folder_flags(folder: Folder) -> list[Flag]:
    """What the top folder's names and first bytes tell: licence, submodules, large files that are not there."""
    flags = []
    names = (*folder.files(), *folder.folders())
    if names and not any(_LICENSE.match(name) for name in names):
        flags.append(Flag("no-license", "no licence file in its top folder"))
    if folder.has(".gitmodules") and re.search(r"(?m)^\s*\[submodule ", folder.text(".gitmodules", 100_000) or ""):
        flags.append(Flag("submodules", "has submodules: git submodule update --init --recursive", ".gitmodules"))
    pointers = [name for name in folder.files()[:_MAX_LOOKED_AT] if is_plain(name) and _is_pointer(folder, name)]
    if pointers:
        named = ", ".join(pointers[:3]) + (" …" if len(pointers) > 3 else "")
        flags.append(Flag("git-lfs", f"{named} is only a Git LFS pointer: git lfs pull", pointers[0]))
    return flags


def needs_flags(needs: Needs) -> list[Flag]:
    """What can't be installed as it is written."""
    flags = []
    for kind, lines, told in (
        ("unreadable", needs.unread, "pip would refuse"),
        ("elsewhere", needs.elsewhere, "a path of somebody's computer:"),
    ):
        if lines:
            more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
            flags.append(Flag(kind, f"{told} “{lines[0][0]}”{more}", lines[0][1]))
    return flags


def build_flags(declared: Declared, needs: BuildNeeds) -> list[Flag]:
    """What stands in the way of its setup.py."""
    flags = []
    if any(name.startswith("setuptools<") for name in needs.distributions):
        told = f"setup.py imports pkg_resources, which setuptools {without_pkg_resources()} and later no longer have"
        flags.append(Flag("old-setuptools", told, "setup.py"))
    others = [name for name in needs.distributions if not name.startswith("setuptools")]
    if others:
        told = f"setup.py imports {', '.join(others)}: to be installed before it"
        flags.append(Flag("build-needs", told, "setup.py"))
    if needs.unknown:
        told = f"setup.py imports {', '.join(needs.unknown[:3])}, which pip's build may not find"
        flags.append(Flag("build-needs", told, "setup.py"))
    if declared.setup is not None and not declared.setup.parsed:
        flags.append(Flag("unreadable", "setup.py can't be read as Python 3", "setup.py"))
    return flags


def _is_pointer(folder: Folder, name: str) -> bool:
    try:
        if (folder.root / name).lstat().st_size > _LFS_SIZE:
            return False
    except OSError:
        return False
    return folder.head(name, len(_LFS)) == _LFS
