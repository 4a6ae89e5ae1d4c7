"""Teach a GPT-2 your text: `python train.py --data my-text.txt`, and `python train.py --resume` to go on.

It starts from config.toml's model, or, where the hub can't be reached or with `--model scratch`, from a new small one.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import re
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.settings import UserError, main_guard  # isort: skip (before torch: see there)

import torch

from config import Config, ScratchConfig, read_config
from folders import RUNS, SCRATCH
from hub import HubUnreachable
from learning import rate_setting
from models import load_pretrained
from runtime.checkpoints import mend, read_checkpoint
from runtime.core import StopRequest, set_threads
from runtime.distributed import ALONE, Ranks, restarted, together
from runtime.find_lr import report as learning_rate_report
from runtime.find_lr import sweep
from trainer import Run

FIRST_RUN_SECONDS = 180.0  # somebody who asked for a text is waiting


def begin(
    config: Config,
    name: str | None,
    run_name: str | None,
    ranks: Ranks = ALONE,
    *,
    anew: bool = False,
    folder: Path | None = None,
    told: Mapping[str, Any] | None = None,
) -> Run:
    """A run from the model that `name` or else config.toml names, or from a new one where the hub can't be reached.

    `anew`: a folder of that name in which nothing was saved yet is taken again. `folder` is one outside runs/ to take.
    """
    wanted, start, method = name or config.model.name, None, config.finetune.method
    if wanted != SCRATCH:
        try:
            start = load_pretrained(wanted, config.model.revision)
            print(f"start: {wanted}", flush=True)
        except HubUnreachable as trouble:
            if name or method == "lora":  # asked for by name: nothing else will do
                raise UserError(f"{trouble}. --model {SCRATCH} trains a small GPT-2 from nothing instead") from None
            print(f"{trouble}.", flush=True)
    if start is None:
        print(f"start: a new, small GPT-2 that knows nothing yet (--model {SCRATCH})", flush=True)
    if not config.data.path:
        print("text: Python's own documentation, for --data names no other", flush=True)
    ranks.agree({"start": start is not None})
    wanted_folder = run_name or ("finetune" if start else SCRATCH)
    folder = folder or ranks.from_first(lambda: free_folder(wanted_folder, numbered=not run_name, anew=anew))
    recipe = config.finetuning(method) if start else config.scratch
    return Run(config, recipe, folder, start, origin=(wanted, config.model.revision), told=told, ranks=ranks)


def free_folder(name: str, *, numbered: bool, anew: bool = False) -> Path:
    """runs/NAME, or where that is taken runs/NAME-2 and so on, or a UserError when it must be that name."""
    if Path(name).name != name:
        raise UserError(f"--name is the name of a folder in {RUNS}, not {name}")
    folder, number = RUNS / name, 1
    while folder.exists() and not (anew and not (folder / "last" / "checkpoint.json").is_file()):
        if not numbered:
            raise UserError(f"{folder} is taken; go on with it by --resume, or choose another --name")
        number += 1
        folder = RUNS / f"{name}-{number}"
    return folder


def newest(run_name: str | None, file: str) -> Path | None:
    """The newest of such files in the folder of that run, or else in those of all runs."""
    folders = [RUNS / run_name] if run_name else list(RUNS.glob("*"))
    for folder in folders:
        mend(folder)
    found = [folder / file for folder in folders if (folder / file).is_file()]
    return max(found, key=lambda one: one.stat().st_mtime, default=None)


def last_saved(run_name: str | None) -> Path:
    """The checkpoint of that run, or else the one that was saved last."""
    saved = newest(run_name, "last/checkpoint.json")
    if not saved:
        raise UserError(f"there is nothing to go on with in {RUNS / (run_name or '')}; leave --resume out")
    return saved.parent


def resume(config: Config, run_name: str | None, ranks: Ranks = ALONE, *, told: Mapping[str, Any] | None = None) -> Run:
    """The run of that name, or else the one that was saved last, where it stopped.

    What the command line said when it began holds, unless it is `told` anew.
    """
    last = ranks.from_first(lambda: last_saved(run_name))
    print(f"start: {last}", flush=True)
    extra = read_checkpoint(last)[1]
    if not {"told", "method", "origin", "judged"} <= set(extra):
        raise UserError(f"{last / 'checkpoint.json'} is damaged or of another program; train anew")
    told = extra["told"] | {key: value for key, value in (told or {}).items() if value is not None}
    config = with_told(config, told)
    method, origin = extra["method"], (str(extra["origin"][0]), str(extra["origin"][1]))
    start = load_pretrained(*origin) if method == "lora" else load_pretrained(str(last))
    recipe = config.scratch if method == SCRATCH else config.finetuning(method)
    if method == SCRATCH:
        _say_what_stays(start[0].config, config.scratch)
    return Run(config, recipe, last.parent, start, origin=origin, told=told, resume=True, ranks=ranks)


def _say_what_stays(model: Any, wanted: ScratchConfig) -> None:
    """Where the settings now name another shape than the model has: it can't change any more."""
    for name in ("n_layer", "n_head", "n_embd"):
        has, named = getattr(model, name), getattr(wanted, name)
        if has != named:
            print(f"note: this run's model keeps {name} = {has}; {named} in the settings is for a new one", flush=True)


