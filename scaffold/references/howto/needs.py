"""What a repository asks of a machine: CUDA and memory, and whether the machine at hand has them."""

from __future__ import annotations

import re
from dataclasses import replace

from scaffold.hardware.machine import Machine, gigabytes
from scaffold.references.howto.docker import base_images
from scaffold.references.howto.files import Folder
from scaffold.references.howto.memory import read_memory
from scaffold.references.howto.model import Fit, HardwareNeeds, MemoryHint, MemoryKind, Reason
from scaffold.references.howto.readme import Readme
from scaffold.references.howto.requirements import Needs
from scaffold.references.howto.scripts import Sources

_MAX_REASONS = 4
_KINDS: tuple[MemoryKind, ...] = ("gpu", "main")
# Nothing in these runs or installs without CUDA.
_HARD = re.compile(
    r"cupy(?:-.*)?|flash-attn|apex|pycuda|faiss-gpu.*|tensorrt(?:-.*)?|nvidia-dali.*|nvidia-apex|spconv-cu\d+"
    r"|dgl-cu\d+|torch2trt|cuml.*|cudf.*|cugraph.*|numba-cuda|vllm|auto-gptq|autoawq|causal-conv1d|mamba-ssm"
)
# These are meant for CUDA and start without it, or stand in a list that was frozen on a machine with it.
_SOFT = re.compile(
    r"bitsandbytes|xformers|deepspeed|triton|tensorflow-gpu|onnxruntime-gpu|paddlepaddle-gpu|nvidia-(?:cu|nccl|nvtx).*"
    r"|nvidia-ml-py|cudatoolkit|cuda(?:-.*)?|cudnn|pytorch-cuda|pytorch-gpu|jaxlib-cuda.*|mxnet-cu\d+|pynvml"
)
_BARELY = {"nvidia-ml-py", "pynvml"}
_REQUIRES = re.compile(
    r"(?:requires?|needs?|must have|you(?:'ll| will) need|only (?:works|runs) (?:on|with)|is required)\b[^.]{0,60}"
    r"\b(?:an? )?(?:(?:nvidia|cuda)[\w -]{0,20}gpus?|gpus?\b|cuda\b)"
    r"|\b(?:gpus?|cuda)\b[^.,]{0,30}\b(?:is|are) (?:required|necessary|needed|mandatory)",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\bnot\b|n't|\bno\b|\bif\b|option|recommend|without|prefer|instead|\bfewer"
    r"|\bor\b(?! (?:later|newer|higher|above|more|better)\b)|\bless\b|\bcompil|\bbuild",
    re.I,
)
_NO_NEED = re.compile(
    r"(?:no gpu (?:is )?(?:required|needed|necessary)|(?:do(?:es)?n't|do(?:es)? not) (?:require|need) (?:an? )?gpu"
    r"|without (?:an?y? )?gpus?\b"
    r"|\b(?:runs?|works?|running|train\w*|inference) (?:\w+ ){0,3}on (?:an? |your |the )?cpus?\b"
    r")",
    re.IGNORECASE,
)
_BUT_NOT = re.compile(r"\bnot\b|n't|slow|fast|compared|message|\bnever\b|cannot|unsupported", re.IGNORECASE)


def read_needs(
    folder: Folder, needs: Needs, sources: Sources, readme: Readme | None, machine: Machine | None
) -> HardwareNeeds:
    """What it asks of a machine, and whether the given one is enough.

    Args:
        folder: the repository.
        needs: all that it declares.
        sources: its scripts.
        readme: its README.
        machine: the machine that it is to run on, `None` where that is not known.
    """
    hard, soft = _declared(needs)
    soft += [
        Reason(f"its {path} starts from {image}", path)
        for path, image in base_images(folder)
        if re.search("nvidia|cuda", image)
    ]
    without: list[Reason] = []
    runs = bool(needs.needed or sources.scripts or sources.imports)
    for _, sentence in readme.sentences if readme and runs else ():
        assert readme is not None
        if _NO_NEED.search(sentence) and not _BUT_NOT.search(_NO_NEED.sub("", sentence)):
            without.append(Reason(f"“{sentence[:160]}”", readme.path))
        elif _REQUIRES.search(sentence) and not _UNSURE.search(sentence):
            hard.append(Reason(f"“{sentence[:160]}”", readme.path))
    soft += sources.cuda
    memory = read_memory(readme) if readme else ()
    needed = True if hard else False if without else None
    asked = HardwareNeeds(needed, bool(hard or soft), tuple(_once([*hard, *soft, *without])[:_MAX_REASONS]), memory)
    fits, why = _fit(asked, machine)
    return replace(asked, fits=fits, why=why)


