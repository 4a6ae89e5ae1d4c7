"""Whether bf16 pays on this CPU: training steps of small transformers in fp32 and under bf16 autocast, in turn.

`scaffold/projects/plan.py` gives the result on a CPU with bf16 vectors but no matrix units as the reason for fp32.

Run: python benchmarks/cpu_precision.py [THREADS]
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from torch import nn

WIDTHS = (64, 128, 256, 512)
STEPS = 8


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    capabilities = torch.cpu.get_capabilities()
    units = {name: capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")}
    print(f"threads {torch.get_num_threads()}, units {units}")
    print("width  fp32 ms  bf16 ms  fp32 / bf16")
    for width in WIDTHS:
        torch.manual_seed(0)
        block = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True, norm_first=True)
        model = nn.TransformerEncoder(block, 3, enable_nested_tensor=False)
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        batch = torch.randn(64, 24, width)
        times: dict[bool, list[float]] = {False: [], True: []}
        for step in range(STEPS + 2):
            for bf16 in (False, True):
                seconds = _step(model, optimizer, batch, bf16=bf16)
                if step >= 2:  # the first two choose kernels and fill caches
                    times[bf16].append(seconds)
        fp32, bf16_time = (statistics.median(times[bf16]) for bf16 in (False, True))
        print(f"{width:5}  {fp32 * 1000:7.1f}  {bf16_time * 1000:7.1f}  {fp32 / bf16_time:11.2f}", flush=True)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: torch.Tensor, *, bf16: bool) -> float:
    """Seconds of one training step."""
    start = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        loss = model(batch).float().pow(2).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
