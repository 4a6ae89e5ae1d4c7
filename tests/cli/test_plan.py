from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_the_arithmetic_is_shown_when_asked_for(scaffold: Callable[..., Any]) -> None:
    plain = scaffold("plan", "gpt2", "--target", "rtx-4090")
    explained = scaffold("plan", "gpt2", "--target", "rtx-4090", "--explain")
    assert "AdamW's two moments" not in plain.out
    assert "AdamW's two moments" in explained.out
    assert explained.code == 0


def test_the_document_holds_the_arithmetic(scaffold: Callable[..., Any]) -> None:
    document = scaffold("plan", "transformer", "--target", "colab-t4", "--json").json
    parts = {row["part"]: row["bytes"] for row in document["explanation"]}
    assert sum(parts.values()) == document["memory"]["estimated_bytes"]


def test_a_batch_that_cannot_fit_is_wrong_usage(scaffold: Callable[..., Any]) -> None:
    answer = scaffold("plan", "gpt2", "--target", "colab-t4", "--set", "preset=base", "--set", "batch_size=64")
    assert answer.code == 2
    assert "fits" in answer.err
