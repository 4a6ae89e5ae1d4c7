"""Translating symbol by symbol without computing anything twice.

In training the decoder sees a whole sentence at once. When it writes, each new symbol needs the attention keys and
values of all earlier ones, and those of the source: both stay what they are, so they are kept (a "KV cache") and only
the new symbol is computed. The weights are those of torch.nn.Transformer's layers, which have no such way themselves.

Shapes: B sentences, S source symbols, T symbols written so far, N decoder layers, H heads, W = D / H numbers per head.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

if TYPE_CHECKING:
    from model import Translator

PAD, BOS, EOS = 0, 1, 2  # as in data.py, which this file does without: it is exported


def read(model: Translator, source: Tensor) -> tuple[Tensor, Tensor]:
    """[B, S] source -> keys and values that each decoder layer will look at, [N, B, H, S, W] both."""
    memory = model.encode(source)
    pairs = [_heads(layer.multihead_attn, memory, "kv") for layer in model.transformer.decoder.layers]
    return torch.stack([keys for keys, _ in pairs]), torch.stack([values for _, values in pairs])


def write(
    model: Translator, symbols: Tensor, source: Tensor, across: tuple[Tensor, Tensor], own: tuple[Tensor, Tensor]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """[B] latest symbols -> [B, V] scores of the next ones, and `own` with one position more.

    `across` is what `read` gave, `own` the keys and values of what was written before, [N, B, H, T, W].
    """
    where = model.positions[own[0].shape[3]]
    hidden = (model.embedding(symbols) * math.sqrt(model.config.d_model) + where).unsqueeze(1)
    real = (source != PAD)[:, None, None]
    keys, values = [], []
    for layer, *kept in zip(model.transformer.decoder.layers, *across, *own, strict=True):
        hidden, key, value = _write_layer(layer, hidden, *kept, real)
        keys.append(key)
        values.append(value)
    scores = model.head(model.transformer.decoder.norm(hidden))[:, 0]
    return scores, (torch.stack(keys), torch.stack(values))


def _write_layer(
    layer: Any, hidden: Tensor, keys: Tensor, values: Tensor, own_keys: Tensor, own_values: Tensor, real: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One decoder layer on one new position: it looks back, across to the source, and thinks."""

    def before(norm: nn.LayerNorm) -> Tensor:
        return norm(hidden) if layer.norm_first else hidden

    def after(change: Tensor, norm: nn.LayerNorm) -> Tensor:
        return hidden + change if layer.norm_first else norm(hidden + change)

    query, key, value = _heads(layer.self_attn, before(layer.norm1), "qkv")
    own_keys, own_values = torch.cat((own_keys, key), dim=2), torch.cat((own_values, value), dim=2)
    hidden = after(_attend(layer.self_attn, query, own_keys, own_values), layer.norm1)
    (query,) = _heads(layer.multihead_attn, before(layer.norm2), "q")
    hidden = after(_attend(layer.multihead_attn, query, keys, values, real), layer.norm2)
    inner = layer.activation(layer.linear1(before(layer.norm3)))
    return after(layer.linear2(inner), layer.norm3), own_keys, own_values


def greedy(model: Translator, source: Tensor) -> Tensor:
    """[B, S] -> [B, <= max_length] predictions: always the likeliest next symbol, until each sentence has ended."""
    with _whole(model.transformer.decoder.layers):
        return _greedy(model, source)


@contextlib.contextmanager
def _whole(layers: Iterable[Any]) -> Iterator[None]:
    """With fsdp a process holds parts of the weights, and `write` reads them past their layer: bring them together."""
    sharded = [layer for layer in layers if hasattr(layer, "unshard")]
    for layer in sharded:
        layer.unshard()
    yield
    for layer in sharded:
        layer.reshard()


def _greedy(model: Translator, source: Tensor) -> Tensor:
    across = read(model, source)
    own = (across[0][:, :, :, :0], across[1][:, :, :, :0])
    symbols = torch.full((len(source),), BOS, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    answer: list[Tensor] = []
    while len(answer) < model.config.max_length and not ended.all():
        scores, own = write(model, symbols, source, across, own)
        symbols = scores.argmax(-1).masked_fill(ended, PAD)
        answer.append(symbols)
        ended |= symbols == EOS
    return torch.stack(answer, dim=1)


def _heads(attention: nn.MultiheadAttention, x: Tensor, which: str) -> list[Tensor]:
    """Queries, keys or values of [B, L, D], each [B, H, L, W]. Their weights lie below each other in one matrix."""
    found = []
    for name in which:
        rows = slice("qkv".index(name) * attention.embed_dim, ("qkv".index(name) + 1) * attention.embed_dim)
        projected = linear(x, attention.in_proj_weight[rows], attention.in_proj_bias[rows])
        found.append(projected.unflatten(2, (attention.num_heads, attention.head_dim)).transpose(1, 2))
    return found


def _attend(
    attention: nn.MultiheadAttention, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
) -> Tensor:
    mixed = scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))
