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
import threading
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

_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
_BATCH = 24  # samples an update, of all processes together
_SETTINGS = {
    "transformer": {
        "dropout": "0.0", "d_model": "32", "feedforward": "64", "max_length": "32", "steps": "40",
        "evaluate_every": "10", "effective_batch": f"{_BATCH}", "batch_size": "6", "file": "pairs.tsv",
    },
    "gpt2": {
        "dropout": "0.0", "n_layer": "2", "n_head": "2", "n_embd": "32", "vocab_size": "320", "context": "16",
        "steps": "40", "evaluations": "4", "effective_batch": f"{_BATCH}", "batch_size": "6", "data": "text.txt",
        "patience": "0",
    },
}  # fmt: skip
_TOLERANCE = 1e-4  # of a loss: sums in another order
# Trains with the settings in the folder, to a step, and writes down which samples this process saw.
_DRIVER = """
import sys
from pathlib import Path
from runtime.settings import main_guard
import torch
import data, train
from config import read_config
from runtime.distributed import together

STRATEGY, NAME, STOP = sys.argv[1], sys.argv[2], int(sys.argv[3])
RESUME = "resume" in sys.argv

def note(rank, text):
    with open(f"{NAME}.seen.{rank}", "a") as file:
        file.write(text)

HOOKS

def main():
    config = read_config(Path("config.toml"))
    with together(STRATEGY, "cpu") as ranks:
        watch(ranks.rank)
        run = begin(config, ranks)
        run.train(lambda: run.step >= STOP)
        print("samples", count(run))

main_guard(main)
"""
_HOOKS = {
    "transformer": """
def watch(rank):
    walk = data.BucketSampler.__iter__
    def noted(self):
        for batch in walk(self):
            note(rank, " ".join(map(str, batch)) + "\\n")
            yield batch
    data.BucketSampler.__iter__ = noted

def begin(config, ranks):
    return train.Run(config, Path("runs") / NAME, resume=RESUME, ranks=ranks)

def count(run):
    return len(run.train_data)
""",
    "gpt2": """
def watch(rank):
    cut, gather = data.Blocks._block, data.Blocks.batch
    def noted(self, number):
        block = cut(self, number)
        start = self._starts[number % self.per_round]
        note(rank, f"{(start - min(self._starts)) // self.length} ")
        return block
    def line(self, number):
        batch = gather(self, number)
        note(rank, "\\n")
        return batch
    data.Blocks._block, data.Blocks.batch = noted, line

def begin(config, ranks):
    return train.resume(config, NAME, ranks) if RESUME else train.begin(config, "scratch", NAME, ranks)

def count(run):
    return run.blocks.per_round
""",
}
# What the program makes of a model: of the best one, and of the last one, which may be in parts.
_MODELS = {"transformer": ("best", "last"), "gpt2": ("model", "last")}
_USE = {
    "transformer": ["translate.py", "aam0", "--checkpoint"],
    "gpt2": ["generate.py", "The heron", "--greedy", "--max-new-tokens", "12", "--engine", "torch", "--model"],
}
_TRAIN = {"transformer": ["train.py"], "gpt2": ["train.py", "--model", "scratch", "--name", "run"]}
_RUN = {"transformer": Path("runs"), "gpt2": Path("runs/run")}
_BOTH = pytest.mark.parametrize("starter", sorted(_SETTINGS))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return _project(tmp_path / "project")


def _project(folder: Path, starter: str = "transformer", **settings: str) -> Path:
    choices = Choices(target="cpu-8gb", git=False, set=_SETTINGS[starter] | settings)
    create(load_template(starter), folder, load("cpu-8gb"), [], choices)
    text = (folder / "config.toml").read_text(encoding="utf-8").replace("probe = true", "probe = false")
    (folder / "config.toml").write_text(text, encoding="utf-8")
    (folder / "driver.py").write_text(_DRIVER.replace("HOOKS", _HOOKS[starter]), encoding="utf-8")
    words = [a * (1 + place % 5) + b for a in "abcdefghkl" for place, b in enumerate("mnopqrst" * 3)]
    lines = dict.fromkeys(f"{word}{number}\t{number}{word[::-1]}\n" for number, word in enumerate(words))
    (folder / "pairs.tsv").write_text("".join(lines), encoding="utf-8")
    stones = (f"The {word} went to the {word[::-1]} with {number} stones." for number, word in enumerate(words))
    (folder / "text.txt").write_text("\n\n".join(stones), encoding="utf-8")
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


