"""What a machine is good for, in words: the kind of training and the size of model that its memory allows.

The figures are rules of thumb for a first look, rounded down; ``scaffold plan`` computes a template's own.
"""

from __future__ import annotations

from scaffold.hardware.machine import GIB, Accelerator, Machine
from scaffold.hardware.torch_build import TorchBuild

# Bytes a parameter, with a quarter on top for activations and the rest: weights, gradients and AdamW's two states in
# fp32 are 16; LoRA keeps the model in 16 bits; 4-bit weights are 0.55 with their scales, and the cache comes on top.
_TRAIN, _LORA, _GENERATE, _GENERATE_4BIT = 20.0, 2.5, 2.4, 0.7
# Of a GPU, of main memory (the system and other programs need some), of a Mac's (Metal recommends at most 67 to 78 %).
_SHARES = {"cuda": 0.9, "rocm": 0.9, "xpu": 0.9, "mps": 0.67, "cpu": 0.6}
_OWN_BYTES = GIB // 2  # what the process itself takes on a GPU


def good_for(machine: Machine, torch: TorchBuild) -> tuple[str, ...]:
    """What to do with this machine, one plain sentence each."""
    if torch.build == "none":
        return ("Machine learning without torch, for example with scikit-learn.",)
    if torch.build == "cpu":
        return _on_cpu(machine)
    vendor = {"cuda": "nvidia", "rocm": "amd", "xpu": "intel", "mps": "apple"}[torch.build]
    card = Machine(accelerators=tuple(card for card in machine.accelerators if card.vendor == vendor)).primary
    if card is None:
        return _on_cpu(machine)
    return (_precision(card), *_sizes(machine, card, _SHARES[torch.build]), *_several(card))


def _precision(card: Accelerator) -> str:
    if card.vendor == "apple":
        return "Training and generating on the GPU through Metal (MPS), in fp32 to be safe."
    if card.vendor != "nvidia":
        return "Training in bf16 on the GPU."
    if card.capability is None:
        return "Training on the GPU; which precision it is fast in is not known."
    if card.capability >= (8, 0):
        return "Training in bf16 with tensor cores, and in TF32 where fp32 is asked for."
    if card.capability >= (7, 0):
        return "Training in fp16 with a gradient scaler."
    return "Training in fp32; it has no tensor cores, so expect a fraction of a newer card's speed."


def _sizes(machine: Machine, card: Accelerator, share: float) -> tuple[str, ...]:
    total = card.process_memory_bytes or (machine.usable_memory_bytes if card.unified else None)
    if total is None:
        return ("How much memory it has is not known, so nor is which models fit.",)
    room = max(0.0, total * share - _OWN_BYTES)
    return (
        f"Full training of models of up to about {_parameters(room / _TRAIN)} parameters,"
        f" fine-tuning with LoRA up to about {_parameters(room / _LORA)}.",
        f"Generating with models of up to about {_parameters(room / _GENERATE)} parameters in 16 bits,"
        f" {_parameters(room / _GENERATE_4BIT)} in 4 bits.",
    )


def _several(card: Accelerator) -> tuple[str, ...]:
    if card.count < 2 or card.vendor == "apple":
        return ()
    return (f"{card.count} cards: each takes its part of every batch (torchrun --nproc-per-node={card.count}).",)


def _on_cpu(machine: Machine) -> tuple[str, ...]:
    half = any(feature in machine.cpu.features for feature in ("amx_bf16", "bf16"))
    precision = "bf16 (this processor has units for it)" if half else "fp32"
    first = f"Classical machine learning, and training small networks in {precision}: minutes to hours on the CPU."
    if machine.usable_memory_bytes is None:
        return (first,)
    room = machine.usable_memory_bytes * _SHARES["cpu"]
    return (
        first,
        f"Generating, slowly, with models of up to about {_parameters(room / _GENERATE_4BIT)} parameters in 4 bits.",
    )


def _parameters(count: float) -> str:
    """A number of parameters, rounded down to what a rule of thumb can say."""
    for unit, word in ((1e9, "billion"), (1e6, "million")):
        if count >= unit:
            number = count / unit
            step = 0.5 if number < 10 else 5 if number < 100 else 50
            return f"{max(number // step * step, number // 1 if number < 1 else step):g} {word}"
    return "a million"
