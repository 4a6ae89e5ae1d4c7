"""The plan: the settings a template should use on a machine, each with its reason.

It follows from what the machine has (total or limited memory, capability, cores), in coarse steps, never from what is
free at the moment: the same machine gets the same files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scaffold.errors import ScaffoldError
from scaffold.hardware.machine import Accelerator, Machine
from scaffold.hardware.torch_build import TorchBuild, choose, served
from scaffold.projects.checks import DEVICES, Checks, check_device
from scaffold.projects.cloud import check_parts, check_place, in_parts
from scaffold.projects.options import check_heads, check_options
from scaffold.projects.ranks import Ranks, choose_ranks, cores_of, distributes, launch_command, room_for
from scaffold.projects.shapes import width_of
from scaffold.projects.solver import Solver
from scaffold.projects.template import Template

_BF16_WIDTH = 256  # narrower layers are too small for the casts to pay


@dataclass(frozen=True)
class Plan:
    """Settings with reasons for one template on one machine.

    Attributes:
        settings: what the plan decided, then preset and template settings, then the user's choices on top.
        reasons: why, for what the plan decided.
        memory: `estimated_bytes` of a training step and `available_bytes` to it; None where unknown.
        notes: what a person should know before they start; what is free at the moment counts here only.
        explanation: the arithmetic behind `estimated_bytes`: part, bytes, how they come about.
        nodes: machines that train together, each like this one.
        launch: what starts the training; on several nodes each has its own number for RANK, and HEAD is the first.
        machine: what it is for. Two plans are equal whatever is free on it at the moment.
    """

    template: str
    target: str
    settings: dict[str, Any]
    reasons: dict[str, str]
    memory: dict[str, int | None]
    torch: TorchBuild
    machine_summary: str
    notes: tuple[str, ...] = ()
    explanation: tuple[tuple[str, int, str], ...] = ()
    nodes: int = 1
    launch: str | None = None
    machine: Machine = field(default=Machine(), compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The `plan` document of the JSON contract."""
        return {
            "template": self.template,
            "target": self.target,
            "settings": self.settings,
            "memory": self.memory,
            "reasons": self.reasons,
            "torch": self.torch.__dict__,
            "machine": self.machine_summary,
            "notes": list(self.notes),
            "explanation": [{"part": part, "bytes": size, "how": how} for part, size, how in self.explanation],
            "nodes": self.nodes,
            "launch": self.launch,
        }


@dataclass
class _Draft:
    """The plan while it is made: the user's choice wins wherever there is one."""

    chosen: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def decide(self, name: str, value: Any, reason: str) -> Any:
        """Settle one setting."""
        if name in self.chosen:
            value, reason = self.chosen[name], "chosen by you with --set"
        self.settings[name] = value
        self.reasons[name] = reason
        return value