@_BOTH
def test_any_number_of_processes_learns_the_same_from_every_sample_once(tmp_path: Path, starter: str) -> None:
    project = _project(tmp_path, starter)
    said = re.search(r"^samples (\d+)$", _drive(project, 1, "none", "one"), re.MULTILINE)
    assert said
    samples = int(said[1])
    for count, strategy in ((2, "ddp"), (4, "ddp"), (2, "fsdp"), (4, "fsdp")):
        name = f"{strategy}{count}"
        _drive(project, count, strategy, name)
        _same_curve(project / "runs" / name, project / "runs" / "one")
        batches = [(project / f"{name}.seen.{rank}").read_text(encoding="utf-8").splitlines() for rank in range(count)]
        seen: Counter[str] = Counter()
        for parts in zip(*batches, strict=True):
            assert [len(part.split()) for part in parts] == [_BATCH // count] * count
            seen.update(" ".join(parts).split())
            passes = seen.total() // samples  # a pass over the data is done, within a batch mostly
            assert set(seen.values()) <= {passes, passes + 1}
            assert passes == 0 or len(seen) == samples
        assert passes >= 2


@_BOTH
def test_parts_go_on_in_any_number_of_processes_and_become_one_model(tmp_path: Path, starter: str) -> None:
    project = _project(tmp_path, starter)
    runs = project / "runs"
    _drive(project, 1, "none", "one")
    _drive(project, 2, "fsdp", "parts", 12)
    assert len(list((runs / "parts" / "last" / "shards").glob("*.distcp"))) == 2
    for count, strategy, stop in ((4, "fsdp", 17), (1, "none", 22), (2, "ddp", 27), (2, "fsdp", 99)):
        _drive(project, count, strategy, "parts", stop, "resume")
    found, expected = _rows(runs / "parts"), _rows(runs / "one")
    for step, row in expected.items():
        assert found[step] == pytest.approx(row, rel=_TOLERANCE), step
    for name in _MODELS[starter]:  # whole, and in parts
        said = [_used(project, starter, f"runs/{run}/{name}") for run in ("parts", "one")]
        assert said[0] == said[1] != ""


def _used(project: Path, starter: str, model: str) -> str:
    command = [sys.executable, *_USE[starter], model]
    answer = subprocess.run(command, cwd=project, env=_ENVIRONMENT, capture_output=True, encoding="utf-8", check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@contextlib.contextmanager
def _training(folder: Path, *options: str, starter: str = "transformer") -> Iterator[subprocess.Popen[str]]:
    log = (folder / "log.txt").open("w", encoding="utf-8")
    process = subprocess.Popen(
        _torchrun("--standalone", "--nproc-per-node=2", *options, *_TRAIN[starter]),
        cwd=folder, env=_ENVIRONMENT, stdout=log, stderr=log, text=True,
    )  # fmt: skip
    try:
        _wait_for_step(folder / _RUN[starter], process, folder / "log.txt")
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


def _wait_for_step(run: Path, process: subprocess.Popen[Any], log: Path) -> None:
    metrics, ending = run / "metrics.jsonl", time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size and _rows(run).keys() > {10}):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < ending
        time.sleep(0.1)


def _workers(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text(encoding="ascii")
    return sorted(map(int, children.split()))


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
@pytest.mark.parametrize(("starter", "strategy"), [("transformer", "ddp"), ("transformer", "fsdp"), ("gpt2", "fsdp")])
def test_a_killed_process_is_started_anew_and_nothing_is_lost(tmp_path: Path, starter: str, strategy: str) -> None:
    settings = {"steps": "120", "dropout": "0.1", "strategy": strategy}
    folders = [_project(tmp_path / name, starter, **settings) for name in ("whole", "killed")]
    _run(folders[0], [*_processes(2), *_TRAIN[starter]])
    with _training(folders[1], "--max-restarts=1", starter=starter) as process:
        os.kill(_workers(process.pid)[-1], signal.SIGKILL)
        assert process.wait(300) == 0, (folders[1] / "log.txt").read_text(encoding="utf-8")
    assert " done of 120" in (folders[1] / "log.txt").read_text(encoding="utf-8").partition("lost another")[2]
    whole, killed = (_rows(folder / _RUN[starter]) for folder in folders)
    assert whole == killed


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_job_in_words(tmp_path: Path, rank: int) -> None:
    folder = _project(tmp_path / "killed", steps="3000")
    with _training(folder) as process:
        os.kill(_workers(process.pid)[rank], signal.SIGKILL)
        assert process.wait(60) == 1
    said = (folder / "log.txt").read_text(encoding="utf-8")
    assert f"error: rank {1 - rank} lost another process, so training ends" in said
    assert "Signal 9 (SIGKILL)" in said


def test_a_polite_kill_saves_once_and_the_run_goes_on(tmp_path: Path) -> None:
    folder = _project(tmp_path / "stopped", steps="3000")
    with _training(folder) as process:
        process.terminate()
        process.wait(60)
    _saved_and_goes_on(folder, "transformer", (folder / "log.txt").read_text(encoding="utf-8"))


# A shell's part at a terminal: a session of its own, and the keyboard's signals for it.
_AT_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@_BOTH
def test_ctrl_c_at_a_terminal_saves_once_and_the_run_goes_on(tmp_path: Path, starter: str) -> None:
    import pty

    folder = _project(
        tmp_path / "stopped", starter, steps="3000", **({"evaluations": "30"} if starter == "gpt2" else {})
    )
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _AT_TERMINAL, *_torchrun("--standalone", "--nproc-per-node=2", *_TRAIN[starter])],
        cwd=folder, env=_ENVIRONMENT, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    shown: list[bytes] = []
    reader = threading.Thread(target=_read_all, args=(keyboard, shown))
    reader.start()
    try:
        _wait_for_step(folder / _RUN[starter], process, Path(os.devnull))
        os.write(keyboard, b"\x03")
        assert process.wait(90) != 0
    finally:
        process.kill()
        process.wait()
        reader.join(30)
        os.close(keyboard)
    said = b"".join(shown).decode().replace("\r\n", "\n")
    ending = said[said.index("stopped and saved at step") :].splitlines()
    assert ending[0].endswith(" --resume") or ending[1].endswith(" --resume --name run"), ending
    assert "what torchrun adds below" in "".join(ending[:3])
    assert said.count("Traceback") == said.count("SignalException:") == 1, "torchrun's own, and none of the processes'"
    _saved_and_goes_on(folder, starter, said)


def _read_all(terminal: int, shown: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # Linux's way to say that nobody has the terminal open any more
        while part := os.read(terminal, 65536):
            shown.append(part)


def _saved_and_goes_on(folder: Path, starter: str, said: str) -> None:
    assert said.count("stopped and saved at step") == 1
    saved = folder / _RUN[starter] / "last" / "checkpoint.json"
    step = json.loads(saved.read_text(encoding="utf-8"))["step"]
    assert re.search(rf"stopped and saved at step {step}\b", said)
    told = _run(folder, [*_processes(2), "train.py", "--resume", "--max-seconds", "1"])
    assert f"steps: {step} done of 3000" in told


def test_two_agents_are_two_nodes(project: Path) -> None:
    _drive(project, 1, "none", "one")
    port = f"--master-port={_port()}"
    options = ("--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", port, "--rdzv-conf=timeout=40")
    script = ["driver.py", "ddp", "nodes", "99"]
    command = _torchrun(*options, "--node-rank=1")
    other = subprocess.Popen([*command, *script], cwd=project, env=_ENVIRONMENT)
    try:
        _run(project, [*_torchrun(*options, "--node-rank=0"), *script])
        assert other.wait(60) == 0
    finally:
        other.kill()
    _same_curve(project / "runs" / "nodes", project / "runs" / "one")


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
    _same_curve(project / "runs" / "networks", project / "runs" / "one")


def test_nodes_that_do_not_find_each_other_say_so_within_a_minute(project: Path) -> None:
    """Processes as torchrun starts them, and torchrun itself: nobody answers, there is no such host, nobody comes."""
    with socket.socket() as listening:  # answers, but is not where processes meet
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        silent = listening.getsockname()[1]
        waiting = {
            "can't reach 192.0.2.7:29500, where all meet": _one_of_two(project, 1, "192.0.2.7", 29500),
            "can't reach nowhere.invalid:29500, where all meet": _one_of_two(project, 1, "nowhere.invalid", 29500),
            f"can't reach 127.0.0.1:{silent}, where all meet": _one_of_two(project, 1, "127.0.0.1", silent),
            "192.0.2.7:29500": _one_of_two(project, 1, "192.0.2.7", 29500, torchrun=True),
            "1/2 clients joined": _one_of_two(project, 0, "127.0.0.1", _port(), torchrun=True),
        }
        begun = time.monotonic()
        for place, (words, process) in enumerate(waiting.items()):
            said = process.communicate(timeout=200)[1].strip()
            assert process.returncode == 1, said
            assert words in said.splitlines()[-1]
            if place < 3:  # our own word, counted from the start of the process, however long it takes to load torch
                assert time.monotonic() - begun < 60
                assert said.count("\n") == 0, said
        assert time.monotonic() - begun < 100  # torchrun counts its 40 seconds when torch is loaded


def _one_of_two(folder: Path, rank: int, host: str, port: int, *, torchrun: bool = False) -> subprocess.Popen[str]:
    """One of two nodes with a process each, where the other never comes."""
    options = ("--nnodes=2", f"--node-rank={rank}", f"--master-addr={host}", f"--master-port={port}")
    variables = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    return subprocess.Popen(
        [*(_torchrun(*options, "--rdzv-conf=timeout=40") if torchrun else [sys.executable]), "train.py"],
        cwd=folder,
        env={**_ENVIRONMENT, **({} if torchrun else {**variables, "MASTER_ADDR": host, "MASTER_PORT": str(port)})},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("starter", "setting", "refusal"),
    [
        ("transformer", "d_model = 64", "the [model] settings changed since the checkpoint"),
        ("gpt2", "context = 8", "block has changed since runs/run was begun (16 then, 8 now)"),
    ],
)
def test_what_can_not_be_is_told_once(tmp_path: Path, starter: str, setting: str, refusal: str) -> None:
    """A batch that can't be shared, another model's checkpoint, LoRA in parts; and fp16 on a CPU is only noted."""
    project = _project(tmp_path, starter, strategy="fsdp", steps="2")
    config = project / "config.toml"
    config.write_text(re.sub("(?m)^precision = .*", 'precision = "fp16"', config.read_text("utf-8")), "utf-8")
    said = _run(project, [*_processes(5), *_TRAIN[starter]], code=1)
    assert re.search(r"error: 24 \w+ an update .* can't be shared equally by 5 processes", said)
    assert said.count("error: ") == 1
    said = _run(project, [*_processes(2), *_TRAIN[starter]])
    assert said.count("note: config.toml asks for fp16, which does not suit this cpu") == 1
    config.write_text(re.sub(f"(?m)^{setting.split()[0]} = .*", setting, config.read_text("utf-8")), "utf-8")
    said = _run(project, [*_processes(2), "train.py", "--resume"], code=1)
    assert f"error: {refusal}" in said
    assert said.count("error: ") == 1
    if starter == "gpt2":
        said = _run(project, [*_processes(2), "train.py", "--model", "runs/run/model", "--lora"], code=1)
        assert "error: LoRA leaves little to divide among processes: with it, set strategy to ddp" in said
        assert said.count("error: ") == 1
