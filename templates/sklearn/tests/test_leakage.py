"""What is scored must never have been seen. These tests fail if anything leaks into learning."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import customer_rows, write_csv
from sklearn.compose import ColumnTransformer

import store
from columns import convert, describe
from config import Config
from data import load_data, split
from model import candidates, compare, folds
from train import main


@pytest.mark.usefixtures("undrawn")
def test_held_out_rows_change_nothing_that_is_learned(project: Path, config: Config) -> None:
    """The same training, once with other feature values in the held-out rows: the model must be the same."""
    header, rows = customer_rows(120)
    first = write_csv(project / "first.csv", header, rows)
    data = load_data(dataclasses.replace(config, data=dataclasses.replace(config.data, path=str(first))), project)
    _, test = split(data, config.train.test_share, config.train.seed)
    for row in test:
        for name, value in (("나이", "9999"), ("도시", "달"), ("구매액", ""), ("점포", f"달 {row}"), ("국가", "US")):
            rows[row][header.index(name)] = value
    second = write_csv(project / "second.csv", header, rows)
    for path in (first, second):
        assert main(["--data", str(path)], project) == 0
    models = [store.load(project / "runs" / path.stem) for path in (first, second)]
    assert models[0][1].columns == models[1][1].columns
    probe = convert(pd.DataFrame(rows, columns=header, dtype=object).iloc[:50], models[0][1].columns)
    assert np.array_equal(models[0][0].predict_proba(probe), models[1][0].predict_proba(probe))
    results = [
        json.loads((project / "runs" / name / "metrics.json").read_text("utf-8")) for name in ("first", "second")
    ]
    for key in ("cross_validation", "tuned", "baseline_test"):
        assert results[0][key] == results[1][key]
    assert results[0]["test"] != results[1]["test"]  # the test does look at them


def test_each_fold_fits_its_own_preprocessing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model in every fold prepares the raw rows of its training part, and no others."""
    rows = 90
    table = pd.DataFrame(
        {"mark": [str(i * i + 0.5) for i in range(rows)], "c": [*"abcdef"] * 15, "hole": ["1", "7", None] * 30},
        dtype=object,
    )
    y = np.arange(rows) % 2
    columns, _ = describe(table)
    X = convert(table, columns)
    seen = []
    fit_transform = ColumnTransformer.fit_transform

    def spy(self: ColumnTransformer, rows: pd.DataFrame, *args: object, **options: object) -> object:
        seen.append(rows)
        return fit_transform(self, rows, *args, **options)

    monkeypatch.setattr(ColumnTransformer, "fit_transform", spy)
    cv = folds("classification", y, None, config.train)
    models = candidates("classification", columns, rows, config.train)
    compare(models, X, y, cv, "accuracy", 1, lambda name, score: None)
    expected = [X.iloc[learn] for _ in models for learn, _ in cv]
    assert len(seen) == len(expected)
    for got, wanted in zip(seen, expected, strict=True):
        pd.testing.assert_frame_equal(got, wanted)


@pytest.mark.usefixtures("undrawn")
def test_noise_cannot_be_predicted(project: Path) -> None:
    """Many random columns, a random target: whatever scores above chance here has looked where it must not."""
    draw = random.Random(0)
    header = [*(f"x{i}" for i in range(40)), *(f"text{i}" for i in range(3)), "y"]
    rows = [
        [
            *(round(draw.gauss(0, 1), 4) for _ in range(40)),
            *(f"t{draw.randint(1, 40)}" for _ in range(3)),
            draw.choice("ab"),
        ]
        for _ in range(160)
    ]
    path = write_csv(project / "noise.csv", header, rows)
    config = (project / "config.toml").read_text("utf-8").replace("search_trials = 2", "search_trials = 0")
    (project / "config.toml").write_text(config, encoding="utf-8")
    assert main(["--data", str(path)], project) == 0
    result = json.loads((project / "runs" / "noise" / "metrics.json").read_text("utf-8"))
    for name, score in result["cross_validation"].items():
        assert score["mean"] < 0.65, name
    assert result["test"]["accuracy"] < 0.75


@pytest.mark.usefixtures("undrawn")
def test_customers_that_the_model_knows_flatter_it(project: Path) -> None:
    """What a customer does is chance here: only a model that has met the customer can know it."""
    draw = random.Random(0)
    rows: list[list[object]] = []
    for number in range(60):
        age, income, leaves = draw.randint(18, 80), draw.gauss(3000, 900), draw.choice(["yes", "no"])
        rows += [[number, age, round(income), draw.randint(1, 9), leaves] for _ in range(10)]
    header = ["customer_id", "age", "income", "month", "leaves"]
    path = write_csv(project / "customers.csv", header, rows)
    text = (project / "config.toml").read_text("utf-8").replace("search_trials = 2", "search_trials = 0")
    (project / "config.toml").write_text(text, encoding="utf-8")
    tested = []
    for arguments in ([], ["--group", "customer_id"]):
        assert main(["--data", str(path), *arguments], project) == 0
        result = json.loads((project / "runs" / "customers" / "metrics.json").read_text("utf-8"))
        best = max(score["mean"] for name, score in result["cross_validation"].items() if name != "decision tree")
        tested.append(
            (result["test"]["accuracy"], best, any("customer_id looks like" in w for w in result["warnings"]))
        )
    assert min(tested[0][:2]) > 0.95
    assert tested[0][2]
    assert max(tested[1][:2]) < 0.75
    assert not tested[1][2]
