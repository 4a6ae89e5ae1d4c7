"""Probabilities and ranges that mean what they say, and rare classes that are found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss

from columns import convert, describe
from config import Config
from model import candidates, class_weights, decide, error_margin, fit_final, folds
from report import reliability


def noisy(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Columns of which one tells something, and how likely each row is to be of class 1."""
    draw = np.random.default_rng(seed)
    X = pd.DataFrame(draw.normal(size=(rows, 6)), columns=list("abcdef"))
    return X, 1 / (1 + np.exp(-1.5 * X["a"].to_numpy()))


@pytest.mark.parametrize("classes", [2, 3])
def test_calibration_takes_back_what_overfitting_claims(config: Config, classes: int) -> None:
    X, share = noisy(1200, 0)
    draw = np.random.default_rng(1)
    y = (draw.random(1200) < share).astype(int) + (draw.random(1200) < 0.3) * (classes - 2)
    columns, _ = describe(X)
    every = candidates("classification", columns, 300, config.train)
    pipeline = next(model.pipeline for model in every if model.name == "gradient boosting")
    features = convert(X, columns)
    cv = folds("classification", y[:300], None, config.train)
    losses = [
        log_loss(
            y[300:],
            fit_final(pipeline, features[:300], y[:300], cv, 1, calibrate=on, balanced=False).predict_proba(
                features[300:]
            ),
        )
        for on in (True, False)
    ]
    assert losses[0] < losses[1] - 0.05
    assert losses[0] < 0.95 * np.log(classes)


def test_a_rare_class_is_found_and_its_probability_stays_honest(config: Config) -> None:
    X, _ = noisy(3000, 0)
    rare = X["a"].to_numpy() + np.random.default_rng(1).normal(0, 0.5, 3000) > 2
    y = rare.astype(int)
    columns, _ = describe(X)
    features = convert(X, columns)
    cv = folds("classification", y[:1000], None, config.train)
    model = candidates("classification", columns, 1000, config.train, balanced=True)[2]
    assert model.name == "logistic regression"
    fitted = fit_final(model.pipeline, features[:1000], y[:1000], cv, 1, calibrate=True, balanced=True)
    probabilities = fitted.predict_proba(features[1000:])
    weights = class_weights(y[:1000], balanced=True)
    plain, weighed = (decide(probabilities, w) for w in (np.ones(2), weights))
    scores = [balanced_accuracy_score(y[1000:], found) for found in (plain, weighed)]
    assert scores[1] > max(0.85, scores[0] + 0.1)
    assert probabilities[:, 1].mean() == pytest.approx(y[1000:].mean(), abs=0.015)
    # Weights in the fit, too: the plain decision of the model finds the rare class before any calibration.
    assert (
        balanced_accuracy_score(y[1000:], model.pipeline.fit(features[:1000], y[:1000]).predict(features[1000:])) > 0.85
    )


def test_the_class_weights() -> None:
    y = np.array([0] * 90 + [1] * 10)
    assert class_weights(y, balanced=False).tolist() == [1, 1]
    assert class_weights(y, balanced=True).tolist() == pytest.approx([1 / 1.8, 5])
    assert decide(np.array([[0.89, 0.11], [0.91, 0.09]]), class_weights(y, balanced=True)).tolist() == [1, 0]


def test_the_range_holds_on_new_rows_also_for_a_model_that_learns_by_heart(config: Config) -> None:
    X, _ = noisy(1500, 0)
    y = X["a"].to_numpy() + np.random.default_rng(1).normal(0, 1, 1500)
    columns, _ = describe(X)
    features = convert(X, columns)
    train = dataclasses.replace(config.train, folds=5)
    pipeline = next(m.pipeline for m in candidates("regression", columns, 500, train) if m.name == "decision tree")
    margin = error_margin(pipeline, features[:500], y[:500], folds("regression", y[:500], None, train), 1, 0.9)
    errors = np.abs(y[500:] - pipeline.fit(features[:500], y[:500]).predict(features[500:]))
    assert (errors <= margin).mean() == pytest.approx(0.9, abs=0.07)


def test_reliability_counts_what_came() -> None:
    probabilities = np.array([[0.8, 0.2]] * 50 + [[0.3, 0.7]] * 50)
    y = np.array([0] * 40 + [1] * 10 + [0] * 15 + [1] * 35)
    found = reliability(y, probabilities)
    assert found.rows.tolist() == [25, 25, 25, 25]
    assert found.said.tolist() == pytest.approx([0.2, 0.2, 0.7, 0.7])
    assert np.average(found.came[:2]) == pytest.approx(0.2)
    assert np.average(found.came[2:]) == pytest.approx(0.7)
