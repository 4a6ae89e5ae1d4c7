"""What the model must not get wrong: who may see whom, and where things stand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from conftest import SMALL
from torch import Tensor

from data import BOS, EOS, PAD
from model import Translator, sinusoids

SYMBOLS = 20


def build(**changes: Any) -> Translator:
    return Translator(dataclasses.replace(SMALL.model, **changes), SYMBOLS).eval()


def symbols(*shape: int) -> Tensor:
    return torch.randint(4, SYMBOLS, shape)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_target_position_sees_nothing_after_itself(norm_first: bool) -> None:
    model, source, target = build(norm_first=norm_first), symbols(2, 7), symbols(2, 8)
    changed = target.clone()
    changed[:, 5] = (target[:, 5] - 4 + 1) % (SYMBOLS - 4) + 4
    before, after = model(source, target), model(source, changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_order_matters_on_both_sides(positions: str) -> None:
    model, source, target = build(positions=positions), torch.arange(4, 11)[None], torch.arange(4, 12)[None]
    plain = model(source, target)
    assert not torch.allclose(plain, model(source.flip(1), target), atol=1e-4)
    swapped = target[:, [1, 0, *range(2, 8)]]
    assert not torch.allclose(plain[:, -1], model(source, swapped)[:, -1], atol=1e-4)


def test_positions_are_the_papers_waves() -> None:
    waves = sinusoids(50, 8)
    for position, pair in ((0, 0), (1, 0), (7, 1), (49, 3)):
        angle = position / 10000 ** (2 * pair / 8)
        expected = (math.sin(angle), math.cos(angle))
        assert waves[position, 2 * pair : 2 * pair + 2].tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_filler_changes_nothing(training: bool) -> None:
    model, source, target = build().train(training), symbols(1, 6), symbols(1, 5)
    beside_longer = torch.cat((source, torch.full((1, 4), PAD)), dim=1)
    beside_longer = torch.cat((beside_longer, symbols(1, 10)))
    answers = torch.cat((target, symbols(1, 5)))
    assert torch.allclose(model(source, target), model(beside_longer, answers)[:1], atol=1e-5)


def test_sizes_and_sharing() -> None:
    source, target = symbols(3, 6), symbols(3, 4)
    tied, own = build(tied_head=True), build(tied_head=False)
    assert tied(source, target).shape == own(source, target).shape == (3, 4, SYMBOLS)
    assert tied.head.weight is tied.embedding.weight
    assert own.head.weight is not own.embedding.weight


def test_every_setting_reaches_the_layers() -> None:
    model = build(encoder_layers=2, decoder_layers=3, heads=8, feedforward=48, dropout=0.3, positions="learned")
    encoder, decoder = model.transformer.encoder, model.transformer.decoder
    assert (len(encoder.layers), len(decoder.layers), len(model.layers)) == (2, 3, 5)
    assert (encoder.norm is None, decoder.norm is None) == (False, False)
    for layer in model.layers:
        assert (layer.self_attn.num_heads, layer.linear1.out_features, layer.norm_first) == (8, 48, True)
        assert layer.self_attn.dropout == layer.dropout.p == layer.dropout1.p == 0.3
    assert not build(norm_first=False).layers[0].norm_first
    assert model.positions.requires_grad
    assert bool((model.train().embed(symbols(2, 9)) == 0).any())  # dropout works on the embedding as well


@pytest.mark.parametrize(
    "changes", [{}, {"norm_first": False}, {"decoder_layers": 2, "tied_head": False, "positions": "learned"}]
)
def test_greedy_is_the_likeliest_symbol_again_and_again(changes: dict[str, Any]) -> None:
    model, source = build(**changes), symbols(4, 6)
    source[2, 4:] = PAD
    predicted = model.greedy(source)
    assert predicted.shape[1] == model.config.max_length  # untrained, it finds no end
    for row, answer in zip(source, predicted, strict=True):
        target = torch.tensor([[BOS]])
        for number in answer.tolist():
            if target[0, -1] == EOS:
                assert number == PAD
                continue
            likeliest = int(model(row[None], target)[0, -1].argmax())
            assert number == likeliest
            target = torch.cat((target, torch.tensor([[number]])), dim=1)


def test_recomputing_activations_gives_the_same_gradients() -> None:
    model, source, target = build().train(), symbols(2, 6), symbols(2, 5)
    model(source, target).sum().backward()
    plain = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
    model.zero_grad()
    model.recompute_activations()
    calls: list[int] = []
    model.layers[0].linear1.register_forward_hook(lambda *_: calls.append(1))
    model(source, target).sum().backward()
    again = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert len(calls) == 2
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(plain, again, strict=True))
