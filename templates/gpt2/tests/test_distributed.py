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
from models import load_pretrained
from runtime.distributed import Ranks
from train import begin

PROJECT = Path(__file__).parent.parent
SETTINGS = {
    "n_layer": "2",
    "n_head": "2",
    "n_embd": "32",
    "vocab_size": "320",
    "path": '"text.txt"',
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


# What each of the processes runs: the same training, each with the whole model and then each with a part of it.
TRAINING = """
import dataclasses, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from runtime.settings import main_guard
from config import read_config
from runtime.distributed import together
from train import begin

def main():
    config = read_config(Path("config.toml"))
    with together("ddp", "cpu") as ranks:
        for strategy in ("ddp", "fsdp"):
            run = begin(config, "scratch", strategy, dataclasses.replace(ranks, strategy=strategy))
            run.train(lambda: False)
            print(strategy, run.micro_batch)

main_guard(main)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small settings and a text, where two processes trained, and one alone."""
    folder = tmp_path_factory.mktemp("together")
    text = (PROJECT / "config.toml").read_text(encoding="utf-8")
    for key, value in SETTINGS.items():
        text = re.sub(f"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    text = re.sub("^batch_size = .*$", "batch_size = 4", text, count=1, flags=re.MULTILINE)  # [train]'s comes first
    (folder / "config.toml").write_text(text, encoding="utf-8")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    (folder / "training.py").write_text(TRAINING, encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "training.py", PROJECT],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "fsdp 4"  # of 8 blocks each takes 4, and one speaks for both
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        begin(read_config(Path("config.toml")), "scratch", "alone").train(lambda: False)
    return folder / "runs"


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_learn_what_one_does(folder: Path, strategy: str) -> None:
    found, expected = rows(folder / strategy), rows(folder / "alone")
    assert [sorted(row) for row in found] == [sorted(row) for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_the_best_model_comes_out_whole(folder: Path, strategy: str) -> None:
    """Also of a model in parts; and a checkpoint in parts is read by one process as well."""
    assert (folder / strategy / "last" / "shards").is_dir() == (strategy == "fsdp")
    blocks = torch.arange(20).view(2, 10)
    for kept in ("model", "last"):
        found, expected = (load_pretrained(str(folder / name / kept))[0] for name in (strategy, "alone"))
        torch.testing.assert_close(found(blocks).logits, expected(blocks).logits, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_share_each_batch_without_gap_or_double(size: int) -> None:
    tokens = torch.arange(1000)
    whole = Blocks(tokens, 10, 12, seed=1)
    parts = [Blocks(tokens, 10, 12, seed=1, ranks=Ranks(rank, size)) for rank in range(size)]
    for number in range(20):
        shared = torch.cat([part.batch(number) for part in parts])
        assert sorted(shared[:, 0].tolist()) == sorted(whole.batch(number)[:, 0].tolist())
