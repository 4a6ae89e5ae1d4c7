"""What every script of a starter does before it begins its work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scaffold.hardware.targets import load
from scaffold.projects.create import Choices, create
from scaffold.projects.template import load_template

# Python's own way to say that there is no such module.
_WITHOUT = "import runpy, sys; sys.modules[sys.argv[1]] = None; runpy.run_path(sys.argv[2], run_name='__main__')"


@pytest.mark.parametrize(
    ("name", "library", "scripts"),
    [
        ("transformer", "torch", ["train.py", "translate.py", "evaluate.py", "tune.py", "export.py", "probe.py"]),
        ("gpt2", "torch", ["train.py", "tune.py", "convert.py", "probe.py"]),
        ("sklearn", "pandas", ["train.py", "predict.py", "tune.py", "export.py", "serve.py"]),
    ],
)
def test_a_library_that_is_not_installed_is_told_in_one_line(
    name: str, library: str, scripts: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / name
    create(load_template(name), folder, load("cpu-8gb"), [], Choices(target="cpu-8gb", git=False))
    for script in scripts:
        command = [sys.executable, "-c", _WITHOUT, library, script]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
        expected = f"error: {library} is not installed for {sys.executable}; README.md says how to\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", expected), script
