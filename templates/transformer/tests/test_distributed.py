"""Several processes under torchrun learn what one learns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeConfig

from distributed import Ranks
from settings import UserError
from train import Run

PROJECT = Path(__file__).parent.parent
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with small settings and pairs of many lengths."""
    lines = (PROJECT / "config.toml").read_text(encoding="utf-8").splitlines()
    keys = [line.partition(" =")[0] for line in lines]
    lines = [f"{key} = {SETTINGS[key]}" if key in SETTINGS else line for key, line in zip(keys, lines, strict=True)]
    (tmp_path / "config.toml").write_text("\n".join(lines), encoding="utf-8")
    words = [a * (1 + place % 5) + b for a in "abcdefgh" for place, b in enumerate("ijklmnop")]
    (tmp_path / "pairs.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")
    return tmp_path


def torchrun(folder: Path, processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launcher, str(PROJECT / "train.py"), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "runs" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_two_processes_learn_what_one_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from config import read_config

    together = torchrun(folder, 2)
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("12 pairs each, 6 at a time") == 1  # of 12 each takes 6, and one speaks for both
    found = rows(folder)
    monkeypatch.chdir(folder)
    Run(read_config(Path("config.toml")), Path("runs")).train(lambda: False)
    expected = rows(folder)
    assert [sorted(row) for row in found] == [sorted(row) for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_a_batch_that_can_not_be_shared_is_refused() -> None:
    assert Ranks(1, 4).share_of(12, "pairs") == 3
    with pytest.raises(UserError, match=r"12 pairs .* by 5 processes; take 1, 2, 3, 4, 6 or 12 processes"):
        Ranks(1, 5).share_of(12, "pairs")


def test_alone_nothing_is_shared(make_config: MakeConfig, tmp_path: Path) -> None:
    alone = Run(make_config(), tmp_path).ranks
    assert (alone.part([1, 2, 3]), alone.whole([1, 2]), alone.total(1.0, 2)) == ([1, 2, 3], [1, 2], [1.0, 2])
    assert alone.from_first(lambda: 5) == 5
