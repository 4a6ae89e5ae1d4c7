"""The generated files for clouds and clusters at work: their commands run here, several processes stand for nodes."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from scaffold.hardware.targets import load
from scaffold.projects.create import Choices, create
from scaffold.projects.template import load_template

_QUICK = {"steps": "40", "evaluate_every": "10", "d_model": "32", "feedforward": "64", "encoder_layers": "1",
          "max_length": "48", "heldout_share": "0.001", "validation_share": "0.005"}  # fmt: skip
_GPT2 = {"steps": "40", "n_embd": "32", "n_layer": "1", "n_head": "2", "context": "32", "evaluations": "400"}


def _project(folder: Path, name: str = "transformer", nodes: int = 1, **more: str) -> Path:
    """A small job, with an environment in its place that is this one."""
    project = folder / "project"
    chosen = {**(_QUICK if name == "transformer" else _GPT2), "preset": "tiny", **more}
    create(load_template(name), project, load("cpu-8gb"), [], Choices("cpu-8gb", chosen, git=False, nodes=nodes))
    binaries = project / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "activate").write_text(f'export PATH="{binaries}:$PATH"\n')
    _program(binaries / "python", f'exec "{sys.executable}" "$@"')
    _program(binaries / "torchrun", f'exec "{sys.executable}" -m torch.distributed.run "$@"')
    return project


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _run_part(project: Path, kept: Path) -> str:
    """sky.yaml's `run`, with the bucket where this machine has a folder, and a port that nobody else has."""
    text = str(yaml.safe_load((project / "cloud" / "sky.yaml").read_text(encoding="utf-8"))["run"])
    assert text.count("kept=/kept\n") == 1
    assert text.count("--master-port=29500") == 1
    return text.replace("kept=/kept\n", f"kept={kept}\n").replace("--master-port=29500", f"--master-port={_port()}")


