"""GPT-2 with its matrices in 8 bits: a quarter of the bytes to read for every token, by torch's own integer kernels.

What goes into a matrix is brought to 8 bits as well, each time with one scale for all of its numbers.
"""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine_torch import HEAD, MATRICES, Linear, TorchEngine, load_weights
from folders import Shape
from runtime.settings import UserError

FILE = "int8.safetensors"


def write_int8(file: Path, weights: dict[str, Tensor], shape: Shape) -> None:
    """Write the 8-bit numbers of each matrix, [out, in], and a scale for each of its rows."""
    names = [f"h.{number}.{part}" for number in range(shape.layers) for part in MATRICES]
    matrices = {name: weights[f"{name}.weight"].t() for name in names}
    matrices[HEAD] = weights.get(f"{HEAD}.weight", weights["wte.weight"])
    made = {}
    for name, matrix in matrices.items():
        matrix = matrix.float()
        scales = matrix.abs().amax(dim=1) / 127
        scales[scales == 0] = 1
        made[f"{name}.numbers"] = (matrix / scales[:, None]).round().to(torch.int8).contiguous()
        made[f"{name}.scales"] = scales
    save_file(made, file)


def open_int8(file: Path, folder: Path, shape: Shape, tokens: int) -> TorchEngine:
    """The 8-bit matrices in `file`, and from the model's own folder what is not a matrix."""
    if torch.backends.quantized.engine == "none":
        raise UserError("this build of torch has no integer kernels; take --engine torch")
    weights = {name: weight.float() for name, weight in load_weights(folder, tokens).items()}
    return TorchEngine(weights, shape, partial(linear_of, load_file(file), weights))


def linear_of(packed: dict[str, Tensor], weights: dict[str, Tensor], name: str) -> Linear:
    """x @ weight + bias with the 8-bit weight of that name."""
    numbers, scales = packed[f"{name}.numbers"], packed[f"{name}.scales"].double()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # torch will call this something else one day; requirements.txt bounds its version
        zeros = torch.zeros(len(scales), dtype=torch.long)
        matrix = torch._make_per_channel_quantized_tensor(numbers, scales, zeros, 0)
    ready = torch.ops.quantized.linear_prepack(matrix, weights.get(f"{name}.bias"))
    narrow = not has_wide_sums()
    return lambda x: torch.ops.quantized.linear_dynamic(x, ready, narrow)


def has_wide_sums() -> bool:
    """Whether the processor adds products of 8-bit numbers in 32 bits. Those of Intel's and AMD's that do it in 16 have
    to make do with 7 bits of what goes in, or sums would be cut off.
    """
    found = torch.cpu.get_capabilities()
    return found.get("architecture") != "x86_64" or any(found.get(name) for name in ("avx512_vnni", "avx_vnni"))
