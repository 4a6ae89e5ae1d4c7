"""Several processes under torchrun learn what one learns."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TEXT

from config import read_config
from data import Blocks
from distributed import Ranks
from train import begin

PROJECT = Path(__file__).parent.parent
SETTINGS = {
    "n_layer": "2",
    "n_head": "2",
    "n_embd": "32",
    "vocab_size": "320",
    "context": "32",
    "dropout": "0.0",
    "steps": "12",
    "evaluations": "2",
    "max_new_tokens": "8",
    "grad_accumulation": "2",
    "device": '"cpu"',
    "precision": '"fp32"',
    "compile": "false",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with small settings and a text."""
    text = (PROJECT / "config.toml").read_text(encoding="utf-8")
    for key, value in SETTINGS.items():
        text = re.sub(f"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    text = re.sub("^batch_size = .*$", "batch_size = 4", text, count=1, flags=re.MULTILINE)  # [train]'s comes first
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def torchrun(folder: Path, processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [*launcher, str(PROJECT / "train.py"), "--model", "scratch", "--data", "text.txt", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def test_two_processes_learn_what_one_does(folder: Path) -> None:
    together = torchrun(folder, 2)
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("8 blocks of 32 tokens each, 4 at a time") == 1  # one speaks for both
    config = read_config(folder / "config.toml")
    config = type(config)(**{**vars(config), "data": type(config.data)("text.txt", config.data.validation_share)})
    alone = begin(config, "scratch", "alone")
    alone.train(lambda: False)
    found, expected = rows(folder / "runs" / "scratch"), rows(folder / "runs" / "alone")
    assert [sorted(row) for row in found] == [sorted(row) for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_share_each_batch_without_gap_or_double(size: int) -> None:
    tokens = torch.arange(1000)
    whole = Blocks(tokens, 10, 12, seed=1)
    parts = [Blocks(tokens, 10, 12, seed=1, ranks=Ranks(rank, size)) for rank in range(size)]
    for number in range(20):
        shared = torch.cat([part.batch(number) for part in parts])
        assert sorted(shared[:, 0].tolist()) == sorted(whole.batch(number)[:, 0].tolist())
