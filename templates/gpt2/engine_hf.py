"""Any language model of transformers as an engine: for other kinds than GPT-2, and for a model in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import CausalLMOutputWithPast

from decoding import Scores
from folders import Text
from runtime.core import Device, autocast

# transformers 5.24 renamed what a model keeps between two tokens, and 5.40 is to forget the old name.
CACHE = "cache" if "cache" in CausalLMOutputWithPast.__annotations__ else "past_key_values"


class HfEngine:
    """A model of transformers that writes. Its training goes on afterwards as if nothing had happened.

    Attributes:
        positions: how many tokens, prompt and new ones together, it can hold.
    """

    def __init__(self, model: Any, dev: Device) -> None:
        self.model, self.dev = model, dev
        self.positions = int(model.config.max_position_embeddings)

    def start(self, rows: Sequence[Sequence[int]], new_tokens: int) -> Scores:
        """Read the prompts and score what comes next: [prompts, vocabulary]."""
        longest = max(map(len, rows))
        # Shorter prompts are filled up on the left: the model goes on after the last position, so that must be text.
        ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows])
        self.mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        self.cache = None
        return self._forward(ids)[:, -1].numpy()

    def step(self, tokens: Sequence[int]) -> Scores:
        """Add one token to each text and score what comes next: [prompts, vocabulary]."""
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
        return self._forward(torch.tensor(tokens)[:, None])[:, -1].numpy()

    def score_all(self, row: Sequence[int]) -> Scores:
        """Score what comes next after every token of one text: [tokens, vocabulary]."""
        self.mask, self.cache = torch.ones(1, len(row), dtype=torch.long), None
        return self._forward(torch.tensor([row]), keep=0)[0].numpy()

    @torch.inference_mode()
    def _forward(self, ids: Tensor, keep: int = 1) -> Tensor:
        # The first token of a text has place 0, however much was put before it.
        places = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        with without_dropout(self.model), autocast(self.dev):
            out = self.model(
                input_ids=ids.to(self.dev.device),
                attention_mask=self.mask.to(self.dev.device),
                position_ids=places.to(self.dev.device),
                use_cache=True,
                logits_to_keep=keep,
                **{CACHE: self.cache},
            )
        self.cache = out[CACHE]
        return out.logits.float().cpu()


@contextmanager
def without_dropout(model: Any) -> Iterator[None]:
    """The model as it is when it is used; afterwards as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def hf_text(model: Any, tokenizer: Any) -> Text:
    """The tokenizer of transformers, and the tokens that end a text for this model."""
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id

    def decode(ids: Sequence[int]) -> str:
        return tokenizer.decode(ids, skip_special_tokens=True)

    return Text(len(tokenizer), lambda text: tokenizer.encode(text, verbose=False), decode, begin, frozenset(ends))