def _start(project: Path, script: str, rank: int = 0, nodes: int = 1, **more: str) -> subprocess.Popen[str]:
    """One node as SkyPilot starts it: its variables, the project's folder, bash."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "SKYPILOT_NUM_NODES": str(nodes),
        "SKYPILOT_NODE_RANK": str(rank),
        "SKYPILOT_NODE_IPS": "\n".join(["127.0.0.1"] * nodes),
        "SKYPILOT_NUM_GPUS_PER_NODE": "0",
        **more,
    }
    return subprocess.Popen(
        ["bash", "-c", script], cwd=project, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _finish(*processes: subprocess.Popen[str]) -> list[str]:
    texts = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(texts)
    return texts


def _family(process: int) -> list[int]:
    """A process and all that it started, also what torchrun put into sessions of its own."""
    answer = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in answer.splitlines())}
    family = [process]
    for member in family:
        family += [pid for pid, parent in parents.items() if parent == member]
    return family


def _losses(project: Path) -> dict[int, float]:
    rows = [json.loads(line) for path in project.rglob("metrics.jsonl") for line in path.read_text().splitlines()]
    return {row["step"]: row["train_loss"] for row in rows if "train_loss" in row}


def _saved(project: Path) -> int:
    found = [*project.glob("runs/last/checkpoint.json"), *project.glob("runs/*/last/checkpoint.json")]
    return int(json.loads(found[0].read_text())["step"]) if found else 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformer", "gpt2"])
def test_skys_run_part_trains_alike_on_one_node_and_on_two(tmp_path: Path, name: str) -> None:
    losses = []
    for nodes in (1, 2):
        project, kept = _project(tmp_path / str(nodes), name, nodes=nodes), tmp_path / f"kept{nodes}"
        kept.mkdir()
        # Each node has files of its own.
        others = [shutil.copytree(project, tmp_path / f"{nodes}-{rank}") for rank in range(1, nodes)]
        script = _run_part(project, kept)
        places = [project, *others]
        _finish(*(_start(place, script, rank, nodes) for rank, place in enumerate(places)))
        assert _saved(project) == 40
        assert not any(_saved(place) for place in others), "one node writes"
        assert (kept / "runs.tar").is_file()
        losses.append(_losses(project))
    assert set(losses[0]) == set(losses[1]) == {10, 20, 30, 40}
    for step, loss in losses[0].items():
        assert losses[1][step] == pytest.approx(loss, rel=0.02)


@pytest.mark.slow
def test_two_nodes_write_a_divided_model_into_the_folder_that_both_see_and_go_on(tmp_path: Path) -> None:
    project, kept = _project(tmp_path / "0", nodes=2, strategy="fsdp"), tmp_path / "kept"
    kept.mkdir()
    places = [project, shutil.copytree(project, tmp_path / "1")]
    for steps in (40, 60):
        script = _run_part(project, kept)
        words = {"TRAIN_ARGS": f"--steps {steps}"}
        _finish(*(_start(place, script, rank, 2, **words) for rank, place in enumerate(places)))
        assert [_saved(place) for place in places] == [steps, steps]
    parts = sorted(path.name for path in (kept / "runs" / "last" / "shards").iterdir())
    assert len([name for name in parts if name.endswith(".distcp")]) == 2, parts
    assert max(_losses(kept)) == 60


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformer", "gpt2"])
def test_a_lost_machine_goes_on_elsewhere_from_what_was_kept(tmp_path: Path, name: str) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    first = _project(tmp_path / "first", name, steps="4000")
    running = _start(first, _run_part(first, kept), KEEP_SECONDS="1")
    until = time.monotonic() + 200
    while not (kept / "runs.tar").is_file() or not _saved(first):
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.2)
    time.sleep(2)
    for process in _family(running.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    running.communicate()

    second = _project(tmp_path / "second", name, steps="4000")
    text = "".join(_finish(_start(second, _run_part(second, kept), TRAIN_ARGS="--max-seconds 2")))
    begun = re.search(r"(?:step|steps:) (\d+)(?:/| done of )4000", text)
    assert begun, text
    assert int(begun[1]) > 0, "it did not begin anew"
    assert _saved(second) > 0


_STAND_INS = {
    "scontrol": "echo 127.0.0.1; echo 127.0.0.1",  # show hostnames
    # One task on each node, each with its number, as srun starts them; the first that fails is the job's end.
    # It doesn't know how many cores sbatch was told, as since Slurm 22.05.
    "srun": """[[ "$1" =~ ^--cpus-per-task=[0-9]+$ ]] || exit 1
while [ "${1#--}" != "$1" ]; do shift; done
pids=()
for node in $(seq 0 $((SLURM_NNODES - 1))); do SLURM_NODEID=$node "$@" & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid" || exit 1; done""",
}


@pytest.mark.slow
def test_slurms_commands_train_on_two_nodes_and_go_on(tmp_path: Path) -> None:
    project, programs = _project(tmp_path, nodes=2), tmp_path / "programs"
    programs.mkdir()
    for name, text in _STAND_INS.items():
        _program(programs / name, text)
    environment = {
        **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(project),
        "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "SLURM_JOB_ID": str(_port()),
        "SLURM_CPUS_PER_TASK": "2",
    }  # fmt: skip

    def submit(*words: str) -> str:
        command = ["bash", str(project / "cloud" / "slurm.sbatch"), *words]
        answer = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    submit("--steps", "20")
    assert _saved(project) == 20
    assert "steps: 20 done of 40" in submit(), "the second job goes on"
    assert _saved(project) == 40


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformer", "gpt2"])
def test_the_notebook_runs_from_top_to_bottom_and_goes_on_after_a_lost_session(tmp_path: Path, name: str) -> None:
    import nbformat
    from nbclient import NotebookClient

    source = _project(tmp_path / "source", name) / "cloud" / "notebook.ipynb"
    where = tmp_path / "where"
    for session in range(2):
        notebook = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]
        if session:
            for cell in notebook.cells:
                cell.source = cell.source.replace("TRAIN_ARGS = []", 'TRAIN_ARGS = ["--steps", "60"]')
            shutil.rmtree(where / "project")  # a new session begins with an empty disk; only the mounted folder stays
        else:  # who changes a setting runs all cells again
            first = next(number for number, cell in enumerate(notebook.cells) if "FILES = " in cell.source)
            notebook.cells = [*copy.deepcopy(notebook.cells[: first + 1]), *notebook.cells]
        where.mkdir(exist_ok=True)
        done: Any = NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(where)}}
        ).execute()
        outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
        text = "".join(output.get("text", "") for output in outputs)
        assert any("image/png" in output.get("data", {}) for output in outputs), "the curves are shown"
        assert "installed: nothing" in text
        assert (where / "kept" / "runs.tar").is_file()
        assert ("brought back what was kept" in text) == bool(session)
        assert (" 40 done of 60" in text) == bool(session)
    assert _saved(where / "project") == 60


