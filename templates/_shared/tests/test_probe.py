"""What the machine measures overrules the plan where it is clear, is kept, and is told."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import probe
from config import read_config
from runtime import findings
from runtime.findings import FILE, WIDTHS, Findings, keep, kept, overrule, this_machine, thread_counts

PLAN = read_config(Path(__file__).parent.parent / "config.toml").machine


def planned(**values: Any) -> Any:
    """The project's own [machine] settings for a CPU, with some of them changed."""
    usual = {"device": "cpu", "precision": "fp32", "threads": 2, "compile": False, "probe": True}
    return dataclasses.replace(PLAN, **usual | values)


def found(bf16: float = 1.0, two: float = 2.0, compiler: str = "", wide: float | None = None) -> Findings:
    """Findings of two threads: bf16 on layers (from 256 on `wide`) and two threads, both as times of fp32 on one."""
    figures = {}
    for width in WIDTHS:
        figures[f"step fp32 1 {width}"] = 50.0
        figures[f"step fp32 2 {width}"] = 50.0 * two
        figures[f"step fp32 core {width}"] = 70.0
        figures[f"step bf16 core {width}"] = 70.0 * (wide if wide and width >= 256 else bf16)
    return Findings(figures, compiler)


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "usable_threads", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Measuring takes no time and finds that bf16 does not pay; the list grows with every time."""
    times: list[int] = []
    monkeypatch.setattr(probe, "measure", lambda: times.append(1) or found(bf16=0.08))
    return times


def test_this_machine_is_really_measured(tmp_path: Path) -> None:
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    measured = probe.measure(0.0)
    assert torch.equal(torch.get_rng_state(), before), "training's random numbers must stay as they were"
    assert torch.get_num_threads() == threads
    wanted = {f"step fp32 {count} {width}" for count in thread_counts() for width in WIDTHS}
    wanted |= {"product fp32 1", "product bf16 2", "read 1", "step bf16 1 512", "step bf16 core 512"}
    assert wanted <= set(measured.figures)
    assert all(0 < figure < 10**6 for figure in measured.figures.values())
    keep(measured, tmp_path / "runs" / FILE)
    assert kept(tmp_path / "runs" / FILE) == measured
    table = probe.table(measured)
    assert "1 thread   2 threads" in table
    assert str(measured.figures["product bf16 2"]) in table


def test_a_speed_is_work_by_time_without_the_first_touch() -> None:
    naps = iter([0.3, 0.05, 0.05])
    job = probe.Job(2.0, 1, lambda: time.sleep(next(naps)))
    for _ in range(3):
        job.measure()
    assert 5 < job.speed <= 40
    assert job.core_speed > 10 * job.speed  # who sleeps does not work


@pytest.mark.parametrize(
    ("precision", "bf16", "wide", "width", "expected", "told"),
    [
        ("bf16", 0.08, None, 256, "fp32", "bf16 measured 0.08 x fp32 here: computing in fp32"),
        ("fp32", 1.9, None, 256, "bf16", "bf16 measured 1.9 x fp32 here: computing in bf16"),
        ("bf16", 0.9, None, 256, "bf16", ""),  # close calls stay as planned
        ("fp32", 1.1, None, 256, "fp32", ""),
        ("fp32", 0.6, 2.0, 96, "fp32", ""),  # 96 is nearer to 64 than to what is wide
        ("fp32", 0.6, 2.0, 300, "bf16", "bf16 measured 2 x fp32 here: computing in bf16"),
        ("fp32", 0.6, 2.0, 16, "fp32", ""),
        ("fp16", 0.6, None, 256, "fp16", ""),  # not measured on a CPU
    ],
)
def test_precision_goes_by_what_was_measured(
    precision: str, bf16: float, wide: float | None, width: int, expected: str, told: str
) -> None:
    settled, notes = overrule(planned(precision=precision), width, found(bf16=bf16, wide=wide))
    assert (settled.precision, "; ".join(notes)) == (expected, told)


@pytest.mark.parametrize(
    ("planned_one", "bf16", "expected"), [("bf16", 0.5, "bf16"), ("fp16", 0.5, "fp16"), ("fp32", 2.0, "bf16")]
)
def test_a_gpu_keeps_the_16_bits_that_were_planned(
    planned_one: str, bf16: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer of the probe is too little for it to show what they are worth."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    figures = {"step fp32 cuda 256": 100.0, "step fp16 cuda 256": 50.0, "step bf16 cuda 256": 100.0 * bf16}
    plan = planned(device="cuda", precision=planned_one)
    assert overrule(plan, 256, Findings(figures, ""))[0].precision == expected


def test_measuring_draws_no_random_numbers_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Any] = {}

    class Enough(Exception):
        pass

    def fork_rng(**given: Any) -> None:
        kept.update(given)
        raise Enough

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 3)
    monkeypatch.setattr(torch.random, "fork_rng", fork_rng)
    with pytest.raises(Enough):
        probe.measure(0.0)
    assert kept == {"devices": [3]}


@pytest.mark.parametrize(
    ("threads", "two", "expected", "told"),
    [
        (2, 0.4, 1, "2 threads measured 0.4 x of 1: training on 1"),
        (2, 0.9, 2, ""),
        (1, 1.9, 2, "1 thread measured 0.53 x of 2: training on 2"),
        (1, 1.2, 1, ""),
        (64, 0.4, 1, "2 threads measured 0.4 x of 1: training on 1"),  # more than there are
    ],
)
def test_threads_go_by_what_was_measured(threads: int, two: float, expected: int, told: str) -> None:
    settled, notes = overrule(planned(threads=threads), 256, found(two=two))
    assert (settled.threads, "; ".join(notes)) == (expected, told)


def test_one_figure_that_jumped_on_a_busy_machine_changes_nothing() -> None:
    measured = found(two=1.0)
    measured.figures["step fp32 2 256"] *= 2
    assert overrule(planned(threads=1), 256, measured) == (planned(threads=1), [])


def test_threads_named_in_the_environment_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert overrule(planned(threads=2), 256, found(two=0.4)) == (planned(threads=2), [])


def test_a_compiler_that_fails_is_not_called() -> None:
    settled, notes = overrule(planned(compile=True), 256, found(compiler="Python.h: No such file or directory"))
    assert not settled.compile
    assert "Python.h" in notes[0]
    assert overrule(planned(compile=True), 256, found())[0].compile


def test_the_compiler_is_really_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if probe.find_compiler("cpu") is None:
        pytest.skip("no compiler is installed here")
    monkeypatch.setattr(probe.sysconfig, "get_path", lambda _: str(tmp_path))
    assert "Python.h" in probe.compiler_trouble()
    (tmp_path / "Python.h").write_text("", encoding="ascii")
    assert probe.compiler_trouble() == ""


def test_it_is_measured_once_and_told(count: list[int], tmp_path: Path) -> None:
    notes = [probe.settle(planned(precision="bf16"), 256, tmp_path).note for _ in range(2)]
    assert len(count) == 1
    assert notes == ["bf16 measured 0.08 x fp32 here: computing in fp32"] * 2
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_what_was_measured_counts_more_than_what_the_processor_lists(tmp_path: Path) -> None:
    keep(found(bf16=1.9, two=0.4), tmp_path / FILE)
    dev = probe.settle(planned(), 256, tmp_path)
    assert (dev.precision, dev.dtype, torch.get_num_threads()) == ("bf16", torch.bfloat16, 1)
    assert dev.note == "bf16 measured 1.9 x fp32 here: computing in bf16; 2 threads measured 0.4 x of 1: training on 1"


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"KEY": {"figures": {}}}', '{"KEY": {"figures": {"a": "b"}}}'])
def test_a_damaged_file_is_measured_anew(count: list[int], tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text.replace("KEY", this_machine()), encoding="utf-8")
    probe.settle(planned(), 256, tmp_path)
    assert len(count) == 1
    assert kept(tmp_path / FILE) == found(bf16=0.08)


def test_another_machine_or_torch_measures_for_itself(
    count: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(found(two=3.0), tmp_path / FILE)
    first = this_machine()
    monkeypatch.setattr(torch, "__version__", "99.0")
    probe.settle(planned(), 256, tmp_path)
    assert len(count) == 1
    assert set(json.loads((tmp_path / FILE).read_text(encoding="utf-8"))) == {first, this_machine()}


def test_a_folder_that_cannot_be_written_is_no_trouble(count: list[int], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert probe.settle(planned(precision="bf16"), 256, tmp_path / "file" / "runs").precision == "fp32"
    assert len(count) == 1


def test_who_says_no_keeps_the_plan(count: list[int], tmp_path: Path) -> None:
    keep(found(bf16=1.9, two=0.4), tmp_path / FILE)
    dev = probe.settle(planned(probe=False), 256, tmp_path)
    assert (dev.precision, dev.note, count) == ("fp32", None, [])


def test_processes_that_train_together_do_not_measure_each_other(
    count: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    probe.settle(planned(), 256, tmp_path)
    assert count == []
    keep(found(bf16=1.9), tmp_path / FILE)
    assert probe.settle(planned(), 256, tmp_path).precision == "bf16"