def make_plan(
    template: Template,
    machine: Machine,
    target: str = "auto",
    chosen: dict[str, str] | None = None,
    *,
    nodes: int = 1,
) -> Plan:
    """Decide the settings for a template on a machine.

    Args:
        template: the starter.
        machine: detected, recorded or a named target.
        target: its name, `auto` for this machine.
        chosen: the user's `--set` values as typed.
        nodes: how many such machines train together.

    Raises:
        UsageError: for an unknown setting, a value that does not fit, or processes that can't share the work.
        ScaffoldError: if no build of torch works on the machine and the template needs one.
    """
    check_place(target, machine)
    torch = choose(machine)
    if template.torch and torch.build == "none":
        raise ScaffoldError(
            f"no build of torch works on this machine: {torch.reason}",
            hint="Generate for another machine with --target, e.g. --target cpu-8gb or colab-t4.",
        )
    draft = _Draft(check_options(template, chosen or {}))
    defaults = {name: setting.default for name, setting in template.settings.items()}
    solver, ranks = None, None
    if template.model == "tabular":
        room_for(template, machine, None, "cpu", nodes)
        _plan_tabular(draft, machine)
    else:
        solver, ranks = _plan_torch(draft, template, defaults, (machine, nodes), torch)
    preset = template.presets.get(draft.settings.get("preset", ""), {})
    notes, explanation = (solver.notes(), solver.explanation()) if solver else ((), ())
    if solver and template.pretrained:
        dimensions = {**defaults, **preset, **draft.chosen, **template.pretrained}
        tuning = solver.pretrained(dimensions, checkpointing=draft.settings["checkpointing"])
        explanation = (*explanation, tuning.row)
        notes = (*notes, tuning.note) if tuning.note else notes
    check_parts(target, draft.settings, nodes)
    if in_parts(draft.settings, nodes):
        notes = ("each node writes its part of a checkpoint: runs/ must lie where all nodes see it", *notes)
    if ranks and ranks.note:
        notes = (ranks.note, *notes)
    return Plan(
        template=template.name,
        target=target,
        # The plan's come first, and win over the preset's and the template's.
        settings={**draft.settings, **defaults, **preset, **draft.settings, **draft.chosen},
        reasons=draft.reasons,
        memory=solver.memory if solver else _unknown_memory(machine),
        torch=torch,
        machine_summary=machine.summary(),
        notes=notes,
        explanation=explanation,
        nodes=nodes,
        launch=launch_command(template, nodes, ranks.per_node if ranks else 1),
        machine=machine,
    )


def _unknown_memory(machine: Machine) -> dict[str, int | None]:
    return {"estimated_bytes": None, "available_bytes": machine.usable_memory_bytes}


def _plan_tabular(draft: _Draft, machine: Machine) -> None:
    cores = cores_of(machine)
    draft.decide("device", "cpu", "scikit-learn works on the CPU")
    draft.decide("threads", 1, "one BLAS thread: small linear fits measured up to 9 × faster than with all threads")
    draft.decide("n_jobs", cores, f"cross-validation folds run side by side on {cores} {_cores_word(cores)}")


