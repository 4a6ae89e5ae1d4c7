"""How a repository is installed: its own declared way first, then what else would do."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

from scaffold.programs import python
from scaffold.references.howto.declared import Declared
from scaffold.references.howto.docker import docker_file
from scaffold.references.howto.files import Folder, is_plain
from scaffold.references.howto.model import Command, Kind, Tool, Way
from scaffold.references.howto.pins import without_pkg_resources

_LOCKED: tuple[tuple[str, Tool, str], ...] = (
    ("uv.lock", "uv", "uv sync"),
    ("poetry.lock", "poetry", "poetry install"),
    ("pdm.lock", "pdm", "pdm install"),
    ("Pipfile.lock", "pipenv", "pipenv sync"),
    ("Pipfile", "pipenv", "pipenv install"),
    ("pixi.lock", "pixi", "pixi install"),
    ("pixi.toml", "pixi", "pixi install"),
)
_CONDA_FILES = ("environment.yml", "environment.yaml", "conda.yml", "conda.yaml", "env.yml", "environment_gpu.yml")
_NOT_TO_RUN = re.compile(r"dev|test|doc|lint|ci|build|optional|extra", re.IGNORECASE)
_PIP_INSTALL = re.compile(r"(?:python3?(?:\.\d+)? -m )?pip3? install ([^&]+)")
# Modules that a setup.py needs before it can say what it needs.
_BUILD_MODULES = {"torch": "torch", "numpy": "numpy", "Cython": "cython", "tensorflow": "tensorflow"}


@dataclass(frozen=True, slots=True)
class BuildNeeds:
    """What a setup.py imports that pip's own build environment would not hold.

    Attributes:
        distributions: what has to be installed first.
        unknown: modules of which nobody knows where they come from.
    """

    distributions: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def build_needs(folder: Folder, declared: Declared) -> BuildNeeds:
    """Look at what the setup.py imports: what pyproject.toml asks for is there, all else is not."""
    if declared.setup is None:
        return BuildNeeds()
    there = declared.build_requires or set()
    missing = [name for name in dict.fromkeys(declared.setup.imports) if name.lower() not in there]
    missing = [name for name in missing if not (folder.has(f"{name}.py") or name in folder.folders())]
    first = [_BUILD_MODULES[name] for name in missing if name in _BUILD_MODULES]
    if "pkg_resources" in missing:
        first.append(f"setuptools<{without_pkg_resources()}")
    known = {*_BUILD_MODULES, "pkg_resources"}
    return BuildNeeds(tuple(first), tuple(name for name in missing if name not in known))


def conda_file(folder: Folder) -> str | None:
    """The conda environment in the top folder."""
    return folder.find(*_CONDA_FILES)


def requirements_file(folder: Folder) -> str | None:
    """The file of what it needs to run; `None` where there is none, or several and none of them is the obvious one."""
    if found := folder.find("requirements.txt"):
        return found
    for name in ("requirements.txt", "base.txt", "main.txt", "default.txt"):
        if "requirements" in folder.folders() and folder.has(f"requirements/{name}"):
            return f"requirements/{name}"
    others = [
        name for name in folder.files() if re.fullmatch(r"\w.*requirements?.*\.txt|requirements?.+\.txt", name.lower())
    ]
    others = [name for name in others if not _NOT_TO_RUN.search(name)]
    return others[0] if len(others) == 1 else None


def find_ways(
    folder: Folder, declared: Declared, said: list[Command], needs: BuildNeeds, *, windows: bool
) -> tuple[Way, ...]:
    """All ways to install it, the one that it declares for itself first.

    Args:
        folder: the repository.
        declared: its packaging files.
        said: the lines of its README.
        needs: what has to be there before its setup.py runs.
        windows: whether the commands are for Windows.
    """
    ways = [_locked(*entry) for entry in _LOCKED if folder.has(entry[0])][:1]
    environment = conda_file(folder)
    if environment and is_conda(folder, environment):
        text = f"conda env create -f {shlex.quote(environment)}"
        ways.append(Way("conda", (Command(text, environment),), environment))
    requirements = requirements_file(folder)
    if declared.source:
        lacks = declared.requirements is None or not declared.requirements.needed
        ways.append(_package(declared.source, requirements if lacks else None, needs, windows=windows))
    if requirements:
        pip = (("install", "-r", requirements),)
        ways.append(Way("pip", _commands(pip, requirements, windows=windows), requirements, pip))
    if path := docker_file(folder):
        chosen = "" if path == "Dockerfile" else f"-f {path} "
        ways.append(Way("docker", (Command(f"docker build {chosen}-t {_tag(folder)} .", path),), path))
    if said:
        ways.append(_quoted(said))
    return tuple(ways)


def kind_of(folder: Folder, declared: Declared, ways: tuple[Way, ...], *, scripts: bool, notebooks: bool) -> Kind:
    """What kind of repository it is, in one word."""
    tools = {way.tool for way in ways}
    if declared.source:
        lines = [command.text for way in ways if way.tool == "readme" for command in way.commands]
        return "library" if declared.name and any(_installs(line, declared.name) for line in lines) else "package"
    if "conda" in tools:
        return "conda"
    has_list = any(way.tool not in ("readme", "docker") for way in ways)
    if notebooks and not scripts:
        return "notebooks"
    if has_list or (scripts and "docker" not in tools):
        return "scripts"
    return "docker" if "docker" in tools else "unknown"


def is_conda(folder: Folder, path: str) -> bool:
    """Whether a YAML file is a conda environment."""
    document = folder.yaml(path)
    return isinstance(document, dict) and isinstance(document.get("dependencies"), list)


def _locked(path: str, tool: Tool, text: str) -> Way:
    return Way(tool, (Command(text, path),), path)


def _package(source: str, requirements: str | None, needs: BuildNeeds, *, windows: bool) -> Way:
    runs: list[tuple[str, ...]] = []
    if needs.distributions:
        # Without isolation nothing is there but what is installed before, setuptools included.
        tools = [name for name in ("setuptools", "wheel") if not any(_is(item, name) for item in needs.distributions)]
        runs.append(("install", *tools, *needs.distributions))
    if requirements:
        runs.append(("install", "-r", requirements))
    runs.append(("install", *(["--no-build-isolation"] if needs.distributions else []), "-e", "."))
    return Way("pip", _commands(tuple(runs), source, windows=windows), source, tuple(runs))


def _quoted(said: list[Command]) -> Way:
    """The README's lines. Where they are plain `pip install NAME` pip can do it as well."""
    runs = [run for run in (_pip_run(command.text) for command in said) if run]
    return Way("readme", tuple(said), said[0].source, tuple(runs) if len(runs) == len(said) else ())


