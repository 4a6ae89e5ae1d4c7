"""ONNX files answer like the model, for every model and every kind of column; one that does not is not kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Trained, customer_rows

import store
from columns import Column, convert, describe
from config import Config
from model import candidates, fit_final, folds
from runtime.settings import UserError

onnx = pytest.importorskip("onnx", reason="python export.py needs onnx")
pytest.importorskip("onnxruntime", reason="python export.py needs onnxruntime")

import export  # noqa: E402


@pytest.fixture(scope="module")
def customers() -> tuple[list[Column], pd.DataFrame, np.ndarray]:
    """Columns of every kind, with holes; the rows; their ages, to be predicted."""
    header, rows = customer_rows(150)
    table = pd.DataFrame(rows, columns=header, dtype=object).map(lambda value: str(value) if value != "" else None)
    table.loc[::9, "도시"] = None
    columns, _ = describe(table.drop(columns="상태"))
    assert {column.kind for column in columns} == {"number", "category", "date", "many"}
    return columns, convert(table, columns), pd.to_numeric(table["나이"]).fillna(40).to_numpy()


@pytest.mark.parametrize("calibrate", [True, False])
@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("name", ["linear", "SVM", "gradient boosting"])
def test_every_model_answers_the_same(
    config: Config, customers: tuple[list[Column], pd.DataFrame, np.ndarray], name: str, classes: int, calibrate: bool
) -> None:
    columns, X, age = customers
    task = "classification" if classes else "regression"
    y = (age * classes // 76).astype(int) if classes else age * 1000.0
    name = name if name != "linear" else "logistic regression" if classes else "ridge regression"
    every = candidates(task, columns, len(X), config.train, balanced=classes == 2)
    pipeline = next(model.pipeline for model in every if model.name == name)
    cv = folds(task, y, None, config.train)
    model = fit_final(pipeline, X[:100], y[:100], cv_of(cv), 1, calibrate=calibrate, balanced=classes == 2)
    info = store.ModelInfo("t", task, "y", [str(i) for i in range(classes)], columns, {}, [1.0] * classes, 0.0)
    odd = X.copy()  # also what was never seen while learning
    odd.loc[::5, ["도시", "점포"]] = "화성"
    odd.loc[::7, "구매액"] = np.nan
    content = export.to_onnx(model, info).SerializeToString()
    assert export.difference(content, model, odd) < 1e-6


def cv_of(cv: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds over the first 100 rows only."""
    return [(learn[learn < 100], check[check < 100]) for learn, check in cv]


def test_the_command(trained: Trained, project: Path, capsys: pytest.CaptureFixture) -> None:
    assert export.main([], trained.copy_of("고객", project)) == 0
    assert "same answers on 60 held-out rows" in capsys.readouterr().out
    made = onnx.load(project / "runs" / "고객" / "model.onnx")
    onnx.checker.check_model(made)
    assert {entry.key for entry in made.metadata_props} == {"target", "classes", "weights", "missing_text"}


def test_a_file_that_answers_differently_is_not_kept(
    trained: Trained, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = export.raw_answer
    monkeypatch.setattr(
        export, "raw_answer", lambda graph, *rest: graph.add("Mul", answer(graph, *rest), np.array(1.01))
    )
    with pytest.raises(UserError, match="not kept"):
        export.main([], trained.copy_of("고객", project))
    assert not list((project / "runs" / "고객").glob("*onnx*"))
