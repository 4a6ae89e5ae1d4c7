"""Search for better settings with Optuna: `python tune.py`, then `python train.py --config runs/NAME/tuned.toml`.

train.py tries some random settings of the best model. This searches all models at once, spends its trials where good
ones were found, and gives up on a bad one after two folds or more. Stop it with Ctrl-C and run it again: it goes on
where it was, and finds what it would have found in one go. The held-out test rows are not touched.
"""

from __future__ import annotations

import threads  # noqa: F401  first of all: it limits the threads of what is imported below

# isort: split
import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import store
from config import Config
from model import Candidate, Folds, fold_scores
from prepare import Prepared, introduce, prepare
from runtime.extras import need
from runtime.settings import UserError, load_config, main_guard
from train import add_data_arguments, configure
from words import follow, pad, say, shown

HERE = Path(__file__).parent
TRIALS = 50
# So many trials run to the end before a bad one is given up.
STARTUP = 8


def _from_here(path: Path) -> str:
    """The path of a database. In the folders above, a "?" would end the name."""
    try:
        return os.path.relpath(path)
    except ValueError:  # another drive of Windows', which has no such names
        return str(path)


def open_study(prepared: Prepared, config: Config, runs: Path) -> Any:
    """The study in runs/tuning.db that belongs to exactly these rows, folds and settings; a new one where none does.

    Raises UserError if the file is damaged or can't be written.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = hashlib.sha256(pd.util.hash_pandas_object(prepared.X, index=False).to_numpy().tobytes())
    rows.update(prepared.y.tobytes() + (b"" if prepared.groups is None else prepared.groups.tobytes()))
    settings = [prepared.metric, config.train.folds, config.train.seed, config.train.max_categories, config.model.name]
    rows.update(json.dumps([settings, store.versions()]).encode())
    runs.mkdir(parents=True, exist_ok=True)
    path = runs / "tuning.db"
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{_from_here(path)}",
            study_name=f"{prepared.data.name} {rows.hexdigest()[:16]}",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=2),
        )
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        why = getattr(error, "orig", None) or error
        raise UserError(f"{path} can't be opened ({why}); move it away to begin a new search") from None
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # what was running when somebody stopped it
    return study


def tune(study: Any, prepared: Prepared, config: Config, trials: int, seconds: float) -> None:
    """Run trials until there are `trials` of them, or the time is over."""
    import optuna

    models = [model for model in prepared.candidates(config) if model.space]
    cv, ended = prepared.folds(config), time.perf_counter() + seconds

    def objective(trial: Any) -> float:
        named = {model.name: model for model in models}
        model = named[trial.suggest_categorical("model", list(named))]
        # Each model begins with its defaults: often they are hard to beat.
        space = {} if len(finished(study)) < len(models) else model.space
        settings = {key: suggest(trial, f"{model.name}: {key}", values) for key, values in space.items()}
        return score(trial, model, settings, prepared, cv, config.machine.n_jobs)

    while (done := len(finished(study))) < trials and time.perf_counter() < ended:
        # A sampler of its own for each trial: so a search that was interrupted goes on as if it had not been.
        study.sampler = optuna.samplers.TPESampler(seed=config.train.seed + done, n_startup_trials=STARTUP)
        # Not skip_if_exists: a trial that was killed exists, too.
        if done < len(models) and not study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
            study.enqueue_trial({"model": models[done].name})
        study.optimize(objective, n_trials=1)
        show(study, finished(study)[-1])


def suggest(trial: Any, name: str, values: Any) -> Any:
    """One setting: any number between two, their orders of magnitude alike, or one of some choices."""
    if isinstance(values, tuple):
        return trial.suggest_float(name, *values, log=True)
    return trial.suggest_categorical(name, values)


def score(trial: Any, model: Candidate, settings: dict[str, Any], prepared: Prepared, cv: Folds, n_jobs: int) -> float:
    """The mean over the folds. Raises TrialPruned as soon as most trials were better after as many folds."""
    import optuna

    scores: list[float] = []
    for start in range(0, len(cv), n_jobs):
        some = fold_scores(
            model.with_settings(settings), prepared.X, prepared.y, cv[start : start + n_jobs], prepared.metric, n_jobs
        )
        for value in some:  # asked after each fold, also of those that ran side by side: n_jobs changes no result
            scores.append(float(value))
            trial.report(float(np.mean(scores)), len(scores))
            if trial.should_prune():
                raise optuna.TrialPruned
    trial.set_user_attr("std", float(np.std(scores)))
    return float(np.mean(scores))


def finished(study: Any) -> list[Any]:
    """The trials that came to an end, by being complete or given up."""
    import optuna

    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return study.get_trials(deepcopy=False, states=states)


def settings_of(trial: Any) -> tuple[str, dict[str, Any]]:
    """The model of a trial, and its settings."""
    found = {key.split(": ")[-1]: value for key, value in trial.params.items() if key != "model"}
    return trial.params["model"], found


def show(study: Any, trial: Any) -> None:
    """One line for a trial."""
    name, settings = settings_of(trial)
    listed = ", ".join(f"{key} {value:.3g}" for key, value in settings.items()) or say("the defaults")
    result = f"{trial.value:.4f}"
    if trial.state.name == "PRUNED":
        result = say("given up after {folds}", folds=len(trial.intermediate_values))
    mark = "  <- " + say("best") if study.best_trial.number == trial.number else ""
    print(f"  {len(finished(study)):4}  {pad(result, 16)} {name:<20} {listed}{mark}", flush=True)


def write_config(source: Path, target: Path, config: Config, name: str, settings: dict[str, Any]) -> None:
    """The settings file, comments and all, with another model, its settings, and the data that they were found on.

    Raises UserError if the file is not laid out as it was generated.
    """
    lines = source.read_text(encoding="utf-8-sig").splitlines()
    values = ", ".join(f"{key} = {value!r}" for key, value in settings.items())
    new = {f"data.{key}": quoted(getattr(config.data, key)) for key in ("dataset", "path", "target", "group", "task")}
    new |= {"model.name": quoted(name), "model.settings": "{" + values + "}"}
    section = ""
    for at, line in enumerate(lines):
        key = line.split("=")[0].strip()
        section = key.strip("[]") if key.startswith("[") else section
        if (value := new.pop(f"{section}.{key}", None)) is not None:
            lines[at] = f"{key} = {value}"
    if new:
        raise UserError(f"{source} does not have {', '.join(new)} on a line of its own")
    store.write_atomic(target, lambda staged: staged.write_text("\n".join(lines) + "\n", encoding="utf-8"))
    load_config(target, Config)


def quoted(text: str) -> str:
    """Text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def plot(study: Any, metric: str, space: dict[str, Any], path: Path) -> None:
    """Left: every trial and the best so far. Right: the settings of the best model, each against the score."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from report import drawable

    trials = finished(study)
    done = [trial for trial in trials if trial.state.name == "COMPLETE"]
    best, settings = settings_of(study.best_trial)
    _, font, write, _ = drawable([])
    mpl.rcParams.update(font)
    figure = Figure(figsize=(5 + 3 * len(space), 4), layout="constrained")
    axes = figure.subplots(1, 1 + len(space), sharey=True, width_ratios=[2] + [1] * len(space))
    low = min(trial.value for trial in done)
    names = sorted({settings_of(trial)[0] for trial in trials})
    colors = dict(zip(names, ("#4878a8", "#d1843c", "#5a9a5a"), strict=False))
    for name, color in colors.items():
        mine = [(i, t.value) for i, t in enumerate(trials, 1) if settings_of(t)[0] == name and t in done]
        axes[0].scatter(*zip(*mine, strict=True), s=16, color=color, label=name) if mine else None
    given_up = [i for i, trial in enumerate(trials, 1) if trial not in done]
    axes[0].scatter(given_up, [low] * len(given_up), marker="x", s=16, color="#999999", label=write("given up early"))
    values = [trial.value if trial in done else -np.inf for trial in trials]
    best_so_far = np.maximum.accumulate(values)
    axes[0].plot(range(1, len(trials) + 1), best_so_far, color="black", drawstyle="steps-post", label=write("best"))
    axes[0].set(xlabel=write("trial"), ylabel=write("{metric}, cross-validated", metric=metric))
    axes[0].set_title(write("{count} trials", count=len(trials)))
    axes[0].xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend(fontsize="small")
    for axis, key in zip(axes[1:], space, strict=True):
        mine = [t for t in done if settings_of(t)[0] == best and settings_of(t)[1]]
        axis.scatter([settings_of(t)[1][key] for t in mine], [t.value for t in mine], s=16, color=colors[best])
        if settings:  # none where the defaults are best
            axis.axvline(settings[key], color="black", linewidth=1)
        axis.set(xlabel=key, xscale="log", title=best if key == next(iter(space)) else "")
        values = space[key]
        ticks = [values[0], (values[0] * values[1]) ** 0.5, values[1]] if isinstance(values, tuple) else values
        axis.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
        axis.minorticks_off()
    store.write_atomic(path, lambda staged: figure.savefig(staged, dpi=120, format="png"))


def finish(study: Any, prepared: Prepared, config: Config, source: Path, out: Path) -> None:
    """Write the best settings and the plot, and say what to do with them."""
    if not any(trial.state.name == "COMPLETE" for trial in finished(study)):
        print(say("No trial has finished yet; python tune.py goes on."))
        return
    out.mkdir(parents=True, exist_ok=True)
    name, settings = settings_of(study.best_trial)
    write_config(source, out / "tuned.toml", config, name, settings)
    space = next(model.space for model in prepared.candidates(config) if model.name == name)
    plot(study, prepared.metric, space, out / "tuning.png")
    reached = f"{prepared.metric} {study.best_value:.4f} ± {study.best_trial.user_attrs['std']:.4f}"
    print("\n" + say("Best of {count}: {model}, {score}", count=len(finished(study)), model=name, score=reached))
    print(say("A lead of less than that ± may be luck, the more so the more trials."))
    print(say("Plot: {file}", file=shown(out / "tuning.png")))
    print(say("Next: {command}", command=f"python train.py --config {shown(out / 'tuned.toml')}"))


def main(argv: list[str] | None = None, folder: Path = HERE) -> int:
    """Read the command line and search."""
    parser = argparse.ArgumentParser(description="Search for better settings; goes on where an earlier search stopped.")
    add_data_arguments(parser, folder)
    parser.add_argument("--trials", type=int, default=TRIALS, help="how many in all, with earlier ones (default: 50)")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so long (default: 60)")
    arguments = parser.parse_args(argv)
    need("optuna", "python tune.py")
    config = configure(arguments, load_config(arguments.config, Config))
    follow(arguments.config)
    prepared = prepare(config, folder)
    introduce(prepared)
    few = prepared.sample(config.train.search_rows, config.train.seed)
    study = open_study(few, config, folder / "runs")
    text = "{done} trials so far, {wanted} wanted; {metric}, {folds} folds"
    counts = {"done": len(finished(study)), "wanted": arguments.trials}
    print("\n" + say(text, **counts, metric=few.metric, folds=config.train.folds))
    stopped = False
    try:
        tune(study, few, config, arguments.trials, arguments.minutes * 60)
    except KeyboardInterrupt:
        stopped = True
        print("\n" + say("Stopped; python tune.py goes on from here."), file=sys.stderr)
    finish(study, few, config, arguments.config, folder / "runs" / prepared.data.name)
    return 130 if stopped else 0


if __name__ == "__main__":
    main_guard(main)
