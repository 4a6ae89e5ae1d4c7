"""Warnings come where something is wrong, and only there."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from conftest import point_rows, write_csv

from checks import far_off, imbalance
from config import BUNDLED, Config
from prepare import Prepared, choose_metric, prepare
from runtime.settings import UserError


def prepared(config: Config, path: Path, **changes: object) -> Prepared:
    """A CSV file made ready, with some settings changed."""
    data = dataclasses.replace(config.data, path=str(path), **changes)
    return prepare(dataclasses.replace(config, data=data), path.parent)


def churn(folder: Path, rows: int = 400) -> Path:
    """A table in which every kind of leak has its column, beside honest ones."""
    draw = random.Random(0)
    written: list[list[object]] = []
    for i in range(rows):
        age, left = draw.randint(18, 80), draw.random() < 0.5
        status = f"{'end' if left else 'run'}-{draw.randint(1, 9)}"
        closed = f"2024-03-{draw.randint(1, 28):02d}" if left else ""
        refund = draw.gauss(500, 20) if left else draw.gauss(0, 20)
        written.append([i % 80, age + 9 * left, status, closed, round(refund, 2), "yes" if left else "no"])
    return write_csv(folder / "churn.csv", ["customer_id", "age", "status", "closed", "refund", "left"], written)


def test_each_leak_is_named(config: Config, tmp_path: Path) -> None:
    found = [text for text in prepared(config, churn(tmp_path)).warnings if text.startswith("LEAKAGE")]
    assert len(found) == 4
    assert "status alone predicts the target" in found[0]
    assert "whether closed is empty tells" in found[1]
    assert "refund alone" in found[2]
    assert "customer_id looks like an identifier" in found[3]


def test_a_copy_of_a_number_is_named(config: Config, tmp_path: Path) -> None:
    draw = random.Random(0)
    rows: list[list[object]] = []
    for _ in range(300):
        price = draw.lognormvariate(8, 2)  # very skewed: a plain R² would not see it
        rows.append([draw.random(), round(price * 1.1, 3), round(price, 3)])
    found = prepared(config, write_csv(tmp_path / "a.csv", ["size", "price with tax", "price"], rows)).warnings
    assert len(found) == 2
    assert "price with tax alone" in found[0]
    assert "far from the others" in found[1]


@pytest.mark.filterwarnings("error")
def test_a_class_in_half_of_the_looked_at_rows_is_no_reason_to_warn(config: Config, tmp_path: Path) -> None:
    rows = [[round(i * 0.37 % 1, 3), f"c{i % 20}"] for i in range(120)]
    path = write_csv(tmp_path / "a.csv", ["x", "y"], rows)
    assert all("alone" not in text for text in prepared(config, path).warnings)


def test_few_rows_of_noise_are_not_suspected(config: Config, tmp_path: Path) -> None:
    """A tree can learn so few rows by heart: it must be asked about others."""
    draw = random.Random(0)
    rows = [[round(draw.random(), 6), round(draw.random(), 6), "ab"[i % 2]] for i in range(20)]
    assert prepared(config, write_csv(tmp_path / "a.csv", ["x", "z", "y"], rows)).warnings == []


@pytest.mark.parametrize("name", BUNDLED)
def test_honest_data_is_not_suspected(config: Config, name: str) -> None:
    data = dataclasses.replace(config.data, dataset=name)
    assert prepare(dataclasses.replace(config, data=data), Path()).warnings == []


def test_rare_classes_are_named() -> None:
    assert imbalance(np.array([0] * 95 + [1] * 5), ["stays", "leaves"])[0].startswith("rare: leaves 5/100 (5.0%)")
    assert imbalance(np.array([0] * 65 + [1] * 35), ["stays", "leaves"]) == []
    assert "c 4/84" in imbalance(np.array([0] * 40 + [1] * 40 + [2] * 4), ["a", "b", "c"])[0]


def test_copies_of_rows_are_counted(config: Config, tmp_path: Path) -> None:
    header, rows = point_rows(100)
    assert prepared(config, write_csv(tmp_path / "a.csv", header, rows)).warnings == []
    doubtful = [[x, z, "left" if side == "right" else "right"] for x, z, side in rows[:3]]
    assert prepared(config, write_csv(tmp_path / "a.csv", header, [*rows, *doubtful])).warnings == []
    (found,) = prepared(config, write_csv(tmp_path / "b.csv", header, [*rows, *rows[:3]])).warnings
    assert found.startswith("LEAKAGE? 3 rows repeat another one")


def test_values_far_from_the_others_are_named(config: Config, tmp_path: Path) -> None:
    draw = random.Random(0)
    rows: list[list[object]] = [[round(draw.random(), 6), round(draw.gauss(500, 9), 3)] for _ in range(200)]
    assert prepared(config, write_csv(tmp_path / "a.csv", ["x", "price"], rows)).warnings == []
    path = write_csv(tmp_path / "b.csv", ["x", "price"], [*rows, *[[0.5, 99999]] * 40])
    (found,) = prepared(config, path).warnings[1:]  # the first one says that these rows repeat
    assert "values of price are far from the others (such as 99,999)" in found
    assert far_off(np.array([1.0] * 9 + [2.0]), "x") == []  # no middle half to measure by


def test_groups_stay_on_one_side(config: Config, tmp_path: Path) -> None:
    path = churn(tmp_path)
    ready = prepared(config, path, group="customer_id")
    assert not any("customer_id" in text for text in ready.warnings)
    assert "customer_id" not in ready.X
    groups = ready.data.groups
    assert groups is not None
    assert len(set(groups)) == 80
    assert not set(groups[ready.learn]) & set(groups[ready.test])
    assert sorted([*ready.learn, *ready.test]) == list(range(400))
    assert len(ready.test) == pytest.approx(100, abs=20)
    for learn, check in ready.folds(config):
        assert ready.groups is not None
        assert not set(ready.groups[learn]) & set(ready.groups[check])
    few = ready.sample(150, 0)
    assert few.groups is not None
    assert len(few.X) == len(few.y) == len(few.groups) == 150
    # Each row of the sample keeps its own target and group.
    assert few.y.tolist() == ready.data.y[few.X.index].tolist()
    assert few.groups.tolist() == groups[few.X.index].tolist()


@pytest.mark.parametrize("group", ["", "customer_id"])
def test_nearly_all_rows_are_a_sample_too(config: Config, tmp_path: Path, group: str) -> None:
    ready = prepared(config, churn(tmp_path), group=group)
    few = ready.sample(len(ready.y) - 1, 0)
    assert len(few.y) == len(ready.y) - 1 == len(set(few.X.index))
    assert abs(few.y.mean() - ready.y.mean()) < 0.01


def test_rows_without_a_group_are_their_own(config: Config, tmp_path: Path) -> None:
    rows = [[i % 50, "" if i < 20 else f"g{i % 30}", "ab"[i % 2]] for i in range(120)]
    left_out = [[0, "g0", "rare"], [1, "g1", ""]]
    path = write_csv(tmp_path / "a.csv", ["x", "g", "y"], [*rows[:70], *left_out, *rows[70:]])
    groups = prepared(config, path, group="g").data.groups
    assert groups is not None
    assert len(groups) == 120
    assert len(set(groups)) == 20 + 30
    assert len(set(zip(groups[20:], [row[1] for row in rows[20:]], strict=True))) == 30


def test_impossible_groups_are_explained(config: Config, tmp_path: Path) -> None:
    path = churn(tmp_path)
    with pytest.raises(UserError, match=r"data\.group is the target"):
        prepared(config, path, group="left")
    with pytest.raises(UserError, match="no column 'customer'; nearest: customer_id"):
        prepared(config, path, group="customer")
    rows = [[i, "ab"[i % 2], "cd"[i % 2]] for i in range(80)]
    with pytest.raises(UserError, match="2 groups are too few"):
        prepared(config, write_csv(tmp_path / "b.csv", ["x", "g", "y"], rows), group="g")
    rows = [[i, i % 20, "cd"[i % 20 == 0]] for i in range(400)]
    with pytest.raises(UserError, match="d is in too few groups"):
        prepared(config, write_csv(tmp_path / "c.csv", ["x", "g", "y"], rows), group="g")
    # One group with d to learn from and one for the test: enough for both, but not for the folds.
    rows = [[i % 17, i % 20, "cd"[i % 20 in (4, 9)]] for i in range(400)]
    with pytest.raises(UserError, match=r"d is in too few groups.* lower train\.folds"):
        prepared(config, write_csv(tmp_path / "e.csv", ["x", "g", "y"], rows), group="g")


def test_drop_and_keep_of_the_settings(config: Config, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ["row", "x", "y"], [[i, i % 7, "ab"[i % 2]] for i in range(60)])
    ready = prepared(config, path)
    assert list(ready.X) == ["x"]
    measured = {"accuracy": False, "f1_macro": False, "balanced_accuracy": True}
    assert {name: dataclasses.replace(ready, metric=name).balanced for name in measured} == measured
    assert list(prepared(config, path, keep=["row"]).X) == ["row", "x"]
    assert list(prepared(config, path, keep=["row"], drop=["x"]).X) == ["row"]


def test_what_is_compared_by() -> None:
    even, rare = np.array([0, 1] * 50), np.array([0] * 90 + [1] * 10)
    assert [choose_metric("classification", y, "auto") for y in (even, rare)] == ["accuracy", "balanced_accuracy"]
    assert choose_metric("classification", rare, "accuracy") == "accuracy"
    assert choose_metric("regression", rare, "accuracy") == "r2"
