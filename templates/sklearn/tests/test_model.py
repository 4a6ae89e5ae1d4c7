"""Probabilities and ranges that mean what they say, and rare classes that are found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss

from columns import Column, convert, describe
from config import Config
from model import (
    Candidate,
    candidates,
    class_weights,
    compare,
    decide,
    error_margin,
    fit_final,
    folds,
    preprocessing,
    search,
)
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
    assert len(fitted.calibrated_classifiers_) == 1  # of all rows, not one for each fold
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
    # With more classes it is about the one that is named.
    found = reliability(np.array([0] * 30 + [1] * 20), np.tile([0.6, 0.3, 0.1], (50, 1)))
    assert (found.said.mean(), found.came.mean()) == pytest.approx((0.6, 0.6))


def test_every_fold_has_its_share_of_each_class_from_everywhere(config: Config) -> None:
    y = np.repeat([0, 1], [60, 30])
    for _, check in folds("classification", y, None, config.train):
        assert np.bincount(y[check]).tolist() == [20, 10]
        assert np.ptp(check[:20]) > 30  # no run of neighbours: files are often sorted


def test_every_model_minds_a_rare_class(config: Config) -> None:
    for balanced, weight in ((True, "balanced"), (False, None)):
        _, *models = candidates("classification", [Column("x", "number", ".")], 50, config.train, balanced=balanced)
        assert [model.pipeline["model"].class_weight for model in models] == [weight] * 4


def test_what_is_missing_becomes_the_median_and_is_marked(config: Config) -> None:
    X = pd.DataFrame({"n": [1, 2, 3, 100, np.nan] * 12, "c": [f"c{i % 30}" for i in range(60)]})
    train = dataclasses.replace(config.train, max_categories=5)
    columns = [Column("n", "number", "."), Column("c", "category")]
    prepared = preprocessing("classification", columns, train).fit(X, np.arange(60) % 2)
    median, missing = prepared.transform(pd.DataFrame({"n": [2.5, np.nan], "c": ["c1", "c1"]}))
    assert median[0] == pytest.approx(missing[0])
    assert median[1] < missing[1]
    assert len(median) == 2 + train.max_categories


def test_whatever_is_measured_by_folds_keeps_groups_together(config: Config) -> None:
    """What a group does is chance here, and a tree recognises each group: only on other groups is it told so."""
    draw = np.random.default_rng(0)
    groups = draw.permutation(np.repeat(np.arange(60), 6))
    X = pd.DataFrame(draw.normal(size=(80, 4)), columns=list("abcd"))
    new, X = X.iloc[60:], X.iloc[groups].reset_index(drop=True)
    y = (draw.random(60) < 0.3).astype(int)[groups]
    columns, _ = describe(X)
    cv = folds("classification", y, groups, config.train)
    tree = candidates("classification", columns, 360, config.train)[1]
    model = fit_final(tree.pipeline, X, y, cv, 1, calibrate=True, balanced=False)
    assert np.ptp(model.predict_proba(new)[:, 1]) < 0.4
    # The search scores as the comparison does, and takes the better setting.
    tried = [1, 4]
    models = [Candidate(str(leaf), tree.with_settings({"min_samples_leaf": leaf})) for leaf in tried]
    scores = compare(models, X, y, cv, "balanced_accuracy", 1, lambda name, score: None)
    assert all(score.mean < 0.7 for score in scores.values())
    both = Candidate("tree", tree.pipeline, {"min_samples_leaf": tried})
    none = dataclasses.replace(scores["1"], mean=0.0)
    settings, found = search(both, none, X, y, cv, "balanced_accuracy", config.train, 1)
    best = max(tried, key=lambda leaf: scores[str(leaf)].mean)
    assert settings == {"min_samples_leaf": best}
    assert (found.mean, found.std) == pytest.approx((scores[str(best)].mean, scores[str(best)].std))
    value = draw.normal(size=60)[groups]
    tree = candidates("regression", columns, 360, config.train)[1]
    assert error_margin(tree.pipeline, X, value, folds("regression", value, groups, config.train), 1, 0.9) > 1
