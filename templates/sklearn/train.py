"""Train on a table: compare models, tune the best one, test it once on rows that nothing has seen, keep it.

`python train.py` takes the data that config.toml names.
`python train.py --data FILE.csv --target COLUMN` takes your own table.
"""

from __future__ import annotations

import threads  # noqa: F401  first of all: it limits the threads of what is imported below

# isort: split
import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import report
import store
from columns import Column, convert, describe
from config import BUNDLED, TASKS, Config
from data import Dataset, load_data, split
from model import BASELINE, Candidate, Score, candidates, compare, fit_final, folds, search
from settings import UserError, load_config, main_guard

HERE = Path(__file__).parent
# Where one class holds more than this share of the rows, always naming it would already look accurate.
IMBALANCED = 0.8


def choose_metric(data: Dataset, wanted: str) -> str:
    """What models are compared by."""
    if data.task == "regression":
        return "r2"
    if wanted != "auto":
        return wanted
    return "balanced_accuracy" if np.bincount(data.y).max() > IMBALANCED * len(data.y) else "accuracy"


def sample(y: np.ndarray, rows: int, task: str, seed: int) -> np.ndarray:
    """Row numbers for comparing and tuning: all of them, or a sample with the same mix where there are very many."""
    if len(y) <= rows:
        return np.arange(len(y))
    everything = Dataset("", pd.DataFrame(), "", y, [task] if task == "classification" else [], [])
    _, chosen = split(everything, rows / len(y), seed)
    return chosen


def train(config: Config, runs: Path, folder: Path) -> Path:
    """The whole way from the table to a saved model; returns the folder of the results."""
    settings = config.train
    data = load_data(config, folder)
    learn, test = split(data, settings.test_share, settings.seed)

    # From here to the final test only the rows to learn from are looked at: also what a column means, or which
    # columns are useless, is decided without the test rows.
    columns, notes = describe(data.table.iloc[learn], config.data.drop, config.data.keep)
    if not columns:
        raise UserError("no column is left to learn from: " + "; ".join(notes))
    X, y = convert(data.table.iloc[learn], columns), data.y[learn]
    introduce(data, len(columns), learn, test, [*data.notes, *notes])
    metric = choose_metric(data, settings.metric)
    best, params, comparison = choose_model(data.task, columns, X, y, metric, config)
    model = fit_final(best, params, X, y, folds(data.task, settings))
    baseline = candidates(data.task, columns, len(X), settings)[0].pipeline.fit(X, y)

    X_test, y_test = convert(data.table.iloc[test], columns), data.y[test]
    tested, floor = (report.evaluate(fitted, X_test, y_test, data.task) for fitted in (model, baseline))
    show_test(best.name, tested, floor, len(test))
    ranked = report.importances(model, X_test, y_test, metric, settings.seed, config.machine.n_jobs)

    out = runs / data.name
    out.mkdir(parents=True, exist_ok=True)
    info = store.ModelInfo(data.name, data.task, data.target, data.classes, columns, store.versions())
    store.save(model, info, out)
    save_test_rows(data, test, out / "test_rows.csv")
    results = {
        **{"data": data.name, "task": data.task, "target": data.target, "metric": metric},
        "rows": {"learned": len(learn), "tested": len(test)},
        **comparison,
        **{"test": tested, "baseline_test": floor},
        "importances": {name: mean for name, mean, _ in ranked},
        "notes": [*data.notes, *notes],
        **{"settings": dataclasses.asdict(settings), "versions": store.versions()},
    }
    store.write_json(out / "metrics.json", results)
    draw(model.predict(X_test), y_test, data, ranked, metric, out)
    store.write_atomic(runs / store.LATEST, lambda path: path.write_text(data.name + "\n", encoding="utf-8"))
    return out


def choose_model(
    task: str, columns: list[Column], X: pd.DataFrame, y: np.ndarray, metric: str, config: Config
) -> tuple[Candidate, dict[str, Any], dict[str, Any]]:
    """Compare the models and tune the best one: that model, the settings to change, and the scores for metrics.json."""
    settings, n_jobs = config.train, config.machine.n_jobs
    cv, models = folds(task, settings), candidates(task, columns, len(X), settings)
    print(f"\nComparing models: {metric}, {settings.folds}-fold cross-validation")
    chosen = sample(y, settings.search_rows, task, settings.seed)
    if len(chosen) < len(X):
        print(f"  on a sample of {len(chosen)} rows (train.search_rows)")
    X, y = X.iloc[chosen], y[chosen]
    scores = compare(models, X, y, cv, metric, n_jobs, show_score)
    # Of models that are equal to three digits the first, simplest one is taken.
    best = max((model for model in models if model.space), key=lambda model: round(scores[model.name].mean, 3))
    params: dict[str, Any] = {}
    tuned = scores[best.name]
    if settings.search_trials:
        about = tuned.seconds * settings.search_trials
        print(f"\nTuning {best.name}: {settings.search_trials} random settings, about {about:.0f} s", flush=True)
        params, tuned = search(best, tuned, X, y, cv, metric, settings, n_jobs)
        found = ", ".join(f"{key.split('__')[-1]} {value:.3g}" for key, value in params.items())
        print(f"  {tuned.mean:.3f} ± {tuned.std:.3f} with {found or 'the defaults: nothing better was found'}")
    return (
        best,
        params,
        {
            "cross_validation": {name: {"mean": score.mean, "std": score.std} for name, score in scores.items()},
            "model": best.name,
            "tuned": {"mean": tuned.mean, "std": tuned.std, "settings": params},
        },
    )


