"""The Dockerfiles: no engine is at hand, so they are parsed and their commands run in order in a fresh folder.

`RUN pip` runs in an environment of its own, `COPY` copies what `.dockerignore` leaves, `CMD` runs to its end. Not run:
`apt-get` and `useradd`, which change the system, and the download of torch, which is far and large; the one that is
here stands for it.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaffold.hardware.targets import load
from scaffold.projects.create import Choices, create
from scaffold.projects.template import load_template

_INSTRUCTIONS = {"FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER", "CMD"}


@dataclass(frozen=True)
class Instruction:
    """One step of a Dockerfile: its word and what follows, on one line."""

    word: str
    rest: str


def parse(text: str) -> list[Instruction]:
    """The steps of a Dockerfile. Comments end, lines that end in a backslash go on."""
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [Instruction(*line.split(" ", 1)) for line in lines]


def _made(folder: Path, name: str, target: str, **chosen: str) -> Path:
    project = folder / "source"
    create(load_template(name), project, load(target), [], Choices(target, chosen, git=False))
    return project


def _ignored(path: str, patterns: list[str]) -> bool:
    parts = path.split("/")
    heads = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    return any(fnmatch.fnmatch(head, pattern) or (pattern.startswith("**/") and fnmatch.fnmatch(part, pattern[3:]))
               for pattern in patterns for head, part in zip(heads, parts, strict=True))  # fmt: skip


def _copy(source: Path, destination: Path) -> None:
    """`COPY . .` with .dockerignore."""
    lines = (source / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source).as_posix()
        if path.is_file() and not _ignored(relative, patterns):
            (destination / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, destination / relative)


@pytest.mark.parametrize("target", ["cpu-8gb", "8xh100", "mi300x", "arc-b580", "m2-16gb", "colab-t4"])
@pytest.mark.parametrize("name", ["transformer", "gpt2", "sklearn"])
def test_every_dockerfile_is_sound(tmp_path: Path, name: str, target: str) -> None:
    steps = parse((_made(tmp_path, name, target) / "Dockerfile").read_text(encoding="utf-8"))
    words = [step.word for step in steps]
    assert set(words) <= _INSTRUCTIONS
    assert words[0] == "FROM"
    assert words.count("CMD") == 1
    users = [number for number, step in enumerate(steps) if step.word == "USER"]
    assert steps[users[-1]].rest == "user"
    assert users[-1] > max(number for number, step in enumerate(steps) if step.word == "RUN")
    assert json.loads(steps[-1].rest)[0] in ("python", "torchrun")
    for step in steps:
        if step.word == "RUN":
            command = re.sub(r"--mount=\S+ ", "", step.rest)
            subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformer", "sklearn"])
def test_the_commands_of_the_image_run_in_order(tmp_path: Path, name: str) -> None:
    quick = {"preset": "tiny", "steps": "20", "evaluate_every": "20", "heldout_share": "0.001"}
    source = _made(tmp_path, name, "cpu-8gb", **(quick if name == "transformer" else {"dataset": "iris"}))
    # What must not get in: a secret, the user's data, the environment.
    for path in ("data/mine.tsv", ".venv/bin/python", "runs/last/model", ".git/config"):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text("not for the image")
    project, environment, not_run = tmp_path / "project", dict(os.environ), []
    for step in parse((source / "Dockerfile").read_text(encoding="utf-8")):
        command = re.sub(r"--mount=\S+ ", "", step.rest)
        if step.word == "FROM":
            subprocess.run([sys.executable, "-m", "venv", tmp_path / "image"], check=True)
            environment["PATH"] = f"{tmp_path / 'image' / 'bin'}:{environment['PATH']}"
            environment.pop("PIP_CONSTRAINT", None)
        elif step.word == "ENV":
            environment |= dict(word.split("=", 1) for word in shlex.split(step.rest) if "CACHE_DIR" not in word)
        elif step.word == "WORKDIR":
            project.mkdir()
        elif step.word == "RUN" and "torch" in command:
            not_run.append(command)
            import torch

            (packages,) = (tmp_path / "image" / "lib").glob("python*/site-packages")
            (packages / "torch.pth").write_text(str(Path(torch.__file__).parents[1]))
        elif step.word == "RUN" and command.startswith("pip"):
            subprocess.run(command, shell=True, cwd=project, env=environment, check=True)
        elif step.word == "COPY":
            _copy(source, project) if step.rest.endswith(". .") else shutil.copy(source / "requirements.txt", project)
        elif step.word == "CMD":
            done = subprocess.run(
                json.loads(step.rest), cwd=project, env=environment | {"OMP_NUM_THREADS": "1"}, timeout=400,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
        else:
            not_run.append(f"{step.word} {command}")
    assert not any((project / path).exists() for path in ("data/mine.tsv", ".venv", ".git", "runs/last/model"))
    assert (project / "train.py").is_file()
    assert {line.split()[0] for line in not_run} <= {"RUN", "USER", "pip"}, not_run
    assert any("useradd" in line for line in not_run)
