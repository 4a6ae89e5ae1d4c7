"""The models: preprocessing and estimator in one pipeline, compared by cross-validation, the best one tuned.

Everything that learns something from rows (a median, a mean, which categories exist) is a step of the pipeline. So it
is learned anew from the training part of each fold, and what is scored has never been seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, RandomizedSearchCV, StratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from columns import Column
from config import TrainSettings

BASELINE = "dummy"


@dataclass(frozen=True)
class Candidate:
    """A model to compare. One without a search space is there to be beaten, and is never chosen."""

    name: str
    pipeline: Pipeline
    space: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """What cross-validation said: the mean over the folds, their standard deviation, seconds for all folds."""

    mean: float
    std: float
    seconds: float


def folds(task: str, train: TrainSettings) -> KFold | StratifiedKFold:
    """The folds of the cross-validation: shuffled, the same for every model, with the mix of classes kept."""
    kind = StratifiedKFold if task == "classification" else KFold
    return kind(train.folds, shuffle=True, random_state=train.seed)


def preprocessing(task: str, columns: list[Column], train: TrainSettings) -> ColumnTransformer:
    """Fill what is missing, bring numbers to one scale, turn categories into numbers."""
    numeric = make_pipeline(
        # The indicator tells the model which values were filled in: that one is missing often means something.
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
    )
    category = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="(missing)"),
        # Rare categories share one column, and so does a category that was never seen while learning.
        OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=train.max_categories, sparse_output=False),
    )
    many = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="(missing)"),
        # Encodes each row with averages taken from other rows, or the column would give the target away. Left to
        # find out, it takes a target of whole numbers (a price) for classes.
        TargetEncoder(
            target_type="continuous" if task == "regression" else "auto",
            cv=KFold(5, shuffle=True, random_state=train.seed),
        ),
        StandardScaler(),
    )

    def named(*kinds: str) -> list[str]:
        return [name for column in columns if column.kind in kinds for name in column.features]

    parts = [
        ("number", numeric, named("number", "boolean", "date")),
        ("category", category, named("category")),
        ("many", many, named("many")),
    ]
    return ColumnTransformer([part for part in parts if part[2]])


def candidates(task: str, columns: list[Column], rows: int, train: TrainSettings) -> list[Candidate]:
    """The models for a task, the baselines first. Support vectors only join where there are few rows: they take
    time that grows with the square of the rows."""
    seed = train.seed
    boosting_space = {
        "model__learning_rate": loguniform(0.03, 0.3),
        "model__max_leaf_nodes": [7, 15, 31, 63],
        "model__min_samples_leaf": [5, 10, 20, 40],
        "model__l2_regularization": loguniform(1e-3, 10),
    }
    svm_space = {"C": loguniform(0.1, 100), "gamma": loguniform(1e-4, 1e-1)}
    models: list[tuple[str, BaseEstimator, dict[str, Any]]]
    if task == "classification":
        models = [
            (BASELINE, DummyClassifier(), {}),
            ("decision tree", DecisionTreeClassifier(random_state=seed), {}),
            ("logistic regression", LogisticRegression(max_iter=2000), {"model__C": loguniform(1e-3, 100)}),
            ("SVM", SVC(random_state=seed), {f"model__{key}": values for key, values in svm_space.items()}),
            ("gradient boosting", HistGradientBoostingClassifier(random_state=seed), boosting_space),
        ]
    else:
        # Its penalties are in units of the target, so the target is scaled too.
        svr = TransformedTargetRegressor(SVR(), transformer=StandardScaler())
        models = [
            (BASELINE, DummyRegressor(), {}),
            ("decision tree", DecisionTreeRegressor(random_state=seed), {}),
            ("ridge regression", Ridge(), {"model__alpha": loguniform(1e-2, 1e4)}),
            ("SVM", svr, {f"model__regressor__{key}": values for key, values in svm_space.items()}),
            ("gradient boosting", HistGradientBoostingRegressor(random_state=seed), boosting_space),
        ]
    return [
        Candidate(name, Pipeline([("preprocessing", preprocessing(task, columns, train)), ("model", model)]), space)
        for name, model, space in models
        if name != "SVM" or rows <= train.svm_rows
    ]


def compare(
    models: list[Candidate],
    X: pd.DataFrame,
    y: np.ndarray,
    cv: KFold | StratifiedKFold,
    metric: str,
    n_jobs: int,
    report: Callable[[str, Score], None],
) -> dict[str, Score]:
    """Cross-validate every model on the same folds; `report` is called as each one finishes."""
    scores = {}
    for candidate in models:
        started = time.perf_counter()
        # Threads, not processes: starting a process takes longer than most tables, and the heavy parts are not Python.
        with parallel_config(backend="threading", n_jobs=n_jobs):
            values = cross_validate(candidate.pipeline, X, y, cv=cv, scoring=metric, error_score="raise")["test_score"]
        scores[candidate.name] = Score(float(values.mean()), float(values.std()), time.perf_counter() - started)
        report(candidate.name, scores[candidate.name])
    return scores


def search(
    candidate: Candidate,
    default: Score,
    X: pd.DataFrame,
    y: np.ndarray,
    cv: KFold | StratifiedKFold,
    metric: str,
    train: TrainSettings,
    n_jobs: int,
) -> tuple[dict[str, Any], Score]:
    """Try random settings of one model on the same folds. Returns the best; none if the defaults are not beaten."""
    started = time.perf_counter()
    trials = RandomizedSearchCV(
        candidate.pipeline,
        candidate.space,
        n_iter=train.search_trials,
        scoring=metric,
        cv=cv,
        refit=False,
        random_state=train.seed,
        error_score="raise",
    )
    with parallel_config(backend="threading", n_jobs=n_jobs):
        trials.fit(X, y)
    best = trials.best_index_
    mean, std = (float(trials.cv_results_[key][best]) for key in ("mean_test_score", "std_test_score"))
    if mean <= default.mean:
        return {}, default
    return dict(trials.best_params_), Score(mean, std, time.perf_counter() - started)


def fit_final(candidate: Candidate, params: dict[str, Any], X: pd.DataFrame, y: np.ndarray, cv: Any) -> BaseEstimator:
    """Fit the chosen model on all rows to learn from. One that only ranks the classes gets probabilities besides."""
    pipeline = clone(candidate.pipeline).set_params(**params)
    if isinstance(pipeline["model"], SVC):
        return CalibratedClassifierCV(pipeline, cv=cv, ensemble=False).fit(X, y)
    return pipeline.fit(X, y)
