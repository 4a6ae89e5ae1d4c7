"""Search for better settings with Optuna: `python tune.py`, then `python train.py --config runs/tuning/best.toml`.

It takes --model, --data and --lora as train.py does. Each trial trains a fifth as long as train.py would, with other
settings, and is judged by the held-out text; one that does worse than most is given up early. Stop the search with
Ctrl-C and start it again: it goes on where it was.
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
from data import read_documents
from folders import RUNS, SCRATCH
from hub import HubUnreachable
from learning import validation_loss
from lora import fingerprint
from models import load_pretrained
from runtime.core import set_threads
from runtime.extras import need
from runtime.study import Report, Search, Space, with_values, write_config
from trainer import Run

FOLDER = RUNS / "tuning"
TRIALS = 20
REPORTS = 5  # judgements in each trial


def space(config: Config, method: str) -> Space:
    """What is searched: bounds for the learning rate, for the rest some choices."""
    learning: Space = {"train.weight_decay": [0.0, 0.01, 0.1], "train.dropout": [0.0, 0.1, 0.2]}
    if method == "lora":
        return {"lora.learning_rate": (1e-4, 1e-2), "lora.rank": [4, 8, 16, 32], **learning}
    if method == "full":
        return {"finetune.learning_rate": (1e-5, 1e-3), **learning}
    shape = config.scratch
    widths = [shape.n_embd // 2, shape.n_embd, shape.n_embd * 3 // 2]
    return {
        "scratch.learning_rate": (5e-4, 2e-2),
        "scratch.n_layer": [max(1, shape.n_layer // 2), shape.n_layer, shape.n_layer + 2],
        "scratch.n_embd": [width for width in widths if width >= 2 and width % shape.n_head == 0],
        **learning,
    }


def with_followers(values: dict[str, Any], config: Config) -> dict[str, Any]:
    """The searched settings and those that go with them: LoRA's alpha keeps its proportion to the rank."""
    if "lora.rank" not in values:
        return values
    return values | {"lora.alpha": config.lora.alpha * values["lora.rank"] / config.lora.rank}


class Trial(Run):
    """A run that reports each validation loss and keeps nothing."""

    report: Report
    looks = 0
    loss = math.nan

    def evaluate(self) -> str:
        """Report the loss; that may end the trial."""
        if self.step == 0:
            return ""
        self.loss = validation_loss(self.model, self.validation, self.dev, self.micro_batch)
        self.looks += 1
        self.report(self.looks, self.loss)
        return ""

    def save(self) -> None:
        """Nothing is kept but the loss."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What the search is about: the settings, the method, where the model comes from, and how long a trial is."""

    config: Config
    method: str
    model: str
    steps: int

    def start(self) -> tuple[Any, Any] | None:
        """The model and its tokenizer; None for a new one."""
        return None if self.method == SCRATCH else load_pretrained(self.model, self.config.model.revision)

    def identity(self) -> list[Any]:
        """All that decides a trial's result besides what is searched: where it differs, a new search begins."""
        content = hashlib.sha256("\0".join(read_documents(self.config.data.path)).encode())
        fixed, start = dataclasses.asdict(self.config), self.start()
        for section in ("machine", "generate", "model", "data"):
            del fixed[section]
        for name in with_followers(dict.fromkeys(space(self.config, self.method), 1), self.config):
            section, key = name.split(".")
            del fixed[section][key]
        share = self.config.data.validation_share
        return [fixed, share, content.hexdigest(), self.steps, self.method, fingerprint(start[0]) if start else None]

    def score(self, values: dict[str, Any], report: Report) -> float:
        """Train a trial and return its loss."""
        config = with_values(self.config, with_followers(values, self.config))
        train = dataclasses.replace(config.train, evaluations=REPORTS, patience=0)
        scratch = dataclasses.replace(config.scratch, steps=self.steps)
        machine = dataclasses.replace(config.machine, compile=False)  # it would take longer than a trial
        config = dataclasses.replace(config, train=train, scratch=scratch, machine=machine)
        tuned = dataclasses.replace(config.finetuning(self.method), steps=self.steps)
        recipe = scratch if self.method == SCRATCH else tuned
        run = Trial(config, recipe, FOLDER / "trial", self.start(), origin=(self.model, config.model.revision))
        run.report = report
        with contextlib.redirect_stdout(io.StringIO()):  # a line for each judgement would be too much
            run.train(lambda: False)
        return run.loss


