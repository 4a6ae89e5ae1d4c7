"""The files for rented machines, clusters, notebooks and containers: sound for every target, and true to the plan."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from scaffold.errors import UsageError
from scaffold.hardware import targets
from scaffold.hardware.tables import table
from scaffold.projects.plan import make_plan
from scaffold.projects.render import render
from scaffold.projects.template import load_template

TORCH_STARTERS = ("transformer", "gpt2")
PLACES = ("aws", "azure", "gcp", "lambda", "kubernetes", "slurm")
EVERYWHERE = [*targets.names(), "8xh100", "4xa100-80gb", "lambda:gpu_8x_h100", "p5.48xlarge", "slurm:8xh100",
              "k8s:8xmi300x", "kubernetes:cpu-8gb", "Standard_ND96isr_MI300X_v5", "3xh100"]  # fmt: skip


def files(name: str, target: str, nodes: int = 1, **chosen: str) -> dict[str, str]:
    template = load_template(name)
    plan = make_plan(template, targets.load(target), target, chosen, nodes=nodes)
    made = render(template, plan, name="My Project", language="en", references=[])
    return {path: content.decode() for path, content in made.items()}


def sky(name: str, target: str, nodes: int = 1, **chosen: str) -> Any:
    return yaml.safe_load(files(name, target, nodes, **chosen)["cloud/sky.yaml"])


@pytest.mark.parametrize("target", EVERYWHERE)
def test_sky_asks_for_cards_that_exist_where_they_are_rented(target: str) -> None:
    task = sky("gpt2", target)
    known = {row["sky"]: row["clouds"] for row in table("skypilot")["cards"].values()}
    offers = task["resources"]["any_of"]
    assert offers
    for offer in offers:
        assert offer["infra"] in PLACES
        assert not (offer.get("use_spot") and offer["infra"] in ("lambda", "kubernetes", "slurm")), "they have none"
        if "accelerators" in offer:
            card, _, count = offer["accelerators"].partition(":")
            assert card in known
            assert int(count) >= 1
            assert offer["infra"] in (*known[card], "kubernetes", "slurm")
        else:
            assert task["resources"]["cpus"].endswith("+")
    vendor = next((card.vendor for card in targets.load(target).accelerators), None)
    assert all("accelerators" in offer for offer in offers) == (vendor is not None)


def test_a_place_in_the_targets_name_is_the_only_one() -> None:
    for target, place in (("lambda:gpu_8x_h100", "lambda"), ("slurm:8xh100", "slurm"), ("p5.48xlarge", "aws"),
                          ("gcp:a3-highgpu-8g", "gcp"), ("k8s:t4", "kubernetes")):  # fmt: skip
        assert [offer["infra"] for offer in sky("transformer", target)["resources"]["any_of"]] == [place]


def test_without_a_place_there_are_several_to_choose_from() -> None:
    offers = sky("transformer", "8xh100")["resources"]["any_of"]
    assert {offer["infra"] for offer in offers} == {"aws", "azure", "gcp", "lambda", "kubernetes"}
    assert {offer["accelerators"] for offer in offers} == {"H100:8"}
    assert [offer["infra"] for offer in sky("transformer", "3xh100")["resources"]["any_of"]] == ["kubernetes"]


@pytest.mark.parametrize("target", ["aws:2xh100", "lambda:8xl4", "azure:8xmi300x", "gcp:rtx-4090"])
def test_a_cloud_without_such_a_machine_is_refused_with_those_that_have_it(target: str) -> None:
    with pytest.raises(UsageError, match="finds no machine with") as error:
        files("transformer", target)
    assert "kubernetes" in (error.value.hint or "")


def test_a_clouds_own_machine_that_skypilot_lacks_is_one_with_the_clouds_name_as_well() -> None:
    for target in ("Standard_ND96isr_H200_v5", "azure:Standard_ND96isr_H200_v5", "gcp:a4-highgpu-8g"):
        assert sky("gpt2", target)["resources"]["any_of"]


def test_a_card_at_home_becomes_the_nearest_that_is_rented() -> None:
    for target, least in (("rtx-4090", 22), ("m2-16gb", 8), ("arc-b580", 10)):
        plan = make_plan(load_template("gpt2"), targets.load(target), target)
        for offer in sky("gpt2", target)["resources"]["any_of"]:
            name = offer["accelerators"].partition(":")[0]
            row = next(name_ for name_, row in table("skypilot")["cards"].items() if row["sky"] == name)
            card = targets.load(row).accelerators[0]
            assert (card.memory_bytes or 0) >= min(least * 1024**3, plan.memory["estimated_bytes"] or 0)


def test_the_torch_of_the_rented_machine_is_installed() -> None:
    for target, index in (("8xh100", "cu126"), ("b200", "cu130"), ("k8s:mi300x", "rocm7.2"), ("cpu-8gb", "cpu"),
                          ("m2-16gb", "cu126")):  # fmt: skip
        assert f"whl/{index}\n" in sky("transformer", target)["setup"]


def test_nodes_and_processes_follow_the_plan() -> None:
    task = sky("transformer", "8xh100", 2)
    assert task["num_nodes"] == 2
    assert "processes=${SKYPILOT_NUM_GPUS_PER_NODE:-8}" in task["run"]
    batch = files("transformer", "8xh100", 2)["cloud/slurm.sbatch"]
    for line in ("--nodes=2", "--gpus-per-node=8", "--ntasks-per-node=1", "--cpus-per-task=104"):
        assert f"#SBATCH {line}\n" in batch
    assert 'srun --cpus-per-task="$SLURM_CPUS_PER_TASK"' in batch, "since Slurm 22.05 it does not know by itself"
    assert "gpus" not in files("transformer", "cpu-8gb")["cloud/slurm.sbatch"]
    assert "processes < 2 ? processes : 2" in sky("transformer", "3xh100")["run"]


def test_no_price_is_written_down() -> None:
    for path, text in files("gpt2", "8xh100", 2).items():
        if path.startswith("cloud/") or path == "README.md":
            assert not re.search(r"\$\d+\.\d|€\s?\d|\d\s?(USD|dollars?)\b|per hour", text), path


@pytest.mark.parametrize("name", TORCH_STARTERS)
@pytest.mark.parametrize("target", ["cpu-8gb", "8xh100", "3xh100", "slurm:8xh100", "k8s:mi300x", "m2-16gb"])
def test_the_shell_in_them_is_sound(tmp_path: Path, name: str, target: str) -> None:
    made = files(name, target)
    task = yaml.safe_load(made["cloud/sky.yaml"])
    scripts = {"setup": task["setup"], "run": task["run"], "slurm": made["cloud/slurm.sbatch"]}
    for script, text in scripts.items():
        (tmp_path / script).write_text(text if text.startswith("#!") else f"#!/bin/bash\n{text}")
        subprocess.run(["bash", "-n", tmp_path / script], check=True)
    if shutil.which("shellcheck"):
        command = ["shellcheck", "--exclude=SC1091", *(tmp_path / script for script in scripts)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("name", TORCH_STARTERS)
@pytest.mark.parametrize(
    ("target", "gpu"),
    [("cpu-8gb", "T4"), ("colab-t4", "T4"), ("l4", "L4"), ("a100-40gb", "A100"), ("8xh100", "T4"), ("m2-16gb", "T4")],
)
def test_the_notebook_opens_with_the_right_accelerator(name: str, target: str, gpu: str) -> None:
    notebook: Any = nbformat.reads(files(name, target)["cloud/notebook.ipynb"], as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.accelerator == "GPU"
    assert notebook.metadata.colab.gpuType == gpu
    code = "".join(cell.source for cell in notebook.cells if cell.cell_type == "code" and "FILES =" not in cell.source)
    assert 'in ("torch", "pytest")' in code, "torch is left as it is"
    assert "install torch" not in code


def test_the_notebook_carries_the_projects_files() -> None:
    made = files("transformer", "colab-t4")
    notebook: Any = nbformat.reads(made["cloud/notebook.ipynb"], as_version=4)
    cell = next(cell.source for cell in notebook.cells if "FILES =" in cell.source)
    carried, _ = json.JSONDecoder().raw_decode(cell[cell.index("{\n") :])
    assert {"train.py", "translate.py", "config.toml", "requirements.txt"} <= set(carried)
    assert all(text == made[path] for path, text in carried.items())
    # As Python the same text says the same.
    names: dict[str, Any] = {}
    exec(cell[cell.index("FILES =") : cell.index("\n\nproject =")], names)
    assert names["FILES"] == carried


@pytest.mark.parametrize("name", [*TORCH_STARTERS, "sklearn"])
@pytest.mark.parametrize(
    ("target", "index", "flag"),
    [("cpu-8gb", "cpu", ""), ("h100", "cu126", "--gpus=all"), ("mi300x", "rocm7.2", "--device=/dev/kfd"),
     ("arc-b580", "xpu", "--device=/dev/dri"), ("m2-16gb", "cpu", "")],
)  # fmt: skip
def test_the_image_has_what_the_machine_needs(name: str, target: str, index: str, flag: str) -> None:
    made = files(name, target)
    text = made["Dockerfile"]
    assert text.index("mkdir -p runs data") < text.index("docker run"), "Docker would make them, for root alone"
    instructions = [line.split()[0] for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]
    assert instructions[0] == "FROM"
    assert instructions[-2:] == ["USER", "CMD"], "what follows runs without root"
    assert "FROM python:3.12-slim" in text
    assert text.count("--mount=type=cache") == (2 if name != "sklearn" else 1)
    assert (f"/whl/{index}\n" in text) == (name != "sklearn")
    assert ("g++" in text) == ("compile = true" in made["config.toml"])
    devcontainer = json.loads(made[".devcontainer/devcontainer.json"])
    assert devcontainer["remoteUser"] in text
    if name != "sklearn":
        assert (flag in devcontainer["runArgs"]) == bool(flag)
        assert flag in text
    ignored = made[".dockerignore"].splitlines()
    assert {".venv", "data", "runs", ".git"} <= set(ignored)


def test_the_sklearn_starter_stays_small() -> None:
    assert not [path for path in files("sklearn", "cpu-8gb") if path.startswith("cloud/")]


def test_a_model_in_parts_on_several_nodes_needs_files_that_all_see() -> None:
    template, chosen = load_template("gpt2"), {"strategy": "fsdp"}
    plan = make_plan(template, targets.load("8xh100"), "8xh100", chosen, nodes=2)
    assert any("where all nodes see it" in note for note in plan.notes)
    task = sky("gpt2", "8xh100", 2, strategy="fsdp")
    assert [offer["infra"] for offer in task["resources"]["any_of"]] == ["kubernetes"]
    assert task["volumes"] == {"/kept": "my-project-runs"}
    assert "file_mounts" not in task
    assert 'ln -sfn "$kept/runs" runs' in task["run"]
    with pytest.raises(UsageError, match="share no files") as error:
        make_plan(template, targets.load("lambda:8xh100"), "lambda:8xh100", chosen, nodes=2)
    assert "kubernetes:8xh100" in (error.value.hint or "")
    assert "runs.tar" in sky("gpt2", "8xh100", 1, strategy="fsdp")["run"], "one node keeps as always"


@pytest.mark.parametrize(("half", "precision"), [(True, "bf16"), (False, "fp16")])
def test_on_a_gpu_the_notebook_makes_a_laptops_settings_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool, precision: str
) -> None:
    import torch

    made = files("transformer", "cpu-8gb")
    notebook: Any = nbformat.reads(made["cloud/notebook.ipynb"], as_version=4)
    code = next(cell.source for cell in notebook.cells if "config.toml may have been" in cell.source)
    code = code[code.index("# config.toml may") :]
    (tmp_path / "config.toml").write_text(made["config.toml"], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: half)
    exec(code, {"torch": torch, "Path": Path, "re": re})
    before, after = tomllib.loads(made["config.toml"]), tomllib.loads((tmp_path / "config.toml").read_text())
    assert after["machine"] == before["machine"] | {"device": "cuda", "precision": precision}
    assert {name: part for name, part in after.items() if name != "machine"} == {
        name: part for name, part in before.items() if name != "machine"
    }
