"""Warnings before the training: columns that give the target away, rows that belong together, rare classes.

A warning changes nothing. It says what to look at, because only you know whether a column is there when you predict.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score, recall_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from columns import Column
from data import Dataset
from words import figure, say

# A single column that goes this far of the way from guessing to perfect is suspicious.
GIVES_AWAY = 0.97
CHECKED_ROWS = 4000
# A class with a smaller share than this, of what it would have if all were equal, is called rare.
RARE = 0.4
# With so many copies among the rows, the test asks about rows that were learned by heart.
REPEATED = 0.01
# A number this many times the middle half's width away from the middle half is called far off.
FAR = 10


def warnings(data: Dataset, columns: list[Column], X: pd.DataFrame, y: np.ndarray, seed: int) -> list[str]:
    """All warnings about the rows to learn from, the most serious first."""
    return [
        *(f"LEAKAGE? {text}" for text in leaks(columns, X, y, data.task, seed)),
        *(f"LEAKAGE? {text}" for text in belong_together(data, columns, X)),
        *(f"LEAKAGE? {text}" for text in copies(data)),
        *(imbalance(y, data.classes) if data.classes else far_off(y, data.target)),
    ]


def leaks(columns: list[Column], X: pd.DataFrame, y: np.ndarray, task: str, seed: int) -> list[str]:
    """Columns that tell the target by themselves, or tell it by being empty."""
    rows = np.random.default_rng(seed).permutation(len(y))[:CHECKED_ROWS]
    y = y[rows] if task == "classification" else pd.Series(y[rows]).rank().to_numpy()  # ranks: skew hides nothing
    found = []
    for column in columns:
        feature = X[column.features[0]].iloc[rows]
        codes = feature if feature.dtype == float else pd.Series(feature.factorize(sort=True)[0], dtype=float)
        empty = feature.isna().to_numpy(dtype=float)
        if 0 < empty.mean() < 1 and alone(empty, y, task, seed) >= GIVES_AWAY:
            found.append(say("whether {name} is empty tells the target: is it filled in afterwards?", name=column.name))
        elif (skill := alone(codes.to_numpy(), y, task, seed)) >= GIVES_AWAY:
            text = (
                "{name} alone predicts the target ({skill:.0%} of the way from guessing to perfect): "
                "if it is only known afterwards, or says the same in other words, put it into data.drop"
            )
            found.append(say(text, name=column.name, skill=skill))
    return found


def alone(values: np.ndarray, y: np.ndarray, task: str, seed: int) -> float:
    """How well a small tree predicts from one column: 0 is guessing, 1 perfect, on rows it has not learned from."""
    leaves = max(16, 2 * len(np.unique(y))) if task == "classification" else 32
    half, scores = len(y) // 2, []
    for learn, check in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        x = values.reshape(-1, 1)
        if task == "regression":
            tree = DecisionTreeRegressor(max_leaf_nodes=leaves, random_state=seed).fit(x[learn], y[learn])
            scores.append(r2_score(y[check], tree.predict(x[check])))
        else:
            # Balanced, so that naming the frequent class does not look like knowing something.
            tree = DecisionTreeClassifier(max_leaf_nodes=leaves, class_weight="balanced", random_state=seed)
            tree.fit(x[learn], y[learn])
            there = np.unique(y[check])
            guessing = 1 / len(there)
            score = recall_score(y[check], tree.predict(x[check]), labels=there, average="macro")
            scores.append((score - guessing) / max(1 - guessing, 1e-9))
    return float(np.mean(scores))


def belong_together(data: Dataset, columns: list[Column], X: pd.DataFrame) -> list[str]:
    """Columns that look like the number of a customer or a machine, with several rows for each."""
    if data.groups is not None:
        return []
    found = []
    for column in columns:
        distinct = X[column.features[0]].nunique()
        several = 10 <= distinct < len(X) * 0.9
        if several and column.looks_like_id:
            text = (
                "{name} looks like an identifier with several rows each ({distinct} values in {rows} rows): "
                "the test then asks about somebody the model knows; set data.group to it"
            )
            found.append(say(text, name=column.name, distinct=distinct, rows=len(X)))
    return found


def copies(data: Dataset) -> list[str]:
    """Rows that are there more than once: some of them are learned from and the others tested on."""
    repeated = int(data.table.assign(**{data.target: data.y}).duplicated().sum())
    if data.groups is not None or repeated < REPEATED * len(data.y):
        return []
    text = "{count} rows repeat another one: a copy on each side of the split flatters the result; remove mistakes"
    return [say(text, count=repeated)]


def far_off(y: np.ndarray, target: str) -> list[str]:
    """Numbers to predict that are so far from the others that they decide every score which squares errors."""
    low, high = np.quantile(y, [0.25, 0.75])
    far = np.maximum(low - y, y - high) > FAR * (high - low)
    if not far.any() or low == high:
        return []
    text = "{count} of {rows} values of {target} are far from the others (such as {value}): they decide R² and RMSE"
    return [say(text, count=far.sum(), rows=len(y), target=target, value=figure(y[far][0]))]


def imbalance(y: np.ndarray, classes: list[str]) -> list[str]:
    """Classes that are so rare that accuracy alone would hide how they fare."""
    counts = np.bincount(y, minlength=len(classes))
    rare = np.flatnonzero(counts < RARE * len(y) / len(classes))
    if not len(rare):
        return []
    shown = ", ".join(f"{classes[i]} {counts[i]}/{len(y)} ({counts[i] / len(y):.1%})" for i in rare[:5])
    shown += ", ..." * (len(rare) > 5)
    return [say("rare: {classes}; look at the line of each class, not at accuracy alone", classes=shown)]
