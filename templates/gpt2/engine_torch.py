"""GPT-2 computed with torch alone, made for writing: no gradients, and a place set aside for what was read already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from decoding import Scores
from folders import WEIGHTS, Shape
from runtime.settings import UserError

ACTIVATION: dict[str, Callable[[Tensor], Tensor]] = {  # folders.py names the same ones
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "gelu": F.gelu,
}
MATRICES = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")  # of each layer
HEAD = "lm_head"


def load_weights(folder: Path, tokens: int) -> dict[str, Tensor]:
    """GPT-2's weights by name, from a folder whose tokenizer has so many tokens. Raises UserError when they don't fit.

    They are only looked at on the disk: what is not used is never read.
    """
    try:
        loaded = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise UserError(f"the model {folder} can't be loaded: {error}") from None
    # As OpenAI published them the names are bare; transformers saves them with "transformer." in front.
    weights = {name.removeprefix("transformer."): weight for name, weight in loaded.items()}
    if "wte.weight" not in weights and f"{HEAD}.weight" in weights:  # a checkpoint names one of those that are shared
        weights["wte.weight"] = weights.pop(f"{HEAD}.weight")
    if "wte.weight" not in weights:
        raise UserError(f"the weights of {folder} are not complete: wte.weight is missing")
    if len(weights["wte.weight"]) < tokens:
        raise UserError(
            f"{folder}: its tokenizer has {tokens} tokens, but its model knows only {len(weights['wte.weight'])}"
        )
    return weights


def open_torch(folder: Path, shape: Shape, tokens: int, device: torch.device, dtype: torch.dtype) -> TorchEngine:
    """The GPT-2 in a folder, on a device and in a precision. Raises UserError when its weights are wrong."""
    weights = {name: weight.to(device, dtype) for name, weight in load_weights(folder, tokens).items()}
    try:
        return TorchEngine(weights, shape)
    except KeyError as name:
        raise UserError(f"the weights of {folder} are not complete: {name.args[0]} is missing") from None


Linear = Callable[[Tensor], Tensor]  # from rows [N, in] to rows [N, out]


def linear_of(weights: dict[str, Tensor], name: str) -> Linear:
    """x @ weight + bias, with a weight [in, out] as GPT-2 keeps it. The head scores tokens by their own embeddings."""
    if name == HEAD:
        embedding = weights.get(f"{HEAD}.weight", weights["wte.weight"])
        return lambda x: F.linear(x, embedding)
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return lambda x: torch.addmm(bias, x, weight)


class Layer:
    """One of GPT-2's layers: every token looks at those before it, and then thinks for itself."""

    def __init__(self, weights: dict[str, Tensor], name: str, shape: Shape, linear: Callable[[str], Linear]) -> None:
        self.shape, self.activation = shape, ACTIVATION[shape.activation]
        self.norm_1 = weights[f"{name}.ln_1.weight"], weights[f"{name}.ln_1.bias"], shape.epsilon
        self.norm_2 = weights[f"{name}.ln_2.weight"], weights[f"{name}.ln_2.bias"], shape.epsilon
        self.query_key_value, self.attended, self.inner, self.outer = (linear(f"{name}.{part}") for part in MATRICES)

    def __call__(self, x: Tensor, cache: Tensor, begin: int, mask: Tensor | None) -> Tensor:
        """x [batch, tokens, width] one layer further. `cache` [2, batch, heads, length, head width] gets the tokens'
        keys and values from position `begin` on; `mask` says which of the positions so far each token may look at.
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

    `linear(name)` may give other ways to multiply by a matrix, such as int8.

    Attributes:
        positions: how many tokens, prompt and new ones together, it can hold.
    """

    def __init__(self, weights: dict[str, Tensor], shape: Shape, linear: Callable[[str], Linear] | None = None) -> None:
        linear = linear or partial(linear_of, weights)
        self.shape, self.positions = shape, shape.positions
        self.tokens, self.places = weights["wte.weight"], weights["wpe.weight"]
        self.norm = weights["ln_f.weight"], weights["ln_f.bias"], shape.epsilon
        self.layers = [Layer(weights, f"h.{number}", shape, linear) for number in range(shape.layers)]
        self.head = linear(HEAD)

    @torch.inference_mode()
    def start(self, rows: Sequence[Sequence[int]], new_tokens: int) -> Scores:
        """Read the prompts and score what comes next: [prompts, vocabulary]."""
        longest, device = max(map(len, rows)), self.tokens.device
        # Shorter prompts are filled up on the left: the next token must follow text. What fills them up is masked.
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
