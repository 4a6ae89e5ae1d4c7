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
from sklearn.base import BaseEstimator

import card
import report
import store
from config import BUNDLED, TASKS, Config
from model import BASELINE, Candidate, Score, class_weights, compare, decide, error_margin, fit_final, search
from prepare import Prepared, introduce, prepare
from runtime.settings import load_config, main_guard
from words import figure, follow, pad, say, shorten, shown

HERE = Path(__file__).parent
MANY_COLUMNS = 300  # of which it takes some time to tell which count


def train(config: Config, runs: Path, folder: Path) -> Path:
    """The whole way from the table to a saved model; returns the folder of the results."""
    prepared = prepare(config, folder)
    introduce(prepared)
    best, params, comparison = choose_model(prepared, config)
    model, baseline, info = fit(prepared, best, params, config)

    # The test: the only place where the held-out rows are looked at.
    X, y = prepared.held_out()
    plain = dataclasses.replace(info, weights=[1.0] * len(info.classes))
    tested, floor = report.evaluate(model, X, y, info), report.evaluate(baseline, X, y, plain)
    show_test(best.name, tested, floor, len(y))
    if len(prepared.columns) > MANY_COLUMNS:
        text = "Shuffling each of {columns} columns to see how much it counts: this takes a while"
        print("\n" + say(text, columns=len(prepared.columns)), flush=True)
    ranked = report.importances(model, X, y, prepared.metric, info, config.train.seed)

    data, out = prepared.data, runs / prepared.data.name
    out.mkdir(parents=True, exist_ok=True)
    store.save(model, info, out)
    save_rows(prepared, out)
    classes = draw(model, X, y, info, ranked, prepared.metric, out)
    results = {
        **{"data": data.name, "task": data.task, "target": data.target, "metric": prepared.metric},
        "rows": {"learned": len(prepared.learn), "tested": len(prepared.test)},
        **comparison,
        **{"test": tested, "baseline_test": floor, "classes": classes},
        "importances": {name: mean for name, mean, _ in ranked},
        **{"warnings": prepared.warnings, "notes": prepared.notes},
        **{"settings": dataclasses.asdict(config.train), "versions": store.versions()},
    }
    store.write_json(out / "metrics.json", results)
    text = card.model_card(results, info)
    store.write_atomic(out / "MODEL_CARD.md", lambda path: path.write_text(text, encoding="utf-8"))
    store.write_atomic(runs / store.LATEST, lambda path: path.write_text(data.name + "\n", encoding="utf-8"))
    return out


def choose_model(prepared: Prepared, config: Config) -> tuple[Candidate, dict[str, Any], dict[str, Any]]:
    """Compare the models and tune the best one: that model, the settings to change, and the scores for metrics.json."""
    settings, n_jobs, metric = config.train, config.machine.n_jobs, prepared.metric
    print("\n" + say("Comparing models: {metric}, {folds}-fold cross-validation", metric=metric, folds=settings.folds))
    few = prepared.sample(settings.search_rows, settings.seed)
    if few is not prepared:
        print("  " + say("on a sample of {rows} rows (train.search_rows)", rows=len(few.y)))
    models, cv = prepared.candidates(config), few.folds(config)
    params: dict[str, Any] = dict(config.model.settings)
    if params:
        models = [*models[:-1], dataclasses.replace(models[-1], pipeline=models[-1].with_settings(params))]
    scores = compare(models, few.X, few.y, cv, metric, n_jobs, show_score)
    # Of models that are equal to three digits the first, simplest one is taken.
    best = max((model for model in models if model.space), key=lambda model: round(scores[model.name].mean, 3))
    tuned = scores[best.name]
    if settings.search_trials and config.model.name == "auto":
        text = "Tuning {model}: {trials} random settings, about {seconds:.0f} s"
        about = tuned.seconds * settings.search_trials
        print("\n" + say(text, model=best.name, trials=settings.search_trials, seconds=about), flush=True)
        params, tuned = search(best, tuned, few.X, few.y, cv, metric, settings, n_jobs)
        found = ", ".join(f"{key} {value:.3g}" for key, value in params.items())
        print(f"  {tuned.mean:.3f} ± {tuned.std:.3f}  {found or say('the defaults: nothing better was found')}")
    if not beats(tuned, scores[BASELINE], prepared.data.task):
        prepared.warnings.append(say("not clearly better than the baseline: perhaps nothing here tells the target"))
        print("  " + prepared.warnings[-1])
    return (
        best,
        params,
        {
            "cross_validation": {name: {"mean": score.mean, "std": score.std} for name, score in scores.items()},
            "model": best.name,
            "tuned": {"mean": tuned.mean, "std": tuned.std, "settings": params},
        },
    )


def beats(found: Score, baseline: Score, task: str) -> bool:
    """Whether a score is clearly above the baseline's.

    Of many models one is always the luckiest, so a lead of one ± would often be none. For numbers R² has a fixed
    point, 0 for their mean; the baseline's own ± only says how far the folds are apart, and a few very large numbers
    make it huge.
    """
    if task == "regression":
        return found.mean >= 2 * found.std
    return found.mean - baseline.mean >= 2 * max(found.std, baseline.std)


def fit(
    prepared: Prepared, best: Candidate, params: dict[str, Any], config: Config
) -> tuple[BaseEstimator, BaseEstimator, store.ModelInfo]:
    """Fit the chosen model and the baseline on all rows to learn from, and describe how the model is used."""
    data, X, y, n_jobs = prepared.data, prepared.X, prepared.y, config.machine.n_jobs
    pipeline, cv = best.with_settings(params), prepared.folds(config)
    margin, weights = 0.0, []
    if data.classes:
        weights = class_weights(y, balanced=prepared.balanced).tolist()
    else:
        margin = error_margin(pipeline, X, y, cv, n_jobs, store.LEVEL)
    model = fit_final(pipeline, X, y, cv, n_jobs, calibrate=config.train.calibrate, balanced=prepared.balanced)
    baseline = prepared.candidates(config)[0].pipeline.fit(X, y)
    info = store.ModelInfo(
        *(data.name, data.task, data.target, data.classes, prepared.columns, store.versions(), weights, margin)
    )
    return model, baseline, info


