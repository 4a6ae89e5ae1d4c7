"""Several processes under torchrun: they learn what one learns, on one host or two, also when one is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaffold.hardware.targets import load
from scaffold.projects.create import Choices, create
from scaffold.projects.template import load_template

pytestmark = pytest.mark.slow

_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
_SETTINGS = {
    "dropout": "0.0", "d_model": "32", "feedforward": "64", "max_length": "32", "steps": "40", "evaluate_every": "10",
    "effective_batch": "24", "batch_size": "6", "file": "pairs.tsv",
}  # fmt: skip
_TOLERANCE = 1e-4  # of a loss: sums in another order
# Trains with the settings in the folder, to a step, and writes down which pairs this process saw.
_DRIVER = """
import dataclasses, sys
from pathlib import Path
from runtime.settings import main_guard
import torch
import data
from config import read_config
from runtime.distributed import together
from train import Run

def main():
    strategy, name, stop = sys.argv[1], sys.argv[2], int(sys.argv[3])
    config = read_config(Path("config.toml"))
    with together(strategy, "cpu") as ranks:
        walk = data.BucketSampler.__iter__
        def noted(self):
            for batch in walk(self):
                with open(f"{name}.seen.{ranks.rank}", "a") as file:
                    file.write(" ".join(map(str, batch)) + "\\\\n")
                yield batch
        data.BucketSampler.__iter__ = noted
        run = Run(config, Path(name), resume="resume" in sys.argv, ranks=ranks)
        run.train(lambda: run.step >= stop)
        print("pairs", len(run.train_data))