def describe(run: Run) -> str:
    """What is about to be trained, in a few lines."""
    weights, learning = (sum(weight.numel() for weight in part.parameters()) for part in (run.model, run.learned))
    share = f", of which {learning:,} learn ({learning / weights:.2%})" if run.adapters else ""
    times = run.recipe.steps * run.blocks.size * run.blocks.length / len(run.blocks.tokens)
    lines = [
        f"data: {len(run.blocks.tokens):,} tokens to learn from, {run.validation.numel():,} to judge by; "
        f"{run.split.how}; "
        f"{len(run.tokenizer):,} different tokens",
        f"model: GPT-2 with {weights:,} weights{share} on {run.dev.device.type} in {run.dev.precision}, "
        f"{torch.get_num_threads()} thread(s)",
        f"steps: {run.step} done of {run.recipe.steps}, {run.blocks.size} blocks of {run.blocks.length} tokens each, "
        f"{run.micro_batch} at a time: all of the text {times:.3g} times",
    ]
    lines += [f"note: {note}" for note in (*run.split.notes, run.dev.note) if note]
    return "\n".join(lines)


def train_until_stopped(run: Run, seconds: float | None = None) -> bool:
    """Train, and True when it was not cut short by Ctrl-C; everything is saved either way."""
    print(describe(run), flush=True)
    with StopRequest() as request:
        interrupted = run.train(lambda: request.requested, seconds)
    print(run.memory_report())
    if run.patience_is_over:
        print(
            f"\nstopped early at step {run.step} of {run.recipe.steps}: the validation loss has not fallen for "
            f"{run.judged.waited} judgements (train.patience)"
        )
    elif run.step < run.recipe.steps:
        print(f"\nstopped and saved at step {run.step} of {run.recipe.steps}")
        ending = run.ranks.last_words if interrupted else ""
        print(f"go on with: {run.ranks.command} train.py --resume --name {quoted(run.folder.name)}{ending}")
    return not interrupted


def quoted(word: object) -> str:
    """A word as a command line takes it."""
    text = str(word)
    return text if re.fullmatch(r"[\w./\\-]+", text) else shlex.quote(text) if '"' in text else f'"{text}"'


def train_from_scratch(config: Config) -> Path:
    """Train a new small model for a few minutes at most and return its folder. Ctrl-C saves and ends the program."""
    run = begin(config, SCRATCH, None)
    if not train_until_stopped(run, FIRST_RUN_SECONDS):
        raise KeyboardInterrupt
    return run.folder / "model"


