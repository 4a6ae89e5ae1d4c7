"""Several processes under torchrun learn what one learns."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import KEPT, says, small_run, write_data

from runtime import contact
from runtime.distributed import ALONE, Ranks, together
from runtime.settings import UserError

TESTS = Path(__file__).parent
PLAN = {"steps": 12, "every": 6}
# What each of the processes runs: the same training twice, half of it with the whole model in each and half with a part
# of it, and then the other way round. In the end the disk is full.
TRAINING = """
import dataclasses, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from runtime.settings import main_guard
import torch
from conftest import small_run
from runtime.distributed import together

def main():
    with together("ddp", "cpu") as ranks:
        for first, then in (("fsdp", "ddp"), ("ddp", "fsdp")):
            half = small_run(then, steps=12, every=6, ranks=dataclasses.replace(ranks, strategy=first))
            half.train(lambda: half.step == 6 and ranks.rank == 1)  # who is told to stop tells the other
            ranks.wait()  # with ddp one of them saves
            run = small_run(then, steps=12, every=6, ranks=dataclasses.replace(ranks, strategy=then), resume=True)
            run.train(lambda: False)
            print(then, getattr(run, "trainer", run).micro_batch)
        torch.save = full
        run = getattr(run, "trainer", run)
        run.ranks.save_checkpoint(Path("runs/fsdp/last"), model=run.model, step=0, extra={}, **run.state)

def full(*_):
    raise OSError(28, "No space left on device")