def task(config: Config, options: argparse.Namespace) -> Task:
    """What to search, from the command line and the settings. Raises UserError where it makes no sense."""
    model = options.model or config.model.name
    method = "lora" if options.lora else config.finetune.method
    if model != SCRATCH:
        try:
            load_pretrained(model, config.model.revision)
        except HubUnreachable as trouble:
            if options.model or method == "lora":
                raise UserError(f"{trouble}. --model {SCRATCH} tunes a new small GPT-2 instead") from None
            print(f"{trouble}: tuning a new small GPT-2", flush=True)
            model = SCRATCH
    elif options.lora:
        raise UserError("a new model has nothing yet that --lora could build on; leave it out")
    method = SCRATCH if model == SCRATCH else method
    whole = config.scratch.steps if method == SCRATCH else config.finetune.steps
    steps = options.steps or max(10, whole // 5)
    if options.trials < 1 or steps < REPORTS:
        raise UserError(f"--trials must be at least 1, --steps at least {REPORTS}")
    return Task(config, method, model, steps)


def open_search(wanted: Task, folder: Path) -> Search:
    """The search in `folder` that belongs to this text, model and settings, a new one where there is none."""
    searched, config = space(wanted.config, wanted.method), wanted.config
    first = {name: getattr(getattr(config, name.split(".")[0]), name.split(".")[1]) for name in searched}
    return Search(folder / "trials.db", wanted.identity(), searched, first, seed=config.train.seed)


def finish(search: Search, wanted: Task, source: Path, folder: Path) -> None:
    """Write the best settings and the plot, and say what to do with them."""
    found = search.best()
    if not found:
        print("no trial is complete yet; python tune.py goes on")
        return
    values, loss = found
    method = {} if wanted.method == SCRATCH else {"finetune.method": wanted.method}
    write_config(source, folder / "best.toml", with_followers(values, wanted.config) | method)
    read_config(folder / "best.toml")
    search.plot(folder / "tuning.png", "validation loss")
    first = next(trial for trial in search.complete())
    print(f"\nbest of {len(search.finished())}: validation loss {loss:.4f}; the first trial had {first.value:.4f}")
    data = f' --data "{wanted.config.data.path}"' if wanted.config.data.path else ""
    print(f"plot: {folder / 'tuning.png'}")
    print(f'next: python train.py --config {folder / "best.toml"} --model "{wanted.model}"{data}')


def main() -> int:
    parser = argparse.ArgumentParser(description="Search for better settings; goes on where an earlier search stopped.")
    parser.add_argument("--data", help="a text file, or a folder of them")
    parser.add_argument("--model", help="where to start: a model folder, a hub id, or scratch for a new small model")
    parser.add_argument("--lora", action="store_true", help="tune LoRA's settings")
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"how many in all, default {TRIALS}")
    parser.add_argument("--steps", type=int, help="updates in each, default: a fifth of the settings' steps")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no trial after so long")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    options = parser.parse_args()
    need("optuna", "python tune.py")
    config = read_config(options.config)
    if options.data is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=options.data))
    set_threads(config.machine.threads)
    wanted = task(config, options)
    search = open_search(wanted, FOLDER)
    print(f"{len(search.finished())} trials so far, {options.trials} wanted; {wanted.steps} updates each", flush=True)
    stopped = False
    try:
        search.run(wanted.score, options.trials, options.minutes * 60)
    except KeyboardInterrupt:
        stopped = True
        print("\nstopped; python tune.py goes on from here", file=sys.stderr)
    finally:
        shutil.rmtree(FOLDER / "trial", ignore_errors=True)
    finish(search, wanted, options.config, FOLDER)
    return 130 if stopped else 0


if __name__ == "__main__":
    main_guard(main)
