"""What a machine lacks is replaced by the nearest it has, and that is said."""

from __future__ import annotations

import os
import types
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime.core import (
    Device,
    autocast,
    choose_device,
    fit_micro_batch,
    scaler_for,
    set_threads,
)
from runtime.peak import give_back


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
