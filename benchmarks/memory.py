"""Predicted beside measured: the peak memory of training steps of the starters' real models on this CPU.

Each configuration trains for a few updates in a process of its own. Measured is the process's peak resident memory
(VmHWM of Linux) above what it held after a tiny model's update, when every library had been loaded. The prediction is
`scaffold/hardware/memory.py`'s, which the plan uses.

Run: python benchmarks/memory.py [--exact] [--only transformer|gpt2]

`--exact` makes the C library give back every block at once: slower, and what is left to compare is the tensors.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GOAL = 0.10
UPDATES = 3
# template, width, heads, layers (encoder + decoder), vocabulary, length, batch, dropout, precision, checkpointing,
# micro-batches of an update
CONFIGURATIONS = [
    ("gpt2", 256, 4, 6, 4096, 256, 16, 0.0, "fp32", False, 1),
    ("gpt2", 384, 6, 6, 4096, 256, 8, 0.1, "fp32", False, 1),
    ("gpt2", 384, 6, 6, 4096, 256, 8, 0.1, "bf16", False, 1),
    ("gpt2", 256, 4, 6, 4096, 256, 16, 0.0, "bf16", False, 2),
    ("gpt2", 384, 6, 6, 4096, 256, 16, 0.1, "fp32", True, 1),
    ("gpt2", 256, 4, 6, 4096, 256, 16, 0.0, "bf16", True, 1),
    ("gpt2", 768, 12, 12, 16384, 128, 2, 0.1, "fp32", True, 2),
    ("transformer", 256, 8, 6, 1000, 128, 32, 0.0, "fp32", False, 1),
    ("transformer", 256, 8, 6, 1000, 128, 24, 0.1, "fp32", False, 1),
    ("transformer", 256, 8, 6, 1000, 128, 24, 0.1, "bf16", False, 1),
    ("transformer", 256, 8, 6, 1000, 128, 48, 0.1, "fp32", True, 1),
    ("transformer", 256, 8, 6, 8000, 128, 32, 0.0, "bf16", True, 1),
    ("transformer", 512, 8, 12, 8000, 64, 8, 0.1, "fp32", False, 2),
    ("transformer", 512, 8, 12, 8000, 64, 16, 0.0, "bf16", True, 2),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exact", action="store_true", help="let the C library keep no free blocks")
    parser.add_argument("--only", choices=("transformer", "gpt2"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(json.loads(options.child))
        return 0
    print(f"{'':11}  {'shape':>18}  batch × length  drop  prec  ckpt  parts  predicted  measured  off")
    worst = 0.0
    for row in CONFIGURATIONS:
        if options.only and row[0] != options.only:
            continue
        wanted, found = predict(row, exact=options.exact), run_child(row, exact=options.exact)
        off = wanted / found - 1
        worst = max(worst, abs(off))
        name, width, heads, layers, vocabulary, length, batch, dropout, precision, checkpointing, parts = row
        shape = f"{layers}×{width}/{heads}, {vocabulary}"
        print(
            f"{name:11}  {shape:>18}  {batch:5} × {length:<6}  {dropout:4}  {precision}  "
            f"{'yes' if checkpointing else 'no':4}  {parts:5}  {wanted >> 20:6} MB  {found >> 20:5} MB  {off:+.1%}",
            flush=True,
        )
    print(f"worst {worst:.1%}, goal ≤ {GOAL:.0%} {'ok' if worst <= GOAL else 'MISSED'}")
    return worst > GOAL


def predict(row: tuple[Any, ...], *, exact: bool) -> int:
    """Bytes of a step by the formulas of the plan."""
    sys.path.insert(0, str(ROOT))
    from scaffold.hardware.memory import Shape, Training

    name, width, heads, layers, vocabulary, length, batch, dropout, precision, checkpointing, parts = row
    encoder = layers // 2 if name == "transformer" else 0
    shape = Shape(width, encoder, layers - encoder, 4 * width, vocabulary, length, heads, dropout)
    run = Training("cpu", precision, checkpointing, parts > 1, not dropout)
    step = shape.step(batch, run)
    return step.total - (step.reserve if exact else 0)


def run_child(row: tuple[Any, ...], *, exact: bool) -> int:
    """Measure one configuration in a fresh process. Bytes."""
    environment = dict(os.environ, OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"))
    if exact:
        environment["MALLOC_MMAP_THRESHOLD_"] = "65536"
    command = [sys.executable, __file__, "--child", json.dumps(row)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT).stdout
    return int(output.split()[-1])


def measure(row: list[Any]) -> None:
    """Train a tiny model once, then the configured one for some updates, and print the bytes between the peaks."""
    name = row[0]
    with tempfile.TemporaryDirectory() as folder:
        measure_in(generated(name, Path(folder) / name), row)


def generated(name: str, project: Path) -> Path:
    """A fresh project of the starter."""
    sys.path.insert(0, str(ROOT))
    from scaffold.hardware.targets import load
    from scaffold.projects.create import Choices, create
    from scaffold.projects.template import load_template

    create(load_template(name), project, load("cpu-8gb"), [], Choices(target="cpu-8gb", git=False))
    return project


def measure_in(project: Path, row: list[Any]) -> None:
    """As `measure`, with the code of a generated project."""
    sys.path.insert(0, str(project))
    os.chdir(project)
    if row[9]:
        from runtime.peak import return_blocks_at_once

        return_blocks_at_once()  # as the starters do with checkpointing
    trained = {"transformer": train_transformer, "gpt2": train_gpt2}[row[0]]
    tiny = [row[0], 16, 2, 2, 300, 8, 2, *row[7:10], 1]
    trained(tiny, 1)
    gc.collect()
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    trained(row, UPDATES)
    print(status("VmHWM") - before)


def status(key: str) -> int:
    """One figure of this process's memory in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def train_transformer(row: list[Any], updates: int) -> None:
    """Updates of the `transformer` starter's own trainer with batches of the full length."""
    import torch

    from config import read_config
    from learning import Trainer
    from model import Translator
    from runtime.core import Device

    _, width, heads, layers, vocabulary, length, batch, dropout, precision, checkpointing, parts = row
    config = read_config(Path("config.toml"))
    shape = replace(
        config.model, d_model=width, heads=heads, encoder_layers=layers // 2, decoder_layers=layers - layers // 2,
        feedforward=4 * width, dropout=dropout, max_length=length,
    )  # fmt: skip
    train = replace(config.train, batch_size=batch, grad_accumulation=parts)
    machine = replace(config.machine, precision=precision, checkpointing=checkpointing)
    config = replace(config, model=shape, train=train, machine=machine)
    model = Translator(shape, vocabulary).train()
    if checkpointing:
        model.recompute_activations()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    device = Device(torch.device("cpu"), precision, dtype, None)
    trainer = Trainer(model, config, device, batch)
    source = torch.randint(4, vocabulary, (batch * parts, length))
    target = torch.randint(4, vocabulary, (batch * parts, length + 1))
    for _ in range(updates):
        trainer.update(source, target)


