"""What a repository declares of itself: name, Python, requirements and commands, from its packaging files."""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass, field
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from scaffold.references.howto.files import Folder, plain
from scaffold.references.howto.requirements import (
    Needed,
    Needs,
    is_name,
    poetry_specifier,
    read_requirements,
    specifier_set,
)
from scaffold.references.howto.setup_py import SetupFile, read_setup

_COMMAND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,60}")
_MAX_ITEMS = 1000


@dataclass(slots=True)
class Declared:
    """The packaging files in one.

    Attributes:
        source: the file that makes it a package, `None` where nothing does.
        requirements: what it needs; `None` where it says nothing that can be read.
        build_requires: what its build needs, by normalized name; `None` where it doesn't say.
        commands: its console scripts, by the file that declares them.
        setup: its setup.py, where it has one.
        poetry: whether Poetry's own tables hold the requirements.
    """

    source: str | None = None
    name: str | None = None
    python: tuple[SpecifierSet, str] | None = None
    classifiers: list[str] = field(default_factory=list)
    requirements: Needs | None = None
    build_requires: set[str] | None = None
    commands: dict[str, str] = field(default_factory=dict)
    setup: SetupFile | None = None
    poetry: bool = False


def read_declared(folder: Folder, python: tuple[int, int]) -> Declared:
    """Read pyproject.toml, setup.cfg and setup.py; what stands first wins."""
    declared = Declared()
    if folder.find("pyproject.toml"):
        _pyproject(folder, declared, python)
    if folder.has("setup.cfg"):
        _setup_cfg(folder, declared, python)
    if folder.has("setup.py"):
        _setup_py(folder, declared, python)
    return declared


def _pyproject(folder: Folder, declared: Declared, python: tuple[int, int]) -> None:
    source = "pyproject.toml"
    document = folder.toml(source) or {}
    project, tools = _table(document, "project"), _table(document, "tool")
    build = _table(document, "build-system")
    if build:
        declared.build_requires = {name for name in map(_distribution, _texts(build.get("requires"))) if name}
    if project:
        declared.source = source
        _take(declared, project.get("name"), project.get("requires-python"), source)
        declared.classifiers += _texts(project.get("classifiers"))
        _take_commands(declared, [*_table(project, "scripts"), *_table(project, "gui-scripts")], source)
        if isinstance(project.get("dependencies"), list):
            declared.requirements = _needs(_texts(project["dependencies"]), source, python)
        else:
            _dynamic(folder, declared, tools, python)
    elif poetry := _table(tools, "poetry"):
        _poetry(declared, poetry, source)
    elif build and "build-backend" in build and not folder.has("setup.py"):
        declared.source = source


def _poetry(declared: Declared, poetry: dict[str, Any], source: str) -> None:
    declared.poetry = True
    wanted = _table(poetry, "dependencies")
    _take(declared, poetry.get("name"), None, source)
    declared.source = source if poetry.get("package-mode", True) is not False else None
    _take_commands(declared, list(_table(poetry, "scripts")), source)
    needs = Needs()
    for name, value in list(wanted.items())[:_MAX_ITEMS]:
        specifier = poetry_specifier(value)
        if name == "python":
            declared.python = (specifier, source) if specifier else None
        elif is_name(name) and not (isinstance(value, dict) and value.get("optional")):
            needs.needed.append(Needed(canonicalize_name(name), specifier or SpecifierSet(), source))
    declared.requirements = needs if wanted else None


def _dynamic(folder: Folder, declared: Declared, tools: dict[str, Any], python: tuple[int, int]) -> None:
    """setuptools may take the requirements from a file that it names."""
    named = _table(_table(_table(tools, "setuptools"), "dynamic"), "dependencies").get("file")
    paths = _texts(named if isinstance(named, list) else [named])
    if paths and all(folder.has(path) for path in paths[:4]):
        needs = Needs()
        for path in paths[:4]:
            more = read_requirements(folder, path, python)
            needs.needed += more.needed
            needs.unread += more.unread
        declared.requirements = needs


def _setup_cfg(folder: Folder, declared: Declared, python: tuple[int, int]) -> None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(folder.text("setup.cfg", 100_000) or "")
    except (configparser.Error, ValueError):
        folder.skip("setup.cfg", "not a valid configuration file")
        return
    source = "setup.cfg"
    if not parser.has_option("metadata", "name"):
        return
    declared.source = declared.source or source
    _take(declared, parser.get("metadata", "name"), parser.get("options", "python_requires", fallback=None), source)
    declared.classifiers += parser.get("metadata", "classifiers", fallback="").split("\n")[:_MAX_ITEMS]
    listed = parser.get("options", "install_requires", fallback=None)
    if listed is not None and declared.requirements is None and not listed.strip().startswith("file:"):
        declared.requirements = _needs([line for line in listed.split("\n") if line.strip()], source, python)
    _take_commands(declared, _entry_points(parser.get("options.entry_points", "console_scripts", fallback="")), source)


def _setup_py(folder: Folder, declared: Declared, python: tuple[int, int]) -> None:
    source = "setup.py"
    declared.source = declared.source or source
    declared.setup = read_setup(folder.text(source, 300_000) or "")
    values = declared.setup.values
    _take(declared, values.get("name"), values.get("python_requires"), source)
    declared.classifiers += _texts(values.get("classifiers"))
    listed = values.get("install_requires")
    if isinstance(listed, str):
        listed = listed.split("\n")
    if isinstance(listed, list | tuple) and declared.requirements is None:
        declared.requirements = _needs(_texts(list(listed)), source, python)
    points = values.get("entry_points")
    scripts = points.get("console_scripts") if isinstance(points, dict) else None
    lines = scripts if isinstance(scripts, str) else "\n".join(_texts(scripts))
    _take_commands(declared, _entry_points(lines), source)


def _take(declared: Declared, name: object, wanted: object, source: str) -> None:
    if declared.name is None and is_name(name):
        declared.name = str(name)
    if declared.python is None and wanted and (specifier := specifier_set(wanted)) is not None:
        declared.python = (specifier, source)


def _take_commands(declared: Declared, names: list[str], source: str) -> None:
    for name in names[:20]:
        if _COMMAND.fullmatch(str(name)):
            declared.commands.setdefault(str(name), source)


def _entry_points(text: str) -> list[str]:
    return [line.partition("=")[0].strip() for line in text.split("\n")[:100] if "=" in line]


def _needs(lines: list[str], source: str, python: tuple[int, int]) -> Needs:
    needs = Needs()
    for line in lines[:_MAX_ITEMS]:
        needs.add(line.split(" #")[0].strip(), source, python)
    return needs


def _distribution(requirement: str) -> str | None:
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return canonicalize_name(match[1]) if match else None


def _table(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return (
        [plain(item, 1000) for item in value[:_MAX_ITEMS] if isinstance(item, str)]
        if isinstance(value, list | tuple)
        else []
    )
