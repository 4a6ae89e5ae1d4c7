from __future__ import annotations

import re
from dataclasses import replace

import pytest

from scaffold.errors import ScaffoldError, UsageError
from scaffold.hardware.machine import GIB, Accelerator, Cpu, Machine, Memory
from scaffold.hardware.memory import Shape
from scaffold.hardware.targets import load
from scaffold.projects.plan import make_plan
from scaffold.projects.shapes import adapters_of
from scaffold.projects.template import Template, load_template

_LAPTOP = Machine(
    os="linux",
    arch="x86_64",
    cpu=Cpu(name="laptop", physical_cores=4, logical_cores=8, usable_cores=8, features=("avx2",)),
    memory=Memory(total_bytes=16 * GIB, available_bytes=2 * GIB),
)


@pytest.mark.parametrize(
    ("target", "device", "precision", "tf32"),
    [
        ("cpu-8gb", "cpu", "fp32", False),
        ("colab-t4", "cuda", "fp16", False),
        ("rtx-4090", "cuda", "bf16", True),
        ("h100", "cuda", "bf16", True),
        ("mi300x", "cuda", "bf16", False),
        ("arc-b580", "xpu", "bf16", False),
        ("m2-16gb", "mps", "fp32", False),
        ("raspberry-pi-5", "cpu", "fp32", False),
    ],
)
def test_device_and_precision_follow_from_the_machine(
    small: Template, target: str, device: str, precision: str, tf32: bool
) -> None:
    settings = make_plan(small, load(target), target).settings
    assert (settings["device"], settings["precision"], settings["tf32"]) == (device, precision, tf32)


def test_every_decision_has_its_reason(small: Template) -> None:
    plan = make_plan(small, _LAPTOP)
    assert {"device", "precision", "compile", "preset", "batch_size", "grad_accumulation", "checkpointing", "threads",
            "workers", "world_size"} <= set(plan.reasons)  # fmt: skip
    assert all(len(reason) > 5 for reason in plan.reasons.values())


def test_a_larger_device_takes_a_larger_model(small: Template) -> None:
    assert make_plan(small, _LAPTOP).settings["preset"] == "tiny"
    assert make_plan(small, load("h100"), "h100").settings["preset"] == "large"


def test_the_effective_batch_is_kept_when_memory_is_short(small: Template) -> None:
    for target in ("colab-t4", "rtx-3060", "h100", "cpu-4gb", "m2-16gb"):
        plan = make_plan(small, load(target), target, {"preset": "large"})
        settings, memory = plan.settings, plan.memory
        assert settings["batch_size"] * settings["grad_accumulation"] == 256, target
        assert memory["estimated_bytes"] is not None
        assert memory["available_bytes"] is not None
        if settings["batch_size"] > 1:
            assert memory["estimated_bytes"] <= memory["available_bytes"] + GIB


