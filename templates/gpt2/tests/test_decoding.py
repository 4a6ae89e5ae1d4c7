"""The engines and the choice of tokens, beside what transformers does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from config import GenerateConfig
from decoding import Engine, candidates, choose_token, decode, penalise
from runtime.settings import UserError

PROMPTS = [[5, 9, 200, 31, 8, 77, 150], [12], [40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50], [9, 9]]


def draw(engine: Engine, prompts: Sequence[Sequence[int]], options: GenerateConfig, ends: Any = ()) -> list[list[int]]:
    drawers = [np.random.default_rng([1, number]) for number in range(len(prompts))]
    return decode(engine, prompts, options, drawers, ends)


def generate(model: Any, prompts: list[list[int]], new: int, **settings: Any) -> list[list[int]]:
    """What transformers' own generate() writes, greedily."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    out = model.generate(ids, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0, **settings)
    return out[:, longest:].tolist()


@pytest.fixture(params=["torch", "hf", "onnx"])
def engine(request: pytest.FixtureRequest, engines: Callable[[str], Engine]) -> Engine:
    return engines(request.param)


def test_greedy_writes_token_by_token_what_transformers_writes(
    engine: Engine, model: Any, options: GenerateConfig
) -> None:
    greedy = dataclasses.replace(options, do_sample=False, max_new_tokens=50)
    expected = generate(model, PROMPTS, 50)
    assert len({tuple(row) for row in expected}) == len(PROMPTS)  # the prompts matter
    assert draw(engine, PROMPTS, greedy) == expected
    assert [draw(engine, [prompt], greedy)[0] for prompt in PROMPTS] == expected


@pytest.mark.parametrize("penalty", [1.4, 0.7])
def test_the_repetition_penalty_is_that_of_transformers(
    engine: Engine, model: Any, options: GenerateConfig, penalty: float
) -> None:
    greedy = dataclasses.replace(options, do_sample=False, max_new_tokens=30, repetition_penalty=penalty)
    for prompt in PROMPTS:
        assert draw(engine, [prompt], greedy) == generate(model, [prompt], 30, repetition_penalty=penalty)


def test_the_prompt_does_not_count_as_new_tokens(engine: Engine, options: GenerateConfig) -> None:
    assert [len(row) for row in draw(engine, PROMPTS, options)] == [options.max_new_tokens] * len(PROMPTS)


def test_an_engine_is_as_good_as_new_for_the_next_prompts(engine: Engine, options: GenerateConfig) -> None:
    first = draw(engine, PROMPTS, options)
    draw(engine, [PROMPTS[1]], options)
    assert draw(engine, PROMPTS, options) == first


def test_all_scores_at_once_are_those_that_come_one_by_one(engine: Engine) -> None:
    row = PROMPTS[2]
    together = engine.score_all(row)
    alone = [engine.start([row[:1]], len(row))[0], *(engine.step([token])[0] for token in row[1:])]
    np.testing.assert_allclose(together, np.stack(alone), rtol=1e-4, atol=1e-4)


def test_every_position_of_the_model_can_be_used(engine: Engine, model: Any, options: GenerateConfig) -> None:
    prompt = list(range(100, 160))
    greedy = dataclasses.replace(options, do_sample=False, max_new_tokens=engine.positions - len(prompt))
    assert draw(engine, [prompt], greedy) == generate(model, [prompt], greedy.max_new_tokens)


def test_a_text_ends_with_the_token_for_it_while_others_go_on(engine: Engine, options: GenerateConfig) -> None:
    greedy = dataclasses.replace(options, do_sample=False, max_new_tokens=20)
    free = draw(engine, PROMPTS, greedy)
    end = free[0][7]
    cut = [row[: row.index(end)] if end in row else row for row in free]
    assert draw(engine, PROMPTS, greedy, ends={end}) == cut
    assert len({len(row) for row in cut}) > 1


@pytest.mark.parametrize("top_k", [0, 1, 7, 319, 1000])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.3, 0.01])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_same_tokens_may_be_drawn_as_in_transformers(top_k: int, top_p: float, temperature: float) -> None:
    scores = np.random.default_rng(0).normal(0, 3, 320).astype(np.float32)
    scores[:5] = scores.max() - 1  # as likely as one another
    steps = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        steps.append(TopKLogitsWarper(top_k))
    steps.append(TopPLogitsWarper(top_p))
    expected = steps(torch.tensor([[0]]), torch.tensor(scores)[None].double()).softmax(-1)[0].numpy()
    tokens, chances = candidates(scores, temperature, top_k, top_p)
    spread = np.zeros(len(scores))
    spread[tokens] = chances / chances.sum()
    np.testing.assert_allclose(np.sort(spread), np.sort(expected), rtol=1e-4, atol=1e-7)  # ties may change places


@pytest.mark.parametrize(("top_p", "kept"), [(0.25, 1), (0.2500001, 2), (0.5, 2), (0.75, 3), (0.7500001, 4), (1.0, 4)])
def test_top_p_takes_the_fewest_tokens_whose_chances_reach_it(top_p: float, kept: int) -> None:
    tokens, _ = candidates(np.zeros(4, np.float32), 1.0, 0, top_p)
    assert len(tokens) == kept


def test_the_penalty_changes_scores_as_in_transformers() -> None:
    scores = np.random.default_rng(1).normal(0, 3, 50).astype(np.float32)
    seen = [3, 3, 7, 40]
    expected = RepetitionPenaltyLogitsProcessor(1.7)(torch.tensor([seen]), torch.tensor(scores)[None])[0].numpy()
    kept = scores.copy()
    np.testing.assert_allclose(penalise(scores, seen, 1.7), expected, rtol=1e-6)
    assert (scores == kept).all()


@pytest.mark.parametrize(
    ("top_p", "expected"), [(1.0, [0.5, 0.2, 0.2, 0.07, 0.03]), (0.8, [5 / 9, 2 / 9, 2 / 9]), (0.6, [5 / 7, 2 / 7])]
)
def test_tokens_are_drawn_as_often_as_their_chances_say(
    options: GenerateConfig, top_p: float, expected: list[float]
) -> None:
    chances, options = np.array([0.5, 0.2, 0.2, 0.07, 0.03]), dataclasses.replace(options, top_p=top_p)
    scores = np.log(chances).astype(np.float32)
    generator = np.random.default_rng(3)
    drawn = [choose_token(scores, [], options, generator) for _ in range(5000)]
    np.testing.assert_allclose(np.bincount(drawn) / 5000, expected, atol=0.02)


def test_scores_that_are_not_numbers_are_told(options: GenerateConfig) -> None:
    with pytest.raises(UserError, match="not numbers"):
        choose_token(np.array([1.0, np.nan], np.float32), [], options, np.random.default_rng(1))
