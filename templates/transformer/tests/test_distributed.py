"""Several processes under torchrun learn what one learns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeConfig

from config import read_config
from data import BOS, EOS
from evaluate import load_translator
from runtime.core import choose_device
from runtime.distributed import Ranks, together
from runtime.settings import UserError
from train import Run

PROJECT = Path(__file__).parent.parent
CPU = choose_device("cpu", "fp32")
SETTINGS = {
    "file": '"pairs.tsv"',
    "tokenizer": '"character"',
    "d_model": "32",
    "heads": "4",
    "encoder_layers": "1",
    "decoder_layers": "1",
    "feedforward": "64",
    "dropout": "0.0",
    "max_length": "16",
    "steps": "12",
    "batch_size": "6",
    "grad_accumulation": "2",
    "evaluate_every": "6",
    "metric": '"exact"',
    "device": '"cpu"',
    "precision": '"fp32"',
    "compile": "false",
    "workers": "0",
}


# What each of the processes runs: the same training, each with the whole model and then each with a part of it.
TRAINING = """
import dataclasses, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from runtime.settings import main_guard
from config import read_config
from data import BOS, EOS
from runtime.distributed import together
from train import Run

def main():
    config = read_config(Path("config.toml"))
    with together("ddp", "cpu") as ranks:
        for strategy in ("ddp", "fsdp"):
            run = Run(config, Path(strategy), ranks=dataclasses.replace(ranks, strategy=strategy))
            run.train(lambda: False)
            print(strategy, run.trainer.micro_batch)

main_guard(main)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small settings and pairs of many lengths, where two processes trained, and one alone."""
    folder = tmp_path_factory.mktemp("together")
    lines = (PROJECT / "config.toml").read_text(encoding="utf-8").splitlines()
    keys = [line.partition(" =")[0] for line in lines]
    lines = [f"{key} = {SETTINGS[key]}" if key in SETTINGS else line for key, line in zip(keys, lines, strict=True)]
    (folder / "config.toml").write_text("\n".join(lines), encoding="utf-8")
    words = [a * (1 + place % 5) + b for a in "abcdefgh" for place, b in enumerate("ijklmnop")]
    (folder / "pairs.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")
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
    assert answer.stdout.splitlines()[-1] == "fsdp 6"  # of 12 pairs each takes 6, and one speaks for both
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Run(read_config(Path("config.toml")), Path("alone")).train(lambda: False)
    return folder


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
    source, target = torch.tensor([[5, 6, 7, EOS]]), torch.tensor([[BOS, 7, 6]])
    for checkpoint in ("best", "last"):
        found, expected = (load_translator(folder / name / checkpoint, CPU)[0] for name in (strategy, "alone"))
        torch.testing.assert_close(found(source, target), expected(source, target), rtol=0.01, atol=0.01)


def test_a_batch_that_can_not_be_shared_is_refused() -> None:
    assert Ranks(1, 4).share_of(12, "pairs") == 3
    with pytest.raises(UserError, match=r"12 pairs .* by 5 processes; take 1, 2, 3, 4, 6 or 12 processes"):
        Ranks(1, 5).share_of(12, "pairs")


def test_more_processes_than_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    count = torch.accelerator.device_count()
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": count + 2, "LOCAL_WORLD_SIZE": count + 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("runtime.distributed._kind", lambda _: "cuda")
    complaint = rf"but it has {count} cuda device\(s\) for them; start it with --nproc-per-node={count}"
    with pytest.raises(UserError, match=complaint), together("none", "cuda"):
        pass


def test_alone_nothing_is_shared(make_config: MakeConfig, tmp_path: Path) -> None:
    alone = Run(make_config(), tmp_path).ranks
    assert (alone.part([1, 2, 3]), alone.whole([1, 2]), alone.total(1.0, 2)) == ([1, 2, 3], [1, 2], [1.0, 2])
    assert alone.from_first(lambda: 5) == 5