def _pip_run(text: str) -> tuple[str, ...] | None:
    match = _PIP_INSTALL.fullmatch(text)
    try:
        words = shlex.split(match[1]) if match else []
        requirements = [Requirement(word) for word in words]
    except (InvalidRequirement, ValueError):
        return None
    if not words or any(requirement.url for requirement in requirements):
        return None
    return ("install", *words)


def readme_requirements(said: list[Command]) -> list[str]:
    """What the README's plain `pip install` lines name."""
    return [word for command in said for word in (_pip_run(command.text) or ())[1:]]


def _commands(pip: tuple[tuple[str, ...], ...], source: str, *, windows: bool) -> tuple[Command, ...]:
    if windows:
        # PowerShell may refuse to activate it: what is installed must not go elsewhere then.
        begin = [f"{python(windows=True)} -m venv .venv", r".venv\Scripts\activate"]
        pip_command = r".venv\Scripts\python -m pip"
    else:
        # Only in it is there a plain `python` on macOS and Debian.
        begin, pip_command = ["python3 -m venv .venv", ". .venv/bin/activate"], "python -m pip"
    lines = [*begin, *(f"{pip_command} {_joined(run)}" for run in pip)]
    return tuple(Command(line, source) for line in lines)


def _joined(words: tuple[str, ...]) -> str:
    # Double quotes are understood by every shell, a windows one included.
    return " ".join(f'"{word}"' if re.search(r"[<>=!~ ;\[\]]", word) else shlex.quote(word) for word in words)


def _installs(line: str, name: str) -> bool:
    wanted = re.sub(r"[-_.]+", "[-_.]+", re.escape(name).replace(r"\-", "-").replace(r"\.", "."))
    installs = re.search(
        rf"\b(?:pip3?|uv pip|uv add|poetry add) ?(?:install)?\s.*(?<![\w/.-]){wanted}(?![\w/-])", line, re.I
    )
    return bool(installs) and "-e" not in line.split() and "-r" not in line.split()


def _is(requirement: str, name: str) -> bool:
    return re.match(rf"{name}\b", requirement) is not None


def _tag(folder: Folder) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", folder.root.name.lower()).strip("-")
    return name if name and is_plain(name) else "reference"
