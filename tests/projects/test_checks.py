"""Choices that the machine or its build of torch can't meet are refused with what can; a plan asks for none of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scaffold.errors import UsageError
from scaffold.hardware.machine import GIB, Accelerator, Machine, Memory
from scaffold.hardware.targets import load, names
from scaffold.projects.plan import make_plan
from scaffold.projects.template import Template, load_template

_WINDOWS = Machine(
    os="windows",
    arch="x86_64",
    memory=Memory(total_bytes=32 * GIB),
    accelerators=(
        Accelerator("nvidia", "NVIDIA GeForce RTX 4090", 24 * GIB, compute_capability="8.9", driver="581.29"),
    ),
)


def _old_card(capability: str) -> Machine:
    machine = load("colab-t4")
    return replace(machine, accelerators=(replace(machine.accelerators[0], compute_capability=capability),))


@pytest.mark.parametrize(
    ("machine", "key", "value", "reason", "hint"),
    [
        (load("cpu-8gb"), "precision", "fp16", "no CPU computes in it", "fp32"),
        (load("cpu-8gb"), "precision", "bf16", "no units for bf16", "fp32"),
        (load("colab-t4"), "precision", "bf16", "Tesla T4 has no units for bf16", "precision=fp16"),
        (_old_card("6.1"), "precision", "bf16", "no units for bf16", "precision=fp32"),
        (_old_card("6.1"), "precision", "fp16", "no tensor cores for fp16", "precision=fp32"),
        (load("arc-b580"), "precision", "fp16", "64 bits", "precision=bf16"),
        (load("colab-t4"), "tf32", "true", "has no TF32", "8.0"),
        (load("mi300x"), "tf32", "true", "has no TF32", "NVIDIA"),
        (load("cpu-8gb"), "tf32", "true", "this device has no TF32", "NVIDIA"),
        (_old_card("6.1"), "compile", "true", "too old for torch.compile", "7.0"),
        (_WINDOWS, "compile", "true", "without Triton", "WSL"),
        (load("cpu-8gb"), "pin_memory", "true", "no copy to a GPU", ""),
        (load("m2-16gb"), "pin_memory", "true", "no copy to a GPU", ""),
        (load("cpu-8gb"), "threads", "500", "more than the cores", "at most"),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(
    small: Template, machine: Machine, key: str, value: str, reason: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=reason) as error:
        make_plan(small, machine, chosen={key: value})
    assert hint in (error.value.hint or "")


@pytest.mark.parametrize(
    ("target", "key", "value"),
    [
        ("cpu-amx", "precision", "bf16"),
        ("colab-t4", "precision", "fp16"),
        ("rtx-4090", "precision", "fp32"),
        ("m2-16gb", "precision", "bf16"),
        ("cpu-8gb", "compile", "true"),
        ("cpu-8gb", "tf32", "false"),
        ("rtx-4090", "pin_memory", "false"),
    ],
)
def test_what_can_be_had_is_taken(small: Template, target: str, key: str, value: str) -> None:
    plan = make_plan(small, load(target), target, {key: value})
    assert str(plan.settings[key]).lower() == value
    assert plan.reasons[key] == "chosen by you with --set"


def test_nothing_is_refused_on_a_machine_that_is_unknown(small: Template) -> None:
    unknown = Machine(os="linux", arch="x86_64")
    settings = make_plan(small, unknown, chosen={"precision": "bf16", "threads": "64", "compile": "true"}).settings
    assert (settings["precision"], settings["threads"], settings["compile"]) == ("bf16", 64, True)


@pytest.mark.parametrize("template", ["transformer", "gpt2"])
@pytest.mark.parametrize("target", names())
def test_a_plan_asks_for_nothing_that_would_be_refused(template: str, target: str) -> None:
    starter, machine = load_template(template), load(target)
    settings = make_plan(starter, machine, target).settings
    chosen = {name: str(settings[name]) for name in ("device", "precision", "tf32", "compile", "pin_memory", "threads")}
    make_plan(starter, machine, target, chosen)


@pytest.mark.parametrize(
    ("arch", "precision"), [("gfx942", "bf16"), ("gfx1100", "bf16"), ("gfx1030", "fp16"), ("gfx906", "fp16")]
)
def test_an_amd_card_without_units_for_bf16_gets_fp16(small: Template, arch: str, precision: str) -> None:
    machine = load("mi300x")
    cards = (replace(machine.accelerators[0], arch=arch),)
    assert make_plan(small, replace(machine, accelerators=cards)).settings["precision"] == precision
