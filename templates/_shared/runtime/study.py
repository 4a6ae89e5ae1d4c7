"""A search for better settings with Optuna. It may be stopped or killed at any moment and goes on where it was.

tune.py says what is searched and how one trial is scored; everything else is here. A score is a loss: less is better.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from runtime.extras import need
from runtime.settings import DivergedError, UserError

C = TypeVar("C")
# For each searched setting, "section.key" as in config.toml: two bounds, between which orders of magnitude are tried
# alike, or a list of choices.
Space = Mapping[str, "tuple[float, float] | list[Any]"]
Report = Callable[[int, float], None]

STARTUP = 5  # so many trials are drawn at random and run to the end before others are guided, or given up
WARMUP = 2  # and none is given up before its second report


class Search:
    """The trials in the SQLite file `file` that belong to exactly this `identity` and space.

    `identity` is plain data: all that decides a trial's score and is not searched, such as the data and the seed. With
    another one a new search begins; the old one stays in the file. `first` are the settings as they are now: the first
    trial tries them, so that the search ends at least as well as it began.
    """

    def __init__(self, file: Path, identity: object, space: Space, first: Mapping[str, Any], *, seed: int) -> None:
        need("optuna", "python tune.py")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = {key: _including(values, first[key]) for key, values in space.items()}
        self.first, self.seed = {key: first[key] for key in space}, seed
        described = json.dumps([identity, self.space], sort_keys=True, default=str)
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        with _usable(file):
            self.study = optuna.create_study(
                storage=f"sqlite:///{file}",
                study_name=hashlib.sha256(described.encode()).hexdigest()[:16],
                direction="minimize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=WARMUP),
            )
            for trial in self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
                self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # it ran when the search was killed

    def run(self, score: Callable[[dict[str, Any], Report], float], trials: int, seconds: float = math.inf) -> None:
        """Run trials until there are `trials` of them, earlier ones included, or until the time is over.

        `score(values, report)` gives a trial's loss and calls `report(1, loss)`, `report(2, loss)`, … on its way. A
        report ends the trial (by an exception) when most others were better at that point, or when it is not a number.
        """
        import optuna

        def objective(trial: Any) -> float:
            def report(number: int, loss: float) -> None:
                if math.isfinite(loss):
                    trial.report(loss, number)
                if not math.isfinite(loss) or trial.should_prune():
                    raise optuna.TrialPruned

            try:
                loss = score({key: _suggest(trial, key, values) for key, values in self.space.items()}, report)
            except DivergedError:
                raise optuna.TrialPruned from None
            if not math.isfinite(loss):
                raise optuna.TrialPruned
            return loss

        ended = time.monotonic() + seconds
        with _usable(self.file):
            while (done := len(self.finished())) < trials and time.monotonic() < ended:
                # A sampler of its own for each trial: an interrupted search then finds what it would have in one go.
                seed = (self.seed + done) % 2**32
                self.study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
                waiting = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,))
                if not done and not waiting:
                    self.study.enqueue_trial(self.first)
                self.study.optimize(objective, n_trials=1)
                self._show(self.finished()[-1])

    def finished(self) -> list[Any]:
        """The trials that came to an end, by being complete or given up."""
        import optuna

        states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
        return self.study.get_trials(deepcopy=False, states=states)

    def complete(self) -> list[Any]:
        """The trials that ran to their end."""
        return [trial for trial in self.finished() if trial.state.name == "COMPLETE"]

    def best(self) -> tuple[dict[str, Any], float] | None:
        """The searched settings of the best trial and its loss; None before any trial is complete."""
        return (self.study.best_trial.params, self.study.best_value) if self.complete() else None

    def _show(self, trial: Any) -> None:
        """One line for a trial that has just ended."""
        given_up = f"given up after {len(trial.intermediate_values)}"
        result = f"{trial.value:.4f}" if trial.state.name == "COMPLETE" else given_up
        settings = ", ".join(f"{key.split('.')[-1]} {_short(value)}" for key, value in trial.params.items())
        mark = "  <- best" if self.complete() and self.study.best_trial.number == trial.number else ""
        took = f"{trial.duration.total_seconds():.0f} s"
        print(f"  {len(self.finished()):4}  {result:<16} {took:>6}  {settings}{mark}", flush=True)

    def plot(self, png: Path, label: str) -> None:
        """Left: every trial and the best so far. Right: the loss against each searched setting."""
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter

        losses, given_up = {t.number: t.value for t in self.complete()}, _given_up(self.finished())
        rows, columns = (1, len(self.space)) if len(self.space) < 4 else (2, math.ceil(len(self.space) / 2))
        figure = Figure(figsize=(4.5 + 2.2 * columns, 2.8 + 1.8 * rows), layout="constrained")
        grid = figure.add_gridspec(rows, columns + 2)
        left = figure.add_subplot(grid[:, :2])
        self._plot_trials(left, losses, given_up)
        left.set(ylabel=label)
        values = [*losses.values(), *given_up.values()]
        if max(values) > 4 * min(values) > 0:
            left.set_yscale("log")
            left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            left.yaxis.set_major_formatter("{x:g}")
            left.yaxis.set_minor_formatter(NullFormatter())
        for at, (key, allowed) in enumerate(self.space.items()):
            axis = figure.add_subplot(grid[at // columns, 2 + at % columns], sharey=left)
            axis.tick_params(labelleft=False)
            self._plot_setting(axis, key, allowed, losses, given_up)
        figure.savefig(png, dpi=120)

    def _plot_trials(self, axis: Any, losses: Mapping[int, float], given_up: Mapping[int, float]) -> None:
        numbers = {trial.number: at for at, trial in enumerate(self.finished(), 1)}
        axis.scatter([numbers[n] for n in losses], list(losses.values()), s=18, color=_BLUE, label="complete")
        if given_up:
            places = [numbers[n] for n in given_up]
            axis.scatter(places, list(given_up.values()), marker="x", s=18, color=_GREY, label="given up")
        reached = [losses.get(number, math.inf) for number in numbers]
        best_so_far = [min(reached[:count]) for count in range(1, len(reached) + 1)]
        axis.plot(range(1, len(reached) + 1), best_so_far, color="black", drawstyle="steps-post", label="best so far")
        axis.set(xlabel="trial", title=f"{len(numbers)} trials")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(fontsize="small")

    def _plot_setting(
        self, axis: Any, key: str, allowed: Any, losses: Mapping[int, float], given_up: Mapping[int, float]
    ) -> None:
        tried = {trial.number: trial.params[key] for trial in self.finished()}
        best = self.study.best_trial.params[key]
        if isinstance(allowed, tuple):
            at, ticks, names = best, [allowed[0], math.sqrt(allowed[0] * allowed[1]), allowed[1]], []
            axis.set_xscale("log")
        else:
            tried = {number: allowed.index(value) for number, value in tried.items()}
            at, ticks, names = allowed.index(best), list(range(len(allowed))), allowed
            axis.set_xlim(-0.5, len(allowed) - 0.5)
        axis.scatter([tried[n] for n in given_up], list(given_up.values()), marker="x", s=18, color=_GREY)
        axis.scatter([tried[n] for n in losses], list(losses.values()), s=18, color=_BLUE)
        axis.axvline(at, color="black", linewidth=1)
        axis.set_xticks(ticks, [_short(value) for value in names or ticks])
        axis.xaxis.minorticks_off()
        axis.set(xlabel=key)


_BLUE, _GREY = "#4878a8", "#999999"


@contextlib.contextmanager
def _usable(file: Path) -> Iterator[None]:
    """What the database of trials complains of, as one line."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ or error
        reason = str(getattr(cause, "orig", cause)).splitlines()[0]
        raise UserError(
            f"{file} can't be used: {reason}. Is the disk full or the folder read-only? Where the file itself is "
            "damaged, delete it; the search then begins anew"
        ) from None


