"""Plots must show their labels, whatever letters and fonts there are."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import report
import words
from store import ModelInfo


def plot_all(folder: Path) -> list[str]:
    """Draw every plot with difficult labels; a missing glyph is a warning, and a warning is an error."""
    ranked = [("구매액 $^_$", 0.2, 0.05), ("plain", 0.1, 0.01), ("long " * 30, 0.0, 0.0)]
    y, predicted = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notes = report.plot_importances(ranked, "accuracy", folder / "a.png")
        notes += report.plot_confusion(y, predicted, ["유지", "이탈 α"], folder / "b.png")
        notes += report.plot_residuals(y * 1.5, predicted * 1.2, "가격 $", 0.4, folder / "c.png")
        notes += report.plot_calibration(y, np.eye(2)[predicted], ["유지", "이탈 $"], folder / "d.png")
    assert all((folder / name).stat().st_size > 5000 for name in ("a.png", "b.png", "c.png", "d.png"))
    return notes


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_with_the_fonts_of_this_computer(tmp_path: Path, language: str) -> None:
    words.speak(language)
    plot_all(tmp_path)


def test_without_a_font_the_labels_are_spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_fonts", lambda: [])
    notes = plot_all(tmp_path)
    assert len(notes) == 4
    assert "gumaeaeg" in notes[0]
    assert report.spell("나이 (세) 漢") == "nai (se) U+6F22"


def test_without_a_font_korean_plots_are_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    words.speak("ko")
    monkeypatch.setattr(report, "_fonts", lambda: [])
    labels, _, write, (note,) = report.drawable(["plain"])
    assert (labels, write("true {name}", name="x")) == (["plain"], "true x")
    assert "나눔고딕" in note
    font = {"family": "Hangul", "path": "hangul.ttf"}
    monkeypatch.setattr(report, "_fonts", lambda: [(font["family"], font["path"])])
    monkeypatch.setattr(report, "_glyphs", lambda path: set(map(chr, range(0xAC00 if "DejaVu" in path else 0xD7A4))))
    _, style, write, notes = report.drawable(["plain"])
    assert style["font.family"] == ["DejaVu Sans", "Hangul"]
    assert (write("true {name}", name="x"), notes) == ("실제 x", [])


def test_what_nothing_depends_on_has_no_importance() -> None:
    class Follows:
        def predict(self, X: pd.DataFrame) -> np.ndarray:
            return X["a"].to_numpy() * 2

    X = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)), columns=["b", "a", "c"])
    info = ModelInfo("t", "regression", "y", [], [], {}, [], 0.0)
    ranked = report.importances(Follows(), X, X["a"].to_numpy() * 2, "r2", info, 0)
    assert [name for name, _, _ in ranked] == ["a", "b", "c"]
    assert ranked[0][1] == pytest.approx(2, abs=0.3)  # a shuffled prediction is as far off as twice the variance
    assert ranked[0][2] > 0
    assert [fall for _, fall, _ in ranked[1:]] == [0, 0]


def test_a_wide_table_is_shuffled_with_fewer_rows() -> None:
    predicted = []

    class Counts:
        def predict(self, X: pd.DataFrame) -> np.ndarray:
            predicted.append(X.size)
            return X["c0"].to_numpy()

    X = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 1000))).add_prefix("c")
    info = ModelInfo("t", "regression", "y", [], [], {}, [], 0.0)
    ranked = report.importances(Counts(), X, X["c0"].to_numpy(), "r2", info, 0)
    assert ranked[0][0] == "c0"
    assert max(predicted) <= report.IMPORTANCE_CELLS * report.SHUFFLES


@pytest.mark.usefixtures("undrawn")
def test_rows_far_off_do_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[np.ndarray, np.ndarray]] = []
    scatter = Axes.scatter
    monkeypatch.setattr(Axes, "scatter", lambda self, x, y, **k: drawn.append((x, y)) or scatter(self, x, y, **k))
    y = np.arange(20.0)
    for truth, margin in ((y, 1.0), (np.where(y == 3, 1e6, y), 1.0), (y + 1, 0.0)):
        report.plot_residuals(truth, y, "price", margin, tmp_path / "a.png")
    assert [len(x) for x, _ in drawn] == [20, 20, 19, 19, 20, 20]
    # The last ones are all 1 too low: predicted against true, and the error against predicted.
    assert all((found == wanted).all() for found, wanted in zip(sum(drawn[-2:], ()), (y + 1, y, y, 1), strict=True))


def test_metrics_are_right() -> None:
    class Constant:
        def predict(self, X: np.ndarray) -> np.ndarray:
            return np.zeros(len(X), dtype=int)

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return np.tile([0.9, 0.1], (len(X), 1))

    info = ModelInfo("t", "classification", "y", ["a", "b"], [], {}, [1.0, 1.0], 0.0)
    found = report.evaluate(Constant(), np.zeros((4, 1)), np.array([0, 0, 0, 1]), info)
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == 0.5
    assert found["f1_macro"] == pytest.approx(3 / 7)
    assert found["roc_auc"] == 0.5
    assert found["log_loss"] == pytest.approx(-(3 * np.log(0.9) + np.log(0.1)) / 4)
    weighed = report.evaluate(Constant(), np.zeros((4, 1)), np.array([0, 0, 0, 1]), replace(info, weights=[1.0, 10.0]))
    assert weighed["accuracy"] == 0.25


def test_metrics_of_numbers_are_right() -> None:
    class Same:
        def predict(self, X: pd.DataFrame) -> np.ndarray:
            return X["x"].to_numpy()

    info = ModelInfo("t", "regression", "y", [], [], {}, [], 1.0)
    found = report.evaluate(Same(), pd.DataFrame({"x": [0.0, 1, 2, 3]}), np.array([0.0, 1, 3, 6]), info)
    assert found == pytest.approx({"r2": 1 - 10 / 21, "mae": 1, "rmse": 2.5**0.5, "within_margin": 0.75})


@pytest.mark.usefixtures("undrawn")
def test_how_each_class_fares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    y, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    a, b = report.per_class(y, predicted, ["a", "b"])
    assert a == {"class": "a", "precision": 1.0, "recall": pytest.approx(2 / 3), "rows": 3}
    assert b == {"class": "b", "precision": 0.5, "recall": 1.0, "rows": 1}
    drawn: list[np.ndarray] = []
    imshow = Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda self, image, **k: drawn.append(image) or imshow(self, image, **k))
    report.plot_confusion(y, predicted, ["a", "b"], tmp_path / "a.png")
    assert drawn[0] == pytest.approx(np.array([[2 / 3, 1 / 3], [0, 1]]))  # a line for each true class


def test_what_finds_a_rare_class_is_important() -> None:
    class Finds:
        def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
            rare = np.where(X["a"] > 0, 0.3, 0.05)
            return np.column_stack([1 - rare, rare])

    X = pd.DataFrame({"a": [1.0 if i % 10 == 0 else -1.0 for i in range(300)]})
    info = ModelInfo("t", "classification", "y", ["a", "b"], [], {}, [1.0, 9.0], 0.0)
    y = (X["a"] > 0).to_numpy(dtype=int)
    assert report.importances(Finds(), X, y, "balanced_accuracy", info, 0)[0][1] == pytest.approx(0.5, abs=0.1)
