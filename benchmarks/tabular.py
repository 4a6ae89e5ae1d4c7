"""The sklearn starter beside the tutorial's decision tree, and its thread setting beside the library's own.

Quality: the starter's models and the tree on the same five folds of the whole table; the starter takes its best one.
Time: the scaled logistic regression on digits, fitted in processes of their own that take turns, one with the starter's
`threads.py` imported first, one as scikit-learn starts by itself.

Run: python benchmarks/tabular.py [ROUNDS]
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from installed import REPOSITORY

sys.path.insert(0, str(REPOSITORY))

from scaffold.hardware.detect import detect
from scaffold.projects.create import Choices, create
from scaffold.projects.template import load_template

# The least lead over the tree, in accuracy; for a number any lead in R² will do.
LEAD = {"digits": 0.05, "breast_cancer": 0.05, "wine": 0.05, "diabetes": 0.0}
FASTER = 5
ROUNDS = 5
_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")
_FIT = """
import time
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
X, y = load_digits(return_X_y=True)
make_pipeline(StandardScaler(), LogisticRegression(max_iter=3)).fit(X, y)
start = time.perf_counter()
make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(X, y)
print(time.perf_counter() - start)
"""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        create(load_template("sklearn"), project, detect(), [], Choices(git=False))
        _speed(project, rounds)
        _quality(project)


def _speed(project: Path, rounds: int) -> None:
    times: dict[str, list[float]] = {"library's threads": [], "starter's threads": []}
    print(f"scaled logistic regression on digits, {rounds} rounds, load {os.getloadavg()[0]:.1f}")
    for _ in range(rounds):
        for name, first in zip(times, ("", "import threads\n"), strict=True):
            times[name].append(_fit(first + _FIT, project))
    default, starter = (statistics.median(values) for values in times.values())
    for name, values in times.items():
        print(f"  {name}  {statistics.median(values):7.3f} s, {min(values):.3f} to {max(values):.3f}")
    ratio = default / starter
    print(f"  {ratio:.1f} × faster, goal ≥ {FASTER} × {'ok' if ratio >= FASTER else 'MISSED'}\n", flush=True)


def _fit(code: str, project: Path) -> float:
    environment = {key: value for key, value in os.environ.items() if key not in _LIMITS}
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True, text=True)
    return float(answer.stdout)


def _quality(project: Path) -> None:
    sys.path.insert(0, str(project))
    # These are the generated project's modules.
    import threads  # noqa: F401  first, so that it limits the threads of what follows

    # isort: split
    from columns import convert, describe
    from config import Config
    from data import load_data
    from model import candidates, compare, folds
    from runtime.settings import load_config

    config = load_config(project / "config.toml", Config)
    print(f"{'five folds':<14}{'tree':>7}{'starter':>9}  lead")
    for name, goal in LEAD.items():
        data = load_data(dataclasses.replace(config, data=dataclasses.replace(config.data, dataset=name)), project)
        columns, _ = describe(data.table)
        cv = folds(data.task, data.y, None, config.train)
        models = candidates(data.task, columns, len(data.y), config.train)
        metric = "accuracy" if data.classes else "r2"
        X, jobs = convert(data.table, columns), config.machine.n_jobs
        scores = compare(models, X, data.y, cv, metric, jobs, lambda name, score: None)
        best = max((model.name for model in models if model.space), key=lambda name: scores[name].mean)
        tree, starter = scores["decision tree"].mean, scores[best].mean
        verdict = f"goal ≥ {goal:g} {'ok' if starter - tree >= goal else 'MISSED'}"
        print(f"{name:<14}{tree:7.3f}{starter:9.3f}  {starter - tree:+.3f}, {verdict} ({metric}, {best})", flush=True)


if __name__ == "__main__":
    main()