def _once(reasons: list[Reason]) -> list[Reason]:
    return list({reason.text: reason for reason in reversed(reasons)}.values())[::-1]


def _declared(needs: Needs) -> tuple[list[Reason], list[Reason]]:
    hard, soft = [], []
    for item in needs.needed:
        if _HARD.fullmatch(item.name):
            hard.append(Reason(f"asks for {item.name}", item.source))
        elif _SOFT.fullmatch(item.name) and item.name not in _BARELY:
            soft.append(Reason(f"asks for {item.name}", item.source))
        elif re.search(r"\+cu\d+", str(item.wanted)):
            soft.append(Reason(f"asks for {item.text}", item.source))
    for link, source in needs.links:
        if match := re.search(r"/whl/(?:nightly/)?(cu\d+)", link):
            soft.append(Reason(f"takes its wheels from {match[1]}", source))
    return hard, soft


def _fit(needs: HardwareNeeds, machine: Machine | None) -> tuple[Fit, str | None]:
    if machine is None:
        return "unknown", None
    card = machine.primary
    nvidia = card is not None and card.vendor == "nvidia"
    if needs.needs_cuda and not nvidia:
        if card is not None and card.vendor == "amd":
            return "unknown", "it needs CUDA, and whether it runs on an AMD GPU can't be told"
        return "no", f"it needs an NVIDIA GPU, and this machine has {_has(machine)}"
    told = [_memory_fit(kind, [hint for hint in needs.memory if hint.kind == kind], machine) for kind in _KINDS]
    known = [fit for fit in told if fit is not None]
    for wanted in ("no", "unknown", "yes"):
        for fits, why in known:
            if fits == wanted:
                # Without a GPU it runs as well: what it takes of one decides nothing.
                return ("unknown" if fits == "no" and needs.needs_cuda is False else fits), why
    if needs.needs_cuda:
        return "yes", f"it needs CUDA, and this machine has {_has(machine)}; how much memory it takes is not said"
    if needs.needs_cuda is False:
        return "yes", "it runs without a GPU, as its README says; how much memory it takes is not said"
    if needs.expects_cuda and not nvidia:
        return "unknown", f"it is set for CUDA, and this machine has {_has(machine)}: look for its device option"
    return "unknown", None


def _memory_fit(kind: MemoryKind, hints: list[MemoryHint], machine: Machine) -> tuple[Fit, str] | None:
    """Below the smallest figure is too little, from the largest one on enough, between them it depends."""
    if not hints:
        return None
    card = machine.primary
    on_card = kind == "gpu"
    there = (card.process_memory_bytes if card else None) if on_card else machine.usable_memory_bytes
    what = "GPU memory" if on_card else "memory"
    least, most = min(hint.least_bytes for hint in hints), max(hint.most_bytes for hint in hints)
    asked = gigabytes(least) if gigabytes(least) == gigabytes(most) else f"{gigabytes(least)} to {gigabytes(most)}"
    if on_card and card is None:
        return "unknown", f"its README names {asked} of {what}, and this machine has no GPU"
    if there is None:
        return "unknown", f"its README names {asked} of {what}; how much there is is unknown"
    told = f"its README names {asked} of {what}, and there is {gigabytes(there)}"
    # What is sold as 24 GB reports a little less.
    if there < 0.92 * least:
        return "no", told
    return ("yes" if there >= 0.92 * most else "unknown"), told


def _has(machine: Machine) -> str:
    card = machine.primary
    return (card.name or f"a GPU by {card.vendor}") if card else "no GPU"
