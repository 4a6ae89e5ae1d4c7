"""Requirements as people write them: pip's files with their options, Poetry's carets, conda's single equals signs."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from scaffold.references.howto.files import Folder, plain

_MAX_LINES = 3000
_MAX_LINE = 1000
_MAX_INCLUDES = 8
_OPTION = re.compile(
    r"(-r|--requirement|-e|--editable|-f|--find-links|-i|--(?:extra-)?index-url)"
    r"(?:[ \t]*=[ \t]*|[ \t]+|(?<=-[a-z]))(\S.*)"
)
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9][A-Za-z0-9._-]*)")
_CONDA = re.compile(r"(?:[\w./-]+::)?([A-Za-z0-9][\w.-]*)[ \t]*(.*)")
_CONDA_NAMES = {"pytorch": "torch", "pytorch-gpu": "torch", "tensorflow-gpu": "tensorflow", "opencv": "opencv-python"}
# What may be written in a command or a document; a direct address or an arbitrary equality may not.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Needed:
    """A distribution that is needed: its normalized name, and what is asked of its version ("" for any)."""

    name: str
    wanted: SpecifierSet
    source: str
    conda: bool = False

    @property
    def text(self) -> str:
        """The requirement as it is usually written."""
        return f"{self.name}{self.wanted}"


@dataclass(slots=True)
class Needs:
    """What one or several files ask for.

    Attributes:
        needed: the requirements that count for this Python and system.
        unread: lines that pip would refuse, with their file.
        elsewhere: lines that name a path of somebody's computer, with their file.
        links: indexes and places that files are taken from.
    """

    needed: list[Needed] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    elsewhere: list[tuple[str, str]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)

    def add(self, line: str, source: str, python: tuple[int, int]) -> None:
        """Take one requirement in, as PEP 508 writes it, or note that it can't be read."""
        if len(line) > _MAX_LINE:
            self.unread.append((plain(line, 80), source))
            return
        if egg := _EGG.search(line) if "://" in line else None:
            self.needed.append(Needed(canonicalize_name(egg[1]), SpecifierSet(), source))
            return
        if line.startswith((".", "/", "~", "file:", "http:", "https:", "git+", "hg+", "svn+")) or line.endswith(".whl"):
            self._add_place(line, source)
            return
        try:
            requirement = Requirement(line)
            counts = requirement.marker is None or requirement.marker.evaluate(_environment(python))
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName, ValueError, RecursionError):
            self.unread.append((plain(line, 80), source))
            return
        if requirement.url and requirement.url.startswith("file:"):
            self.elsewhere.append((plain(line, 120), source))
        elif counts:
            self.needed.append(Needed(canonicalize_name(requirement.name), requirement.specifier, source))

    def _add_place(self, line: str, source: str) -> None:
        # What lies in the repository itself is fine, what lies elsewhere is on somebody else's disk.
        if line.startswith(("/", "~", "file:")):
            self.elsewhere.append((plain(line, 120), source))


def _environment(python: tuple[int, int]) -> dict[str, str]:
    version = f"{python[0]}.{python[1]}"
    return {"python_version": version, "python_full_version": f"{version}.0", "extra": ""}


def is_name(text: object) -> bool:
    """Whether a text is a distribution's name, which is also safe in a command."""
    return isinstance(text, str) and bool(_NAME.fullmatch(text))


def read_requirements(folder: Folder, path: str, python: tuple[int, int]) -> Needs:
    """The requirements of a pip file and of those that it includes from the same repository."""
    needs = Needs()
    waiting, seen = [path], {path}
    while waiting:
        current = waiting.pop(0)
        text = folder.text(current)
        for line in _lines(text or ""):
            included = _read_line(line, current, needs, python)
            if included and len(seen) < _MAX_INCLUDES:
                there = posixpath.normpath(posixpath.join(posixpath.dirname(current), included))
                if there not in seen and not there.startswith(("../", "/")) and folder.has(there):
                    seen.add(there)
                    waiting.append(there)
    return needs


def parse_requirements(text: str, source: str, python: tuple[int, int]) -> Needs:
    """The requirements of one pip file's text, without its includes."""
    needs = Needs()
    for line in _lines(text):
        _read_line(line, source, needs, python)
    return needs


