"""The wheel as a stranger gets it: installed in a fresh environment, in another folder, each printed command typed.

One torch environment serves the three starters, as torch is large: the first project's `.venv` is the others' too.
Where PyTorch's own index can't be reached, `--index-url` is left out of that one command, and the test says so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import venv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.wheel, pytest.mark.xdist_group("wheel")]

_INDEX = re.compile(r" --index-url (\S+)")
_MAKES_ENVIRONMENT = re.compile(r"^\S+ -m venv \.venv$")


@dataclass(frozen=True)
class Installed:
    """The wheel's environment, a folder to work in, and the environment variables of a newcomer."""

    bin: Path
    folder: Path
    environment: dict[str, str]

    def scaffold(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command."""
        return subprocess.run(
            [str(self.bin / "scaffold"), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    root = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(root), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(root / "venv", with_pip=True)
    install = [root / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", next(root.glob("*.whl"))]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "GH_", "PYTHON"))},
        "SCAFFOLD_HOME": str(root / "home"),
        "PIP_CONSTRAINT": str(REPOSITORY / "constraints.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "OMP_WAIT_POLICY": "passive",  # a busy test machine must not make the two threads wait for each other
    }
    subprocess.run(install, check=True, env=environment)
    folder = root / "내 projects"
    folder.mkdir()
    return Installed(root / "venv" / "bin", folder, environment)


def test_search_works_offline_from_the_wheel(installed: Installed) -> None:
    answer = installed.scaffold("search", "nlp", "--offline")
    assert answer.returncode == 0, answer.stderr
    for text in ("keon/awesome-nlp", "huggingface/transformers", "scaffold new "):
        assert text in answer.stdout


def test_help_version_templates_and_hardware(installed: Installed) -> None:
    assert "search" in installed.scaffold("--help").stdout
    assert installed.scaffold("--version").stdout.startswith("scaffold ")
    templates = json.loads(installed.scaffold("templates", "--json").stdout)["templates"]
    assert {template["name"] for template in templates} == {"transformer", "gpt2", "sklearn"}
    hardware = json.loads(installed.scaffold("hardware", "--json").stdout)
    assert hardware["machine"]["cpu"]["usable_cores"] >= 1


def test_nothing_is_installed_that_the_command_does_not_need(installed: Installed) -> None:
    assert not list((installed.bin.parent / "lib").glob("python*/site-packages/torch"))


# What the run of each starter must have shown: a figure, its least and its greatest value.
_RESULTS = {
    "transformer": (r"held-out: .*\n  exact match ([\d.]+) %", 95.0, 100.0),
    # A model that knows nothing is at the 2,048 tokens of its vocabulary, one that learned by heart what it is judged
    # on is near 1.
    "gpt2": (r"step 900: validation loss [\d.]+, perplexity ([\d.]+)", 30.0, 150.0),
    "sklearn": (r"\n  accuracy +([\d.]+)", 0.95, 1.0),
}


# Each makes an environment of its own and trains. The transformer goes the same way as gpt2 in `make test`.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "gpt2" else ()) for name in _RESULTS]
)
def test_a_starter_works_by_the_commands_it_prints(installed: Installed, name: str) -> None:
    made = installed.scaffold("new", name, f"my {name}", "--json")
    assert made.returncode == 0, made.stderr
    document = json.loads(made.stdout)
    project = installed.folder / f"my {name}"
    assert sorted(document["files"]) == sorted(_tracked(project))
    printed = "".join(_type(command, installed) for command in _joined(document["next"], project, installed))
    print(printed)
    pattern, least, greatest = _RESULTS[name]
    found = re.search(pattern, printed)
    assert found, printed
    assert least <= float(found[1]) <= greatest
    _type(f"cd '{project}' && .venv/bin/python -m pytest -q", installed)
    unexpected = subprocess.run(
        ["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=True
    ).stdout
    assert unexpected == "", "a run leaves nothing that git would see"


def _tracked(project: Path) -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=project, capture_output=True, text=True, check=True).stdout
    return listing.rstrip("\0").split("\0")


def _joined(commands: list[str], project: Path, installed: Installed) -> list[str]:
    """The printed commands, each after the first `cd`, with the one torch environment and a reachable index."""
    change, *rest = commands
    shared = installed.folder / "environment"
    lines = []
    for command in rest:
        if _MAKES_ENVIRONMENT.match(command) and shared.exists():
            (project / ".venv").symlink_to(shared)
            continue
        lines.append(f"{change} && {_reachable(command)}")
        if _MAKES_ENVIRONMENT.match(command):
            lines.append(f"mv '{project / '.venv'}' '{shared}' && ln -s '{shared}' '{project / '.venv'}'")
    return lines


def _reachable(command: str) -> str:
    found = _INDEX.search(command)
    if not found or _answers(urlsplit(found[1]).hostname or ""):
        return command
    print(f"replaced: {found[1]} can't be reached from here, so torch is installed from the usual index")
    return command.replace(found[0], "")


@cache
def _answers(host: str) -> bool:
    try:
        with socket.create_connection((host, 443), timeout=5):
            return True
    except OSError:
        return False


def _type(command: str, installed: Installed) -> str:
    """Run one line in a shell, as if pasted."""
    shell = shutil.which("bash") or "sh"
    answer = subprocess.run(
        [shell, "-c", command],
        cwd=installed.folder,
        env=installed.environment,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    return f"$ {command}\n{answer.stdout}"
