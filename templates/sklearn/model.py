"""The models: preprocessing and estimator in one pipeline, compared by cross-validation, the best one tuned.

Everything that learns something from rows (a median, a mean, which categories exist) is a step of the pipeline. So it
is learned anew from the training part of each fold, and what is scored has never been seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RandomizedSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from columns import Column
from config import TrainSettings
from runtime.settings import UserError

BASELINE = "dummy"
MISSING_TEXT = "(missing)"
# What is searched: (lowest, highest) of a number whose order of magnitude matters, or a list of choices.
BOOSTING_SPACE = {
    "learning_rate": (0.03, 0.3),
    "max_leaf_nodes": [7, 15, 31, 63],
    "min_samples_leaf": [5, 10, 20, 40],
    "l2_regularization": (1e-3, 10.0),
}
SVM_SPACE = {"C": (0.1, 100.0), "gamma": (1e-4, 1e-1)}
Folds = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Candidate:
    """A model to compare. One without a search space is there to be beaten, and is never chosen."""

    name: str
    pipeline: Pipeline
    space: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """What scikit-learn wants before the name of a setting: where in the pipeline the model is."""
        scaled = isinstance(self.pipeline["model"], TransformedTargetRegressor)
        return "model__regressor__" if scaled else "model__"

    def with_settings(self, settings: dict[str, Any]) -> Pipeline:
        """A fresh copy of the pipeline with these settings of the model."""
        return clone(self.pipeline).set_params(**{self.place + key: value for key, value in settings.items()})


@dataclass(frozen=True)
class Score:
    """What cross-validation said: the mean over the folds, their standard deviation, seconds for all folds."""

    mean: float
    std: float
    seconds: float


def folds(task: str, y: np.ndarray, groups: np.ndarray | None, train: TrainSettings) -> Folds:
    """The folds of the cross-validation: shuffled, the same for every model, with the mix of classes kept.

    Rows of one group are in one fold. Raises UserError if there are fewer groups than folds.
    """
    if groups is not None and len(np.unique(groups)) < train.folds:
        raise UserError(f"{len(np.unique(groups))} groups are too few for {train.folds} folds: lower train.folds")
    if task == "classification":
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    else:
        kind = KFold if groups is None else GroupKFold
    splitter = kind(train.folds, shuffle=True, random_state=train.seed)
    return list(splitter.split(np.zeros(len(y)), y, groups))


def preprocessing(task: str, columns: list[Column], train: TrainSettings) -> ColumnTransformer:
    """Fill what is missing, bring numbers to one scale, turn categories into numbers."""
    numeric = make_pipeline(
        # The indicator tells the model which values were filled in: that one is missing often means something.
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
    )
    category = make_pipeline(
        SimpleImputer(strategy="constant", fill_value=MISSING_TEXT),
        # Rare categories share one column, and so does a category that was never seen while learning.
        OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=train.max_categories, sparse_output=False),
    )
    many = make_pipeline(
        SimpleImputer(strategy="constant", fill_value=MISSING_TEXT),
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


def candidates(
    task: str, columns: list[Column], rows: int, train: TrainSettings, *, balanced: bool = False
) -> list[Candidate]:
    """The models for a task, the baselines first.

    Support vectors only join where there are few rows: they take time that grows with the square of the rows.
    `balanced`: a mistake on a rare class counts as much more as the class is rarer.
    """
    seed, weight = train.seed, "balanced" if balanced else None
    models: list[tuple[str, BaseEstimator, dict[str, Any]]]
    if task == "classification":
        boosting = HistGradientBoostingClassifier(random_state=seed, class_weight=weight)
        models = [
            (BASELINE, DummyClassifier(), {}),
            ("decision tree", DecisionTreeClassifier(random_state=seed, class_weight=weight), {}),
            ("logistic regression", LogisticRegression(max_iter=2000, class_weight=weight), {"C": (1e-3, 100.0)}),
            ("SVM", SVC(random_state=seed, class_weight=weight), SVM_SPACE),
            ("gradient boosting", boosting, BOOSTING_SPACE),
        ]
    else:
        # Its penalties are in units of the target, so the target is scaled too.
        svr = TransformedTargetRegressor(SVR(), transformer=StandardScaler())
        models = [
            (BASELINE, DummyRegressor(), {}),
            ("decision tree", DecisionTreeRegressor(random_state=seed), {}),
            ("ridge regression", Ridge(), {"alpha": (1e-2, 1e4)}),
            ("SVM", svr, SVM_SPACE),
            ("gradient boosting", HistGradientBoostingRegressor(random_state=seed), BOOSTING_SPACE),
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
    cv: Folds,
    metric: str,
    n_jobs: int,
    report: Callable[[str, Score], None],
) -> dict[str, Score]:
    """Cross-validate every model on the same folds; `report` is called as each one finishes."""
    scores = {}
    for candidate in models:
        started = time.perf_counter()
        values = fold_scores(candidate.pipeline, X, y, cv, metric, n_jobs)
        scores[candidate.name] = Score(float(values.mean()), float(values.std()), time.perf_counter() - started)
        report(candidate.name, scores[candidate.name])
    return scores


def fold_scores(pipeline: Pipeline, X: pd.DataFrame, y: np.ndarray, cv: Folds, metric: str, n_jobs: int) -> np.ndarray:
    """The score on each fold of a model that has learned from the others."""
    # Threads, not processes: starting a process takes longer than most tables, and the heavy parts are not Python.
    with parallel_config(backend="threading", n_jobs=n_jobs):
        return cross_validate(pipeline, X, y, cv=cv, scoring=metric, error_score="raise")["test_score"]


def search(
    candidate: Candidate,
    default: Score,
    X: pd.DataFrame,
    y: np.ndarray,
    cv: Folds,
    metric: str,
    train: TrainSettings,
    n_jobs: int,
) -> tuple[dict[str, Any], Score]:
    """Try random settings of one model on the same folds. Returns the best; none if the defaults are not beaten."""
    started = time.perf_counter()
    place, space = candidate.place, candidate.space.items()
    trials = RandomizedSearchCV(
        candidate.pipeline,
        {place + key: loguniform(*values) if isinstance(values, tuple) else values for key, values in space},
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
    found = {key.removeprefix(place): value for key, value in trials.best_params_.items()}
    return found, Score(mean, std, time.perf_counter() - started)


def fit_final(
    pipeline: Pipeline, X: pd.DataFrame, y: np.ndarray, cv: Folds, n_jobs: int, *, calibrate: bool, balanced: bool
) -> BaseEstimator:
    """Fit the chosen model on all rows to learn from; a classifier gets probabilities that can be believed.

    Each fold is scored by a model that has not seen it, and a curve from these scores to probabilities is fitted.
    """
    needed = calibrate or isinstance(pipeline["model"], SVC)  # support vectors only rank, they have no probabilities
    if not (needed and is_classifier(pipeline)):
        return pipeline.fit(X, y)
    # One factor for all classes measured better than a curve for each; only the curves undo the weights of `balanced`.
    method = "sigmoid" if balanced or len(np.unique(y)) == 2 else "temperature"
    calibrated = CalibratedClassifierCV(pipeline, method=method, cv=cv, ensemble=False)
    with parallel_config(backend="threading", n_jobs=n_jobs):
        calibrated.fit(X, y)
    return calibrated.set_params(cv=None)  # the row numbers of the folds are not needed any more


def decide(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The class of each row: the most probable one, where a class may count more than another.

    With the weight 1 / share of the class, a row belongs to a class when that is more probable for it than for an
    average row. For a balanced score this is the best rule; always saying the frequent class scores nothing.
    """
    return np.argmax(probabilities * weights, axis=1)


def class_weights(y: np.ndarray, *, balanced: bool) -> np.ndarray:
    """How much each class counts in `decide`: the same, or the more the rarer it is."""
    shares = np.bincount(y) / len(y)
    return 1 / (len(shares) * shares) if balanced else np.ones(len(shares))


def error_margin(pipeline: Pipeline, X: pd.DataFrame, y: np.ndarray, cv: Folds, n_jobs: int, level: float) -> float:
    """How far from the truth a predicted number is, in `level` of the cases: measured on folds not learned from."""
    with parallel_config(backend="threading", n_jobs=n_jobs):
        errors = np.sort(np.abs(y - cross_val_predict(pipeline, X, y, cv=cv)))
    return float(errors[min(math.ceil((len(errors) + 1) * level), len(errors)) - 1])
