"""Which Python a repository wants, from the file that says it most plainly."""

from __future__ import annotations

import re

from packaging.specifiers import SpecifierSet

from scaffold.references.howto.declared import Declared
from scaffold.references.howto.docker import base_images
from scaffold.references.howto.files import Folder
from scaffold.references.howto.model import PythonWanted
from scaffold.references.howto.readme import Readme
from scaffold.references.howto.requirements import specifier_set

_CLASSIFIER = re.compile(r"\s*Programming Language :: Python :: (\d\.\d{1,2})\s*")
_IMAGE = re.compile(r"(?:[\w.:-]+/)*python:(\d\.\d{1,2})")
_VERSION_FILE = re.compile(r"(?:cpython-|python-)?(3\.\d{1,2})(?:\.\d+)?")
_SAID = re.compile(
    r"\bpython\s*(?:version\s*)?(?P<over>>=|≥|=>)?\s*(?P<version>3\.\d{1,2})(?:\.\d+)?\s*"
    r"(?P<up>\+|\(?\s*or (?:later|higher|newer|above|greater)|及以上|以上|이상)?",
    re.IGNORECASE,
)
_MAX_MINOR = 30


def read_python(
    folder: Folder,
    declared: Declared,
    conda: tuple[SpecifierSet, str] | None,
    readme: Readme | None,
    at: tuple[int, int],
) -> PythonWanted:
    """Which Python is wanted.

    Args:
        folder: the repository.
        declared: its packaging files.
        conda: what its conda environment asks for, with the file.
        readme: its README.
        at: the Python at hand.
    """
    if declared.python:
        specifier, source = declared.python
        return PythonWanted(str(specifier) or None, source, declared.source is not None, _fits(specifier, at))
    told = conda or _version_file(folder) or _docker(folder)
    if told:
        return PythonWanted(str(told[0]), told[1], False, _fits(told[0], at))
    listed = sorted({match[1] for text in declared.classifiers if (match := _CLASSIFIER.fullmatch(text))}, key=_key)
    listed = [version for version in listed if _key(version) >= (3, 0)]
    if listed and declared.source:
        # A version that is newer than the file can't stand in it.
        among = f"{at[0]}.{at[1]}" in listed
        return PythonWanted(", ".join(listed), declared.source, False, True if among else None)
    return _said(readme, at)


def _fits(specifier: SpecifierSet, python: tuple[int, int]) -> bool | None:
    """Whether some patch release of a Python is wanted: the last ones count, ">=3.11.4" is no reason against 3.11."""
    major, minor = python
    return any(specifier.contains(f"{major}.{minor}.{patch}") for patch in range(_MAX_MINOR))


def _version_file(folder: Folder) -> tuple[SpecifierSet, str] | None:
    name = ".python-version"
    text = folder.text(name, 1000) if folder.has(name) else None
    match = _VERSION_FILE.match(text.strip()) if text else None
    specifier = specifier_set(f"=={match[1]}.*") if match else None
    return (specifier, name) if specifier else None


def _docker(folder: Folder) -> tuple[SpecifierSet, str] | None:
    for path, image in base_images(folder):
        if (match := _IMAGE.match(image)) and (specifier := specifier_set(f"=={match[1]}.*")):
            return specifier, path
    return None


def _said(readme: Readme | None, at: tuple[int, int]) -> PythonWanted:
    for _, sentence in readme.sentences if readme else ():
        match = _SAID.search(sentence)
        if match and (match["over"] or match["up"]) and (specifier := specifier_set(f">={match['version']}")):
            assert readme is not None
            return PythonWanted(str(specifier), readme.path, False, _fits(specifier, at))
    return PythonWanted()


def _key(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
