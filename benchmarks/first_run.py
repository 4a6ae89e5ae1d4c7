"""From `scaffold new` to the first real result, with a stop-watch: each starter as its README says, on this machine.

The packages are there already (this interpreter's), so installing them is not counted. What each command prints last
is shown beside its wall and CPU time, and the load of the machine before it began.

Run: python benchmarks/first_run.py [TEMPLATE…]
"""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from installed import REPOSITORY

sys.path.insert(0, str(REPOSITORY))

from scaffold.hardware.detect import detect
from scaffold.projects.create import Choices, create
from scaffold.projects.template import load_template, template_names


def main() -> None:
    for name in sys.argv[1:] or template_names():
        template = load_template(name)
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder) / "project"
            create(template, project, detect(), [], Choices(git=False))
            for command in template.run:
                _measure(name, command, project)


def _measure(name: str, command: str, project: Path) -> None:
    load = os.getloadavg()[0]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    arguments = [sys.executable, *shlex.split(command)[1:]]
    answer = subprocess.run(arguments, cwd=project, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name}: {command}\n  {wall:.0f} s wall, {cpu:.0f} s CPU, load {load:.1f}")
    results = [line for line in answer.stdout.splitlines() if any(word in line for word in _RESULTS)]
    print("".join(f"  | {line}\n" for line in results or answer.stdout.splitlines()[-3:]), end="", flush=True)


_RESULTS = ("exact match", "perplexity", "accuracy")


if __name__ == "__main__":
    main()
