"""The dropout for CPUs drops what it should, evenly, and nothing when the model is used."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from runtime.core import choose_device
from runtime.dropout import QuickDropout, drop, quicken_dropout, recomputing

CPU = choose_device("cpu", "fp32")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_goes_and_the_mean_stays(share: float) -> None:
    torch.manual_seed(1)
    values = torch.ones(499, 401, requires_grad=True)  # not a multiple of four
    dropped = drop(values, share)
    assert ((dropped == 0) | (dropped == 1 / (1 - share))).all()
    gone = dropped == 0
    assert gone.float().mean().item() == pytest.approx(share, abs=0.005)
    for lane in range(4):  # that share one drawn number
        assert gone.flatten()[lane::4].float().mean().item() == pytest.approx(share, abs=0.01)
    neighbours = (gone.flatten()[1:] & gone.flatten()[:-1]).float().mean().item()
    assert neighbours == pytest.approx(share**2, abs=0.01)  # none follows another's fate
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, dropped)  # the gradient passes where the value did


def test_the_seed_decides_and_every_call_differs() -> None:
    values = torch.ones(1000)
    torch.manual_seed(1)
    first, second = drop(values, 0.5), drop(values, 0.5)
    torch.manual_seed(1)
    assert torch.equal(drop(values, 0.5), first)
    assert not torch.equal(first, second)


def test_it_takes_the_place_of_torchs_in_training_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Dropout(0.5)), nn.Dropout(0.0)).eval()
    values = torch.randn(64, 4)
    expected = model(values)
    quicken_dropout(model, CPU)
    assert [(part.p, part.training) for part in model.modules() if isinstance(part, QuickDropout)] == [
        (0.5, False),
        (0.0, False),
    ]
    assert torch.equal(model(values), expected)
    assert not torch.equal(model.train()(values), expected)


@pytest.mark.parametrize("elsewhere", [{"device": torch.device("cuda")}, {"compile": True}])
def test_elsewhere_torchs_own_is_quicker(elsewhere: dict[str, object]) -> None:
    model = nn.Sequential(nn.Dropout(0.5))
    quicken_dropout(model, dataclasses.replace(CPU, **elsewhere))
    assert type(model[0]) is nn.Dropout


def test_a_layer_that_apples_gpu_computes_again_drops_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator()  # torch brings back the CPU's own numbers by itself, and these as little as Apple's
    monkeypatch.setattr(torch.mps, "get_rng_state", generator.get_state)
    monkeypatch.setattr(torch.mps, "set_rng_state", generator.set_state)
    values = torch.ones(1000, requires_grad=True)
    given = recomputing(torch.device("mps"))
    dropped = [
        checkpoint(lambda x: x * (torch.rand(1000, generator=generator) > 0.5), values, use_reentrant=False, **given)
        for _ in range(2)
    ]
    after = generator.get_state()
    sum(dropped).sum().backward()
    assert torch.equal(values.grad, sum(dropped))
    assert not torch.equal(*dropped)
    assert torch.equal(generator.get_state(), after)
    assert recomputing(torch.device("cuda")) == {}
