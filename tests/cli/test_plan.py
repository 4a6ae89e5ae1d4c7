from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from scaffold.projects.template import load_templates


@pytest.mark.parametrize("name", [template.name for template in load_templates()])
def test_every_starters_plan_is_shown(scaffold: Callable[..., Any], name: str) -> None:
    answer = scaffold("plan", name, "--target", "8xh100", "--explain")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1].strip() == f"scaffold new {name} my-{name} --target 8xh100"


def test_the_arithmetic_is_shown_when_asked_for(scaffold: Callable[..., Any]) -> None:
    plain = scaffold("plan", "gpt2", "--target", "rtx-4090")
    explained = scaffold("plan", "gpt2", "--target", "rtx-4090", "--explain")
    assert "AdamW's two moments" not in plain.out
    assert "AdamW's two moments" in explained.out
    assert explained.code == 0


def test_the_document_holds_the_arithmetic(scaffold: Callable[..., Any]) -> None:
    document = scaffold("plan", "transformer", "--target", "colab-t4", "--json").json
    parts = {row["part"]: row["bytes"] for row in document["explanation"]}
    assert sum(parts.values()) == document["memory"]["estimated_bytes"]


def test_a_batch_that_cannot_fit_is_wrong_usage(scaffold: Callable[..., Any]) -> None:
    answer = scaffold("plan", "gpt2", "--target", "colab-t4", "--set", "preset=base", "--set", "batch_size=64")
    assert answer.code == 2
    assert "fits" in answer.err


def test_the_same_job_on_three_targets_side_by_side(scaffold: Callable[..., Any]) -> None:
    targets = ("rtx-4090", "8xh100", "cpu-8gb")
    asked = [word for target in targets for word in ("--target", target)]
    table = scaffold("plan", "gpt2", *asked)
    assert table.code == 0
    heading = next(line for line in table.out.splitlines() if "8xh100" in line)
    assert heading.split() == list(targets)
    assert re.search(r"^world_size +1 +8 +1$", table.out, re.MULTILINE)
    document = scaffold("plan", "gpt2", *asked, "--json").json
    assert [plan["target"] for plan in document["targets"]] == list(targets)
    assert {plan["settings"]["preset"] for plan in document["targets"]} == {"base"}, "the same job"
    first = document["targets"][0]
    assert {key: value for key, value in document.items() if key != "targets"} == first
    assert scaffold("plan", "gpt2", "--target", "rtx-4090", "--json").json == first


def test_several_processes_are_said_with_how_they_start(scaffold: Callable[..., Any]) -> None:
    answer = scaffold("plan", "transformer", "--target", "lambda:gpu_8x_h100", "--nodes", "2")
    assert "on 2 nodes, each with 8 ×" in answer.out
    assert "Starts with: torchrun --nnodes=2 --nproc-per-node=8" in answer.out
    assert scaffold("plan", "transformer", "--nodes", "0").code == 2


def test_the_next_command_makes_the_project_that_was_planned(scaffold: Callable[..., Any]) -> None:
    asked = ("--target", "8 x h100", "--nodes", "2", "--set", "steps=7", "--with", "memory=900GB")
    answer = scaffold("plan", "gpt2", *asked)
    command = answer.out.splitlines()[-1].strip()
    assert "--target '8 x h100'" in command
    made = scaffold(*shlex.split(command)[1:], "--dry-run", "--json").json
    assert made["plan"] == scaffold("plan", "gpt2", *asked, "--json").json
    beside = scaffold("plan", "gpt2", "--target", "rtx-4090", "--target", "cpu-8gb")
    assert beside.out.splitlines()[-1].endswith("--target cpu-8gb --set preset=base")
