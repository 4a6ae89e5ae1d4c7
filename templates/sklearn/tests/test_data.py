"""Which column is predicted, how, and from which rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import write_csv

from config import Config
from data import Dataset, load_data, split
from runtime.settings import UserError


def load(config: Config, path: Path, **changes: object) -> Dataset:
    """Load a CSV file with some settings changed."""
    data = dataclasses.replace(config.data, path=str(path), **changes)
    return load_data(dataclasses.replace(config, data=data), path.parent)


def table(tmp_path: Path, target: list[object], name: str = "y") -> Path:
    """A CSV file with a column to learn from and a target."""
    return write_csv(tmp_path / "t.csv", ["x", name], [[i % 17, value] for i, value in enumerate(target)])


def test_without_a_target_the_last_column_is_taken_and_said(config: Config, customers: Path) -> None:
    data = load(config, customers)
    assert data.target == "상태"
    assert data.classes == ["유지", "이탈"]
    assert any("상태" in note and "나이" in note for note in data.notes)


def test_of_many_columns_the_first_are_named(config: Config, tmp_path: Path) -> None:
    names = [f"column {number} of many" for number in range(200)]
    data = load(config, write_csv(tmp_path / "wide.csv", names, [[i + j for j in range(200)] for i in range(60)]))
    [note] = [note for note in data.notes if "no target was given" in note]
    assert "column 199 of many, of column 0 of many, column 1 of many" in note
    assert len(note) < 400


def test_the_target_is_no_feature(config: Config, customers: Path) -> None:
    for target in ("상태", "나이", "도시"):
        assert target not in load(config, customers, target=target).table


@pytest.mark.parametrize(
    ("target", "task"),
    [
        ([i * 1.37 for i in range(100)], "regression"),
        ([f"{i * 1000:,}" for i in range(100)], "regression"),
        ([i % 50 for i in range(100)], "regression"),
        ([i % 50 for i in range(1000)], "regression"),
        ([i % 3 + 0.5 for i in range(100)], "regression"),
        ([i % 3 for i in range(100)], "classification"),
        (["yes", "no"] * 50, "classification"),
        ([0.0, 1.0] * 50, "classification"),
        (["3 stars", "4 stars"] * 50, "classification"),
    ],
)
def test_the_task_is_noticed(config: Config, tmp_path: Path, target: list[object], task: str) -> None:
    assert load(config, table(tmp_path, target)).task == task


def test_the_task_can_be_overruled(config: Config, tmp_path: Path) -> None:
    path = table(tmp_path, [i % 3 for i in range(90)])
    data = load(config, path, task="regression")
    assert (data.task, data.y.tolist()[:4]) == ("regression", [0.0, 1.0, 2.0, 0.0])
    assert load(config, path).classes == ["0", "1", "2"]


def test_numbered_classes_are_in_order(config: Config, tmp_path: Path) -> None:
    assert load(config, table(tmp_path, [i % 12 for i in range(240)])).classes == [str(i) for i in range(12)]


def test_rows_that_cannot_be_used_are_left_out_and_counted(config: Config, tmp_path: Path) -> None:
    data = load(config, table(tmp_path, [*["a", "b"] * 30, "rare", "", "NA"]))
    assert len(data.y) == len(data.table) == 60
    assert any("2 rows without" in note for note in data.notes)
    assert any("rare" in note for note in data.notes)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (["a"] * 50, "only one class, a"),
        (["a" * 99_999] * 50, "only one class, a{31}…:"),
        ([""] * 50, "no values: name another column"),
        ([f"name {i}" + "a" * 9999 for i in range(50)], r"50 different values in 50 rows \(name \da{25}… 1, "),
        (["a", "b"], "two classes need 4 rows"),
        ([1.5, 2.5, 3.5], "3 rows are too few"),
    ],
)
def test_unusable_targets_are_explained(config: Config, tmp_path: Path, target: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(config, table(tmp_path, target))


def test_regression_on_text_is_refused(config: Config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a number \(such as 'a{31}…'"):
        load(config, table(tmp_path, ["a" * 99_999, "b"] * 30), task="regression")


def test_a_wrong_name_is_answered_with_the_nearest(config: Config, customers: Path) -> None:
    with pytest.raises(UserError, match="nearest: 상태"):
        load(config, customers, target="상테")
    with pytest.raises(UserError, match=r"data\.drop"):
        load(config, customers, drop=["나아이"])


def test_one_column_is_too_few(config: Config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only one column"):
        load(config, write_csv(tmp_path / "a.csv", ["a"], [[1], [2]]))


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "digits", "iris", "diabetes"])
def test_bundled_data(config: Config, name: str) -> None:
    data = load_data(dataclasses.replace(config, data=dataclasses.replace(config.data, dataset=name)), Path())
    assert data.task == ("regression" if name == "diabetes" else "classification")
    assert len(data.table) == len(data.y) >= 150


def test_the_split_keeps_the_mix_and_shares_no_row(config: Config, customers: Path) -> None:
    data = load(config, customers)
    learn, test = split(data, 0.25, 0)
    assert sorted([*learn, *test]) == list(range(len(data.y)))
    assert abs(data.y[learn].mean() - data.y[test].mean()) < 0.02
    assert np.array_equal(test, split(data, 0.25, 0)[1])
    assert not np.array_equal(test, split(data, 0.25, 1)[1])