def _given_up(trials: list[Any]) -> dict[int, float]:
    """The last loss of each trial that was given up, by its number."""
    ended = [trial for trial in trials if trial.state.name != "COMPLETE" and trial.intermediate_values]
    return {trial.number: trial.intermediate_values[max(trial.intermediate_values)] for trial in ended}


def _including(values: Any, own: Any) -> Any:
    """Bounds or choices, widened where the present setting lies outside."""
    if isinstance(values, tuple):
        return (min(values[0], own), max(values[1], own))
    return sorted({*values, own})


def _suggest(trial: Any, key: str, values: Any) -> Any:
    if isinstance(values, tuple):
        return trial.suggest_float(key, *values, log=True)
    return trial.suggest_categorical(key, values)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def with_values(config: C, values: Mapping[str, Any]) -> C:
    """The settings with some of them ("section.key") replaced. Raises ValueError if they don't go together."""
    sections: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, key = name.split(".")
        sections.setdefault(section, {})[key] = value
    changed = {name: dataclasses.replace(getattr(config, name), **keys) for name, keys in sections.items()}
    return dataclasses.replace(config, **changed)  # type: ignore[type-var]


def write_config(source: Path, target: Path, values: Mapping[str, Any]) -> None:
    """Write the settings file `source`, comments and all, as `target` with some values ("section.key") replaced.

    Values are numbers and truth values. Raises UserError if one of them has no line of its own in the file.
    """
    lines, section, wanted = source.read_text(encoding="utf-8-sig").splitlines(), "", dict(values)
    for at, line in enumerate(lines):
        key = line.split("=")[0].strip()
        section = key.strip("[]") if key.startswith("[") else section
        if (name := f"{section}.{key}") in wanted:
            lines[at] = f"{key} = {json.dumps(wanted.pop(name))}"
    if wanted:
        raise UserError(f"{source} does not have {', '.join(wanted)} on a line of its own")
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(target.name + ".new")
    staged.write_text("\n".join(lines) + "\n", encoding="utf-8")
    staged.replace(target)
