"""Versions that no longer install: what pins.toml knows of well-known distributions, and what follows for a pin."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from scaffold.references.howto.model import Flag
from scaffold.references.howto.requirements import Needed


def pin_flags(needed: list[Needed], python: tuple[int, int]) -> list[Flag]:
    """What is known to stand in the way of these requirements on a Python, each distribution once.

    Args:
        needed: what is installed by pip. What conda installs brings its own Python.
        python: the Python that installs.
    """
    found: dict[str, Flag] = {}
    for item in needed:
        if not item.conda and item.name not in found and (flag := _flag(item, f"{python[0]}.{python[1]}")):
            found[item.name] = flag
    return list(found.values())


def without_pkg_resources() -> str:
    """The first setuptools that has no `pkg_resources`."""
    return str(_facts()["setuptools"]["without_pkg_resources"])


@cache
def _facts() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def _flag(item: Needed, python: str) -> Flag | None:
    for fact in _facts()["broken"]:
        if fact["name"] == item.name and _lies_in(item.wanted, SpecifierSet(fact["versions"])):
            return Flag("no-install", fact["text"], item.source)
    fact = _facts()["packages"].get(item.name, {})
    first = fact.get("first", {}).get(python)
    if first is None or any(item.wanted.contains(version) for version in fact.get("also", ())):
        return None
    if first == "none":
        return Flag("no-install", f"no version of {item.name} installs on Python {python}", item.source)
    if not is_below(item.wanted, Version(first)):
        return None
    why = f": {fact['because']}" if "because" in fact else ""
    if fact["builds"]:
        told = f"{item.text} has no ready-made build for Python {python}{why}; {first} is the first one that has"
        return Flag("needs-build", told, item.source)
    return Flag("no-install", f"{item.text} does not install on Python {python}: {first} is the first one", item.source)


def _lies_in(wanted: SpecifierSet, versions: SpecifierSet) -> bool:
    """Whether all that may be installed is among some versions. Only what is certain: a pin, or whatever is wanted."""
    if not len(versions):
        return True
    pinned = [part.version for part in wanted if part.operator == "==" and not part.version.endswith(".*")]
    return any(versions.contains(version) for version in pinned)


def is_below(wanted: SpecifierSet, first: Version) -> bool:
    """Whether nothing from `first` on may be installed."""
    return any(_ends_below(part, first) for part in wanted)


def _ends_below(part: Specifier, first: Version) -> bool:
    version = part.version.removesuffix(".*")
    try:
        given = Version(version.partition("+")[0])
    except InvalidVersion:
        return False
    if part.operator == "<":
        return given <= first
    if part.operator == "<=" or (part.operator == "==" and not part.version.endswith(".*")):
        return given < first
    if part.operator in ("==", "~="):
        # ==1.21.* ends before 1.22, ~=1.21.3 as well.
        numbers = given.release if part.operator == "==" else given.release[:-1]
        if not numbers:
            return False
        return Version(".".join(map(str, [*numbers[:-1], numbers[-1] + 1]))) <= first
    return False
