"""Plans for several processes: how many, how they share the work, what each holds, and what can't be had."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace

import pytest

from scaffold.errors import UsageError
from scaffold.hardware.machine import GIB, Machine
from scaffold.hardware.targets import load
from scaffold.projects.plan import Plan, make_plan
from scaffold.projects.render import render
from scaffold.projects.template import load_template


def _plan(name: str, target: str, nodes: int = 1, **chosen: str) -> Plan:
    return make_plan(load_template(name), load(target), target, chosen, nodes=nodes)


def _product(plan: Plan) -> int:
    settings = plan.settings
    return int(settings["batch_size"] * settings["grad_accumulation"] * settings["world_size"])


@pytest.mark.parametrize("name", ["transformer", "gpt2"])
@pytest.mark.parametrize(
    ("target", "nodes", "world"),
    [("h100", 1, 1), ("8xh100", 1, 8), ("8xh100", 4, 32), ("lambda:gpu_8x_h100", 2, 16), ("kaggle-t4x2", 1, 2),
     ("t4", 4, 4), ("8xmi300x", 1, 8), ("cpu-8gb", 1, 1), ("cpu-8gb", 2, 2)],
)  # fmt: skip
def test_a_process_for_each_gpu_and_the_effective_batch_stays(name: str, target: str, nodes: int, world: int) -> None:
    plan = _plan(name, target, nodes)
    assert (plan.settings["world_size"], plan.nodes) == (world, nodes)
    assert _product(plan) == load_template(name).presets[plan.settings["preset"]]["effective_batch"]
    assert plan.settings["strategy"] == ("none" if world == 1 else "ddp")
    assert plan.notes == ()


def test_a_project_reads_the_batch_of_all_processes() -> None:
    template = load_template("transformer")
    for target in ("h100", "8xh100"):
        plan = make_plan(template, load(target), target, {"batch_size": "2"})
        config = render(template, plan, name="x", language="en", references=[])["config.toml"].decode()
        train = tomllib.loads(config)["train"]
        assert train["batch_size"] * train["grad_accumulation"] == 128, target


@pytest.mark.parametrize(
    ("target", "nodes", "command"),
    [
        ("h100", 1, "python train.py"),
        ("8xh100", 1, "torchrun --standalone --nproc-per-node=8 train.py"),
        ("4xh100", 2, "torchrun --nnodes=2 --nproc-per-node=4 --node-rank=RANK --master-addr=HEAD --master-port=29500 "
         "--rdzv-conf=timeout=40 train.py"),
    ],
)  # fmt: skip
def test_the_launch_command(target: str, nodes: int, command: str) -> None:
    plan = _plan("transformer", target, nodes)
    assert plan.to_json()["launch"] == command
    assert plan.to_json()["nodes"] == nodes


@pytest.mark.parametrize(
    ("target", "nodes", "chosen", "message", "hint"),
    [
        ("8xh100", 1, {"world_size": "9"}, "more processes than there are GPUs: 8", "world_size=8"),
        ("8xh100", 2, {"world_size": "17"}, "there are GPUs: 16 on 2 nodes", "world_size=16"),
        ("cpu-8gb", 1, {"world_size": "5"}, "more processes than there are CPU cores: 4", "world_size=4"),
        ("m2-16gb", 1, {"world_size": "2"}, "Apple's GPU is one device", ""),
        ("8xh100", 1, {"world_size": "3"}, "3 processes can't share the effective batch of 128", "1, 2, 4 or 8"),
        ("8xh100", 1, {"world_size": "3"}, "3 processes", "effective_batch=129"),
        ("8xh100", 3, {}, "3 nodes can't share the effective batch of 128", "2 or 4 can; or --set effective_batch=144"),
        ("8xh100", 4, {"world_size": "6"}, "not as many on each of 4 nodes", "multiple of 4"),
        ("m2-16gb", 2, {}, "Apple's GPU", "Leave --nodes out"),
        ("cpu-8gb", 1, {"device": "cuda"}, "device cuda needs another build of torch", "--target"),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(
    target: str, nodes: int, chosen: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        _plan("transformer", target, nodes, **chosen)
    assert hint in (error.value.hint or "")


def test_what_a_refusal_proposes_is_accepted() -> None:
    for nodes in (2, 4):
        assert _plan("transformer", "8xh100", nodes).settings["world_size"] == 8 * nodes
    assert _product(_plan("transformer", "8xh100", 3, effective_batch="144")) == 144
    assert _product(_plan("transformer", "8xh100", world_size="3", effective_batch="129")) == 129


def test_a_starter_for_one_process_takes_one_node() -> None:
    with pytest.raises(UsageError, match="one process"):
        _plan("sklearn", "cpu-8gb", 2)
    assert _plan("sklearn", "cpu-8gb").launch == "python train.py"


def test_gpus_that_cannot_share_the_batch_are_left_out_and_named() -> None:
    plan = _plan("transformer", "3xh100")
    assert plan.settings["world_size"] == 2
    assert "2 of 3 GPUs" in plan.notes[0]
    better = re.search(r"effective_batch=(\d+)", plan.notes[0])
    assert better
    assert _plan("transformer", "3xh100", effective_batch=better[1]).settings["world_size"] == 3


def test_the_effective_batch_grows_where_there_are_more_processes_than_samples_and_it_is_said() -> None:
    plan = _plan("gpt2", "8xh100", 8)
    assert plan.settings["world_size"] == _product(plan) == 64
    assert "grows from 32 to 64" in plan.notes[0]


_HUGE = {
    "n_embd": "4096",
    "n_layer": "24",
    "n_head": "32",
    "preset": "base",
}  # about 5 billion weights: 78 GB of states


def test_a_model_that_one_gpu_cannot_hold_is_divided_among_all() -> None:
    plan = _plan("gpt2", "8xa100-80gb", **_HUGE)
    assert plan.settings["strategy"] == "fsdp"
    assert "divided among 8 processes" in plan.reasons["strategy"]
    parts = {part: (size, how) for part, size, how in plan.explanation}
    weights = int(re.sub(r"\D.*", "", parts["weights"][1].replace(",", "")))
    assert parts["weights"][0] == -(-weights // 8) * 4
    assert parts["optimizer"][0] == 2 * parts["weights"][0]
    assert "divided among 8 processes" in parts["optimizer"][1]
    assert parts["gathered"][0] > 0
    assert (plan.memory["estimated_bytes"] or 0) <= (plan.memory["available_bytes"] or 0)
    assert (
        sum(size for part, (size, _) in parts.items() if part not in ("KV cache", "fine-tuning GPT-2"))
        == (plan.memory["estimated_bytes"])
    )


def test_more_nodes_hold_less_each() -> None:
    each = [_plan("gpt2", "8xa100-80gb", nodes, **_HUGE, batch_size="1").memory["estimated_bytes"] for nodes in (1, 2)]
    assert (each[0] or 0) > (each[1] or 0) + 4 * GIB


def test_a_model_that_fits_is_held_by_each_process_and_the_users_choice_wins() -> None:
    assert _plan("gpt2", "8xa100-80gb").settings["strategy"] == "ddp"
    divided = _plan("gpt2", "8xa100-80gb", strategy="fsdp")
    assert divided.settings["strategy"] == "fsdp"
    assert divided.reasons["strategy"] == "chosen by you with --set"
    assert _plan("gpt2", "8xa100-80gb", strategy="none").settings["world_size"] == 1


def test_processes_on_a_cpu_divide_cores_and_memory() -> None:
    alone, four = _plan("transformer", "cpu-8gb"), _plan("transformer", "cpu-8gb", world_size="4")
    assert four.settings["threads"] == 1
    assert (four.memory["available_bytes"] or 0) < (alone.memory["available_bytes"] or 0) / 2


def test_windows_and_cut_up_cards_train_in_one_process() -> None:
    two = load("2xrtx-4090")
    windows: Machine = replace(two, os="windows")
    template = load_template("transformer")
    assert make_plan(template, windows).settings["world_size"] == 1
    card = replace(two.accelerators[0], mig=({"memory_bytes": 20 * GIB},))
    assert make_plan(template, replace(two, accelerators=(card,))).settings["world_size"] == 1