def _plan_torch(
    draft: _Draft, template: Template, defaults: dict[str, Any], where: tuple[Machine, int], torch: TorchBuild
) -> tuple[Solver, Ranks]:
    machine, nodes = where
    device = draft.decide("device", DEVICES[torch.build], torch.reason)
    check_device(device, torch)
    card = None if device == "cpu" else served(machine, torch)
    Checks(device, card, machine, torch).all(draft.chosen)
    solver = Solver(device, card, machine)
    presets = {name: {**defaults, **values, **draft.chosen} for name, values in template.presets.items()}
    preset = draft.decide("preset", *solver.preset(presets, cores_of(machine)))
    dimensions = presets[preset]
    check_heads(dimensions)
    precision = draft.decide("precision", *_precision(device, card, machine, width_of(dimensions)))
    tf32 = device == "cuda" and torch.build == "cuda" and _capability(card) >= (8, 0)
    draft.decide("tf32", tf32, "Ampere and newer multiply fp32 on tensor cores" if tf32 else "this device has no TF32")
    draft.decide("compile", *_compile(template, torch, card, machine))
    room = room_for(template, machine, card, device, nodes)
    ranks = choose_ranks(room, int(dimensions["effective_batch"]), draft.chosen)
    draft.decide("world_size", ranks.world, ranks.reason)
    solver.model(dimensions, precision, max(1, ranks.effective // ranks.world))
    shared = solver.share(ranks.per_node, ranks.world, draft.chosen.get("strategy"))
    if distributes(template):
        draft.decide("strategy", *shared)
    _plan_batch(draft, solver, ranks)
    _plan_process(draft, machine, device, ranks.per_node)
    return solver, ranks


def _plan_batch(draft: _Draft, solver: Solver, ranks: Ranks) -> None:
    """Settle checkpointing, micro-batch and accumulation of each process."""
    effective, world = ranks.effective, ranks.world
    checkpointing = draft.decide("checkpointing", *solver.checkpointing())
    each = f" / {world} processes" if world > 1 else ""
    fitting = solver.batch(checkpointing=checkpointing)
    micro = draft.decide("batch_size", fitting, f"the most that fits, up to the effective batch of {effective}{each}")
    wanted = max(1, -(-solver.effective // micro))
    accumulation = draft.chosen.get("grad_accumulation", wanted)
    got = micro * accumulation * world
    sizes = f"{micro} × {accumulation}" + (f" × {world} processes" if world > 1 else "")
    verb = "keeps the effective batch of" if got == effective else f"makes an effective batch of {got} instead of"
    draft.decide("grad_accumulation", wanted, f"{sizes} {verb} {effective}")
    solver.settle(micro, accumulating=accumulation > 1, checkpointing=checkpointing)
    if "batch_size" in draft.chosen:
        solver.check()


def _plan_process(draft: _Draft, machine: Machine, device: str, processes: int) -> None:
    cores = cores_of(machine)
    reason = f"one thread for each physical core that may be used ({cores})"
    if processes > 1:
        reason += f", divided among {processes} processes"
    draft.decide("threads", max(1, cores // processes), reason)
    draft.decide("workers", 0, "the data fits in memory: loader processes would only cost start-up time")
    draft.decide(
        "pin_memory",
        device == "cuda",
        "pinned memory speeds up copies to a GPU" if device == "cuda" else "there is no copy to a GPU to speed up",
    )


def _precision(device: str, card: Accelerator | None, machine: Machine, width: int) -> tuple[str, str]:
    if device == "cuda" and card and card.vendor == "nvidia":
        capability = _capability(card)
        if capability >= (8, 0):
            return "bf16", "Ampere and newer compute bf16 natively, and it needs no loss scaling"
        if capability >= (7, 0):
            return "fp16", "tensor cores for fp16 but none for bf16: fp16 with loss scaling"
        return "fp32", "no tensor cores, or an unknown capability: fp32 is safe"
    if device == "cuda" and card and not card.computes_bf16:
        if card.computes_bf16 is None:
            return "fp32", "the architecture of this GPU is unknown: fp32 is safe"
        return "fp16", f"{card.arch} has packed fp16 but no units for bf16: fp16 with loss scaling"
    if device in ("cuda", "xpu"):
        return "bf16", "this GPU computes bf16 natively"
    if device == "mps":
        return "fp32", "fp32 is the safest choice on Apple's GPU"
    features = machine.cpu.features
    if "amx_bf16" in features or ("bf16" in features and machine.arch in ("aarch64", "arm64")):
        if width >= _BF16_WIDTH:
            return "bf16", "this CPU has matrix units for bf16"
        return "fp32", "this CPU has matrix units for bf16, but this model is too small for them to pay"
    if "avx512_bf16" in features:
        return "fp32", "bf16 vectors without matrix units measured 0.3 to 0.6 × the speed of fp32"
    if not features:
        return "fp32", "what this CPU can do is unknown: fp32 is safe"
    return "fp32", "this CPU has no units for bf16: emulating it measured 12 × slower than fp32"


def _compile(template: Template, torch: TorchBuild, card: Accelerator | None, machine: Machine) -> tuple[bool, str]:
    if torch.build != "cuda" or machine.os != "linux" or _capability(card) < (8, 0):
        return False, "torch.compile pays on Linux with an NVIDIA card of capability 8.0 or more"
    if template.model != "decoder":
        return False, "batches differ in length here: each new length would be compiled again"
    return True, "blocks of one length: compiled once, then faster (needs a C++ compiler)"


def _cores_word(cores: int) -> str:
    return "core" if cores == 1 else "cores"


def _capability(card: Accelerator | None) -> tuple[int, int]:
    return (card.capability if card else None) or (0, 0)
