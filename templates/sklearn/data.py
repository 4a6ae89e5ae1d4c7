"""The table to learn from: the user's file or one of scikit-learn's real data sets, and what is to be predicted."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, train_test_split

from columns import as_text, number_style, to_number
from config import Config, TrainSettings
from runtime.settings import UserError
from table import read_table
from words import listed, say, shorten

# What scikit-learn only calls "target".
BUNDLED_TARGETS = {
    "breast_cancer": "diagnosis",
    "wine": "cultivar",
    "digits": "digit",
    "iris": "species",
    "diabetes": "progression",
}
# A target of whole numbers is taken for classes when it has few of them and each occurs often.
MOST_NUMBERED_CLASSES = 20
ROWS_PER_NUMBERED_CLASS = 10


@dataclass(frozen=True)
class Dataset:
    """A table without its target column, and the target: class numbers, or values where `classes` is empty."""

    name: str
    table: pd.DataFrame
    target: str
    y: np.ndarray
    classes: list[str]
    notes: list[str]
    groups: np.ndarray | None = None  # rows with the same number belong together

    @property
    def task(self) -> str:
        """What kind of prediction this is."""
        return "classification" if self.classes else "regression"


def load_data(config: Config, folder: Path) -> Dataset:
    """The table that the settings name; a relative `data.path` is looked up in `folder`. Raises UserError."""
    if config.data.path:
        path = folder / config.data.path
        table, notes = read_table(path, config.data.encoding)
        name = path.stem
    else:
        table, notes, name = bundled(config.data.dataset), [], config.data.dataset
    if table.shape[1] < 2:
        raise UserError(f"{name} has only one column: there must be a target and something to predict it from")
    check_names([*config.data.drop, *config.data.keep], table.columns, "data.drop and data.keep")
    target = config.data.target
    if target:
        check_names([target], table.columns, "the target")
    else:
        target = table.columns[-1]
        if config.data.path:
            taken = "no target was given: taking the last column, {target}, of {columns}"
            notes.append(say(taken, target=target, columns=listed(list(map(shorten, table.columns)), 12)))
    if config.data.group:
        check_names([config.data.group], table.columns, "data.group")
        if config.data.group == target:
            raise UserError(f"data.group is the target, {target}: name a column that says which rows belong together")
    return with_target(name, table, target, config, notes)


def bundled(name: str) -> pd.DataFrame:
    """One of the data sets that come with scikit-learn, with the target as its last column."""
    source = getattr(datasets, f"load_{name}")(as_frame=True)
    names = source.get("target_names")
    target = source.target if names is None else source.target.map(dict(enumerate(map(str, names))))
    return source.data.assign(**{BUNDLED_TARGETS[name]: target})


def check_names(wanted: Iterable[str], known: Iterable[str], what: str, kind: str = "column ") -> None:
    """Raise UserError, with the nearest names, if a wanted name is not among the known."""
    known = list(known)
    missing = [name for name in wanted if name not in known]
    if missing:
        near = difflib.get_close_matches(missing[0], known, n=3, cutoff=0.4)
        others = f"nearest: {', '.join(near)}" if near else f"there are: {', '.join(known[:30])}"
        raise UserError(f"{what}: there is no {kind}{', '.join(map(repr, missing))}; {others}")


def with_target(name: str, table: pd.DataFrame, target: str, config: Config, notes: list[str]) -> Dataset:
    """Take the target out of the table, and the rows that can't be used."""
    known = table[target].notna()
    if not known.any():
        raise UserError(f"the target {target} has no values: name another column with --target")
    if not known.all():
        empty = say("{count} rows without a value of {target} left out", count=(~known).sum(), target=target)
        notes = [*notes, empty]
    table = table[known]
    values, features = table[target], table.drop(columns=target)
    group = config.data.group
    # A row without a group belongs to no other: its own number, below zero.
    groups = features.pop(group).factorize()[0] if group else np.full(len(table), -1)
    groups = np.where(groups < 0, -1 - np.arange(len(groups)), groups)
    if choose_task(values, config.data.task) == "classification":
        usable, classes, more = usable_classes(as_text(values), target, config.train)
        numbers = {label: number for number, label in enumerate(classes)}
        y = as_text(values)[usable].map(numbers).to_numpy(dtype=int)
    else:
        usable, y, more = usable_numbers(values, target, config.train)
        classes = []
    features = features[usable].reset_index(drop=True)
    return Dataset(name, features, target, y, classes, [*notes, *more], groups[usable.to_numpy()] if group else None)


