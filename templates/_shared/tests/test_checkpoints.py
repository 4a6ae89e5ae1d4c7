"""Checkpoints are whole, come back as they were, and a damaged one is explained."""

from __future__ import annotations

import errno
import random
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from runtime import checkpoints
from runtime.checkpoints import load_checkpoint, read_checkpoint, save_checkpoint, write_state
from runtime.settings import UserError


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
