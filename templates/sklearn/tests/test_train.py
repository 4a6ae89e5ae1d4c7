"""Whole trainings: better than the baseline, without an edit, repeatable."""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CONFIG, Trained, point_rows, write_csv
from sklearn.pipeline import Pipeline

import store
import threads
from columns import convert, describe
from config import Config
from data import load_data
from model import Candidate, Score, candidates, compare, folds, preprocessing, search
from predict import predict
from prepare import prepare
from runtime.settings import UserError
from table import read_table
from train import add_data_arguments, beats, choose_model, configure, fit, main

PLOTS = ("calibration.png", "confusion_matrix.png")
RESULTS = (
    "MODEL_CARD.md",
    "example.json",
    "metrics.json",
    "model.json",
    "model.skops",
    "test_rows.csv",
    "importances.png",
)


def run(project: Path, *arguments: str) -> dict[str, Any]:
    """Train with every warning an error; returns metrics.json."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*sklearn.utils.parallel.delayed")  # see threads.hush
        assert main(list(arguments), project) == 0
    name = (project / "runs" / "latest.txt").read_text("utf-8").strip()
    return json.loads((project / "runs" / name / "metrics.json").read_text("utf-8"))


@pytest.mark.parametrize(("name", "accuracy"), [("breast_cancer", 0.95), ("wine", 0.94)])
def test_bundled_data_beats_the_baselines(project: Path, name: str, accuracy: float) -> None:
    result = run(project, "--dataset", name)
    scores = {model: score["mean"] for model, score in result["cross_validation"].items()}
    assert result["tuned"]["mean"] >= scores["decision tree"] + 0.03  # 0.05 with all folds and rows, see the README
    assert result["test"]["accuracy"] >= accuracy
    assert result["baseline_test"]["accuracy"] < 0.65
    assert result["test"]["roc_auc"] > 0.97 > 0.51 > result["baseline_test"]["roc_auc"]
    assert all((project / "runs" / name / file).stat().st_size for file in (*RESULTS, *PLOTS))
    assert result["warnings"] == []


def test_support_vectors_read_digits(config: Config) -> None:
    data = load_data(dataclasses.replace(config, data=dataclasses.replace(config.data, dataset="digits")), Path())
    columns, _ = describe(data.table)
    models = candidates(data.task, columns, len(data.y), config.train)
    some = [model for model in models if model.name in ("dummy", "decision tree", "SVM")]
    cv = folds(data.task, data.y, None, config.train)
    scores = compare(some, convert(data.table, columns), data.y, cv, "accuracy", 1, lambda name, score: None)
    assert scores["dummy"].mean < 0.12
    assert scores["SVM"].mean >= max(0.96, scores["decision tree"].mean + 0.05)


def test_a_customer_table_trains_without_an_edit(trained: Trained) -> None:
    result = json.loads((trained.folder / "runs" / "고객" / "metrics.json").read_text("utf-8"))
    assert (result["task"], result["target"]) == ("classification", "상태")
    assert result["test"]["balanced_accuracy"] > result["baseline_test"]["balanced_accuracy"] + 0.2
    used = {name.split(" (")[0] for name in result["importances"]}
    assert used == {"나이", "성별", "도시", "구매액", "가입일", "점포"}
    assert "taking the last column, 상태" in trained.printed
    assert "고객번호: left out" in trained.printed


def test_regression(trained: Trained) -> None:
    run = trained.folder / "runs" / "diabetes"
    result = json.loads((run / "metrics.json").read_text("utf-8"))
    assert result["task"] == "regression"
    assert result["test"]["r2"] > result["baseline_test"]["r2"] + 0.2
    assert result["test"]["mae"] < result["baseline_test"]["mae"]
    assert result["test"]["within_margin"] == pytest.approx(store.LEVEL, abs=0.06)
    assert (run / "residuals.png").stat().st_size


@pytest.mark.usefixtures("undrawn")
def test_a_price_and_many_texts(project: Path, config: Config) -> None:
    """Whole-numbered prices are no classes, also not for the encoder of texts."""
    rows = [[f"shop {i % 40}", i % 7, f"{(i % 40) * 1000 + i % 11:,}"] for i in range(240)]
    path = write_csv(project / "prices.csv", ["shop", "x", "price"], rows)
    result = run(project, "--data", str(path))
    assert result["task"] == "regression"
    assert result["cross_validation"]["ridge regression"]["mean"] > 0.9
    assert result["cross_validation"]["SVM"]["mean"] > 0.5  # which needs a scaled target


@pytest.mark.usefixtures("undrawn")
def test_the_same_seed_gives_the_same_result(project: Path) -> None:
    data = ["--data", str(write_csv(project / "points.csv", *point_rows()))]
    first = run(project, *data)
    rows = (project / "runs" / "points" / "test_rows.csv").read_bytes()
    # Folds side by side change nothing; another seed does.
    (project / "config.toml").write_text(CONFIG.replace("n_jobs = 1", "n_jobs = 2"), encoding="utf-8")
    assert run(project, *data) == first
    assert (project / "runs" / "points" / "test_rows.csv").read_bytes() == rows
    (project / "config.toml").write_text(CONFIG.replace("seed = 0", "seed = 1"), encoding="utf-8")
    assert run(project, *data)["cross_validation"] != first["cross_validation"]


@pytest.mark.usefixtures("undrawn")
def test_many_rows_are_compared_on_a_sample(project: Path, capsys: pytest.CaptureFixture) -> None:
    text = CONFIG.replace("search_rows = 20000", "search_rows = 100").replace("svm_rows = 3000", "svm_rows = 50")
    (project / "config.toml").write_text(text, encoding="utf-8")
    result = run(project, "--dataset", "breast_cancer")
    assert "sample of 100 rows" in capsys.readouterr().out
    assert "SVM" not in result["cross_validation"]
    assert result["rows"]["learned"] > 400


@pytest.mark.usefixtures("undrawn")
def test_a_chosen_model_is_trained_with_its_settings(project: Path) -> None:
    text = CONFIG.replace('"auto"\nsettings = {}', '"gradient boosting"\nsettings = { max_leaf_nodes = 3 }')
    (project / "config.toml").write_text(text, encoding="utf-8")
    result = run(project, "--dataset", "diabetes")
    assert (result["model"], result["tuned"]["settings"]) == ("gradient boosting", {"max_leaf_nodes": 3})
    assert list(result["cross_validation"]) == ["dummy", "decision tree", "gradient boosting"]
    model, _, _ = store.load(project / "runs" / "diabetes")
    assert model["model"].max_leaf_nodes == 3
    assert result["cross_validation"]["gradient boosting"]["mean"] == result["tuned"]["mean"]


@pytest.mark.usefixtures("undrawn")
def test_what_beats_no_baseline_is_named(project: Path) -> None:
    text = CONFIG.replace('"auto"\nsettings', '"logistic regression"\nsettings').replace(
        "calibrate = true", "calibrate = false"
    )
    (project / "config.toml").write_text(text, encoding="utf-8")
    path = write_csv(project / "useless.csv", ["x", "y"], [[i % 4, "ab"[i // 4 % 2]] for i in range(160)])
    assert run(project, "--data", str(path))["warnings"][-1].startswith("not clearly better than the baseline")
    assert isinstance(store.load(project / "runs" / "useless")[0], Pipeline)  # and not calibrated


def test_a_few_very_large_numbers_hide_no_good_model() -> None:
    """Cross-validation of the online sales of 450 kinds of goods, where one row is ten thousand times another."""
    ridge, mean, svm = Score(0.994, 0.009, 1.0), Score(-2.103, 2.567, 1.0), Score(-1.851, 3.586, 1.0)
    assert beats(ridge, mean, "regression")
    assert not beats(svm, mean, "regression")
    assert not beats(Score(0.1, 0.07, 1.0), Score(-0.02, 0.01, 1.0), "regression")
    assert beats(Score(0.9, 0.05, 1.0), Score(0.6, 0.1, 1.0), "classification")
    assert not beats(Score(0.75, 0.05, 1.0), Score(0.6, 0.1, 1.0), "classification")


@pytest.mark.usefixtures("undrawn")
def test_an_imbalanced_target_is_not_judged_by_accuracy(project: Path, capsys: pytest.CaptureFixture) -> None:
    draw = random.Random(0)
    points = [draw.gauss(0, 1) for _ in range(200)]
    rows = [[x, "rare" if x + draw.gauss(0, 0.5) > 1.7 else "common"] for x in points]
    result = run(project, "--data", str(write_csv(project / "rare.csv", ["x", "y"], rows)))
    assert result["metric"] == "balanced_accuracy"
    assert result["cross_validation"]["dummy"]["mean"] == 0.5
    assert result["baseline_test"]["accuracy"] > 0.9
    recalls = [found["recall"] for found in result["classes"]]
    assert np.mean(recalls) == pytest.approx(result["test"]["balanced_accuracy"])
    model, info, _ = store.load(project / "runs" / "rare")
    table, _ = read_table(project / "runs" / "rare" / "test_rows.csv")
    predicted, _ = predict(model, info, table)
    # Rare ones are named below 50 %: by the test, by predict.py, and as it was said.
    named = predicted["probability of rare"][predicted["prediction"] == "rare"].min()
    assert (predicted["prediction"] == table["y"]).mean() == pytest.approx(result["test"]["accuracy"])
    share = info.weights[0] / sum(info.weights)
    assert share == pytest.approx(np.mean([row[1] == "rare" for row in rows]), abs=0.01)
    assert share < named < 0.5
    assert f"rare is named from a probability of {share:.1%} on" in capsys.readouterr().out


@pytest.mark.parametrize(("scores", "best"), [((0.7, 0.8, 0.75), "SVM"), ((0.7996, 0.8, 0.7), "logistic regression")])
def test_the_best_is_chosen_and_of_equals_the_simplest(
    config: Config, monkeypatch: pytest.MonkeyPatch, scores: tuple[float, ...], best: str
) -> None:
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, search_trials=0))
    compared = {name: Score(0.9, 0.0, 0.0) for name in ("dummy", "decision tree")}  # these are never chosen
    names = ("logistic regression", "SVM", "gradient boosting")
    compared |= {name: Score(score, 0.0, 0.0) for name, score in zip(names, scores, strict=True)}
    monkeypatch.setattr("train.compare", lambda *_: compared)
    prepared = prepare(config, Path())
    found, params, told = choose_model(prepared, config)
    assert (found.name, params, told["model"]) == (best, {}, best)
    model, _, _ = fit(prepared, found, {"C": 3.0}, config)
    assert model.calibrated_classifiers_[0].estimator["model"].C == 3


def test_tuning_never_makes_it_worse(config: Config) -> None:
    data = load_data(config, Path())
    columns, _ = describe(data.table)
    X, cv = convert(data.table, columns), folds(data.task, data.y, None, config.train)
    linear = next(m for m in candidates(data.task, columns, len(X), config.train) if m.name == "logistic regression")
    bad = Candidate("bad", linear.pipeline, {"C": [1e-9, 2e-9, 3e-9]})
    default = compare([linear], X, data.y, cv, "accuracy", 1, lambda name, score: None)["logistic regression"]
    assert search(bad, default, X, data.y, cv, "accuracy", config.train, 1) == ({}, default)
    worse = dataclasses.replace(default, mean=0.0)
    (params, best), (again, _) = (search(linear, worse, X, data.y, cv, "accuracy", config.train, 1) for _ in range(2))
    assert set(params) == {"C"}
    assert again == params
    assert best.mean > 0.9


def test_preprocessing_leaves_only_finite_numbers(config: Config, customers: Path) -> None:
    data = load_data(dataclasses.replace(config, data=dataclasses.replace(config.data, path=str(customers))), Path())
    columns, _ = describe(data.table)
    features = convert(data.table, columns)
    prepared = preprocessing("classification", columns, config.train).fit(features[:120], data.y[:120])
    assert np.isfinite(prepared.transform(features[120:])).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("folds = 3", "folds = 1", "train.folds must be at least 2"),
        ("folds = 3", "fold = 3", "nearest known name is train.folds"),
        ("folds = 3", 'folds = "3"', "train.folds must be of type int"),
        ("drop = []", "drop = [1]", "must hold column names"),
        ("settings = {}", "settings = { C = 1 }", "settings belong to one model"),
        ('"auto"\nsettings = {}', '"SVM"\nsettings = { C = "1" }', r"settings\.C must be a number above 0"),
        (
            '"auto"\nsettings = {}',
            '"SVM"\nsettings = { c = 1 }',
            r"model\.settings of SVM: there is no 'c'; there are: C, gamma",
        ),
        ('"auto"\nsettings = {}', '"ridge regression"\nsettings = {}', "nearest: logistic regression"),
        ('task = "auto"', 'task = "guess"', "data.task must be one of"),
        ("[train]", "[train", "not valid TOML"),
    ],
)
def test_mistakes_in_the_settings_are_named(project: Path, old: str, new: str, message: str) -> None:
    (project / "config.toml").write_text(CONFIG.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        main([], project)


def test_no_usable_column_is_an_error(project: Path) -> None:
    path = write_csv(project / "a.csv", ["id", "y"], [[i, i % 2] for i in range(60)])
    with pytest.raises(UserError, match="no column is left"):
        main(["--data", str(path)], project)


def test_only_the_false_alarm_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *rest: shown.append(str(message)))
    threads.hush()
    for text in ("`sklearn.utils.parallel.delayed` should be used with", "something else"):
        warnings.showwarning(UserWarning(text), UserWarning, "file", 1)
    assert shown == ["something else"]


def test_thread_limits(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in threads.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    threads.limit(3)
    assert [threads.os.environ[variable] for variable in threads.VARIABLES] == ["7", "3", "3", "3"]
    (project / "config.toml").write_text(CONFIG.replace("threads = 1", "threads = 4"), encoding="utf-8")
    assert threads.configured(project / "config.toml") == 4
    assert threads.configured(project / "none.toml") == 1


@pytest.mark.parametrize(
    ("argv", "changes"),
    [
        ([], {}),
        (["--data", "a.csv"], {"path": str(Path("a.csv").absolute())}),
        (["--dataset", "wine"], {"path": "", "dataset": "wine"}),
        (["--target", "t", "--group", "g"], {"target": "t", "group": "g"}),
        (["--task", "regression"], {"task": "regression"}),
    ],
)
def test_the_command_line_goes_before_the_settings(config: Config, argv: list[str], changes: dict[str, str]) -> None:
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, path="mine.csv"))
    parser = argparse.ArgumentParser()
    add_data_arguments(parser, Path())
    expected = dataclasses.replace(config, data=dataclasses.replace(config.data, **changes))
    assert configure(parser.parse_args(argv), config) == expected


def test_ctrl_c_while_the_libraries_load_is_quiet() -> None:
    for raised, shown in (("KeyboardInterrupt", False), ("ValueError", True)):
        command = [sys.executable, "-c", f"import threads, sys; assert 'numpy' not in sys.modules; raise {raised}"]
        ended = subprocess.run(command, cwd=Path(threads.__file__).parent, capture_output=True, text=True)
        assert ended.returncode != 0
        assert (raised in ended.stderr) == shown