def _lines(text: str) -> Iterable[str]:
    joined = ""
    for line in text.split("\n")[:_MAX_LINES]:
        if line.endswith("\\"):
            joined = (joined + line[:-1])[: 4 * _MAX_LINE]
            continue
        whole = re.sub(r"(?:^|[ \t])#.*", "", (joined + line)[: 4 * _MAX_LINE]).strip()
        joined = ""
        if whole:
            yield whole


def _read_line(line: str, source: str, needs: Needs, python: tuple[int, int]) -> str | None:
    """Take one line in. Returns the file that it includes, if it does."""
    if option := _OPTION.match(line):
        name, value = option[1], option[2].strip().strip("'\"")
        if name in ("-r", "--requirement"):
            return value
        if name in ("-e", "--editable"):
            needs.add(value, source, python)
        else:
            needs.links.append((plain(value, 200), source))
        return None
    if not line.startswith("-"):
        # Options of one requirement stand behind it: --hash, --config-settings.
        needs.add(line.split(" --", 1)[0].strip(), source, python)
    return None


def conda_needs(items: object, source: str, python: tuple[int, int]) -> tuple[Needs, SpecifierSet | None]:
    """The `dependencies` of a conda environment, and the Python that it asks for."""
    needs, wanted = Needs(), None
    for item in items[:_MAX_LINES] if isinstance(items, list) else []:
        if isinstance(item, dict) and isinstance(item.get("pip"), list):
            lines = [line for line in item["pip"][:_MAX_LINES] if isinstance(line, str)]
            more = parse_requirements("\n".join(lines), source, python)
            # conda's pip installs them into conda's Python.
            needs.needed += [replace(need, conda=True) for need in more.needed]
            needs.unread += more.unread
            needs.links += more.links
        elif isinstance(item, str) and (match := _CONDA.fullmatch(item.strip()[:_MAX_LINE])):
            name, specifier = canonicalize_name(match[1]), conda_specifier(match[2])
            if name == "python":
                wanted = specifier
            elif specifier is not None:
                needs.needed.append(Needed(_CONDA_NAMES.get(name, name), specifier, source, conda=True))
    return needs, wanted


def conda_specifier(text: str) -> SpecifierSet | None:
    """Conda's version as a specifier: `=3.8` means any 3.8. `None` where it can't be told."""
    text = text.strip().strip("[]'\"")
    if re.match(r"=[^=]", text) or re.match(r"\d", text):
        version = text.lstrip("=").split("=")[0].split()[0]
        exact = version.endswith("*") or version.count(".") > 1
        text = f"=={version}" if exact else f"=={version}.*"
    elif text.startswith("=="):
        text = text.split("=")[0] + "==" + text[2:].split("=")[0]
    return specifier_set(text)


def poetry_specifier(value: Any) -> SpecifierSet | None:
    """Poetry's version as a specifier: `^1.2` and `~1.2` spelled out. `None` where it can't be told."""
    if isinstance(value, dict):
        value = value.get("version", "*")
    if not isinstance(value, str) or "|" in value or len(value) > _MAX_LINE:
        return None
    parts = []
    for part in (piece.strip() for piece in value.split(",")):
        match = re.fullmatch(r"([\^~])\s*(\d+(?:\.\d+)*)", part)
        if part in ("*", ""):
            continue
        if match:
            low = [int(number) for number in match[2].split(".")[:4] if len(number) < 9]
            parts += [f">={match[2]}", f"<{_next_after(low, caret=match[1] == '^')}"]
        else:
            bare = re.fullmatch(r"=?\s*(\d[\w.*]*)", part)
            parts.append(f"=={bare[1]}" if bare else part)
    return specifier_set(",".join(parts))


def _next_after(version: list[int], *, caret: bool) -> str:
    if caret:
        place = next((i for i, number in enumerate(version) if number), len(version) - 1)
    else:
        place = min(1, len(version) - 1)
    return ".".join(str(number) for number in [*version[:place], version[place] + 1]) if version else "0"


def specifier_set(text: object) -> SpecifierSet | None:
    """A specifier from text; `None` where it is none."""
    if not isinstance(text, str) or len(text) > _MAX_LINE or "===" in text:
        return None
    try:
        return SpecifierSet(text.strip())
    except InvalidSpecifier:
        return None
