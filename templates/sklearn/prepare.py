"""Everything before the first model: the rows to learn from, what their columns are, and what is to be watched.

train.py and tune.py both start here, so that what one finds holds for the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import resample

from checks import warnings
from columns import Column, convert, describe
from config import Config
from data import Dataset, check_classes, check_names, load_data, split
from model import Candidate, Folds, candidates, folds
from runtime.settings import UserError
from words import figure, listed, say

# Where one class holds more than this share of the rows, always naming it would already look accurate.
IMBALANCED = 0.8


@dataclass(frozen=True)
class Prepared:
    """A table split for good: features and target of the rows to learn from, and the numbers of the held-out rows."""

    data: Dataset
    learn: np.ndarray
    test: np.ndarray
    columns: list[Column]
    X: pd.DataFrame
    y: np.ndarray
    groups: np.ndarray | None
    metric: str
    notes: list[str]
    warnings: list[str]

    @property
    def balanced(self) -> bool:
        """Whether a rare class counts as much as a frequent one."""
        return self.metric == "balanced_accuracy"

    def held_out(self) -> tuple[pd.DataFrame, np.ndarray]:
        """Features and target of the rows for the test at the end."""
        return convert(self.data.table.iloc[self.test], self.columns), self.data.y[self.test]

    def folds(self, config: Config) -> Folds:
        """The folds over all rows to learn from."""
        return folds(self.data.task, self.y, self.groups, config.train)

    def candidates(self, config: Config) -> list[Candidate]:
        """The models to compare: all, or the baselines and the one that config.toml names."""
        name = config.model.name
        every = candidates(self.data.task, self.columns, len(self.X), config.train, balanced=self.balanced)
        if name == "auto":
            return every
        check_names([name], [model.name for model in every if model.space], f"model.name for {self.data.task}", "")
        found = [model for model in every if model.name == name or not model.space]
        check_names(config.model.settings, found[-1].space, f"model.settings of {name}", "")
        return found

    def sample(self, rows: int, seed: int) -> Prepared:
        """For comparing and tuning: all rows, or so many with the same mix where there are very many."""
        if len(self.y) <= rows:
            return self
        # Row by row, also where there are groups: the folds keep together what is left of each.
        mix = self.y if self.data.classes else None
        chosen = resample(np.arange(len(self.y)), replace=False, n_samples=rows, stratify=mix, random_state=seed)
        groups = None if self.groups is None else self.groups[chosen]
        return replace(self, X=self.X.iloc[chosen], y=self.y[chosen], groups=groups)


def prepare(config: Config, folder: Path) -> Prepared:
    """Load the table that the settings name, put the test rows aside, and look at the others. Raises UserError."""
    data = load_data(config, folder)
    learn, test = split(data, config.train.test_share, config.train.seed)
    # From here to the final test only the rows to learn from are looked at: also what a column means, or which
    # columns are useless, is decided without the test rows.
    columns, notes = describe(data.table.iloc[learn], config.data.drop, config.data.keep)
    if not columns:
        raise UserError("no column is left to learn from: " + "; ".join(notes))
    X, y = convert(data.table.iloc[learn], columns), data.y[learn]
    groups = None if data.groups is None else data.groups[learn]
    if groups is not None:
        for part, _ in folds(data.task, y, groups, config.train):
            check_classes(data, learn[part])  # told now, not after the comparison
    metric = choose_metric(data.task, y, config.train.metric)
    warned = warnings(data, columns, X, y, config.train.seed)
    return Prepared(data, learn, test, columns, X, y, groups, metric, [*data.notes, *notes], warned)


def choose_metric(task: str, y: np.ndarray, wanted: str) -> str:
    """What models are compared by."""
    if task == "regression":
        return "r2"
    if wanted != "auto":
        return wanted
    return "balanced_accuracy" if np.bincount(y).max() > IMBALANCED * len(y) else "accuracy"


def introduce(prepared: Prepared) -> None:
    """Say what was understood about the table, so that a wrong guess is noticed."""
    data, notes = prepared.data, prepared.notes
    found = "{name}: {rows} rows, {columns} usable columns; predicting {target}"
    print(say(found, name=data.name, rows=len(data.y), columns=len(prepared.columns), target=data.target))
    if data.classes:
        counts = [f"{label} ({count})" for label, count in zip(data.classes, np.bincount(data.y), strict=True)]
        text = "classification, {count} classes: {classes}"
        print("  " + say(text, count=len(counts), classes=listed(counts, 12)))
    else:
        low, median, high = (figure(v) if v % 1 else f"{v:,.0f}" for v in np.quantile(data.y, [0, 0.5, 1]))
        text = "regression, numbers from {low} to {high}, half of them below {median}"
        print("  " + say(text, low=low, high=high, median=median))
    text = "{learn} rows to learn from, {test} held out for the test at the end"
    print("  " + say(text, learn=len(prepared.learn), test=len(prepared.test)))
    if data.groups is not None:
        print("  " + say("{count} groups kept together", count=len(np.unique(data.groups))))
    for note in notes[:20]:
        print("  " + say("note: {note}", note=note))
    if len(notes) > 20:
        print("  " + say("and {count} more notes, in metrics.json", count=len(notes) - 20))
    for warning in prepared.warnings:
        print(f"  {warning}")
