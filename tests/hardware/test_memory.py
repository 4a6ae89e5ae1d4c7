"""The memory formulas: against the weights and kept tensors of the starters' real models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scaffold.hardware.memory import Shape, Training

REPOSITORY = Path(__file__).parents[2]
# Prints what a real model has and keeps: the number of its weights, and the bytes that autograd keeps in its layers.
_COUNT = """
import json, sys
name, dropout, precision = sys.argv[1], float(sys.argv[2]), sys.argv[3]
sys.path[:0] = [f"templates/{name}", "templates/_shared"]
import torch
if name == "transformer":
    from config import ModelConfig
    from model import Translator
    from learning import summed_loss
    model = Translator(ModelConfig(d_model=64, heads=4, encoder_layers=2, decoder_layers=2, feedforward=256,
        dropout=dropout, max_length=48, norm_first=True, positions="sinusoidal", tied_head=True), 100).train()
    source, target = torch.randint(4, 100, (8, 48)), torch.randint(4, 100, (8, 49))
    loss = lambda: summed_loss(model, source, target, 0.0)
else:
    from transformers import GPT2Config, GPT2LMHeadModel
    from trainer import language_loss, set_dropout
    model = GPT2LMHeadModel(GPT2Config(vocab_size=100, n_positions=48, n_embd=64, n_layer=4, n_head=4, bos_token_id=0,
        eos_token_id=0, activation_function="gelu")).train()
    set_dropout(model, dropout)
    blocks = torch.randint(0, 100, (8, 48))
    loss = lambda: language_loss(model, blocks)
own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
kept = {}
def keep(tensor):
    storage = tensor.untyped_storage()
    kept[storage.data_ptr()] = storage
    return tensor
with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        result = loss()
weights = sum(weight.numel() for weight in model.parameters())
print(json.dumps([weights, sum(storage.nbytes() for key, storage in kept.items() if key not in own)]))
"""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("name", ["transformer", "gpt2"])
def test_the_formula_counts_what_the_real_model_keeps(name: str, dropout: float, precision: str) -> None:
    command = [sys.executable, "-c", _COUNT, name, str(dropout), precision]
    output = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    weights, kept = json.loads(output)
    shape = Shape(64, 2 if name == "transformer" else 0, 2 if name == "transformer" else 4, 256, 100, 48, 4, dropout)
    assert shape.parameters == weights
    training = Training("cpu", precision, fused_attention=not dropout)
    tokens = 8 * 48
    casts = 0 if precision == "fp32" else 2 * weights
    predicted = tokens * (sum(shape._kept(training)) + shape._ends(training) + 4 * 100) + casts
    assert predicted == pytest.approx(kept, rel=0.04)


def test_a_project_has_the_same_formulas() -> None:
    # A project stands alone, so it gets a copy; this keeps the copy from going its own way.
    mine = (REPOSITORY / "scaffold" / "hardware" / "memory.py").read_bytes()
    assert (REPOSITORY / "templates" / "_shared" / "runtime" / "memory.py").read_bytes() == mine


GPT2 = Shape(768, 0, 12, 3072, 50257, 1024, 12)


def test_gpt2_has_the_weights_that_everybody_knows() -> None:
    assert GPT2.parameters == 124_439_808


def test_the_cache_of_one_text() -> None:
    assert GPT2.cache_bytes(1, "fp16") == 2 * 12 * 768 * 1024 * 2
    assert GPT2.generation_bytes(1, "fp32") > 4 * GPT2.parameters + GPT2.cache_bytes(1, "fp32")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recomputing_saves_and_more_sequences_cost(precision: str) -> None:
    def total(batch: int, *, checkpointing: bool) -> int:
        return GPT2.step(batch, Training("cuda", precision, checkpointing)).total

    assert total(8, checkpointing=True) < 0.75 * total(8, checkpointing=False)
    sizes = [total(batch, checkpointing=False) for batch in (1, 2, 4, 8, 16)]
    assert sizes == sorted(sizes)


def test_accumulating_keeps_the_gradients_beside_the_activations() -> None:
    alone, several = (GPT2.step(8, Training("cuda", accumulating=several)) for several in (False, True))
    assert several.gradients == 4 * GPT2.parameters
    assert several.total - alone.total >= 4 * GPT2.parameters


def test_adapters_alone_have_gradients_and_moments() -> None:
    shape, adapters = Shape(768, 0, 12, 3072, 50257, 128, heads=12), 2_359_296
    full, lora = shape.step(8, Training()), shape.step(8, Training(adapters=adapters, adapter_values=64))
    assert (lora.weights, lora.optimizer) == (full.weights + 4 * adapters, 8 * adapters)
    assert lora.activations == full.activations + 8 * 128 * 12 * 64 * 4
    one, parts = (
        shape.step(1, Training(adapters=adapters)),
        shape.step(1, Training(adapters=adapters, accumulating=True)),
    )
    assert parts.gradients == 4 * adapters >= one.gradients


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process its peak")
@pytest.mark.parametrize("row", [0, 4, 7, 10])
def test_predicted_is_near_the_measured_peak(row: int) -> None:
    program = f"""
from benchmarks.memory import CONFIGURATIONS, predict, run_child
row = CONFIGURATIONS[{row}]
print(predict(row, exact=True) / run_child(row, exact=True))
"""
    output = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert float(output) == pytest.approx(1, abs=0.10)


# Prints the most that one of several processes holds of a model divided by FSDP2: torch's own tracker counts tensor by
# tensor, and the other processes are pretended.
_DIVIDED = """
import sys
import torch
import torch.distributed as dist
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import GPT2Config, GPT2LMHeadModel
world = int(sys.argv[1])
dist.init_process_group("fake", rank=0, world_size=world, store=FakeStore())
mesh = init_device_mesh("cpu", (world,))
model = GPT2LMHeadModel(GPT2Config(vocab_size=8192, n_positions=32, n_embd=384, n_layer=8, n_head=6, bos_token_id=0,
    eos_token_id=0, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)).train()
for block in model.transformer.h:
    fully_shard(block, mesh=mesh)
fully_shard(model, mesh=mesh)
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
tracker = FSDPMemTracker(model, optimizer)
tracker.track_inputs(())
with tracker:
    for _ in range(2):
        symbols = torch.randint(0, 8192, (1, 32))
        scores = model(input_ids=symbols).logits
        torch.nn.functional.cross_entropy(scores[:, :-1].flatten(0, 1), symbols[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
        tracker.reset_mod_stats()
print(next(iter(tracker.get_tracker_snapshot("peak").values()))["Total"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 8])
def test_a_divided_model_takes_what_torchs_own_tracker_counts(world: int) -> None:
    command = [sys.executable, "-c", _DIVIDED, str(world)]
    counted = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
    shape = Shape(384, 0, 8, 1536, 8192, 32, 6)
    step = shape.step(1, Training("cuda", shards=world))
    assert step.weights == 4 * -(-shape.parameters // world)
    assert step.total - step.reserve == pytest.approx(counted, rel=0.12)
    whole = shape.step(1, Training("cuda"))
    assert counted < 0.8 * (whole.total - whole.reserve)