main_guard(main)
""".replace("\\\\n", "\\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return _project(tmp_path / "project")


def _project(folder: Path, **settings: str) -> Path:
    values = _SETTINGS | settings
    choices = Choices(target="cpu-8gb", git=False, set=values)
    create(load_template("transformer"), folder, load("cpu-8gb"), [], choices)
    text = (folder / "config.toml").read_text(encoding="utf-8").replace("probe = true", "probe = false")
    (folder / "config.toml").write_text(text, encoding="utf-8")
    (folder / "driver.py").write_text(_DRIVER, encoding="utf-8")
    words = [a * (1 + place % 5) + b for a in "abcdefghkl" for place, b in enumerate("mnopqrst" * 3)]
    lines = dict.fromkeys(f"{word}{number}\t{number}{word[::-1]}\n" for number, word in enumerate(words))
    (folder / "pairs.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


def _torchrun(*options: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *options]


def _processes(count: int) -> list[str]:
    return [sys.executable] if count == 1 else _torchrun("--standalone", f"--nproc-per-node={count}")


def _run(folder: Path, command: list[str], code: int = 0, seconds: float = 600) -> str:
    answer = subprocess.run(
        command, cwd=folder, env=_ENVIRONMENT, capture_output=True, encoding="utf-8", check=False, timeout=seconds
    )
    assert answer.returncode == code, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def _drive(folder: Path, count: int, strategy: str, name: str, stop: int = 99, *more: str) -> str:
    return _run(folder, [*_processes(count), "driver.py", strategy, name, str(stop), *more])


def _rows(folder: Path) -> dict[int, dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row["step"]] = rows.get(row["step"], {}) | row
    return rows


def _same_curve(one: Path, other: Path) -> None:
    found, expected = _rows(one), _rows(other)
    assert found.keys() == expected.keys()
    for step, row in found.items():
        assert row == pytest.approx(expected[step], rel=_TOLERANCE), step


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_any_number_of_processes_learns_the_same_from_every_pair_once(project: Path) -> None:
    said = re.search(r"^pairs (\d+)$", _drive(project, 1, "none", "one"), re.MULTILINE)
    assert said
    pairs = int(said[1])
    for count, strategy in ((2, "ddp"), (4, "ddp"), (2, "fsdp"), (4, "fsdp")):
        name = f"{strategy}{count}"
        _drive(project, count, strategy, name)
        _same_curve(project / name, project / "one")
        batches = [(project / f"{name}.seen.{rank}").read_text(encoding="utf-8").splitlines() for rank in range(count)]
        seen: Counter[str] = Counter()
        taken = 0
        for parts in zip(*batches, strict=True):
            assert [len(part.split()) for part in parts] == [24 // count] * count
            for position in " ".join(parts).split():
                seen[position] += 1
                taken += 1
                if taken % pairs == 0:  # a pass over the data is done, within a batch mostly
                    assert len(seen) == pairs
                    assert set(seen.values()) == {taken // pairs}
        assert taken // pairs >= 2


def test_parts_go_on_in_any_number_of_processes_and_become_one_model(project: Path) -> None:
    _drive(project, 1, "none", "one")
    _drive(project, 2, "fsdp", "parts", 12)
    assert len(list((project / "parts" / "last" / "shards").glob("*.distcp"))) == 2
    _drive(project, 4, "fsdp", "parts", 17, "resume")
    _drive(project, 1, "none", "parts", 22, "resume")
    _drive(project, 2, "ddp", "parts", 27, "resume")
    _drive(project, 2, "fsdp", "parts", 99, "resume")
    found, expected = _rows(project / "parts"), _rows(project / "one")
    for step, row in expected.items():
        assert found[step] == pytest.approx(row, rel=_TOLERANCE), step
    for name in ("best", "last"):  # whole, and in parts
        said = _run(project, [sys.executable, "translate.py", "--checkpoint", f"parts/{name}", "aam0"])
        assert said == _run(project, [sys.executable, "translate.py", "--checkpoint", f"one/{name}", "aam0"])


@contextlib.contextmanager
def _training(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    log = (folder / "log.txt").open("w", encoding="utf-8")
    process = subprocess.Popen(
        _torchrun("--standalone", "--nproc-per-node=2", *options, "train.py"),
        cwd=folder, env=_ENVIRONMENT, stdout=log, stderr=log, text=True,
    )  # fmt: skip
    try:
        metrics, ending = folder / "runs" / "metrics.jsonl", time.monotonic() + 120
        while not (metrics.exists() and metrics.stat().st_size and _rows(folder / "runs").keys() > {10}):
            assert process.poll() is None, (folder / "log.txt").read_text(encoding="utf-8")
            assert time.monotonic() < ending
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


def _workers(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text(encoding="ascii")
    return sorted(map(int, children.split()))


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_killed_process_is_started_anew_and_nothing_is_lost(tmp_path: Path, strategy: str) -> None:
    folders = [_project(tmp_path / name, steps="120", dropout="0.1", strategy=strategy) for name in ("whole", "killed")]
    _run(folders[0], [*_processes(2), "train.py"])
    with _training(folders[1], "--max-restarts=1") as process:
        os.kill(_workers(process.pid)[-1], signal.SIGKILL)
        assert process.wait(300) == 0, (folders[1] / "log.txt").read_text(encoding="utf-8")
    assert " done of 120" in (folders[1] / "log.txt").read_text(encoding="utf-8").partition("lost another")[2]
    whole, killed = (_rows(folder / "runs") for folder in folders)
    assert whole == killed


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_a_killed_process_ends_the_job_in_words(tmp_path: Path) -> None:
    folder = _project(tmp_path / "killed", steps="3000")
    with _training(folder) as process:
        os.kill(_workers(process.pid)[-1], signal.SIGKILL)
        assert process.wait(60) == 1
    said = (folder / "log.txt").read_text(encoding="utf-8")
    assert "error: rank 0 lost another process, so training ends" in said
    assert "Signal 9 (SIGKILL)" in said


def test_a_polite_kill_saves_once_and_the_run_goes_on(tmp_path: Path) -> None:
    folder = _project(tmp_path / "stopped", steps="3000")
    with _training(folder) as process:
        process.terminate()
        process.wait(60)
    said = (folder / "log.txt").read_text(encoding="utf-8")
    assert said.count("stopped and saved at step") == 1
    step = json.loads((folder / "runs" / "last" / "checkpoint.json").read_text(encoding="utf-8"))["step"]
    assert f"stopped and saved at step {step};" in said
    told = _run(folder, [*_processes(2), "train.py", "--resume", "--max-seconds", "1"])
    assert f"steps: {step} done of 3000" in told


def test_two_agents_are_two_nodes(project: Path) -> None:
    _drive(project, 1, "none", "one")
    port = f"--master-port={_port()}"
    options = ("--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", port, "--rdzv-conf=timeout=50")
    script = ["driver.py", "ddp", "nodes", "99"]
    command = _torchrun(*options, "--node-rank=1")
    other = subprocess.Popen([*command, *script], cwd=project, env=_ENVIRONMENT)
    try:
        _run(project, [*_torchrun(*options, "--node-rank=0"), *script])
        assert other.wait(60) == 0
    finally:
        other.kill()
    _same_curve(project / "nodes", project / "one")


_TWO_NETWORKS = r"""
set -e
ip link set lo up
unshare -n sleep 600 & second=$!
trap 'kill $second' EXIT
until [ "$(readlink /proc/$second/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link add name here type veth peer name there netns $second
ip addr add 10.99.0.1/24 dev here; ip link set here up
nsenter -t $second -n sh -c 'ip addr add 10.99.0.2/24 dev there; ip link set there up; ip link set lo up'
run="-m torch.distributed.run --nnodes=2 --nproc-per-node=1 --master-addr=10.99.0.1 --master-port=29500"
GLOO_SOCKET_IFNAME=there nsenter -t $second -n "$0" $run --node-rank=1 "$@" & other=$!
GLOO_SOCKET_IFNAME=here "$0" $run --node-rank=0 "$@"
wait $other
"""


def _namespaces() -> bool:
    tools = all(shutil.which(tool) for tool in ("unshare", "nsenter", "ip"))
    return tools and subprocess.run(["unshare", "-rn", "ip", "link"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _namespaces(), reason="this machine gives no network namespaces")
def test_two_networks_are_two_nodes(project: Path) -> None:
    _drive(project, 1, "none", "one")
    command = ["unshare", "-rn", "bash", "-c", _TWO_NETWORKS, sys.executable]
    _run(project, [*command, "driver.py", "ddp", "networks", "99"])
    _same_curve(project / "networks", project / "one")


def test_nodes_that_do_not_find_each_other_say_so_within_a_minute(project: Path) -> None:
    """As torchrun starts a process, but the place to meet is one where nobody answers."""
    nowhere = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "192.0.2.7"}
    begun = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "train.py"],
        cwd=project,
        env={**_ENVIRONMENT, **nowhere, "MASTER_PORT": "29500"},
        capture_output=True, encoding="utf-8", check=False, timeout=200,
    )  # fmt: skip
    assert answer.returncode == 1
    assert "can't reach 192.0.2.7:29500, where all meet" in answer.stderr
    assert len(answer.stderr.strip().splitlines()[-1]) < 300
    assert time.monotonic() - begun < 100  # 52 seconds, and what a busy machine takes to load torch


def test_a_batch_that_can_not_be_shared_and_another_model_are_refused(project: Path) -> None:
    said = _run(project, [*_processes(5), "driver.py", "ddp", "x", "1"], code=1)
    assert "error: 24 pairs an update (batch_size x grad_accumulation) can't be shared equally by 5 processes" in said
    _drive(project, 2, "fsdp", "x", 1)
    text = (project / "config.toml").read_text(encoding="utf-8").replace("d_model = 32", "d_model = 64")
    (project / "config.toml").write_text(text, encoding="utf-8")
    said = _run(project, [*_processes(2), "driver.py", "fsdp", "x", "9", "resume"], code=1)
    assert "the [model] settings changed since the checkpoint" in said