class Vocabulary:
    """As much of a tokenizer as a new model asks for: its size and its last token."""

    def __init__(self, size: int) -> None:
        self.size, self.eos_token_id = size, size - 1

    def __len__(self) -> int:
        return self.size


def train_gpt2(row: list[Any], updates: int) -> None:
    """Updates of the `gpt2` starter's own model, loss and optimizer, in the order of its trainer."""
    import torch

    from attention import quicken
    from config import read_config
    from learning import language_loss, make_optimizer, set_dropout
    from models import new_model
    from runtime.core import Device, autocast

    _, width, heads, layers, vocabulary, length, batch, dropout, precision, checkpointing, parts = row
    shape = replace(
        read_config(Path("config.toml")).scratch, n_layer=layers, n_head=heads, n_embd=width, vocab_size=vocabulary
    )
    model = new_model(shape, length, Vocabulary(vocabulary)).train()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    device = Device(torch.device("cpu"), precision, dtype, None)
    set_dropout(model, dropout)
    quicken(model, device)
    model.train()
    if checkpointing:
        model.activation_checkpointing_enable()
    optimizer = make_optimizer(model, 1e-3, 0.1)
    blocks = torch.randint(0, vocabulary, (batch * parts, length))
    for _ in range(updates):
        for part in blocks.split(batch):
            with autocast(device):
                loss = language_loss(model, part) * (len(part) / len(blocks))
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


if __name__ == "__main__":
    sys.exit(main())
