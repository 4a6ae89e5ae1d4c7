"""Settings and errors are told in a line, metrics are not lost, and Ctrl-C is heard."""

from __future__ import annotations

import dataclasses
import errno
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime import settings
from runtime.core import (
    Metrics,
    Progress,
    StopRequest,
)
from runtime.settings import ConfigError, load_config, main_guard, setting


def test_no_room_to_write_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise OSError(errno.ENOSPC, "No space left on device")  # of a write, which names no file

    with pytest.raises(SystemExit):
        main_guard(main)
    assert capsys.readouterr().err.startswith("error: no room to write (No space left on device); make some.")


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
