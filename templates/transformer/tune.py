"""Search for better settings with Optuna: `python tune.py`, then `python train.py --config runs/tuning/best.toml`.

Each trial trains a fifth as long as train.py would, with other settings, and is judged by its validation loss. A trial
that does worse than most is given up early. Stop the search with Ctrl-C and start it again: it goes on where it was.
The held-out pairs are not touched.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import io
import math
import shutil
import sys
from pathlib import Path
from typing import Any

from runtime.settings import UserError, main_guard  # isort: skip (before torch: see there)

from config import Config, read_config
from data import load_material
from evaluate import validation_loss
from runtime.core import set_threads
from runtime.study import Report, Search, Space, with_values, write_config
from train import Run

FOLDER = Path("runs/tuning")
TRIALS = 25
REPORTS = 8  # looks at the validation pairs in each trial


def space(config: Config) -> Space:
    """What is searched: bounds for the learning rate, for the rest some choices around the present settings."""
    model, train = config.model, config.train
    widths = {model.d_model // 2, model.d_model, model.d_model * 2}
    return {
        "train.learning_rate": (1e-4, 1e-2),
        "train.batch_size": [max(1, train.batch_size // 2), train.batch_size, train.batch_size * 2],
        "model.dropout": [0.0, 0.1, 0.2, 0.3],
        "model.d_model": sorted(width for width in widths if width % model.heads == 0 and width % 2 == 0),
        "model.encoder_layers": [model.encoder_layers, model.encoder_layers + 1],
        "model.decoder_layers": [model.decoder_layers, model.decoder_layers + 1],
    }


def with_followers(values: dict[str, Any], config: Config) -> dict[str, Any]:
    """The searched settings and those that go with them: the feed-forward width in proportion, all pairs as often."""
    model, train, batch = config.model, config.train, values["train.batch_size"]
    return values | {
        "model.feedforward": model.feedforward * values["model.d_model"] // model.d_model,
        "train.steps": max(1, round(train.steps * train.batch_size / batch)),
        "train.evaluate_every": max(1, round(train.evaluate_every * train.batch_size / batch)),
    }


def trial_config(config: Config, values: dict[str, Any], steps: int) -> Config:
    """The settings of a trial: as many pairs as `steps` updates with the present batch size see, in any batch size."""
    config_ = with_values(config, with_followers(values, config))
    steps = max(REPORTS, round(steps * config.train.batch_size / config_.train.batch_size))
    train = dataclasses.replace(config_.train, steps=steps, evaluate_every=math.ceil(steps / REPORTS))
    machine = dataclasses.replace(config.machine, compile=False)  # it would take longer than a trial
    return dataclasses.replace(config_, train=train, machine=machine)


class Trial(Run):
    """A run that reports each validation loss and leaves no checkpoint."""

    report: Report
    looks = 0
    loss = math.nan

    def save(self, name: str, **more: Any) -> None:
        """Nothing is kept but the loss."""

    def evaluate(self) -> str:
        """Report the loss; that may end the trial."""
        self.looks += 1
        self.loss = validation_loss(self.trainer.model, self.validation_data, self.dev)
        self.report(self.looks, self.loss)
        return f"        {self.looks} of {REPORTS}: validation loss {self.loss:.4f}"


def identity(config: Config, steps: int) -> list[Any]:
    """All that decides a trial's result besides what is searched: with other data or settings a new search begins."""
    files = [Path(name) for name in (config.data.file, config.data.target_file) if name]
    contents = []
    for path in files:
        with path.open("rb") as file:
            contents.append(hashlib.file_digest(file, "sha256").hexdigest())
    fixed = dataclasses.asdict(config)
    del fixed["machine"]
    for name in (*space(config), "model.feedforward"):
        section, key = name.split(".")
        del fixed[section][key]
    return [fixed, contents, steps]


def open_search(config: Config, folder: Path, steps: int) -> Search:
    """The search in `folder` that belongs to this data and these settings, a new one where there is none."""
    searched = space(config)
    first = {name: getattr(getattr(config, name.split(".")[0]), name.split(".")[1]) for name in searched}
    return Search(folder / "trials.db", identity(config, steps), searched, first, seed=config.train.seed)


def tune(search: Search, config: Config, folder: Path, trials: int, steps: int, seconds: float = math.inf) -> None:
    """Go on until there are `trials` trials of `steps` updates, or for `seconds`."""
    material = load_material(config)

    def score(values: dict[str, Any], report: Report) -> float:
        run = Trial(trial_config(config, values, steps), folder / "trial", material=material)
        run.report = report
        with contextlib.redirect_stdout(io.StringIO()):  # a line for each look at the validation pairs is too much
            run.train(lambda: False)
        return run.loss

    try:
        search.run(score, trials, seconds)
    finally:
        shutil.rmtree(folder / "trial", ignore_errors=True)


def finish(search: Search, config: Config, source: Path, folder: Path) -> None:
    """Write the best settings and the plot, and say what to do with them."""
    found = search.best()
    if not found:
        print("no trial is complete yet; python tune.py goes on")
        return
    values, loss = found
    write_config(source, folder / "best.toml", with_followers(values, config))
    read_config(folder / "best.toml")
    search.plot(folder / "tuning.png", "validation loss")
    first = next(trial for trial in search.complete())
    print(f"\nbest of {len(search.finished())}: validation loss {loss:.4f}; the first trial had {first.value:.4f}")
    print(f"plot: {folder / 'tuning.png'}   next: python train.py --config {folder / 'best.toml'}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Search for better settings; goes on where an earlier search stopped.")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"how many in all, default {TRIALS}")
    parser.add_argument("--steps", type=int, help="updates in each, default: a fifth of train.steps")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no trial after so long")
    options = parser.parse_args()
    config = read_config(options.config)
    steps = options.steps or max(100, config.train.steps // 5)
    if options.trials < 1 or steps < REPORTS:
        raise UserError(f"--trials must be at least 1, --steps at least {REPORTS}")
    set_threads(config.machine.threads)
    search = open_search(config, FOLDER, steps)
    print(f"{len(search.finished())} trials so far, {options.trials} wanted; {steps} updates each", flush=True)
    stopped = False
    try:
        tune(search, config, FOLDER, options.trials, steps, options.minutes * 60)
    except KeyboardInterrupt:
        stopped = True
        print("\nstopped; python tune.py goes on from here", file=sys.stderr)
    finish(search, config, options.config, FOLDER)
    return 130 if stopped else 0


if __name__ == "__main__":
    main_guard(main)
