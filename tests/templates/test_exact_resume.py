"""Killed at random moments and resumed, train.py of the torch starters ends bit for bit like a run that was let be.

The real program, killed with SIGKILL: between two updates, in the middle of one, while it judges, while it saves.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from scaffold.hardware.targets import load
from scaffold.projects.create import Choices, create
from scaffold.projects.template import load_template

pytestmark = pytest.mark.slow

_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "random"}
# Small models, dropout, two parts to an update, several rounds through the data, and a checkpoint every few updates.
_SETTINGS = {
    "transformer": {
        **{"file": '"pairs.tsv"', "d_model": "32", "heads": "4", "encoder_layers": "1", "decoder_layers": "1"},
        **{"feedforward": "64", "max_length": "16", "dropout": "0.2", "batch_size": "16", "grad_accumulation": "2"},
        **{"steps": "200", "evaluate_every": "20", "probe": "false", "tokenizer": '"character"', "metric": '"exact"'},
    },
    "gpt2": {
        **{"path": '"text.txt"', "n_layer": "2", "n_head": "2", "n_embd": "32", "vocab_size": "320", "context": "32"},
        **{"dropout": "0.2", "batch_size": "4", "grad_accumulation": "2", "steps": "200", "evaluations": "10"},
        "probe": "false",
    },
}
_ARGUMENTS = {"transformer": [], "gpt2": ["--model", "scratch", "--name", "run"]}
_FOLDER = {"transformer": Path("runs"), "gpt2": Path("runs/run")}
_BEST = {"transformer": "best", "gpt2": "model"}


def _project(name: str, folder: Path) -> Path:
    create(load_template(name), folder, load("cpu-8gb"), [], Choices(target="cpu-8gb", git=False))
    text = (folder / "config.toml").read_text(encoding="utf-8")
    for key, value in _SETTINGS[name].items():
        text, changed = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert changed, key
    (folder / "config.toml").write_text(text, encoding="utf-8")
    words = ["".join(random.Random(number).choices("abcdefghij", k=3)) for number in range(600)]
    (folder / "pairs.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")
    lines = (f"The {words[number]} went to the {words[number + 1]} with {number} stones." for number in range(300))
    (folder / "text.txt").write_text("\n\n".join(lines), encoding="utf-8")
    return folder


def _train(name: str, project: Path, *, kill_after: float | None = None) -> bool:
    """Train from where it stands; whether it came to its end before it was killed."""
    command = [sys.executable, "train.py", "--resume", "auto", *_ARGUMENTS[name]]
    process = subprocess.Popen(
        command, cwd=project, env=_ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        output, _ = process.communicate(timeout=kill_after or 600)
    except subprocess.TimeoutExpired:
        assert kill_after, "training takes too long"
        process.kill()
        process.communicate()
        return False
    assert process.returncode == 0, output
    return True


def _everything(name: str, project: Path) -> str:
    """Weights, optimizer, random numbers and metrics that a run left, to the last bit."""
    folder = project / _FOLDER[name]
    weights = [sorted(load_file(folder / kind / "model.safetensors").items()) for kind in ("last", _BEST[name])]
    state = torch.load(folder / "last" / "state.pt", weights_only=True)
    torch.set_printoptions(threshold=10**9, precision=20)
    try:
        return f"{weights} {state} {(folder / 'metrics.jsonl').read_text(encoding='utf-8')}"
    finally:
        torch.set_printoptions(profile="default")


@pytest.mark.parametrize("name", sorted(_SETTINGS))
def test_killed_at_random_moments_it_ends_bit_for_bit_the_same(tmp_path: Path, name: str) -> None:
    whole = _project(name, tmp_path / "whole")
    begun = time.monotonic()
    assert _train(name, whole)
    seconds = time.monotonic() - begun
    rng, kills, attempt = random.Random(), 0, 0
    while not kills:
        attempt += 1
        killed = _project(name, tmp_path / f"killed-{attempt}")
        # Mostly after the start-up, which takes half of the time of so short a run.
        while not _train(name, killed, kill_after=None if kills == 8 else rng.uniform(0.4, 0.95) * seconds):
            kills += 1
        seconds *= 0.7  # if it ended before it was killed, the machine has less to do than it had
    assert _everything(name, killed) == _everything(name, whole), f"after {kills} kills"
