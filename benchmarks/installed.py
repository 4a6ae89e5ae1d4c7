"""A wheel of this checkout in an environment of its own: start-up is measured on what people install."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


@contextmanager
def wheel_environment(*further: str) -> Iterator[Path]:
    """The `bin` folder of a fresh environment with the wheel and further packages, removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(wheels), str(REPOSITORY)]
        subprocess.run(build, check=True, capture_output=True)
        environment = Path(folder) / "venv"
        venv.create(environment, with_pip=True)
        wheel = next(wheels.glob("*.whl"))
        install = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", str(wheel), *further]
        subprocess.run(install, check=True)
        yield environment / "bin"