def test_a_run_that_ends_while_it_is_kept_is_kept_whole(tmp_path: Path) -> None:
    """The end comes while a tar is at work: it is let finish, and nothing writes into the file that takes its place."""
    project, kept = _project(tmp_path), tmp_path / "kept"
    kept.mkdir()
    binaries = project / ".venv" / "bin"
    _program(
        binaries / "torchrun",
        "mkdir runs; echo early > runs/a; until [ -e ../begun ]; do sleep 0.1; done; echo late > runs/a",
    )
    slow = "touch ../begun; cat runs/a; sleep 2; head -c 4096 /dev/zero"
    _program(
        binaries / "tar", f'[ ! -e ../begun ] || exec {shutil.which("tar")} "$@"; {{ {slow}; }} > "$2"; touch ../ended'
    )
    _finish(_start(project, _run_part(project, kept), KEEP_SECONDS="0.1"))
    while not (tmp_path / "ended").exists():  # by then it has written all that it would
        time.sleep(0.1)
    subprocess.run(["tar", "-xf", "runs.tar"], cwd=kept, check=True)
    assert (kept / "runs" / "a").read_text() == "late\n"


@pytest.mark.slow
def test_nothing_but_whole_checkpoints_is_kept(tmp_path: Path) -> None:
    """While checkpoints are replaced as fast as they can be, what `keep` puts aside is always of one moment."""
    script = _run_part(_project(tmp_path / "made"), tmp_path)
    keep = script[script.index("keep() {") : script.index("\n}\n") + 3]
    writer = (
        "import itertools, pathlib\n"
        "for n in itertools.count():\n"
        "    new, last, old = (pathlib.Path('runs', name) for name in ('new', 'last', 'old'))\n"
        "    new.mkdir(parents=True)\n"
        "    for part in ('a', 'b', 'c'): (new / part).write_text(str(n))\n"
        "    if last.exists(): last.rename(old)\n"
        "    new.rename(last)\n"
        "    if old.exists(): [path.unlink() for path in old.iterdir()]; old.rmdir()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", writer], cwd=tmp_path)
    try:
        seen = 0
        for number in range(150):
            target = tmp_path / "out" / str(number)
            target.mkdir(parents=True)
            shell = f"kept={target}; rank=0\n{keep}\nkeep || true"
            subprocess.run(["bash", "-c", shell], cwd=tmp_path, check=True)
            if (target / "runs.tar").exists():
                seen += 1
                subprocess.run(["tar", "-xf", "runs.tar"], cwd=target, check=True)
                for folder in (target / "runs" / "last", target / "runs" / "old"):
                    parts = {path.read_text() for path in folder.glob("*")} if folder.name == "last" else set()
                    assert len(parts) <= 1, parts
                if (target / "runs" / "last").exists():
                    assert len(list((target / "runs" / "last").iterdir())) == 3
        assert seen > 0
    finally:
        process.kill()
        process.wait()