def choose_task(values: pd.Series, wanted: str = "auto") -> str:
    """Numbers with many different values ask for regression, everything else for classification."""
    if wanted != "auto":
        return wanted
    style = number_style(values)
    if style is None or values.nunique() <= 2:
        return "classification"
    numbers = to_number(values, style).dropna()
    distinct = numbers.nunique()
    few = distinct <= MOST_NUMBERED_CLASSES and len(numbers) >= distinct * ROWS_PER_NUMBERED_CLASS
    return "classification" if few and (numbers % 1 == 0).all() else "regression"


def usable_classes(labels: pd.Series, target: str, train: TrainSettings) -> tuple[pd.Series, list[str], list[str]]:
    """Which rows belong to a class that is frequent enough to be split and cross-validated, and those classes."""
    counts = labels.value_counts()
    if len(counts) == 1:
        only = shorten(counts.index[0])
        raise UserError(f"the target {target} has only one class, {only}: there is nothing to tell apart")
    needed = max(math.ceil(train.folds / (1 - train.test_share)), math.ceil(1 / train.test_share))
    frequent = counts[counts >= needed]
    if len(frequent) < 2:
        most = [f"{shorten(label)} {count}" for label, count in counts.head(5).items()]
        shown = ", ".join(most) + ", ..." * (len(counts) > len(most))
        raise UserError(
            f"the target {target} has {len(counts)} different values in {len(labels)} rows ({shown}). "
            f"With {train.folds} folds and a test split at least two classes need {needed} rows each: "
            "name another column with --target, lower train.folds, or bring more rows"
        )
    notes = []
    if len(frequent) < len(counts):
        rare = counts[counts < needed]
        text = "{count} rows of classes with fewer than {needed} rows left out: {classes}"
        notes.append(say(text, count=rare.sum(), needed=needed, classes=listed(list(map(shorten, rare.index)))))
    style = number_style(pd.Series(frequent.index, dtype=object))
    order = to_number(pd.Series(frequent.index, dtype=object), style).tolist() if style else frequent.index
    return labels.isin(frequent.index), [label for _, label in sorted(zip(order, frequent.index, strict=True))], notes


def usable_numbers(values: pd.Series, target: str, train: TrainSettings) -> tuple[pd.Series, np.ndarray, list[str]]:
    """Which rows have a number as their target, and those numbers."""
    style = number_style(values)
    if style is None:
        first = shorten(values.iloc[0])
        raise UserError(f"the target {target} is not a number (such as {first!r}): regression is not possible")
    numbers = to_number(values, style)
    usable = numbers.notna()
    text = "{count} rows whose {target} is not a number left out"
    notes = [] if usable.all() else [say(text, count=(~usable).sum(), target=target)]
    needed = max(10, math.ceil(2 * train.folds / (1 - train.test_share)))
    if usable.sum() < needed:
        raise UserError(f"{usable.sum()} rows are too few for {train.folds} folds and a test split: bring {needed}")
    if numbers[usable].nunique() == 1:
        raise UserError(f"the target {target} is {numbers[usable].iloc[0]:g} in every row: there is nothing to predict")
    return usable, numbers[usable].to_numpy(), notes


def split(data: Dataset, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to learn from, and row numbers held out until the end, with the same mix of classes in both.

    Rows of one group stay together; then the share and the mix are only met as nearly as the groups allow.
    """
    rows = np.arange(len(data.y))
    if data.groups is None:
        stratify = data.y if data.classes else None
        learn, test = train_test_split(rows, test_size=share, random_state=seed, stratify=stratify)
        return np.sort(learn), test
    kind = StratifiedGroupKFold if data.classes else GroupKFold
    parts = round(1 / share)
    if len(np.unique(data.groups)) < parts:
        raise UserError(f"{len(np.unique(data.groups))} groups are too few for a test of {share:g}: bring {parts}")
    learn, test = next(kind(parts, shuffle=True, random_state=seed).split(rows, data.y, data.groups))
    check_classes(data, learn, test)
    return learn, test


def check_classes(data: Dataset, *parts: np.ndarray) -> None:
    """Raise UserError if a part of the rows lacks a class altogether, as happens when a class is in few groups."""
    for number, label in enumerate(data.classes):
        if not all((data.y[part] == number).any() for part in parts):
            why = f"{label} is in too few groups to be in every part of the rows"
            raise UserError(f"{why}: lower train.folds, or leave data.group empty")
