"""The memory that training takes is predicted, and the report says how well."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from conftest import MakeConfig

from runtime.peak import PeakMemory
from train import Run


def test_the_report_compares_the_run_with_its_prediction(make_config: MakeConfig, tmp_path: Path) -> None:
    run = Run(make_config(train={"steps": 3}), tmp_path / "runs")
    run.train(lambda: False)
    report = run.memory_report()
    assert "predicted" in report
    if sys.platform == "linux" and run.dev.device.type == "cpu":
        assert re.search(r"at most [\d,]+ MB in training, predicted [\d,]+ MB \([+-]\d+%\)", report)


def test_more_pairs_and_longer_ones_take_more(make_config: MakeConfig, tmp_path: Path) -> None:
    run = Run(make_config(), tmp_path)
    model = run.trainer.model
    sizes = [run.training_bytes(model, pairs, length) for pairs, length in ((1, 8), (8, 8), (8, 16), (64, 16))]
    assert sizes == sorted(set(sizes))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process its peak")
def test_the_peak_is_the_most_that_was_held() -> None:
    peak = PeakMemory(torch.device("cpu"))
    torch.ones(64, 1024, 1024)  # 256 MB for a moment
    peak.stop()
    first = peak.most
    torch.ones(128, 1024, 1024)
    peak.stop()
    assert first is not None
    assert first - peak.before > 128 * 1024**2
    assert peak.most == first


def test_a_run_without_an_update_has_nothing_measured() -> None:
    assert PeakMemory(torch.device("cpu")).report(0).endswith("not measured, for no update was left to make")
