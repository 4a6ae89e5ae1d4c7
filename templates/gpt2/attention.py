"""Attention with dropout for training on a CPU, where torch's own also computes the half that the causal mask hides."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from runtime.core import Device
from runtime.dropout import drop, quicken_dropout

NAME = "blocks"
BLOCK = 64  # positions that look back together


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """[B, heads, T, D] queries, keys and values -> [B, T, heads, D]: each position from itself and those before it.

    A block of positions meets the keys up to its own end, so about half of the products are never computed. Without
    dropout, or with a mask of its own, it is torch's attention.
    """
    if dropout == 0 or attention_mask is not None or query.shape != key.shape or not module.is_causal:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
    length, scale = query.shape[2], query.shape[-1] ** -0.5 if scaling is None else scaling
    # Laid out text by text, a product takes a part of them as it is; else it would copy that, and keep the copy.
    query, key, value = (query * scale).contiguous(), key.contiguous(), value.contiguous()
    later = query.new_full((BLOCK, BLOCK), -math.inf).triu(1)
    blocks = []
    for begin in range(0, length, BLOCK):
        end = min(begin + BLOCK, length)
        scores = query[:, :, begin:end] @ key[:, :, :end].transpose(2, 3)
        scores[..., begin:] += later[: end - begin, : end - begin]
        blocks.append(drop(scores.softmax(-1, dtype=torch.float32).to(value.dtype), dropout) @ value[:, :, :end])
    return torch.cat(blocks, 2).transpose(1, 2), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def quicken(model: Any, dev: Device) -> None:
    """Have a GPT-2's dropout, that of its attention too, computed the way that is quick on a CPU."""
    quicken_dropout(model, dev)
    if dev.device.type == "cpu" and not dev.compile and model.config.model_type == "gpt2":
        model.set_attn_implementation(NAME)
