"""What the files for clouds, clusters, notebooks and containers are rendered from."""

from __future__ import annotations

import hashlib
import shlex
from typing import Any

from scaffold.hardware.machine import Machine
from scaffold.hardware.torch_build import TorchBuild, choose
from scaffold.projects import cloud
from scaffold.projects.plan import Plan
from scaffold.projects.ranks import PATIENCE, PORT
from scaffold.projects.template import Template

# What `docker run` needs so that the container sees the accelerators. The number of the group that may use AMD's and
# Intel's cards differs from computer to computer.
_DEVICES = {
    "cuda": ["--gpus=all"],
    "rocm": ["--device=/dev/kfd", "--device=/dev/dri", "--group-add=video"],
    "xpu": ["--device=/dev/dri", "--group-add=video"],
}
_RENDER_GROUP = '--group-add="$(getent group render | cut -d: -f3)"'


def running(template: Template, plan: Plan) -> dict[str, Any]:
    """Plain data for the templates: the rented machines, the container and the commands."""
    commands = [command.removeprefix("python ") for command in template.run]
    first = next((number for number, command in enumerate(commands) if command.startswith("train.py")), None)
    script = "" if first is None else commands[first]
    processes = plan.settings.get("world_size", 1) // plan.nodes
    data: dict[str, Any] = {
        "script": script,
        "script_words": shlex.split(script),
        "use_commands": [] if first is None else commands[first + 1 :],
        "processes": processes,
        # Each node writes its part of a checkpoint: all have to see one file system.
        "parts": cloud.in_parts(plan.settings, plan.nodes),
        "port": PORT,
        "patience": PATIENCE,
        # Bucket names are shared by all the world; this makes a clash with somebody else's unlikely.
        "digest": hashlib.sha256(f"{template.name} {plan.machine_summary}".encode()).hexdigest()[:8],
        "container": _container(template, plan, script, processes),
    }
    if template.torch:
        data["cloud"] = cloud.wanted(plan.machine, plan.target, plan.settings, plan.memory, plan.nodes).to_plain()
    return data


def _container(template: Template, plan: Plan, script: str, processes: int) -> dict[str, Any]:
    build = plan.torch.build if template.torch and plan.settings["device"] != "cpu" else "cpu"
    words = [*_DEVICES.get(build, ()), *(["--ipc=host"] if processes > 1 else [])]
    typed = [*words, *([_RENDER_GROUP] if build in ("rocm", "xpu") else [])]
    start = ["torchrun", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else ["python"]
    return {
        "build": build,
        "torch": dict(_in_container(plan.torch).__dict__) if template.torch else None,
        "run": " ".join(typed),
        "run_words": words,
        "command": [*start, *shlex.split(script)],
    }


def _in_container(torch: TorchBuild) -> TorchBuild:
    """Containers are Linux: there Apple's GPU is out of reach, and PyPI's own torch is one for CUDA."""
    if torch.index_url:
        return torch
    return choose(Machine(os="linux", arch="x86_64"))
