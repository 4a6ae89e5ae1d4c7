"""The plan: the settings a template should use on a machine, each with its reason.

It follows from what the machine has (total or limited memory, capability, cores), in coarse steps, never from what is
free at the moment: the same machine gets the same files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scaffold.errors import ScaffoldError, UsageError
from scaffold.hardware.machine import Accelerator, Machine, gigabytes
from scaffold.hardware.memory import GIB, PROCESS_BYTES, Shape
from scaffold.hardware.torch_build import TorchBuild, choose
from scaffold.projects.options import check_heads, check_options
from scaffold.projects.template import Template

_DEVICES = {"cpu": "cpu", "cuda": "cuda", "rocm": "cuda", "xpu": "xpu", "mps": "mps"}
_BF16_WIDTH = 256  # narrower layers are too small for the casts to pay
_HEADROOM = 0.9  # share of an accelerator's memory that a plan may fill
_CPU_SHARE = 0.6  # share of main memory: the rest belongs to the system and to what else runs
_APPLE_SHARE = 0.67  # what Metal recommends at most is 67 to 78 % of the memory
_MANY_CORES = 16  # from here on a CPU can take the second preset
_SMALL_BATCH = 4  # below this recomputing activations is worth its time


@dataclass(frozen=True)
class Plan:
    """Settings with reasons for one template on one machine.

    Attributes:
        settings: what the plan decided, then preset and template settings, then the user's choices on top.
        reasons: why, for what the plan decided.
        memory: `estimated_bytes` of a training step and `available_bytes` to it; None where unknown.
        notes: what a person should know before they start.
    """

    template: str
    target: str
    settings: dict[str, Any]
    reasons: dict[str, str]
    memory: dict[str, int | None]
    torch: TorchBuild
    machine_summary: str
    notes: tuple[str, ...] = ()

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


def make_plan(template: Template, machine: Machine, target: str = "auto", chosen: dict[str, str] | None = None) -> Plan:
    """Decide the settings for a template on a machine.

    Args:
        template: the starter.
        machine: detected, recorded or a named target.
        target: its name, `auto` for this machine.
        chosen: the user's `--set` values as typed.

    Raises:
        UsageError: for an unknown setting or a value that does not fit.
        ScaffoldError: if no build of torch works on the machine and the template needs one.
    """
    torch = choose(machine)
    if template.torch and torch.build == "none":
        raise ScaffoldError(
            f"no build of torch works on this machine: {torch.reason}",
            hint="Generate for another machine with --target, e.g. --target cpu-8gb or colab-t4.",
        )
    draft = _Draft(check_options(template, chosen or {}))
    defaults = {name: setting.default for name, setting in template.settings.items()}
    memory: dict[str, int | None] = {"estimated_bytes": None, "available_bytes": machine.usable_memory_bytes}
    if template.model == "tabular":
        _plan_tabular(draft, machine)
    else:
        memory = _plan_torch(draft, template, defaults, machine, torch)
    preset = template.presets.get(draft.settings.get("preset", ""), {})
    return Plan(
        template=template.name,
        target=target,
        # The plan's come first, and win over the preset's and the template's.
        settings={**draft.settings, **defaults, **preset, **draft.settings, **draft.chosen},
        reasons=draft.reasons,
        memory=memory,
        torch=torch,
        machine_summary=machine.summary(),
        notes=_notes(memory, draft.settings),
    )


def _plan_tabular(draft: _Draft, machine: Machine) -> None:
    cores = _cores(machine)
    draft.decide("device", "cpu", "scikit-learn works on the CPU")
    draft.decide("threads", 1, "one BLAS thread: small linear fits measured up to 9 × faster than with all threads")
    draft.decide("n_jobs", cores, f"cross-validation folds run side by side on {cores} {_cores_word(cores)}")


def _plan_torch(
    draft: _Draft, template: Template, defaults: dict[str, Any], machine: Machine, torch: TorchBuild
) -> dict[str, int | None]:
    card = machine.primary if torch.build in ("cuda", "rocm", "xpu", "mps") else None
    device = draft.decide("device", _DEVICES[torch.build], torch.reason)
    _check_device(device, torch)
    if device == "cpu":
        card = None
    available = _budget(device, card, machine)
    presets = {name: {**defaults, **values, **draft.chosen} for name, values in template.presets.items()}
    preset = draft.decide("preset", *_preset(presets, device, machine, available))
    dimensions = presets[preset]
    check_heads(dimensions)
    shape = _shape(dimensions)
    precision = draft.decide("precision", *_precision(device, card, machine, shape.width))
    tf32 = device == "cuda" and torch.build == "cuda" and _capability(card) >= (8, 0)
    draft.decide("tf32", tf32, "Ampere and newer multiply fp32 on tensor cores" if tf32 else "this device has no TF32")
    draft.decide("compile", *_compile(template, torch, card, machine))
    estimated = _batch(draft, dimensions, device, precision, available)
    cores = _cores(machine)
    draft.decide("threads", cores, f"one thread for each physical core that may be used ({cores})")
    draft.decide("workers", 0, "the data fits in memory: loader processes would only cost start-up time")
    draft.decide(
        "pin_memory",
        device == "cuda",
        "pinned memory speeds up copies to a GPU" if device == "cuda" else "there is no copy to a GPU to speed up",
    )
    draft.decide("world_size", 1, "this starter trains in one process")
    total = None if available is None else available + PROCESS_BYTES[device]
    return {"estimated_bytes": estimated, "available_bytes": total}


def _precision(device: str, card: Accelerator | None, machine: Machine, width: int) -> tuple[str, str]:
    if device == "cuda" and card and card.vendor == "nvidia":
        capability = _capability(card)
        if capability >= (8, 0):
            return "bf16", "Ampere and newer compute bf16 natively, and it needs no loss scaling"
        if capability >= (7, 0):
            return "fp16", "tensor cores for fp16 but none for bf16: fp16 with loss scaling"
        return "fp32", "no tensor cores, or an unknown capability: fp32 is safe"
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


def _budget(device: str, card: Accelerator | None, machine: Machine) -> int | None:
    """Memory that a training step may fill."""
    if device in ("cuda", "xpu"):
        total = card.process_memory_bytes if card else None
        if total is None and card and card.unified:
            total = machine.usable_memory_bytes
        share = _HEADROOM
    else:
        total = machine.usable_memory_bytes
        share = _APPLE_SHARE if device == "mps" else _CPU_SHARE
    return None if total is None else max(0, int(total * share) - PROCESS_BYTES[device])


def _preset(
    presets: dict[str, dict[str, Any]], device: str, machine: Machine, available: int | None
) -> tuple[str, str]:
    names = list(presets)
    if device == "cpu":
        cores = _cores(machine)
        fitting = [name for name in names if _fits(presets[name], available)] or names[:1]
        name = fitting[min(1 if cores >= _MANY_CORES else 0, len(fitting) - 1)]
        return name, f"on {cores} CPU {_cores_word(cores)} this size shows a first result in minutes"
    if available is None:
        return names[0], "the memory of this device is unknown: the smallest model is safe"
    fitting = [name for name in names if _fits(presets[name], available)] or names[:1]
    return fitting[-1], f"the largest that trains well in {gigabytes(available)}"


def _fits(preset: dict[str, Any], available: int | None) -> bool:
    """Whether a preset trains in fp32 with a small batch; other precisions take no more."""
    return available is None or _shape(preset).training_bytes(_SMALL_BATCH, "fp32", checkpointing=True) <= available


def _batch(draft: _Draft, preset: dict[str, Any], device: str, precision: str, available: int | None) -> int | None:
    """Settle micro-batch, accumulation and checkpointing; returns the memory that a step then takes."""
    shape = _shape(preset)
    effective = int(preset["effective_batch"])
    plain = _largest(shape, effective, precision, available, checkpointing=False)
    saves = plain < min(_SMALL_BATCH, effective)
    checkpointing = draft.decide(
        "checkpointing",
        saves,
        "recomputing activations makes room for a larger batch" if saves else "activations fit without recomputing",
    )
    fitting = _largest(shape, effective, precision, available, checkpointing=checkpointing)
    micro = draft.decide("batch_size", fitting, f"the most that fits, up to the effective batch of {effective}")
    accumulation = max(1, -(-effective // micro))
    draft.decide(
        "grad_accumulation", accumulation, f"{micro} × {accumulation} keeps the effective batch of {effective}"
    )
    step = shape.training_bytes(micro, precision, checkpointing=checkpointing)
    if available is not None and step > available and "batch_size" in draft.chosen:
        raise UsageError(
            f"batch_size {micro} needs {step / GIB:.1f} GB of {available / GIB:.1f} GB; {fitting} fits",
            hint=f"Use --set batch_size={fitting}; the effective batch stays the same by accumulation.",
        )
    return step + PROCESS_BYTES[device]


def _largest(shape: Shape, effective: int, precision: str, available: int | None, *, checkpointing: bool) -> int:
    """The largest power-of-two part of the effective batch that fits, at least 1."""
    micro = effective
    while micro > 1 and available is not None:
        if shape.training_bytes(micro, precision, checkpointing=checkpointing) <= available:
            break
        micro = max(1, micro // 2)
    return micro


def _shape(preset: dict[str, Any]) -> Shape:
    """A preset's dimensions; decoders use GPT-2's names for them."""
    width = preset.get("d_model", preset.get("n_embd"))
    return Shape(
        width=int(width or 0),
        encoder_layers=int(preset.get("encoder_layers", 0)),
        decoder_layers=int(preset.get("decoder_layers", preset.get("n_layer", 0))),
        feedforward=int(preset.get("feedforward", 4 * int(width or 0))),
        vocabulary=int(preset.get("vocab_size", preset.get("vocabulary_size", 0))),
        length=int(preset.get("max_length", preset.get("context", 0))),
    )


def _cores(machine: Machine) -> int:
    cpu = machine.cpu
    usable = cpu.usable_cores or cpu.logical_cores or 1
    physical = cpu.performance_cores or cpu.physical_cores or usable
    return max(1, min(usable, physical))


def _cores_word(cores: int) -> str:
    return "core" if cores == 1 else "cores"


def _capability(card: Accelerator | None) -> tuple[int, int]:
    return (card.capability if card else None) or (0, 0)


def _check_device(device: str, torch: TorchBuild) -> None:
    allowed = {"cpu", _DEVICES[torch.build]}
    if device not in allowed:
        raise UsageError(
            f"device {device} needs another build of torch than this machine's ({torch.build})",
            hint=f"Here --set device can be {' or '.join(sorted(allowed))}; or generate for another --target.",
        )


def _notes(memory: dict[str, int | None], settings: dict[str, Any]) -> tuple[str, ...]:
    estimated, available = memory["estimated_bytes"], memory["available_bytes"]
    if estimated and available is not None and estimated > available:
        return (f"even the smallest batch may not fit: about {gigabytes(estimated)} of {gigabytes(available)}",)
    return ()
