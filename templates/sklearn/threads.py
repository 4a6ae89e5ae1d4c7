"""Thread limits for numpy and scikit-learn: import this module before anything else.

The linear algebra and OpenMP libraries start as many threads as there are cores, for every matrix however small, and
those threads wait for each other by spinning. On small tables that costs more than it gives: with a second program on
the same two cores, gradient boosting that takes a second on one thread was measured at two minutes on two.
The libraries read these variables once, when they are loaded; afterwards it is too late.
"""

from __future__ import annotations

import os
import tomllib
import warnings
from pathlib import Path
from typing import Any

import runtime.settings  # noqa: F401  before what takes long to load: Ctrl-C ends that quietly

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def configured(path: Path) -> int:
    """`machine.threads` of a config file; 1 where it can't be read (reading the settings explains that properly)."""
    try:
        return max(1, int(tomllib.loads(path.read_text(encoding="utf-8-sig"))["machine"]["threads"]))
    except (OSError, ValueError, TypeError, KeyError):
        return 1


def limit(threads: int) -> None:
    """Allow this many threads per computation. What the user has set in the shell stays."""
    for variable in VARIABLES:
        os.environ.setdefault(variable, str(threads))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a waiting thread sleeps instead of holding its core


def hush() -> None:
    """Leave out one false alarm of scikit-learn's.

    Python keeps its list of warnings to show in one place for all threads. When two folds look at it at once, each
    takes the other's half-made list for its own, and scikit-learn says that `delayed` was used without `Parallel`.
    """
    show = warnings.showwarning

    def show_others(message: Warning | str, *rest: Any) -> None:
        if "sklearn.utils.parallel.delayed" not in str(message):
            show(message, *rest)

    warnings.showwarning = show_others


hush()
limit(configured(Path(__file__).with_name("config.toml")))
