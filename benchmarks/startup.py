"""How long the commands take to start, beside their floor (`python -c pass`) and peers.

Run: python benchmarks/startup.py [ROUNDS]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from installed import wheel_environment
from measure import interleaved, print_ratios

FLOOR = "python -c pass"
GOALS = {
    "scaffold --version": 2.0,
    "scaffold --help": 6.0,
    "scaffold search --help": 6.0,
    "scaffold new --help": 6.0,
    "scaffold search nlp --offline": 8.0,
    "scaffold search 강화학습 --offline --json": 8.0,
    "scaffold hardware --json": 6.0,
}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    with wheel_environment("cookiecutter", "copier") as bin_folder, tempfile.TemporaryDirectory() as folder:
        python = str(bin_folder / "python")
        commands = {FLOOR: [python, "-c", "pass"], "import click": [python, "-c", "import click"]}
        for name in GOALS:
            commands[name] = [str(bin_folder / "scaffold"), *name.split()[1:]]
        for peer in ("cookiecutter", "copier"):
            commands[f"{peer} --help"] = [str(bin_folder / peer), "--help"]
        # The first search builds the index; the warm-up round pays for it.
        times = interleaved(commands, rounds, {"SCAFFOLD_HOME": folder}, Path(folder))
    print_ratios(times, FLOOR, GOALS)


if __name__ == "__main__":
    main()
