"""The torch starters' training beside what people would write: ratios, and the share of the machine's own speed.

Each engine trains the same model on the same data in a process of its own, on one thread, all of them in turn, at the
same dropout. What counts is real target tokens a second of processor time, which a busy neighbour disturbs least; the
share is of the fp32 matrix products that the same process managed just before. `engines` of the transformer:

* the starter's own trainer, batches of like length;
* the tutorial's nn.Transformer loop with what it lacks (`training_engines.py`), random batches;
* Hugging Face's Trainer with the starter's model, random batches padded to the longest, as its collators do.

And of the gpt2 starter: its own run, transformers' GPT-2 in the usual loop with Adam, Trainer, a loop like nanoGPT's,
and x-transformers where it is installed; without dropout, as the starter comes, and with --dropout.

Run: python benchmarks/training.py [--only transformer|gpt2] [--rounds 3] [--seconds 12] [--width 256] [--layers 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENGINES = {"uniform": ("starter", "tutorial", "trainer"), "lognormal": ("starter", "tutorial", "trainer"),
           "text": ("starter", "tutorial", "trainer", "nano", "x-transformers")}  # fmt: skip
GOALS = {("uniform", "tutorial"): 1.5, ("uniform", "trainer"): 1.3, ("lognormal", "tutorial"): 2.5,
         ("text", "tutorial"): 1.0, ("text", "trainer"): 1.0, ("text", "x-transformers"): 0.95}  # fmt: skip
SHARES = {"uniform": 0.6, "lognormal": 0.6, "text": 0.75}
TITLES = {"uniform": "transformer, lengths 8 to 64", "lognormal": "transformer, log-normal lengths",
          "text": "gpt2, a new model"}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("transformer", "gpt2"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0, help="processor time of each engine in each round")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=3, help="of encoder and decoder each; gpt2 has both")
    parser.add_argument("--batch", type=int, default=32, help="pairs; gpt2 trains an eighth as many blocks at once")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(json.loads(options.child))
        return 0
    jobs = {"transformer": ("uniform", "lognormal"), "gpt2": ("text",)}
    chosen = [job for name, some in jobs.items() if options.only in (None, name) for job in some]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        projects = {name: str(generated(name, Path(folder) / name)) for name in jobs}
        for job in chosen:
            for dropout in (0.0, options.dropout) if job == "text" and options.dropout else (options.dropout,):
                settings = argparse.Namespace(**vars(options) | {"dropout": dropout})
                missed += compare(job, projects["gpt2" if job == "text" else "transformer"], settings)
    print(f"load of the machine while this ran: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    return missed


def generated(name: str, project: Path) -> Path:
    """A fresh project of the starter."""
    sys.path.insert(0, str(ROOT))
    from scaffold.hardware.targets import load
    from scaffold.projects.create import Choices, create
    from scaffold.projects.template import load_template

    create(load_template(name), project, load("cpu-8gb"), [], Choices(target="cpu-8gb", git=False))
    return project


def compare(job: str, project: str, options: argparse.Namespace) -> int:
    """Run every engine in turn and print the table; returns the number of goals that were missed."""
    here = [engine for engine in ENGINES[job] if engine != "x-transformers" or find_spec("x_transformers")]
    results: dict[str, list[dict[str, float]]] = {engine: [] for engine in here}
    for _ in range(options.rounds):
        for engine, rows in results.items():
            order = {"job": job, "engine": engine, "project": project} | vars(options)
            environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
            command = [sys.executable, __file__, "--child", json.dumps(order)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=project)
            rows.append(json.loads(answer.stdout.splitlines()[-1]))
    print(f"\n{TITLES[job]}, dropout {options.dropout:g}\n{'':14} tokens/s  share  starter ÷ it   goal", flush=True)
    missed = 0
    for engine, rows in results.items():
        speed, share = (statistics.median(row[key] for row in rows) for key in ("speed", "share"))
        pairs = zip(results["starter"], rows, strict=True)
        ratio = statistics.median(starter["speed"] / row["speed"] for starter, row in pairs)
        goal = GOALS.get((job, engine)) or (SHARES.get(job) if engine == "starter" else None)
        reached = share if engine == "starter" else ratio
        kept = goal is None or reached >= goal
        missed += not kept
        verdict = (
            f"≥ {goal:g}{' of the products' if engine == 'starter' else ''} {'ok' if kept else 'MISSED'}"
            if goal
            else ""
        )
        print(f"{engine:14} {speed:8.0f}  {share:5.0%}  {ratio:12.2f}   {verdict}", flush=True)
    return missed


def child(order: dict[str, Any]) -> None:
    """Train with one engine in this process; prints real target tokens a second, and the share of the products."""
    sys.path[:0] = [order["project"], str(Path(__file__).parent)]
    import torch

    from training_work import engine_for

    torch.manual_seed(0)
    limit = products()
    engine, work = engine_for(order)
    for _ in range(2):  # the first batches choose kernels and make the optimizer's state
        next(engine)
    tokens, begun = 0, time.process_time()
    while time.process_time() - begun < order["seconds"]:
        tokens += next(engine)
    speed = tokens / (time.process_time() - begun)
    limit = max(limit, products())
    print(json.dumps({"speed": speed, "share": speed * work / limit}), flush=True)
    os._exit(0)  # Trainer's thread never ends


def products(size: int = 768) -> float:
    """Multiplications and additions a second of fp32 matrix products: the best of some."""
    import torch

    matrix, times = torch.randn(size, size), []
    for _ in range(12):
        begin = time.process_time()
        matrix @ matrix
        times.append(time.process_time() - begin)
    return 2 * size**3 / min(times)


if __name__ == "__main__":
    sys.exit(main())
