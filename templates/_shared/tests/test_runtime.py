"""Checkpoints are whole, metrics are not lost, Ctrl-C is heard, and what a machine lacks is replaced."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import signal
import subprocess
import sys
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime import checkpoints, settings
from runtime.checkpoints import load_checkpoint, read_checkpoint, save_checkpoint, write_state
from runtime.core import (
    Device,
    Metrics,
    Progress,
    StopRequest,
    autocast,
    choose_device,
    fit_micro_batch,
    scaler_for,
    set_threads,
)
from runtime.peak import give_back
from runtime.settings import ConfigError, UserError, load_config, main_guard, setting


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


@pytest.mark.parametrize(
    ("capability", "triton", "asked", "precision", "compiled", "told"),
    [
        ((8, 9), True, "bf16", "bf16", True, ""),
        ((8, 9), False, "bf16", "bf16", False, "Triton is not installed here"),  # as on Windows
        ((7, 5), True, "fp16", "fp16", True, ""),
        ((7, 5), True, "bf16", "fp16", True, "bf16, which does not suit this cuda: computing in fp16"),
        ((6, 1), True, "fp16", "fp32", False, "fp16, which does not suit this cuda: computing in fp32"),
        ((6, 1), True, "fp32", "fp32", False, "this GPU is too old for it"),
    ],
)
def test_a_gpu_that_is_older_than_planned_gets_what_suits_it(
    monkeypatch: pytest.MonkeyPatch,
    capability: Any,
    triton: Any,
    asked: str,
    precision: str,
    compiled: bool,
    told: str,
) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: capability >= (8, 0))
    monkeypatch.setattr("runtime.core.find_compiler", lambda _: "gcc")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: triton or None)
    device = choose_device("cuda", asked, compile=True, measured=True)
    assert (device.precision, device.compile) == (precision, compiled)
    assert told in (device.note or "")
    assert bool(told) == bool(device.note)


def test_intels_gpus_compute_in_bf16_where_another_would_in_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GradScaler takes numbers of 64 bits, and Arc cards have none."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("xpu"))
    assert choose_device("cuda", "fp16").precision == "bf16"


def test_a_gpu_that_does_not_tell_its_free_memory_is_taken_at_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def says_nothing() -> tuple[int, int]:
        raise RuntimeError("The device doesn't support querying the available free memory.")

    monkeypatch.setattr(torch, "get_device_module", lambda _: types.SimpleNamespace(mem_get_info=says_nothing))
    device = Device(torch.device("xpu"), "bf16", torch.bfloat16, None)
    assert fit_micro_batch(64, 32, lambda size: 10**9 * size, device) == 32


def test_what_an_earlier_training_left_on_a_gpu_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainer and schedule know each other, so without the collector a trial's model stays beside the next one's."""

    class Knot:
        def __init__(self) -> None:
            self.itself = self

    knot, found = weakref.ref(Knot()), []
    module = types.SimpleNamespace(empty_cache=lambda: found.append(knot()))
    monkeypatch.setattr(torch, "get_device_module", lambda _: module)
    give_back(torch.device("cuda"))
    assert found == [None]


def test_threads_are_set_unless_the_environment_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.core.usable_threads", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        assert [set_threads(1), set_threads(0), set_threads(64)] == [1, 1, 2]
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        assert set_threads(1) == 2
    finally:
        torch.set_num_threads(before)


def test_only_fp16_needs_its_loss_scaled() -> None:
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    for precision, dtype in dtypes.items():
        device = Device(torch.device("cpu"), precision, dtype, None)
        assert scaler_for(device).is_enabled() == (precision == "fp16")
        with autocast(device):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_the_micro_batch_shrinks_to_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(torch.device("cpu"), "fp32", torch.float32, None)
    monkeypatch.setattr("runtime.core.free_memory", lambda _: 1000)
    assert fit_micro_batch(64, 64, lambda size: size, device) == 64
    assert fit_micro_batch(64, 64, lambda size: 40 * size, device) == 16
    assert fit_micro_batch(12, 8, lambda size: size, device) == 6
    assert fit_micro_batch(64, 64, lambda size: 10**6, device) == 1
    monkeypatch.setattr("runtime.core.free_memory", lambda _: None)
    assert fit_micro_batch(64, 32, lambda size: 10**6, device) == 32