main_guard(main)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of two processes together, and of one alone."""
    folder = tmp_path_factory.mktemp("together")
    write_data(folder)
    (folder / "training.py").write_text(TRAINING, encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    answer = subprocess.run(
        [*torchrun, "training.py", TESTS.parent, TESTS],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert answer.stdout.count("fsdp 4\n") == 1, answer.stderr  # of a batch of 8 each takes 4, and one speaks for both
    assert "error: runs/fsdp/last can't be written, is the disk full? ([Errno 28] No space left" in answer.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        half = small_run("alone", **PLAN)
        half.train(lambda: half.step == 6)
        small_run("alone", **PLAN, resume=True).train(lambda: False)
    return folder / "runs"


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_learn_what_one_does(runs: Path, strategy: str) -> None:
    found, expected = rows(runs / strategy), rows(runs / "alone")
    assert [sorted(row) for row in found] == [sorted(row) for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_the_best_model_comes_out_whole(runs: Path, strategy: str) -> None:
    """Also of a model in parts; and a checkpoint in parts is read by one process as well."""
    assert (runs / strategy / "last" / "shards").is_dir() == (strategy == "fsdp")
    for kept in (KEPT, "last"):
        found, expected = (says(runs / name / kept) for name in (strategy, "alone"))
        torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda parts: (parts / "__1_0.distcp").unlink(), r"its part __1_0\.distcp is missing"),
        (lambda parts: (parts / "__0_0.distcp").write_bytes(b""), "damaged"),
        (lambda parts: (parts / ".metadata").write_bytes(b"nothing"), "the list of its parts can't be read"),
    ],
)
def test_damaged_parts_are_told(runs: Path, tmp_path: Path, damage: Any, complaint: str) -> None:
    last = shutil.copytree(runs / "fsdp" / "last", tmp_path / "last")
    damage(last / "shards")
    with pytest.raises(UserError, match=complaint):
        says(last)


def test_a_batch_that_can_not_be_shared_is_refused() -> None:
    assert Ranks(1, 4).share_of(12, "pieces") == 3
    with pytest.raises(UserError, match=r"12 pieces .* by 5 processes; take 1, 2, 3, 4, 6 or 12 processes"):
        Ranks(1, 5).share_of(12, "pieces")


def test_more_processes_than_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    count = torch.accelerator.device_count()
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": count + 2, "LOCAL_WORLD_SIZE": count + 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("runtime.distributed._kind", lambda _: "cuda")
    complaint = rf"but it has {count} cuda device\(s\) for them; start it with --nproc-per-node={count}"
    with pytest.raises(UserError, match=complaint), together("none", "cuda"):
        pass


@pytest.mark.parametrize(("kind", "library"), [("cuda", "nccl"), ("xpu", "xccl")])
def test_a_torch_that_lets_no_gpus_work_together_is_told(
    monkeypatch: pytest.MonkeyPatch, kind: str, library: str
) -> None:
    """As on Windows."""
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("runtime.distributed._kind", lambda _: kind)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.distributed, f"is_{library}_available", lambda: False)
    with pytest.raises(UserError, match="lets no GPUs work together"), together("none", kind):
        pass


@pytest.mark.parametrize(("kind", "seconds"), [("cpu", 10), ("cuda", 60)])
def test_gpus_have_a_minute_for_their_first_exchange(monkeypatch: pytest.MonkeyPatch, kind: str, seconds: int) -> None:
    """However late all have met: on a full node they are started one after the other."""
    endings: list[float] = []
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setattr(contact, "BEGUN", -1000.0)
    monkeypatch.setattr(contact, "_until", lambda ending, _: contextlib.nullcontext(endings.append(ending)))
    monkeypatch.setattr(contact, "_greet", lambda *_: "meeting")
    for name in ("rendezvous", "PrefixStore", "init_process_group", "all_reduce"):
        monkeypatch.setattr(torch.distributed, name, lambda *_, **__: iter([(None,)]))
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)
    begun = time.monotonic()
    contact.connect(0, 2, kind)
    assert endings[1] - begun == pytest.approx(seconds, abs=2)


def test_buffers_are_not_sent_around_also_by_a_torch_that_calls_it_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    class Older:
        def __init__(
            self,
            module: object,
            device_ids: object = None,
            broadcast_buffers: bool = True,
            gradient_as_bucket_view: bool = False,
        ) -> None:
            given.update(broadcast_buffers=broadcast_buffers)

    monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", Older)
    Ranks(0, 2, strategy="ddp").wrap(torch.nn.Linear(1, 1))
    assert given == {"broadcast_buffers": False}


def test_one_process_writes_for_all(tmp_path: Path) -> None:
    for rank in (1, 0):
        assert not (tmp_path / "last").exists()
        Ranks(rank, 2, strategy="ddp").save_checkpoint(tmp_path / "last", model=torch.nn.Linear(1, 1), step=1, extra={})
    assert (tmp_path / "last" / "checkpoint.json").is_file()


def test_gradients_travel_once_for_each_update() -> None:
    class Waits:
        def no_sync(self) -> str:
            return "waits"

    ranks = Ranks(0, 2, strategy="ddp")
    assert ranks.exchanging(Waits(), last=False) == "waits"  # type: ignore[arg-type, comparison-overlap]
    assert ranks.exchanging(Waits(), last=True) != "waits"  # type: ignore[arg-type, comparison-overlap]


def test_parts_become_the_row_that_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [list(Ranks(rank, 3).part(range(7))) for rank in range(3)]
    monkeypatch.setattr(Ranks, "gather", lambda *_: parts)
    assert Ranks(1, 3).whole(parts[1]) == list(range(7))


def test_each_process_draws_other_numbers_for_each_update_and_the_same_ones_again() -> None:
    def drawn(rank: int, step: int) -> float:
        Ranks(rank, 2).reseed(seed=5, step=step)
        return torch.rand(()).item()

    updates = [(rank, step) for rank in range(2) for step in range(2)]
    assert len({drawn(*update) for update in updates}) == 4
    assert drawn(*updates[0]) == drawn(*updates[0])


def test_alone_nothing_is_shared() -> None:
    assert (ALONE.part([1, 2, 3]), ALONE.whole([1, 2]), ALONE.total(1.0, 2)) == ([1, 2, 3], [1, 2], [1.0, 2])
    assert ALONE.from_first(lambda: 5) == 5
