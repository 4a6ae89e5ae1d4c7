"""Writing, one token at a time: a model gives every possible next token a score, and one of them is chosen.

Nothing here knows what computes the scores. An engine does: engine_torch.py, engine_hf.py or engine_onnx.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from config import GenerateConfig
from runtime.settings import UserError

Scores = NDArray[np.float32]  # one number for every token of the vocabulary: the higher, the likelier


class Engine(Protocol):
    """A model that is ready to write. `positions` is how many tokens, prompt and new ones together, it can hold."""

    positions: int

    def start(self, rows: Sequence[Sequence[int]], new_tokens: int) -> Scores:
        """Read the prompts (token ids, of any lengths) and score what comes next: [prompts, vocabulary].

        There must be room for `new_tokens` after the longest of them.
        """

    def step(self, tokens: Sequence[int]) -> Scores:
        """Add one token to each text and score what comes next: [prompts, vocabulary]."""

    def score_all(self, row: Sequence[int]) -> Scores:
        """Score what comes next after every token of one text: [tokens, vocabulary]."""


def decode(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    options: GenerateConfig,
    generators: Sequence[np.random.Generator],
    ends: Collection[int],
    tell: Callable[[list[int]], object] | None = None,
) -> list[list[int]]:
    """For every prompt the token ids that follow, at most `options.max_new_tokens`, without the one that ends a text.

    Each text draws from a random generator of its own, so it does not depend on what is computed beside it.
    `tell(ids)` is called after each step with what the first text has so far.
    """
    texts: list[list[int]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    scores = engine.start(prompts, options.max_new_tokens)
    for step in range(options.max_new_tokens):
        tokens = []
        for number, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
            token = choose_token(scores[number], [*prompt, *text], options, generators[number])
            ended[number] = ended[number] or token in ends
            if not ended[number]:
                text.append(token)
            tokens.append(token)  # a text that has ended is computed on beside the others, and nobody looks
        if tell:
            tell(texts[0])
        if all(ended) or step + 1 == options.max_new_tokens:
            break
        scores = engine.step(tokens)
    return texts


def choose_token(scores: Scores, seen: Sequence[int], options: GenerateConfig, generator: np.random.Generator) -> int:
    """The next token, given the score of each and what stands before. The order is that of transformers' generate():
    repetition penalty, temperature, top_k, top_p, and then the draw.
    """
    if options.repetition_penalty != 1:
        scores = penalise(scores, seen, options.repetition_penalty)
    if not options.do_sample:
        return int(scores.argmax())
    tokens, chances = candidates(scores, options.temperature, options.top_k, options.top_p)
    heap = chances.cumsum(dtype=np.float64)
    place = int(np.searchsorted(heap, generator.random() * heap[-1], side="right"))
    return int(tokens[min(place, len(tokens) - 1)])


def penalise(scores: Scores, seen: Sequence[int], penalty: float) -> Scores:
    """Lower the scores of tokens that were there before: positive ones divided by the penalty, negative multiplied."""
    before = np.unique(np.asarray(seen))
    scores = scores.copy()
    scores[before] = np.where(scores[before] < 0, scores[before] * penalty, scores[before] / penalty)
    return scores


def candidates(scores: Scores, temperature: float, top_k: int, top_p: float) -> tuple[NDArray[np.int64], Scores]:
    """The tokens that may be drawn, and how likely each of them is (the likeliest first where top_p sorts them)."""
    if 0 < top_k < len(scores):
        tokens = np.flatnonzero(scores >= np.partition(scores, -top_k)[-top_k])
    else:
        tokens = np.arange(len(scores))
    chances = np.exp((scores[tokens] - scores.max()) / temperature)  # minus the largest: exp() never overflows
    chances /= chances.sum()
    if not np.isfinite(chances).all():
        raise UserError("the model's scores are not numbers; its weights are broken, or too large for this precision")
    if top_p < 1:
        order = np.argsort(-chances, kind="stable")
        tokens, chances = tokens[order], chances[order]
        before = np.cumsum(chances, dtype=np.float64) - chances
        kept = max(1, np.count_nonzero(before < top_p))  # a token counts as long as those before it don't make up top_p
        tokens, chances = tokens[:kept], chances[:kept]
    return tokens, chances
