"""Settings are checked, checkpoints are whole, Ctrl-C is heard."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from config import read_config
from runtime.checkpoints import load_checkpoint, read_checkpoint, save_checkpoint
from runtime.core import Device, Metrics, StopRequest, choose_device, fit_micro_batch
from runtime.settings import ConfigError, UserError

PROJECT_CONFIG = Path(__file__).parent.parent / "config.toml"


@pytest.fixture
def text() -> str:
    return PROJECT_CONFIG.read_text(encoding="utf-8")


def test_the_projects_own_settings_are_valid() -> None:
    assert read_config(PROJECT_CONFIG).train.steps > 0


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("\nd_model =", "\nd_modle =", r"unknown model\.d_modle; the nearest known name is model\.d_model"),
        ("\nsteps =", "\n# steps =", r"train\.steps is missing"),
        ("\nsteps =", "\nsteps = true #", r"train\.steps must be of type int, not bool"),
        ("\nsteps =", "\nsteps = 0 #", r"train\.steps must be at least 1, not 0"),
        ("\ndropout =", "\ndropout = 2 #", r"model\.dropout must be at least 0\.0 and at most 0\.9"),
        ("\ndropout =", "\ndropout = nan #", r"model\.dropout must be"),
        ("\npositions =", '\npositions = "none" #', r"model\.positions must be one of sinusoidal, learned"),
        ("\nheads =", "\nheads = 7 #", r"model: d_model \(\d+\) must be even and a multiple of heads"),
        ("[data]", "[date]", r"unknown section date; the nearest known name is section data"),
        ("[data]", "[data", r"not valid TOML"),
    ],
)
def test_a_wrong_setting_is_named(text: str, tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "config.toml"
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=complaint):
        read_config(path)


def test_missing_settings_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_config(tmp_path / "config.toml")


def test_a_device_that_is_not_there_is_replaced_and_said() -> None:
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")
    device = choose_device("cuda", "fp16")
    assert (device.device.type, device.precision) == ("cpu", "fp32")
    assert device.note is not None
    assert "cuda" in device.note
    assert "fp16" in device.note
    assert choose_device("cpu", "fp32").note is None


def test_without_a_compiler_it_runs_uncompiled_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    device = choose_device("cpu", "fp32", compile=True)
    assert not device.compile
    assert "no C++ compiler" in (device.note or "")
    compiler = tmp_path / ("cl.exe" if os.name == "nt" else "g++")
    compiler.write_text("#!/bin/sh\n", encoding="utf-8")
    compiler.chmod(0o755)
    assert choose_device("cpu", "fp32", compile=True).compile


def test_the_micro_batch_shrinks_to_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(torch.device("cpu"), "fp32", torch.float32, None)
    monkeypatch.setattr("runtime.core.free_memory", lambda _: 1000)
    assert fit_micro_batch(64, 64, lambda size: size, device) == 64
    assert fit_micro_batch(64, 64, lambda size: 40 * size, device) == 16
    assert fit_micro_batch(12, 8, lambda size: size, device) == 6
    assert fit_micro_batch(64, 64, lambda size: 10**6, device) == 1
    monkeypatch.setattr("runtime.core.free_memory", lambda _: None)
    assert fit_micro_batch(64, 32, lambda size: 10**6, device) == 32


def save(path: Path, step: int, also: Callable[[Path], object] | None = None) -> torch.nn.Module:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    save_checkpoint(path, model=model, step=step, extra={"word": "가"}, also=also, optimizer=optimizer)
    return model


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    model, other = save(tmp_path / "last", 7), torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(other.parameters())
    torch.manual_seed(5)
    save_checkpoint(tmp_path / "last", model=model, step=8, extra={"word": "나"}, optimizer=optimizer)
    expected = torch.rand(1)
    assert load_checkpoint(tmp_path / "last", model=other, optimizer=optimizer) == (8, {"word": "나"})
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(torch.rand(1), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_failed_save_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    save(tmp_path / "last", 7)

    def disk_full(folder: Path) -> None:
        (folder / "half").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"is the disk full.*No space left"):
        save(tmp_path / "last", 8, also=disk_full)
    assert read_checkpoint(tmp_path / "last")[0] == 7
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_killed_between_the_two_renames_the_former_checkpoint_is_found(tmp_path: Path) -> None:
    save(tmp_path / "last", 7)
    (tmp_path / "last").rename(tmp_path / "last.old")
    assert read_checkpoint(tmp_path / "last")[0] == 7
    save(tmp_path / "last", 8)
    assert read_checkpoint(tmp_path / "last")[0] == 8


def test_a_missing_or_foreign_checkpoint_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.py first"):
        read_checkpoint(tmp_path / "last")
    save(tmp_path / "last", 7)
    with pytest.raises(UserError, match="does not fit"):
        load_checkpoint(tmp_path / "last", model=torch.nn.Linear(3, 3))


def test_the_first_ctrl_c_asks_and_the_second_ends() -> None:
    with StopRequest() as request:
        assert not request.requested
        signal.raise_signal(signal.SIGINT)
        assert request.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_step_that_was_repeated_counts_once(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.write(step=1, train_loss=3.0)
    metrics.write(step=2, train_loss=2.0)
    again = Metrics(tmp_path / "metrics.jsonl", resume=True)
    again.write(step=2, train_loss=1.0)
    again.write(step=2, score=50.0)
    assert again.rows() == [{"step": 1, "train_loss": 3.0}, {"step": 2, "train_loss": 1.0, "score": 50.0}]
    assert len([json.loads(line) for line in again.path.read_text(encoding="utf-8").splitlines()]) == 4


def test_what_a_killed_run_wrote_after_its_checkpoint_is_dropped(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        metrics.write(step=step, train_loss=1.0)
    with metrics.path.open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "tra')
    assert [row["step"] for row in metrics.rows()] == [1, 2, 3]
    assert [row["step"] for row in Metrics(metrics.path, resume=True, step=2).rows()] == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
