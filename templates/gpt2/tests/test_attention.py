"""Attention in blocks is the attention that torch computes; only which weights are dropped is chance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from attention import BLOCK, NAME, attend, quicken
from runtime.core import choose_device

CAUSAL = SimpleNamespace(is_causal=True, training=True)
NEARLY_NONE = 1e-9  # rounded to no dropout at all, but computed in blocks


@pytest.mark.parametrize("length", [1, BLOCK, BLOCK + 1, 3 * BLOCK - 5])
def test_it_is_torchs_attention(length: int) -> None:
    torch.manual_seed(1)
    query, key, value, above = torch.randn(4, 2, 3, length, 8).unbind()
    ours, theirs = ([part.clone().requires_grad_() for part in (query, key, value)] for _ in range(2))
    found, _ = attend(CAUSAL, *ours, None, dropout=NEARLY_NONE, scaling=0.3)
    expected = scaled_dot_product_attention(*theirs, is_causal=True, scale=0.3)
    torch.testing.assert_close(found.transpose(1, 2), expected)
    found.backward(above.transpose(1, 2))
    expected.backward(above)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_weights_are_dropped_and_the_others_count_more() -> None:
    torch.manual_seed(1)
    length = 2 * BLOCK
    query, value = torch.zeros(8, 4, length, length), torch.eye(length).expand(8, 4, length, length)
    weights = attend(CAUSAL, query, query, value, None, dropout=0.25)[0].transpose(1, 2)
    allowed = torch.ones(length, length, dtype=torch.bool).tril()
    assert (weights[..., ~allowed] == 0).all()
    assert (weights == 0)[..., allowed].float().mean().item() == pytest.approx(0.25, abs=0.01)
    equal = (1 / torch.arange(1, length + 1.0)).view(-1, 1).expand(length, length)
    kept = weights != 0
    torch.testing.assert_close(weights[kept], (equal / 0.75).expand_as(weights)[kept])


def test_no_copy_of_keys_and_values_is_kept_for_each_block() -> None:
    """Queries, keys and values as GPT-2 hands them over: parts of one tensor, [B, T, heads, D] turned around."""
    length, width = 4 * BLOCK, 2 * 8
    made = torch.randn(3, length, 3 * width, requires_grad=True)
    query, key, value = (part.view(3, length, 2, 8).transpose(1, 2) for part in made.split(width, 2))
    kept: dict[int, int] = {}

    def keep(saved: torch.Tensor) -> torch.Tensor:
        kept[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        found, _ = attend(CAUSAL, query, key, value, None, dropout=0.25)
    keys = (length + BLOCK) // 2  # that a position meets, as runtime/memory.py counts them
    weights = 3 * 2 * keys  # each as softmax makes it, what is dropped, and the product
    assert sum(kept.values()) == 4 * 3 * length * (3 * width + weights)
    assert found.shape == (3, length, 2, 8)


def test_a_mask_of_ones_own_is_obeyed() -> None:
    query = torch.randn(1, 2, 6, 4)
    mask = torch.ones(1, 1, 6, 6, dtype=torch.bool).tril()
    mask[..., 0] = False
    mask[..., 0, 0] = True
    found, _ = attend(CAUSAL, query, query, query, mask, dropout=NEARLY_NONE)
    expected = scaled_dot_product_attention(query, query, query, attn_mask=mask)
    torch.testing.assert_close(found.transpose(1, 2), expected)


def test_a_quick_model_reads_and_writes_as_before(model: Any, tokenizer: Any) -> None:
    model.eval()
    batch = tokenizer(["once upon a time there", "once"], padding=True, return_tensors="pt")
    before = model(**batch).logits
    quicken(model, choose_device("cpu", "fp32"))
    assert model.config._attn_implementation == NAME
    torch.testing.assert_close(model(**batch).logits, before)
    model.train()
    torch.manual_seed(1)
    first = model(batch.input_ids).logits
    assert not torch.allclose(model(batch.input_ids).logits, first)
    assert "blocks" not in model.config.to_json_string()
