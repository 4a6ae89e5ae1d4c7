"""The model card says what metrics.json holds, and a name of the user's stays a name."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from conftest import Trained, write_csv

import card
import store
import words
from train import main

NASTY = "a|b <script>\n# *x* `y` {z}"


@pytest.mark.usefixtures("undrawn")
def test_the_card_of_a_rare_class(project: Path) -> None:
    draw = random.Random(0)
    rows: list[list[object]] = []
    for _ in range(300):
        x = draw.gauss(0, 1)
        rows.append([x, f"2024-01-{draw.randint(1, 28)}", "rare|" if x + draw.gauss(0, 0.4) > 1.6 else NASTY])
    path = write_csv(project / "shop.csv", [NASTY, "day", "status"], rows)
    assert main(["--data", str(path)], project) == 0
    run = project / "runs" / "shop"
    text = (run / "MODEL_CARD.md").read_text("utf-8")
    result = json.loads((run / "metrics.json").read_text("utf-8"))
    assert f"| accuracy | {result['test']['accuracy']:.3f} | {result['baseline_test']['accuracy']:.3f} |" in text
    for found in result["classes"]:
        assert f"| {found['precision']:.3f} | {found['recall']:.3f} | {found['rows']} |" in text
    assert "one is named when it is more probable" in text
    assert "test it on the newest rows" in text
    assert "rare: " in text
    assert r"a\|b \<script\> \# \*x\* \`y\` \{z\}" in text
    assert NASTY not in text
    assert "<script>" not in text


def test_the_card_of_a_number(trained: Trained) -> None:
    run = trained.folder / "runs" / "diabetes"
    text = (run / "MODEL_CARD.md").read_text("utf-8")
    assert "predicts **progression**: a number, with a range" in text
    margin = json.loads((run / "model.json").read_text("utf-8"))["margin"]
    assert f"within ±{margin:.3f} of the prediction" in text
    assert "111 rows are a small test" in text


@pytest.mark.usefixtures("undrawn")
def test_the_korean_card_says_the_same(project: Path) -> None:
    rows = [[round(i * 0.37 % 1, 3), f"2024-01-{1 + i % 28}", "ab"[i % 17 == 0]] for i in range(240)]
    path = write_csv(project / "shop.csv", ["x", "day", "status"], rows)
    text = (project / "config.toml").read_text("utf-8")
    text = text.replace('"en"', '"ko"').replace('name = "auto"', 'name = "logistic regression"')
    (project / "config.toml").write_text(text, encoding="utf-8")
    assert main(["--data", str(path)], project) == 0
    run = project / "runs" / "shop"
    korean = (run / "MODEL_CARD.md").read_text("utf-8").splitlines()
    words.speak("en")
    results = json.loads((run / "metrics.json").read_text("utf-8"))
    english = card.model_card(results, store.load(run)[1]).splitlines()
    assert [numbers(line) for line in korean] == [numbers(line) for line in english]
    told = "\n".join(korean)
    for sentence in (
        "# 모델 카드: shop",
        "## 믿으면 안 되는 경우",
        "- 드문 클래스: b",
        "- 날짜 열(day)",
        "- 타깃을 정하지 않아서",
    ):
        assert sentence in told
    spoken = [line for line in korean if not line.startswith(("|", "- ")) and line]
    assert all(re.search("[가-힣]", line) for line in spoken)


def numbers(line: str) -> list[str]:
    """The numbers in a line, whatever the order that a language wants."""
    return sorted(re.findall(r"\d[\d.,]*\d|\d", line))
