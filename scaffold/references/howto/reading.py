"""How a repository is run, read from its own files. Nothing of it is executed or imported."""

from __future__ import annotations

import sys
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from scaffold.hardware.machine import Machine
from scaffold.references.howto.declared import Declared, read_declared
from scaffold.references.howto.docker import base_images
from scaffold.references.howto.files import Folder
from scaffold.references.howto.flags import build_flags, folder_flags, needs_flags
from scaffold.references.howto.frameworks import find_frameworks
from scaffold.references.howto.model import Command, Flag, Framework, HowTo, PythonWanted
from scaffold.references.howto.needs import read_needs
from scaffold.references.howto.notebooks import read_notebooks
from scaffold.references.howto.pins import is_below, pin_flags
from scaffold.references.howto.pythons import read_python
from scaffold.references.howto.readme import read_readme
from scaffold.references.howto.requirements import Needs, conda_needs, parse_requirements, read_requirements
from scaffold.references.howto.said import Said, read_said
from scaffold.references.howto.scripts import Sources, package_imports, read_scripts
from scaffold.references.howto.usage import find_usage
from scaffold.references.howto.ways import (
    build_needs,
    conda_file,
    find_ways,
    kind_of,
    readme_requirements,
    requirements_file,
)

_MAX_SCRIPTS = 12
_MAX_FLAGS = 20


def read_howto(folder: Path, *, python: tuple[int, int], machine: Machine | None = None) -> HowTo:
    """Read how a repository is installed and run.

    Looks at its top folder and a few usual ones, at files of some megabytes at most, and follows no link out of it.

    Args:
        folder: the repository on this disk.
        python: the Python that is to run it, as (major, minor).
        machine: the machine that is to run it; `None` leaves open whether it fits.
    """
    files = Folder(folder)
    declared = read_declared(files, python)
    readme = read_readme(files)
    said = read_said(readme, frozenset(declared.commands)) if readme else Said()
    sources = read_scripts(files, python)
    notebooks = read_notebooks(files)
    needs, conda = _needs(files, declared, python)
    # What its README installs besides: for the versions, as some of it may be optional.
    quoted = _quoted(said.install, python) if said.install and not conda else Needs()
    build = build_needs(files, declared)
    ways = find_ways(files, declared, said.install, build, windows=_is_windows(machine))
    wanted = read_python(files, declared, conda, readme, python)
    frameworks = _frameworks(files, declared, sources, needs, quoted)
    flags = [] if conda else _python_flag(wanted, python)
    flags += [*pin_flags([*needs.needed, *quoted.needed], python), *build_flags(declared, build)]
    flags += [*sources.flags, *_tensorflow1(frameworks, sources.flags), *needs_flags(needs), *folder_flags(files)]
    return HowTo(
        kind=kind_of(files, declared, ways, scripts=bool(sources.scripts), notebooks=bool(notebooks)),
        name=declared.name,
        install=ways[0] if ways else None,
        alternatives=ways[1:],
        usage=find_usage(files, declared, said.usage),
        example=said.example,
        scripts=tuple(sources.scripts[:_MAX_SCRIPTS]),
        notebooks=notebooks,
        python=wanted,
        frameworks=frameworks,
        hardware=read_needs(files, needs, sources, readme, machine),
        flags=tuple(flags[:_MAX_FLAGS]),
        skipped=files.skipped,
    )


def _is_windows(machine: Machine | None) -> bool:
    return machine.os == "windows" if machine and machine.os else sys.platform == "win32"


def _frameworks(
    files: Folder, declared: Declared, sources: Sources, needs: Needs, quoted: Needs
) -> tuple[Framework, ...]:
    own = canonicalize_name(declared.name) if declared.name else None
    imports = sources.imports | (package_imports(files, declared.name) if declared.name else {})
    return find_frameworks(needs.needed, base_images(files), imports, quoted.needed, own)


def _needs(files: Folder, declared: Declared, python: tuple[int, int]) -> tuple[Needs, tuple[SpecifierSet, str] | None]:
    """All that it asks for, and the Python of its conda environment with the file."""
    needs = Needs()
    conda: tuple[SpecifierSet, str] | None = None
    if declared.requirements:
        _add(needs, declared.requirements)
    if requirements := requirements_file(files):
        _add(needs, read_requirements(files, requirements, python))
    if environment := conda_file(files):
        document = files.yaml(environment)
        if isinstance(document, dict):
            more, wanted = conda_needs(document.get("dependencies"), environment, python)
            conda = (wanted, environment) if wanted is not None else None
            _add(needs, more)
    return needs, conda


def _quoted(lines: list[Command], python: tuple[int, int]) -> Needs:
    return parse_requirements("\n".join(readme_requirements(lines)), lines[0].source, python)


def _add(needs: Needs, more: Needs) -> None:
    needs.needed += more.needed
    needs.unread += more.unread
    needs.elsewhere += more.elsewhere
    needs.links += more.links


def _tensorflow1(frameworks: tuple[Framework, ...], known: list[Flag]) -> list[Flag]:
    if any(flag.kind == "tensorflow1" for flag in known):
        return []
    return [
        Flag("tensorflow1", f"asks for tensorflow{item.wanted}: it was written for TensorFlow 1", item.source)
        for item in frameworks
        if item.name == "tensorflow" and item.wanted and is_below(SpecifierSet(item.wanted), Version("2"))
    ]


def _python_flag(wanted: PythonWanted, python: tuple[int, int]) -> list[Flag]:
    if wanted.fits is not False:
        return []
    verb = "asks for" if wanted.enforced else "was made for"
    told = f"{verb} Python {wanted.wanted}, this is {python[0]}.{python[1]}"
    return [Flag("python", told, wanted.source)]