def test_no_room_to_write_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise OSError(errno.ENOSPC, "No space left on device")  # of a write, which names no file

    with pytest.raises(SystemExit):
        main_guard(main)
    assert capsys.readouterr().err.startswith("error: no room to write (No space left on device); make some.")


def save(path: Path, step: int, also: Callable[[Path], object] | None = None) -> torch.nn.Module:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    save_checkpoint(path, model=model, step=step, extra={"word": "가"}, also=also, optimizer=optimizer)
    return model


def test_a_checkpoint_waits_for_who_has_it_open_and_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is on Windows, where a folder with an open file keeps its name."""
    rename, refused = Path.rename, [True] * 3

    def renamed(folder: Path, target: Path) -> Path:
        if refused:
            refused.pop()
            raise PermissionError(errno.EACCES, "Access is denied", str(folder))
        return rename(folder, target)

    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(checkpoints, "PAUSE", 0.0)
    save(tmp_path / "last", 7)
    refused += [True] * 3
    save(tmp_path / "last", 8)
    assert read_checkpoint(tmp_path / "last")[0] == 8
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
    refused += [True] * 1000
    with pytest.raises(UserError, match=r"another program has it open.* whole, in .*last\.new: rename it to last"):
        save(tmp_path / "last", 9)
    assert read_checkpoint(tmp_path / "last")[0] == 8
    assert read_checkpoint(tmp_path / "last.new")[0] == 9


def test_the_line_at_a_terminal_is_kept_up_to_date_without_control_sequences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not every console of Windows' obeys them."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress(10)
    progress.every = 0.0
    progress.update(1, 1234.5, 1000, seconds_left=6000)
    progress.update(2, 1.5, 1)
    progress.say("saved")
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    first, second, blank, rest = shown.split("\r")[1:]
    assert len(first) == len(second)
    assert len(blank) == len(second.rstrip())
    assert (blank.strip(), rest) == ("", "")


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    model, other = save(tmp_path / "last", 7), torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(other.parameters())
    torch.manual_seed(5)
    save_checkpoint(tmp_path / "last", model=model, step=8, extra={"word": "나"}, optimizer=optimizer)
    expected, dice = torch.rand(1), random.random()
    assert load_checkpoint(tmp_path / "last", model=other, optimizer=optimizer) == (8, {"word": "나"})
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(torch.rand(1), expected)
    assert random.random() == dice
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_run_goes_on_in_fp16_that_began_without(tmp_path: Path) -> None:
    """On rented machines the next one may have another GPU, or one at all. A scaler that is off has no state."""
    model = torch.nn.Linear(2, 2)
    off, on = (torch.amp.GradScaler("cpu", enabled=enabled) for enabled in (False, True))
    for before, after in ((off, on), (on, off)):
        save_checkpoint(tmp_path / "last", model=model, step=8, extra={}, scaler=before)
        assert load_checkpoint(tmp_path / "last", model=model, scaler=after)[0] == 8
    assert on.get_scale() > 1


def test_the_random_numbers_of_a_gpu_are_kept_under_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an NVIDIA card's generator needs is 16 bytes, an Apple GPU's has thousands: neither takes the other's."""
    generator = torch.Generator()
    monkeypatch.setattr(torch, "get_device_module", lambda _: types.SimpleNamespace(get_rng_state=generator.get_state))
    write_state(tmp_path, torch.device("mps"), 1, {}, {})
    kept = torch.load(tmp_path / "state.pt", weights_only=True)["random"]
    assert torch.equal(kept["mps"], generator.get_state())


def test_a_failed_save_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    save(tmp_path / "last", 7)

    def disk_full(folder: Path) -> None:
        (folder / "half").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"is the disk full.*No space left"):
        save(tmp_path / "last", 8, also=disk_full)
    assert read_checkpoint(tmp_path / "last")[0] == 7
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_killed_between_the_two_renames_the_former_checkpoint_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "last", 7)
    rename = Path.rename

    def dies_at_the_second(path: Path, to: Path) -> Path:
        if path.name == "last.new":
            raise KeyboardInterrupt
        return rename(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path / "last", 8)
    assert not (tmp_path / "last").exists()
    assert read_checkpoint(tmp_path / "last")[0] == 7
    save(tmp_path / "last", 8)
    assert read_checkpoint(tmp_path / "last")[0] == 8


