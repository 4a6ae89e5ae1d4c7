"""GPT-2 computed with torch alone, made for writing: no gradients, and a place set aside for what was read already."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from decoding import Scores
from folders import Shape

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "gelu": F.gelu,
    "relu": F.relu,
}


class Linear:
    """x @ weight + bias, with a weight [in, out] as GPT-2 keeps it."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class Head:
    """The scores of all tokens: how well each token's embedding [vocabulary, width] agrees with x."""

    def __init__(self, embedding: Tensor) -> None:
        self.embedding = embedding

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.embedding)


class Layer:
    """One of GPT-2's layers: every token looks at those before it, and then thinks for itself."""

    def __init__(self, weights: dict[str, Tensor], shape: Shape, linear: Callable[[Tensor, Tensor], Linear]) -> None:
        self.shape, self.activation = shape, ACTIVATIONS[shape.activation]
        self.norm_1 = weights["ln_1.weight"], weights["ln_1.bias"], shape.epsilon
        self.norm_2 = weights["ln_2.weight"], weights["ln_2.bias"], shape.epsilon
        names = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
        made = (linear(weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in names)
        self.query_key_value, self.attended, self.inner, self.outer = made

    def __call__(self, x: Tensor, cache: Tensor, begin: int, mask: Tensor | None) -> Tensor:
        """x [batch, tokens, width] one layer further. `cache` [2, batch, heads, length, head width] gets the tokens' keys
        and values from position `begin` on; `mask` says which of the positions so far each token may look at.
        """
        batch, tokens, width = x.shape
        heads, end = self.shape.heads, begin + tokens
        made = self.query_key_value(F.layer_norm(x, (width,), *self.norm_1).view(-1, width))
        query, key, value = made.view(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        cache[0, :, :, begin:end], cache[1, :, :, begin:end] = key, value
        keys, values = cache[0, :, :, :end], cache[1, :, :, :end]
        causal = mask is None and tokens > 1
        looked = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, is_causal=causal)
        x = x + self.attended(looked.transpose(1, 2).reshape(-1, width)).view_as(x)
        inner = self.activation(self.inner(F.layer_norm(x, (width,), *self.norm_2).view(-1, width)))
        return x + self.outer(inner).view_as(x)


class TorchEngine:
    """GPT-2 from its weights by name (without "transformer." in front), on the device and in the dtype that they have.

    Attributes:
        positions: how many tokens, prompt and new ones together, it can hold.
    """

    def __init__(
        self,
        weights: dict[str, Tensor],
        shape: Shape,
        linear: Callable[[Tensor, Tensor], Linear] = Linear,
        head: Callable[[Tensor], Head] = Head,
    ) -> None:
        self.shape, self.positions = shape, shape.positions
        self.tokens, self.places = weights["wte.weight"], weights["wpe.weight"]
        self.norm = weights["ln_f.weight"], weights["ln_f.bias"], shape.epsilon
        self.layers = []
        for number in range(shape.layers):
            start = f"h.{number}."
            own = {name.removeprefix(start): weight for name, weight in weights.items() if name.startswith(start)}
            self.layers.append(Layer(own, shape, linear))
        self.head = head(weights.get("lm_head.weight", self.tokens))

    @torch.inference_mode()
    def start(self, rows: Sequence[Sequence[int]], new_tokens: int) -> Scores:
        """Read the prompts and score what comes next: [prompts, vocabulary]."""
        longest, device = max(map(len, rows)), self.tokens.device
        # Shorter prompts are filled up on the left: the next token must follow text. What fills them up is never looked at.
        ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows], device=device)
        self.padding = torch.tensor([longest - len(row) for row in rows], device=device)
        self.padded = any(len(row) < longest for row in rows)
        self._make_room(len(rows), longest + new_tokens)
        return self._scores(self._forward(ids)[:, -1])

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> Scores:
        """Add one token to each text and score what comes next: [prompts, vocabulary]."""
        return self._scores(self._forward(torch.tensor(tokens, device=self.tokens.device)[:, None])[:, -1])

    @torch.inference_mode()
    def score_all(self, row: Sequence[int]) -> Scores:
        """Score what comes next after every token of one text: [tokens, vocabulary]."""
        self.padding, self.padded = torch.zeros(1, dtype=torch.long, device=self.tokens.device), False
        self._make_room(1, len(row))
        return self._scores(self._forward(torch.tensor([row], device=self.tokens.device))[0])

    def _make_room(self, batch: int, length: int) -> None:
        heads, width = self.shape.heads, self.shape.width
        size = (self.shape.layers, 2, batch, heads, length, width // heads)
        self.cache = torch.empty(size, dtype=self.tokens.dtype, device=self.tokens.device)
        self.length = 0

    def _forward(self, ids: Tensor) -> Tensor:
        """Read ids [batch, tokens] that follow what was read before; returns what the last layer made of them."""
        begin, end = self.length, self.length + ids.shape[1]
        self.length = end
        # The first token of a text has place 0, however much was put before it.
        places = (torch.arange(begin, end, device=ids.device) - self.padding[:, None]).clamp(min=0)
        x = F.embedding(ids, self.tokens) + F.embedding(places, self.places)
        mask = self._mask(begin, end) if self.padded else None
        for layer, cache in zip(self.layers, self.cache, strict=True):
            x = layer(x, cache, begin, mask)
        return F.layer_norm(x, (self.shape.width,), *self.norm)

    def _mask(self, begin: int, end: int) -> Tensor:
        """True [batch, 1, tokens, positions so far] where a token may look: at text, not at what comes after it."""
        key = torch.arange(end, device=self.padding.device)
        query = key[begin:, None]
        text = key >= self.padding[:, None, None]
        # Padding looks at itself, for a row of nothing at all would become NaN and spread.
        return ((text & (key <= query)) | (key == query))[:, None]

    def _scores(self, x: Tensor) -> Scores:
        scores: Scores = self.head(x).float().cpu().numpy()
        return scores