def save_test_rows(data: Dataset, test: np.ndarray, path: Path) -> None:
    """Keep the held-out rows with their true target, for `predict.py --example`."""
    truth = np.array(data.classes, dtype=object)[data.y[test]] if data.classes else data.y[test]
    rows = data.table.iloc[test].assign(**{data.target: truth})
    store.write_atomic(path, lambda staged: rows.to_csv(staged, index=False, encoding="utf-8-sig"))


def introduce(data: Dataset, columns: int, learn: np.ndarray, test: np.ndarray, notes: list[str]) -> None:
    """Say what was understood about the table, so that a wrong guess is noticed."""
    print(f"{data.name}: {len(data.y)} rows, {columns} usable columns; predicting {data.target} ({data.task})")
    if data.classes:
        counts = [f"{label} {count}" for label, count in zip(data.classes, np.bincount(data.y), strict=True)]
        print(f"  {len(counts)} classes: {', '.join(counts[:12])}{', ...' * (len(counts) > 12)}")
    print(f"  {len(learn)} rows to learn from, {len(test)} held out for the test at the end")
    for note in notes[:20]:
        print(f"  note: {note}")
    if len(notes) > 20:
        print(f"  and {len(notes) - 20} more notes, in metrics.json")


def show_score(name: str, score: Score) -> None:
    """One line of the comparison."""
    label = f"{name} (baseline)" if name == BASELINE else name
    print(f"  {label:<22} {score.mean:6.3f} ± {score.std:.3f}   {score.seconds:5.1f} s", flush=True)


def show_test(name: str, tested: dict[str, float], floor: dict[str, float], rows: int) -> None:
    """The final metrics beside those of the baseline."""
    print(f"\nTest on {rows} rows never seen before   {name:>20} {BASELINE:>12}")
    for metric, value in tested.items():
        print(f"  {metric:<35} {value:20.3f} {floor[metric]:12.3f}")


def draw(
    predicted: np.ndarray,
    y: np.ndarray,
    data: Dataset,
    ranked: list[tuple[str, float, float]],
    metric: str,
    out: Path,
) -> None:
    """Write the plots."""
    notes = report.plot_importances(ranked, metric, out / "importances.png")
    if data.classes:
        notes += report.plot_confusion(y, predicted, data.classes, out / "confusion_matrix.png")
    else:
        notes += report.plot_residuals(y, predicted, data.target, out / "residuals.png")
    for note in notes[:1]:
        print(f"\nnote: {note}")


def configure(arguments: argparse.Namespace, config: Config) -> Config:
    """The settings of the file, with what the command line says instead."""
    changes = {key: getattr(arguments, key) for key in ("dataset", "target", "task") if getattr(arguments, key)}
    if arguments.data:
        changes["path"] = str(Path(arguments.data).absolute())
    elif arguments.dataset:
        changes["path"] = ""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **changes))


def main(argv: list[str] | None = None, folder: Path = HERE) -> int:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train on a CSV file or on one of scikit-learn's data sets.")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", metavar="FILE", help="a CSV file with a header line")
    source.add_argument("--dataset", choices=BUNDLED, help="a data set that comes with scikit-learn")
    parser.add_argument("--target", metavar="COLUMN", help="the column to predict (default: the last one)")
    parser.add_argument("--task", choices=TASKS, help="classification or regression (default: found out)")
    config = configure(parser.parse_args(argv), load_config(folder / "config.toml", Config))
    started = time.perf_counter()
    try:
        out = train(config, folder / "runs", folder)
    except KeyboardInterrupt:
        print("\nStopped. An earlier model is still there; python train.py starts again.", file=sys.stderr)
        return 130
    print(f"\nDone in {time.perf_counter() - started:.0f} s. Results: {out.relative_to(folder)}")
    print("Next: python predict.py --example")
    return 0


if __name__ == "__main__":
    main_guard(main)