def test_a_missing_or_foreign_checkpoint_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.py first"):
        read_checkpoint(tmp_path / "last")
    save(tmp_path / "last", 7)
    with pytest.raises(UserError, match="does not fit"):
        load_checkpoint(tmp_path / "last", model=torch.nn.Linear(3, 3))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *(("model.safetensors", content) for content in (b"", b"nothing")),
        *(("state.pt", content) for content in (b"", b"nothing", b"junk\n", b"PK\x03\x04")),
        *(("checkpoint.json", content) for content in (b"", b"[]", b"{}", b"\xff")),
    ],
)
def test_a_damaged_checkpoint_is_explained(tmp_path: Path, file: str, content: bytes) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    save_checkpoint(tmp_path / "last", model=model, step=8, extra={}, optimizer=optimizer)
    (tmp_path / "last" / file).write_bytes(content)
    with pytest.raises(UserError, match="is damaged or") as error:
        load_checkpoint(tmp_path / "last", model=model, optimizer=optimizer)
    assert len(str(error.value)) < 500
    assert not str(error.value)[-1].isdigit()  # what torch says of a foreign file may be a number alone


@pytest.mark.parametrize("file", ["state.pt", "model.safetensors"])
def test_a_part_of_a_checkpoint_that_is_missing_is_named(tmp_path: Path, file: str) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    save_checkpoint(tmp_path / "last", model=model, step=8, extra={}, optimizer=optimizer)
    (tmp_path / "last" / file).unlink()
    with pytest.raises(UserError, match=rf"is damaged .* train anew: .*{file}"):
        load_checkpoint(tmp_path / "last", model=model, optimizer=optimizer)


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


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"), lambda: torch.empty(10**15)]
)
def test_too_little_memory_is_told_in_one_line(error: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        if isinstance(error, Exception):
            raise error
        error()

    with pytest.raises(SystemExit) as ended:
        main_guard(main)
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith("error: not enough memory")
    assert said.count("\n") == 1


def test_other_errors_keep_their_traceback() -> None:
    def main() -> None:
        raise RuntimeError("a mistake in the program")

    with pytest.raises(RuntimeError, match="a mistake"):
        main_guard(main)


def test_an_interrupted_script_says_so_by_its_exit_code() -> None:
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        main_guard(main)
    assert ended.value.code == 130


@dataclasses.dataclass(frozen=True)
class Part:
    size: int = setting(minimum=1, maximum=9)
    kind: str = setting(choices=("this", "that"))
    on: bool


@dataclasses.dataclass(frozen=True)
class Whole:
    part: Part


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("size = 5", "size = 10", r"part\.size must be at least 1 and at most 9, not 10"),
        ("size = 5", "size = 0", r"part\.size must be at least 1"),
        ("size = 5", "size = 5.0", r"part\.size must be of type int, not float"),
        ("size = 5", "size = true", r"part\.size must be of type int, not bool"),
        ("size = 5", "", r"part\.size is missing"),
        ("size = 5", "size = 5\nsise = 5", r"unknown part\.sise; the nearest known name is part\.size"),
        ("this", "those", r"part\.kind must be one of this, that, not those"),
        ("[part]", "[part", "is not valid TOML"),
        ("this", r"C:\Users", r"is not valid TOML.*in a path write / for each \\"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    file, right = tmp_path / "settings.toml", '[part]\nsize = 5\nkind = "this"\non = true\n'
    file.write_text(right, encoding="utf-8")
    assert load_config(file, Whole) == Whole(Part(5, "this", True))
    file.write_text(right.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=complaint):
        load_config(file, Whole)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("KeyboardInterrupt", False),
        ("ModuleNotFoundError(name='torch')", False),
        ("ModuleNotFoundError(name='mine')", True),
        ("ValueError", True),
    ],
)
def test_ctrl_c_or_no_torch_while_a_script_still_loads_is_no_traceback(error: str, told: bool) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", f"import runtime.settings\nraise {error}"],
        cwd=Path(settings.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode != 0
    assert ("Traceback" in answer.stderr) == told
    assert ("error: torch is not installed" in answer.stderr) == ("torch" in error)
