"""What the user says of a machine, by flag and by environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scaffold.errors import UsageError
from scaffold.hardware.machine import GIB, Accelerator, Cpu, Machine, Memory
from scaffold.hardware.overrides import apply, parse, size
from tests.conftest import Answer

Scaffold = Callable[..., Answer]
HERE = Machine(
    os="linux",
    cpu=Cpu(logical_cores=8, usable_cores=8),
    memory=Memory(32 * GIB, 30 * GIB),
    accelerators=(Accelerator("nvidia", "NVIDIA L4", 22 * GIB, 21 * GIB, "8.9"),),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8", 8 * GIB), ("8GB", 8 * GIB), ("8 gib", 8 * GIB), ("7.5g", int(7.5 * GIB)), ("512MB", GIB // 2),
     ("1T", 1024 * GIB), ("-1", None), ("", None), ("GB", None), ("8 apples", None), ("1e3", None)],
)  # fmt: skip
def test_sizes(text: str, expected: int | None) -> None:
    assert size(text) == expected


def test_no_gpu_and_another_one() -> None:
    assert apply(HERE, {"gpu": "none"}).accelerators == ()
    (card,) = apply(HERE, {"driver": "570.86", "gpu": "rtx-4090", "gpus": "2"}).accelerators
    assert (card.name, card.driver, card.count) == ("NVIDIA GeForce RTX 4090", "570.86", 2)
    (named,) = apply(HERE, {"gpu": "NVIDIA GeForce RTX 3060", "gpu-memory": "12GB"}).accelerators
    assert (named.compute_capability, named.memory_bytes) == ("8.6", 12 * GIB)


def test_limits() -> None:
    machine = apply(HERE, {"memory": "8GB", "cores": "2", "gpu-memory": "10GB"})
    assert (machine.usable_memory_bytes, machine.memory.available_bytes) == (8 * GIB, 8 * GIB)
    assert machine.cpu.usable_cores == 2
    assert (machine.accelerators[0].memory_bytes, machine.accelerators[0].memory_free_bytes) == (10 * GIB, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [("gpu", "rtx-409O"), ("gpu", "cpu-8gb"), ("gpus", "0"), ("gpus", "many"), ("gpu-memory", "-1"), ("memory", "lots"),
     ("memory", "0"), ("cores", "0"), ("cores", "99999"), ("driver", "new"), ("capability", "89"), ("gfx", "1100"),
     ("os", "beos"), ("python", "three"), ("arch", "x 86"), ("libc", "")],
)  # fmt: skip
def test_what_cannot_be_is_refused(key: str, value: str) -> None:
    with pytest.raises(UsageError) as error:
        apply(HERE, {key: value})
    assert error.value.hint


def test_a_figure_for_a_card_needs_a_card() -> None:
    with pytest.raises(UsageError, match="no GPU"):
        apply(Machine(), {"driver": "580.65"})


def test_the_flag_wins_over_the_environment_and_the_last_over_the_first() -> None:
    environ = {"SCAFFOLD_HARDWARE": "gpu=none, memory=4GB"}
    assert parse(["memory=8GB", "memory=16GB"], environ) == {"gpu": "none", "memory": "16GB"}
    assert parse(["gpu=none, memory=4GB"]) == parse([], environ)


@pytest.mark.parametrize("text", ["memory", "memory=", "=8", "ram=8GB"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse([text])
    with pytest.raises(UsageError, match="SCAFFOLD_HARDWARE"):
        parse([], {"SCAFFOLD_HARDWARE": text})


def test_on_the_command_line(scaffold: Scaffold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = scaffold("hardware", "--with", "gpu=rtx-3060", "--with", "driver=580.65", "--json").json
    assert [card["name"] for card in answer["machine"]["accelerators"]] == ["NVIDIA GeForce RTX 3060"]
    assert any("gpu=rtx-3060, driver=580.65" in note for note in answer["machine"]["notes"])
    plan = scaffold("plan", "transformer", "--with", "gpu=none", "--with", "memory=2GB", "--json")
    assert plan.json["settings"]["device"] == "cpu"
    assert scaffold("hardware", "--with", "ram=8GB").code == 2
    monkeypatch.setenv("SCAFFOLD_HARDWARE", "gpu=none")
    assert scaffold("hardware", "--target", "h100", "--json").json["machine"]["accelerators"] == []
    recorded = scaffold("hardware", "--record", tmp_path / "here", "--json").json
    assert not any("Set by you" in note for note in recorded["machine"]["notes"])


def test_a_target_from_the_environment(scaffold: Scaffold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAFFOLD_TARGET", "colab-t4")
    assert scaffold("plan", "transformer", "--json").json["target"] == "colab-t4"
    assert scaffold("plan", "transformer", "--target", "h100", "--json").json["target"] == "h100"
    (tmp_path / "platform.json").write_text('{"os": "linux"}', "utf-8")
    answer = scaffold("hardware", "--from", tmp_path, "--json")
    assert (answer.code, answer.json["machine"]["accelerators"]) == (0, [])