def save_rows(prepared: Prepared, out: Path) -> None:
    """Keep the held-out rows with their true target, for `predict.py --example`, and a request for serve.py."""
    data, test = prepared.data, prepared.test
    truth = np.array(data.classes, dtype=object)[data.y[test]] if data.classes else data.y[test]
    rows = data.table.iloc[test].assign(**{data.target: truth})
    store.write_atomic(out / "test_rows.csv", lambda staged: rows.to_csv(staged, index=False, encoding="utf-8-sig"))
    needed = rows[[column.name for column in prepared.columns]].head(2)
    cells = needed.astype(object).where(needed.notna(), None).to_dict("records")
    store.write_json(out / "example.json", {"rows": cells})


def show_score(name: str, score: Score) -> None:
    """One line of the comparison."""
    label = say("{name} (baseline)", name=name) if name == BASELINE else name
    print(f"  {pad(label, 22)} {score.mean:6.3f} ± {score.std:.3f}   {score.seconds:5.1f} s", flush=True)


def show_test(name: str, tested: dict[str, float], floor: dict[str, float], rows: int) -> None:
    """The final metrics beside those of the baseline."""
    heading = say("Test on {rows} rows never seen before", rows=rows)
    print(f"\n{pad(heading, 37)} {name:>20} {BASELINE:>12}")
    for metric, value in tested.items():
        print(f"  {metric:<35} {figure(value):>20} {figure(floor[metric]):>12}")


def draw(
    model: BaseEstimator,
    X: Any,
    y: np.ndarray,
    info: store.ModelInfo,
    ranked: list[tuple[str, float, float]],
    metric: str,
    out: Path,
) -> list[dict[str, Any]]:
    """Write the plots; returns how each class fared."""
    notes = report.plot_importances(ranked, metric, out / "importances.png")
    classes = []
    if info.classes:
        probabilities = model.predict_proba(X)
        predicted = decide(probabilities, np.array(info.weights))
        notes += report.plot_confusion(y, predicted, info.classes, out / "confusion_matrix.png")
        notes += report.plot_calibration(y, probabilities, info.classes, out / "calibration.png")
        classes = report.per_class(y, predicted, info.classes)
        show_classes(classes, info)
    else:
        notes += report.plot_residuals(y, model.predict(X), info.target, info.margin, out / "residuals.png")
        text = "{level:.0%} of the predictions should be within ±{margin} of the truth"
        print("  " + say(text, level=store.LEVEL, margin=figure(info.margin)))
    for note in notes[:1]:
        print("\n" + say("note: {note}", note=note))
    return classes


def show_classes(classes: list[dict[str, Any]], info: store.ModelInfo) -> None:
    """One line for each class, where there are few."""
    if len(classes) <= 12:
        print(f"\n  {'class':<30} {'precision':>9} {'recall':>7} {'rows':>6}")
        for found in classes:
            name = pad(shorten(found["class"], 30), 30)
            print(f"  {name} {found['precision']:9.3f} {found['recall']:7.3f} {found['rows']:6}")
    if len(classes) == 2 and info.weights[0] != info.weights[1]:
        text = "{name} is named from a probability of {share:.1%} on, its share (train.metric)"
        print("  " + say(text, name=info.classes[1], share=info.weights[0] / sum(info.weights)))


def add_data_arguments(parser: argparse.ArgumentParser, folder: Path) -> None:
    """What train.py and tune.py understand alike."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", metavar="FILE", help="a CSV or Parquet file")
    source.add_argument("--dataset", choices=BUNDLED, help="a data set that comes with scikit-learn")
    parser.add_argument("--target", metavar="COLUMN", help="the column to predict (default: the last one)")
    parser.add_argument(
        "--group", metavar="COLUMN", help="a column whose equal values stay together, such as a customer"
    )
    parser.add_argument("--task", choices=TASKS, help="classification or regression (default: found out)")
    parser.add_argument("--config", type=Path, default=folder / "config.toml", help="settings (default: config.toml)")


def configure(arguments: argparse.Namespace, config: Config) -> Config:
    """The settings of the file, with what the command line says instead."""
    changes = {
        key: getattr(arguments, key) for key in ("dataset", "target", "group", "task") if getattr(arguments, key)
    }
    if arguments.data:
        changes["path"] = str(Path(arguments.data).absolute())
    elif arguments.dataset:
        changes["path"] = ""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **changes))


def main(argv: list[str] | None = None, folder: Path = HERE) -> int:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train on your table or on one of scikit-learn's data sets.")
    add_data_arguments(parser, folder)
    arguments = parser.parse_args(argv)
    config = configure(arguments, load_config(arguments.config, Config))
    follow(arguments.config)
    started = time.perf_counter()
    try:
        out = train(config, folder / "runs", folder)
    except KeyboardInterrupt:
        print("\n" + say("Stopped. An earlier model is still there; python train.py starts again."), file=sys.stderr)
        return 130
    text = "Done in {seconds:.0f} s. Results, and a page about the model: {folder}"
    print("\n" + say(text, seconds=time.perf_counter() - started, folder=shown(out)))
    print(say("Next: {command}", command="python predict.py --example"))
    return 0


if __name__ == "__main__":
    main_guard(main)
