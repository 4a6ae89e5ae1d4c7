"""A saved model: the same predictions later, nothing untrusted opened, odd files coped with."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from conftest import Trained, customer_rows, write_csv
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import store
import words
from columns import Column, convert, describe
from config import Config
from model import candidates, fit_final, folds
from predict import main, predict
from runtime.settings import UserError


@pytest.fixture
def project(trained: Trained) -> Path:
    """A project with a model of the customer table."""
    return trained.folder


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["logistic regression", "SVM", "gradient boosting"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_model_is_the_same_after_saving(tmp_path: Path, config: Config, task: str, name: str) -> None:
    header, rows = customer_rows(120)
    table = pd.DataFrame(rows, columns=header, dtype=object).map(lambda value: str(value) if value != "" else None)
    columns, _ = describe(table.drop(columns="상태"))
    assert {column.kind for column in columns} == {"number", "category", "date", "many"}
    X = convert(table, columns)
    y = (table["상태"] == "이탈").to_numpy(dtype=int if task == "classification" else float)
    name = name if task == "classification" else name.replace("logistic", "ridge")
    candidate = next(model for model in candidates(task, columns, len(X), config.train) if model.name == name)
    cv = folds(task, y, None, config.train)
    model = fit_final(candidate.pipeline, X, y, cv, 1, calibrate=True, balanced=False)
    info = store.ModelInfo("t", task, "상태", ["유지", "이탈"], columns, store.versions(), [1.0, 1.0], 0.0)
    store.save(model, info, tmp_path)
    loaded, same, notes = store.load(tmp_path)
    assert (same, notes) == (info, [])
    assert np.array_equal(loaded.predict(X), model.predict(X))
    if task == "classification":
        assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_types_that_are_not_trusted_are_refused(project: Path, tmp_path: Path) -> None:
    for harmful in (make_pipeline(FunctionTransformer(print)), SelectKBest(eval)):
        path = tmp_path / "model.skops"
        skops.io.dump(harmful, path)
        with pytest.raises(UserError, match="not trusted"):
            store.load_pipeline(path)
    trusted = HistGradientBoostingClassifier(max_iter=2).fit([[0.0], [1.0]] * 30, [0, 1] * 30)
    skops.io.dump(trusted, path)
    assert store.load_pipeline(path).predict([[1.0]]) == [1]


def test_a_file_that_is_no_model_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    path.write_bytes(b"not a zip file")
    with pytest.raises(UserError, match="can't be opened"):
        store.load_pipeline(path)
    with pytest.raises(UserError, match=r"run python train\.py first"):
        store.load(tmp_path)


def test_model_and_description_belong_together(project: Path, tmp_path: Path) -> None:
    for name in ("model.skops", "model.json"):
        (tmp_path / name).write_bytes((project / "runs" / "고객" / name).read_bytes())
    skops.io.dump(ColumnTransformer([]), tmp_path / "model.skops")
    with pytest.raises(UserError, match=r"not the file that model\.json describes"):
        store.load(tmp_path)
    (tmp_path / "model.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        store.load(tmp_path)


def test_other_versions_are_noted(project: Path, tmp_path: Path) -> None:
    folder = project / "runs" / "고객"
    (tmp_path / "model.skops").write_bytes((folder / "model.skops").read_bytes())
    info = json.loads((folder / "model.json").read_text("utf-8"))
    info["versions"]["scikit-learn"] = "1.0"
    (tmp_path / "model.json").write_text(json.dumps(info), encoding="utf-8")
    assert "made with scikit-learn 1.0" in store.load(tmp_path)[2][0]


def test_predictions_for_a_file(project: Path) -> None:
    assert main([str(project / "고객.csv")], project) == 0
    rows = read(project / "고객.predictions.csv")
    assert len(rows) == 240
    assert np.mean([row["prediction"] == row["상태"] for row in rows]) > 0.85
    for row in rows:
        shares = {label: float(row[f"probability of {label}"]) for label in ("유지", "이탈")}
        assert sum(shares.values()) == pytest.approx(1)
        assert row["prediction"] == max(shares, key=lambda label: shares[label])


def test_the_held_out_rows_are_the_example(project: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--example"], project) == 0
    printed = capsys.readouterr().out
    assert "truth" in printed
    result = json.loads((project / "runs" / "고객" / "metrics.json").read_text("utf-8"))
    rows = read(project / "runs" / "고객" / "test_rows.csv")
    model, info, _ = store.load(project / "runs" / "고객")
    table = pd.DataFrame(rows, dtype=object).replace("", None)
    predictions, _ = predict(model, info, table)
    right = predictions["prediction"] == table["상태"]
    assert right.mean() == pytest.approx(result["test"]["accuracy"])
    assert ["wrong" not in line for line in printed.splitlines()[-8:]] == right.head(8).tolist()


def test_odd_rows_are_predicted_all_the_same(project: Path, capsys: pytest.CaptureFixture) -> None:
    header, rows = customer_rows(4)
    at = header.index
    rows[0][at("도시")], rows[1][at("점포")] = "화성", "새 지점"  # categories that were never seen
    rows[2] = ["" for _ in header]
    rows[2][at("국가")] = "KR"
    rows[3][at("나이")] = "비밀" + "!" * 100_000
    path = write_csv(project / "odd.csv", [*header[:-1], "new column"], rows)
    assert main([str(path)], project) == 0
    written = read(project / "odd.predictions.csv")
    assert {row["prediction"] for row in written} <= {"유지", "이탈"}
    assert len(written) == 4
    printed = capsys.readouterr().out
    assert f"나이: values that are no number count as missing: 1 ('비밀{'!' * 29}…')" in printed
    assert "new column" in printed


def test_the_kind_of_a_column_is_told_in_korean(project: Path) -> None:
    model, info, _ = store.load(project / "runs" / "고객")
    header, rows = customer_rows(1)
    rows[0][header.index("나이")] = "비밀"
    words.speak("ko")
    _, notes = predict(model, info, pd.DataFrame(rows, columns=header, dtype=object))
    assert "나이: 수가 아닌 값은 결측으로 봅니다: 1 ('비밀')" in notes


def test_a_file_that_lacks_a_column_is_refused(project: Path) -> None:
    header, rows = customer_rows(4)
    path = write_csv(project / "lacks.csv", [name.replace("나이", "나이대") for name in header], rows)
    with pytest.raises(UserError, match="no column '나이'; nearest: 나이대"):
        main([str(path)], project)
    with pytest.raises(UserError, match="no rows"):
        main([str(write_csv(project / "none.csv", header, []))], project)


def test_the_input_is_never_overwritten(project: Path) -> None:
    path = write_csv(project / "mine.csv", *customer_rows(5))
    before = path.read_bytes()
    with pytest.raises(UserError, match="another --output"):
        main([str(path), "--output", str(path)], project)
    assert path.read_bytes() == before


def test_without_a_model_it_says_what_to_do(tmp_path: Path) -> None:
    latest = tmp_path / "runs" / "latest.txt"
    for content in (None, b"", b"\xff\xfe", "없음".encode()):
        if content is not None:
            latest.parent.mkdir(exist_ok=True)
            latest.write_bytes(content)
        with pytest.raises(UserError, match=r"run python train\.py first"):
            main(["--example"], tmp_path)


def test_what_is_written_for_a_row() -> None:
    class Says:
        def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
            return np.array([[0.8, 0.2]])

        def predict(self, X: pd.DataFrame) -> np.ndarray:
            return np.array([5.0])

    columns, table = [Column("x", "number", ".")], pd.DataFrame({"x": ["1"]})
    info = store.ModelInfo("t", "classification", "y", ["a", "b"], columns, {}, [1.0, 5.0], 0.0)
    found, _ = predict(Says(), info, table)
    assert found.to_dict("records") == [{"prediction": "b", "probability of a": 0.8, "probability of b": 0.2}]
    found, _ = predict(Says(), dataclasses.replace(info, task="regression", margin=2.0), table)
    assert found.to_dict("records") == [{"prediction": 5.0, "low": 3.0, "high": 7.0}]


def test_an_earlier_model_and_another_place(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = project / "runs" / "diabetes" / "test_rows.csv"
    assert main([str(rows), "--run", "diabetes", "--output", str(tmp_path / "out.csv")], project) == 0
    written = read(tmp_path / "out.csv")
    assert len(written) == len(read(rows))
    outside = [not float(row["low"]) <= float(row["progression"]) <= float(row["high"]) for row in written]
    capsys.readouterr()
    assert main(["--run", "diabetes", "--example"], project) == 0
    shown = capsys.readouterr().out.splitlines()[-8:]
    assert ["outside" in line for line in shown] == outside[:8]


def test_a_column_of_the_files_own_is_kept(project: Path) -> None:
    header, rows = customer_rows(4)
    path = write_csv(project / "again.csv", [*header[:-1], "prediction"], rows)
    assert main([str(path)], project) == 0
    written = read(project / "again.predictions.csv")
    assert [row["prediction"] for row in written] == [row[-1] for row in rows]
    assert {row["prediction (model)"] for row in written} <= {"유지", "이탈"}


def test_a_table_that_is_open_in_excel_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(staged: Path, target: Path) -> Path:
        raise PermissionError(13, "Access is denied", str(staged))

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(UserError, match=r"a\.csv can't be written; close it where it is open"):
        store.write_atomic(tmp_path / "a.csv", lambda staged: staged.write_text("x", encoding="utf-8"))
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    def fails(staged: Path) -> None:
        staged.write_text("half", encoding="utf-8")
        raise OSError("no space left")

    (tmp_path / "a.json").write_text("old", encoding="utf-8")
    with pytest.raises(OSError, match="no space"):
        store.write_atomic(tmp_path / "a.json", fails)
    assert [path.read_text("utf-8") for path in tmp_path.iterdir()] == ["old"]