def test_what_is_free_at_the_moment_makes_a_note_and_nothing_else(small: Template) -> None:
    full = replace(_LAPTOP, memory=replace(_LAPTOP.memory, available_bytes=GIB // 4), disk_free_bytes=5)
    plan = make_plan(small, full)
    assert replace(plan, notes=()) == make_plan(small, _LAPTOP)
    assert "free at the moment" in plan.notes[0]


def test_the_note_says_what_would_fit_into_what_is_free(small: Template) -> None:
    card = replace(load("rtx-4090").accelerators[0], memory_free_bytes=14 * GIB)
    busy = replace(load("rtx-4090"), accelerators=(card,))
    plan = make_plan(small, busy, chosen={"preset": "large"})
    (note,) = plan.notes
    found = re.search(r"14 GB is free at the moment: batch_size (\d+) would fit", note)
    assert found
    fitting = int(found[1])
    assert 0 < fitting < plan.settings["batch_size"]
    smaller = make_plan(small, busy, chosen={"preset": "large", "batch_size": str(fitting)})
    assert smaller.notes == ()


def test_the_card_that_counts_is_the_one_the_build_runs_on(small: Template) -> None:
    old = Accelerator("nvidia", "K80", memory_bytes=24 * GIB, compute_capability="3.7", driver="580.65.06")
    new = Accelerator("nvidia", "A2000", memory_bytes=6 * GIB, compute_capability="8.6", driver="580.65.06")
    plan = make_plan(small, replace(_LAPTOP, accelerators=(old, new)))
    assert plan.settings["precision"] == "bf16"
    assert (plan.memory["available_bytes"] or 0) < 6 * GIB


def test_the_parts_add_up_to_the_estimate(small: Template) -> None:
    for target, preset in (("cpu-8gb", "tiny"), ("colab-t4", "large"), ("h100", "large"), ("m2-16gb", "tiny")):
        plan = make_plan(small, load(target), target, {"preset": preset})
        parts = sum(size for _, size, how in plan.explanation if not how.startswith("not in the sum"))
        assert parts == plan.memory["estimated_bytes"], target


@pytest.mark.parametrize("target", ["cpu-4gb", "colab-t4", "rtx-3060", "arc-b580", "m2-16gb", "mi300x", "rx-7900xtx"])
@pytest.mark.parametrize("name", ["transformer", "gpt2"])
def test_what_a_starter_is_planned_to_take_fits_the_target(name: str, target: str) -> None:
    template = load_template(name)
    plan = make_plan(template, load(target), target)
    assert [note for note in plan.notes if not note.startswith("fine-tuning")] == []
    assert (plan.memory["estimated_bytes"] or 0) <= (plan.memory["available_bytes"] or 0)
    effective = template.presets[plan.settings["preset"]]["effective_batch"]
    assert plan.settings["batch_size"] * plan.settings["grad_accumulation"] == effective


def test_fine_tuning_the_ready_made_model_is_counted_beside_the_plans_own() -> None:
    gpt2 = load_template("gpt2")

    def tuning(target: str) -> tuple[str, int, str]:
        return next(row for row in make_plan(gpt2, load(target), target).explanation if row[0] == "fine-tuning GPT-2")

    assert 124e6 * 16 < tuning("cpu-8gb")[1] < 0.6 * 8 * GIB
    assert "8 × 128 tokens" in tuning("cpu-8gb")[2]
    assert "8 × 1024 tokens" in tuning("colab-t4")[2]  # 32 blocks an update; the vocabulary's scores are what is large
    [note] = make_plan(gpt2, load("cpu-4gb"), "cpu-4gb").notes
    assert "fine-tuning GPT-2 takes about 3.2 GB" in note
    assert note.endswith("too much here; with --lora about 1.3 GB")
    assert adapters_of(Shape(768, 0, 12, 3072, 50257, 128, dropout=0.1), 16) == (2_359_296, 4 * 16 + 14 * 768)
    assert all(row[0] != "fine-tuning GPT-2" for row in make_plan(load_template("transformer"), _LAPTOP).explanation)


def test_the_batch_that_is_said_to_fit_does_fit_and_the_next_step_does_not(small: Template) -> None:
    with pytest.raises(UsageError) as error:
        make_plan(small, load("rtx-3060"), chosen={"preset": "large", "batch_size": "256"})
    fitting = int(str(error.value).split("; ")[1].split()[0])
    plan = make_plan(small, load("rtx-3060"), chosen={"preset": "large", "batch_size": str(fitting)})
    assert plan.settings["batch_size"] == fitting
    more = fitting + (8 if fitting >= 8 else 1)
    with pytest.raises(UsageError):
        make_plan(small, load("rtx-3060"), chosen={"preset": "large", "batch_size": str(more)})


def test_dropout_on_a_cpu_costs_the_attention_matrices(small: Template) -> None:
    chosen = {"preset": "large", "batch_size": "32", "checkpointing": "false"}
    big = replace(_LAPTOP, memory=Memory(total_bytes=512 * GIB))
    with_dropout = replace(small, presets={name: {**values, "dropout": 0.1} for name, values in small.presets.items()})
    plain, dropped = (make_plan(template, big, chosen=chosen) for template in (small, with_dropout))
    assert (dropped.memory["estimated_bytes"] or 0) > 1.3 * (plain.memory["estimated_bytes"] or 0)


def test_a_memory_limit_counts(small: Template) -> None:
    limited = replace(_LAPTOP, memory=replace(_LAPTOP.memory, limit_bytes=3 * GIB))
    chosen = {"preset": "large", "device": "cpu"}
    tight = make_plan(small, limited, chosen=chosen)
    assert tight.settings["batch_size"] < make_plan(small, _LAPTOP, chosen=chosen).settings["batch_size"]


def test_precedence_template_then_preset_then_plan_then_user(small: Template) -> None:
    assert make_plan(small, _LAPTOP).settings["learning_rate"] == 0.01  # the preset's, not the template's 0.5
    chosen = {"learning_rate": "0.25", "batch_size": "16", "d_model": "32", "epochs": "7"}
    plan = make_plan(small, _LAPTOP, chosen=chosen)
    assert plan.settings["learning_rate"] == 0.25
    assert plan.settings["d_model"] == 32
    assert plan.settings["epochs"] == 7
    assert (plan.settings["batch_size"], plan.settings["grad_accumulation"]) == (16, 4)
    assert plan.reasons["batch_size"] == "chosen by you with --set"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("epoch", "3", "no setting “epoch”"),
        ("epochs", "many", "must be a whole number"),
        ("epochs", "0", "at least 1"),
        ("epochs", "101", "at most 100"),
        ("learning_rate", "nan", "at least 0"),
        ("metric", "rouge", "cannot be “rouge”"),
        ("compile", "perhaps", "must be true or false"),
        ("preset", "huge", "cannot be “huge”"),
        ("device", "cuda", "another build of torch"),
        ("batch_size", "0", "at least 1"),
        ("epochs", "99999999999999999999", "too large"),
        ("world_size", "2", "one process"),
    ],
)
def test_a_wrong_setting_is_wrong_usage(small: Template, key: str, value: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        make_plan(small, _LAPTOP, chosen={key: value})


def test_a_batch_that_cannot_fit_is_told_with_what_fits(small: Template) -> None:
    with pytest.raises(UsageError, match=r"batch_size 256 needs [\d.]+ GB of [\d.]+ GB free; \d+ fits"):
        make_plan(small, load("rtx-3060"), "rtx-3060", {"preset": "large", "batch_size": "256"})


def test_no_torch_for_the_machine_is_told(small: Template) -> None:
    with pytest.raises(ScaffoldError, match="no build of torch works") as error:
        make_plan(small, replace(_LAPTOP, libc="musl 1.2.5"))
    assert "--target" in (error.value.hint or "")


def test_an_unknown_machine_still_gets_a_plan(small: Template) -> None:
    settings = make_plan(small, Machine(os="linux", arch="x86_64")).settings
    assert (settings["device"], settings["preset"], settings["threads"]) == ("cpu", "tiny", 1)


def test_parameters_are_torchs_own_count() -> None:
    # nn.Transformer(512, 8, 6, 6, 2048) has 44,140,544 parameters.
    shape = Shape(width=512, encoder_layers=6, decoder_layers=6, feedforward=2048, vocabulary=0, length=0)
    assert shape.parameters == 44_140_544
