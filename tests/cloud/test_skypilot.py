"""SkyPilot itself reads every sky.yaml, in an environment of its own: it needs an older Click than scaffold.

SkyPilot checks keys, places and numbers without a network or an account, but not whether an accelerator exists; that is
what test_cloud_files.py looks at.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scaffold.errors import UsageError
from tests.projects.test_cloud_files import EVERYWHERE, PLACES, files

_VERSION = "0.14.1"
_READ = """
import json, pathlib, sys
import sky
answers = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.yaml")):
    try:
        task = sky.Task.from_yaml(str(path))
        found = {str(each.cloud).lower(): each.accelerators for each in task.resources}
        answers[path.stem] = {"nodes": task.num_nodes, "found": found}
    except Exception as error:
        answers[path.stem] = {"error": f"{type(error).__name__}: {error}"}
print("ANSWERS " + json.dumps(answers))
"""


@pytest.fixture(scope="module")
def skypilot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with SkyPilot; skips where no registry can be reached."""
    folder = tmp_path_factory.mktemp("skypilot")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--retries", "1", f"skypilot=={_VERSION}"]
    # constraints.txt pins scaffold's own Click.
    environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    answer = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip(f"SkyPilot can't be installed here: {answer.stderr[-300:]}")
    return python


def _answers(python: Path, folder: Path) -> dict[str, dict[str, object]]:
    command = [python, "-c", _READ, folder]
    environment = {**os.environ, "HOME": str(folder)}
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    line = next(line for line in answer.stdout.splitlines() if line.startswith("ANSWERS "))
    return dict(json.loads(line.removeprefix("ANSWERS ")))


@pytest.mark.slow
def test_skypilot_takes_every_file_for_every_target_and_place(skypilot: Path, tmp_path: Path) -> None:
    written = set()
    for target in EVERYWHERE:
        for place in ("", *(f"{place}:" for place in PLACES if ":" not in target)):
            for nodes in (1, 2):
                try:
                    text = files("transformer", f"{place}{target}", nodes)["cloud/sky.yaml"]
                except UsageError:  # no such machine there, or one device that can't work with others
                    continue
                name = f"{place}{target}-{nodes}".replace(":", "@")
                written.add(name)
                (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "gpt2.yaml").write_text(files("gpt2", "8xh100", 4)["cloud/sky.yaml"], encoding="utf-8")
    assert len(written) > 200
    answers = _answers(skypilot, tmp_path)
    assert {name: answer["error"] for name, answer in answers.items() if "error" in answer} == {}
    assert set(answers) == {*written, "gpt2"}
    assert answers["gpt2"]["nodes"] == 4
    assert answers["gpt2"]["found"] == {place: {"H100": 8} for place in ("aws", "azure", "gcp", "lambda", "kubernetes")}
    assert set(answers["slurm@8xh100-2"]["found"]) == {"slurm"}  # type: ignore[call-overload]


@pytest.mark.slow
def test_skypilot_would_refuse_what_is_wrong(skypilot: Path, tmp_path: Path) -> None:
    text = files("transformer", "8xh100")["cloud/sky.yaml"]
    for name, old, new in (
        ("key", "num_nodes:", "num_node:"),
        ("place", "infra: aws", "infra: awz"),
        ("nodes", "num_nodes: 1", "num_nodes: 0"),
    ):
        assert text.count(old) == 1
        (tmp_path / f"{name}.yaml").write_text(text.replace(old, new), encoding="utf-8")
    assert all("error" in answer for answer in _answers(skypilot, tmp_path).values())


@pytest.mark.slow
def test_skypilot_sends_the_users_data_along_and_no_environment(skypilot: Path, tmp_path: Path) -> None:
    (tmp_path / ".skyignore").write_text(files("transformer", "8xh100")[".skyignore"], encoding="utf-8")
    (tmp_path / ".gitignore").write_text(files("transformer", "8xh100")[".gitignore"], encoding="utf-8")
    for path in (".venv/bin/python", "runs/last/state.pt", "data/mine.tsv", "tests/__pycache__/x.pyc", "train.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    program = "from sky.data import storage_utils; print(storage_utils.get_excluded_files('.'))"
    environment = {**os.environ, "HOME": str(tmp_path / "home")}
    answer = subprocess.run(
        [skypilot, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    left_out = set(ast.literal_eval(answer.stdout.splitlines()[-1]))
    assert left_out == {".venv", "runs", "tests/__pycache__"}