def find_learning_rate(config: Config, model: str | None) -> str:
    """Try learning rates on the model and the text; returns what came of it. Nothing is kept."""
    with tempfile.TemporaryDirectory() as folder:
        run = begin(config, model, None, folder=Path(folder))
    print(describe(run), flush=True)
    numbers = itertools.count()
    run.model.train()
    found = sweep(run.learned, run.optimizer, run.state, lambda: run.update(run.blocks.batch(next(numbers))).item())
    return learning_rate_report(found, rate_setting(run.method), run.recipe.learning_rate, RUNS / "find-lr.png")


def choose_run(config: Config, options: argparse.Namespace, ranks: Ranks) -> Run:
    """The run to go on with, or a new one."""
    told = {"data": options.data, "steps": options.steps}
    if options.resume == "yes" and not restarted():
        return resume(config, options.name, ranks, told=told)
    auto = options.resume == "auto" or restarted()
    begun = ranks.from_first(lambda: newest(options.name, "metrics.jsonl")) if auto else None
    if begun and (begun.parent / "last" / "checkpoint.json").is_file():
        return resume(config, begun.parent.name, ranks, told=told)
    return begin(config, options.model, options.name, ranks, anew=auto, told=told)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Teach a GPT-2 your text; see also config.toml.")
    parser.add_argument("--data", help="a text file, or a folder of them")
    parser.add_argument("--model", help="where to start: a model folder, a hub id, or scratch for a new small model")
    parser.add_argument("--lora", action="store_true", help="train small matrices beside the weights, not the weights")
    parser.add_argument("--name", help="the run's folder in runs/")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="yes",
        choices=("yes", "auto"),
        help="go on with the run that was saved last, or with --name; auto: or begin where there is none",
    )
    parser.add_argument("--steps", type=int, help="this many updates in all")
    parser.add_argument("--find-lr", action="store_true", help="try ever higher learning rates, suggest one, and end")
    parser.add_argument("--max-seconds", type=float, help="stop after this time, judge and save what is there")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    options = parser.parse_args()
    if options.resume == "yes" and options.model:
        raise UserError("--resume goes on with the run's own model; leave --model out")
    if options.resume == "yes" and options.lora:
        raise UserError("--resume goes on as the run began; leave --lora out")
    if options.steps is not None and options.steps < 1:
        raise UserError("--steps must be at least 1")
    if options.max_seconds is not None and not options.max_seconds > 0:
        raise UserError(f"--max-seconds must be above 0, not {options.max_seconds:g}")
    return options


def with_told(config: Config, told: Mapping[str, Any]) -> Config:
    """The settings with what the command line said of the text (data) and the number of updates (steps)."""
    if told.get("data") is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=told["data"]))
    if told.get("steps") is not None:
        config = dataclasses.replace(
            config,
            scratch=dataclasses.replace(config.scratch, steps=told["steps"]),
            finetune=dataclasses.replace(config.finetune, steps=told["steps"]),
        )
    return config


def main() -> int:
    options = parse_arguments()
    config = with_told(read_config(options.config), vars(options))
    if options.lora and (options.model or config.model.name) == SCRATCH:
        raise UserError("a new model has nothing yet that --lora could build on; leave it out")
    if options.lora:
        config = dataclasses.replace(config, finetune=dataclasses.replace(config.finetune, method="lora"))
    set_threads(config.machine.threads)
    if options.find_lr:
        if options.resume or restarted() or "RANK" in os.environ:
            raise UserError("--find-lr begins anew, in one process: python train.py --find-lr")
        print(find_learning_rate(config, options.model))
        return 0
    with together(config.machine.strategy, config.machine.device) as ranks:
        run = choose_run(config, options, ranks)
        done = train_until_stopped(run, options.max_seconds)
    if not done or not ranks.first:
        return 0 if done else 130
    folder = run.folder
    print(f"\n{run.judged.outcome()}")
    print(f"curves: {folder / 'curves.png'}   model: {folder / 'model'}")
    print(f"write with it: python generate.py --model {quoted(folder / 'model')} {quoted(run.opening)}")
    return 0


if __name__ == "__main__":
    main_guard(main)
