"""What fits: the largest preset and micro-batch for a machine's memory, and the arithmetic in words.

Only what a machine has counts (total or limited memory), in coarse steps. What is free at the moment makes a note.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from scaffold.errors import UsageError
from scaffold.hardware.machine import Accelerator, Machine, gigabytes
from scaffold.hardware.memory import PROCESS_BYTES, Shape, Step, Training
from scaffold.projects.shapes import Finetuning, adapters_of, shape_of, size_text

_HEADROOM = 0.9  # share of an accelerator's memory that a plan may fill
_CPU_SHARE = 0.6  # share of main memory: the rest belongs to the system and to what else runs
_APPLE_SHARE = 0.67  # what Metal recommends at most is 67 to 78 % of the memory
_MANY_CORES = 16  # from here on a CPU can take the second preset
_SMALL_BATCH = 4  # below this recomputing activations is worth its time
# The architectures whose fused attention AOTriton has outside its experimental mode.
_FUSED_AMD = ("gfx90a", "gfx942", "gfx950")


@dataclass
class Solver:
    """Memory of one device, and what of a model fits into it.

    Attributes:
        device: cpu, cuda, mps or xpu.
        card: the accelerator, None for the CPU.
        machine: where it is.
        processes: how many train on this machine; on a CPU they divide its memory.
        strategy: none, ddp or fsdp.
        shards: processes among which fsdp divides the model.
    """

    device: str
    card: Accelerator | None
    machine: Machine
    processes: int = 1
    strategy: str = "none"
    shards: int = 1
    available: int | None = field(init=False)
    shape: Shape = field(init=False)
    precision: str = field(init=False)
    effective: int = field(init=False)
    micro: int = field(init=False)
    run: Training = field(init=False)

    def __post_init__(self) -> None:
        self.available = _budget(self.device, self.card, self.machine, self.processes)

    def preset(self, presets: dict[str, dict[str, Any]], cores: int) -> tuple[str, str]:
        """The largest preset that trains, and why; on a CPU, where time is what lacks, a small one."""
        names = list(presets)
        if self.device != "cpu" and self.available is None:
            return names[0], "the memory of this device is unknown: the smallest model is safe"
        fitting = [name for name in names if self._trains(presets[name])] or names[:1]
        if self.device == "cpu":
            name = fitting[min(1 if cores >= _MANY_CORES else 0, len(fitting) - 1)]
            return name, f"on {cores} CPU core{'' if cores == 1 else 's'} this size shows a first result in minutes"
        return fitting[-1], f"the largest that trains well in {gigabytes(self.available or 0)}"

    def model(self, dimensions: dict[str, Any], precision: str, effective: int) -> None:
        """Set the model that the following questions are about, and the part of the batch that a process has."""
        self.shape, self.precision, self.effective = shape_of(dimensions), precision, effective

    def share(self, processes: int, world: int, chosen: str | None) -> tuple[str, str]:
        """How `world` processes, `processes` of them on each machine, share the training, and why."""
        self.processes = processes
        self.available = _budget(self.device, self.card, self.machine, processes)
        self.strategy, reason = self._strategy(world)
        self.strategy = chosen or self.strategy
        self.shards = world if self.strategy == "fsdp" else 1
        return self.strategy, reason

    def _strategy(self, world: int) -> tuple[str, str]:
        if world == 1:
            return "none", "one process trains alone"
        self.strategy = "ddp"
        batch = min(_SMALL_BATCH, self.effective)
        whole = self._step(batch, accumulating=batch < self.effective, checkpointing=True).total
        if self.available is None or whole <= self.available:
            states = size_text(16 * self.shape.parameters)
            return "ddp", f"weights, gradients and moments ({states}) fit {world} times: each process holds them all"
        need = f"training takes {size_text(whole)} and a process may fill {size_text(self.available)}"
        return "fsdp", f"{need}: weights, gradients and moments are divided among {world} processes"

    def checkpointing(self) -> tuple[bool, str]:
        """Whether activations should be recomputed, and why."""
        if self.batch(checkpointing=False) >= min(_SMALL_BATCH, self.effective):
            return False, "activations fit without recomputing"
        return True, "recomputing activations makes room for a larger batch"

    def batch(self, *, checkpointing: bool) -> int:
        """The largest part of the effective batch that fits when it is halved again and again, at least 1."""
        micro = self.effective
        while micro > 1 and self.available is not None:
            step = self._step(micro, accumulating=micro < self.effective, checkpointing=checkpointing)
            if step.total <= self.available:
                break
            micro = next(part for part in range(micro // 2, 0, -1) if self.effective % part == 0)
        return micro

    def settle(self, micro: int, *, accumulating: bool, checkpointing: bool) -> None:
        """Fix what the estimate is for."""
        self.micro = micro
        self.run = self._training(accumulating=accumulating, checkpointing=checkpointing)

    @property
    def step(self) -> Step:
        """The memory of a step as settled."""
        return self.shape.step(self.micro, self.run)

    @property
    def memory(self) -> dict[str, int | None]:
        """`estimated_bytes` and `available_bytes`, both with the process itself."""
        process = PROCESS_BYTES[self.device]
        available = None if self.available is None else self.available + process
        return {"estimated_bytes": self.step.total + process, "available_bytes": available}

    def check(self) -> None:
        """Refuse a micro-batch that cannot fit.

        Raises:
            UsageError: with one that does.
        """
        if self.available is None or self.step.total <= self.available:
            return
        fitting = self._most(self.available)
        beginning = f"batch_size {self.micro} needs {size_text(self.step.total)} of {size_text(self.available)} free"
        if not fitting:
            raise UsageError(f"{beginning}; not even 1 fits", hint="Take a smaller preset or --set checkpointing=true.")
        raise UsageError(
            f"{beginning}; {fitting} fits",
            hint=f"Use --set batch_size={fitting}; the effective batch stays the same by accumulation.",
        )

    def notes(self) -> tuple[str, ...]:
        """What is too small, in total or at the moment."""
        estimated, available = self.memory["estimated_bytes"], self.memory["available_bytes"]
        if estimated and available is not None and estimated > available:
            return (f"even the smallest batch may not fit: about {size_text(estimated)} of {size_text(available)}",)
        free = self._free()
        if not estimated or free is None or estimated <= free:
            return ()
        fitting = self._most(free - PROCESS_BYTES[self.device])
        beginning = f"training takes about {size_text(estimated)}, and {size_text(free)} is free at the moment"
        if not fitting:
            return (f"{beginning}: not even batch_size 1 fits until something else ends",)
        return (f"{beginning}: batch_size {fitting} would fit, and the project shrinks its own when it starts",)

    def pretrained(self, dimensions: dict[str, Any], checkpointing: bool) -> Finetuning:
        """What fine-tuning a ready-made model takes with the largest micro-batch that fits, as the project does it."""
        other = Solver(self.device, self.card, self.machine, self.processes, self.strategy, self.shards)
        other.model(dimensions, self.precision, self.effective)
        micro = other.batch(checkpointing=checkpointing)
        other.settle(micro, accumulating=micro < self.effective, checkpointing=checkpointing)
        fits = other.available is None or other.step.total <= other.available
        lora = other.with_adapters(int(dimensions["lora_rank"]), checkpointing=checkpointing)
        lora_fits = other.available is None or lora <= other.available
        estimated, process = other.memory["estimated_bytes"] or 0, PROCESS_BYTES[self.device]
        return Finetuning(str(dimensions["name"]), other.shape, micro, estimated, fits, lora + process, lora_fits)

    def with_adapters(self, rank: int, *, checkpointing: bool) -> int:
        """Bytes of an update with one block at a time where LoRA's adapters alone learn, without the process."""
        weights, values = adapters_of(self.shape, rank)
        frozen = replace(self.shape, dropout=0.0)  # there is none in the frozen layers
        run = Training(self.device, self.precision, checkpointing, True, self._fused(frozen), 1, weights, values)
        return frozen.step(1, run).total

    def explanation(self) -> tuple[tuple[str, int, str], ...]:
        """The arithmetic: part, bytes, how they come about."""
        step, shape, run = self.step, self.shape, self.run
        n, tokens = f"{shape.parameters:,} weights", f"{self.micro} × {shape.length} tokens"
        part = f", divided among {run.shards} processes" if run.shards > 1 else ""
        gradients = f"{n} × 4 bytes{part}" if step.gradients else "none yet when memory is fullest"
        layers = f"{shape.encoder_layers + shape.decoder_layers} layers"
        kept = f"{tokens} through {layers} of width {shape.width}, "
        kept += "recomputed layer by layer" if run.checkpointing else "all kept for the backward pass"
        kept += "" if run.fused_attention else "; attention writes out its matrices here"
        rows = [
            ("weights", step.weights, f"{n} × 4 bytes (fp32){part}"),
            ("optimizer", step.optimizer, f"{n} × 8 bytes: AdamW's two moments{part}"),
            ("gradients", step.gradients, gradients),
            ("16-bit copies", step.casts, f"{n} × 2 bytes for {run.precision} autocast" if step.casts else "none"),
            ("activations", step.activations, kept),
            ("logits", step.logits, f"{tokens} × {shape.vocabulary:,} symbols × 12 bytes" if step.logits else "less"),
            ("reserve", step.reserve, "what the memory allocator holds without use"),
            ("process", PROCESS_BYTES[self.device], "Python and torch" + _context(self.device)),
        ]
        if step.gathered:
            how = "what is outside the layers, two layers at a time and a layer's gradient, whole"
            rows.insert(3, ("gathered", step.gathered, how))
        if not shape.encoder_layers:
            how = f"not in the sum: keys and values of one text of {shape.length} tokens while generating"
            rows.append(("KV cache", shape.cache_bytes(1, "fp32"), how))
        return tuple(rows)

    def _trains(self, preset: dict[str, Any]) -> bool:
        """Whether a preset trains in fp32 with a small batch; other precisions take no more."""
        if self.available is None:
            return True
        shape = shape_of(preset)
        run = Training(self.device, "fp32", checkpointing=True, accumulating=True, fused_attention=self._fused(shape))
        return shape.step(_SMALL_BATCH, run).total <= self.available

    def _step(self, micro: int, *, accumulating: bool, checkpointing: bool) -> Step:
        return self.shape.step(micro, self._training(accumulating=accumulating, checkpointing=checkpointing))

    def _training(self, *, accumulating: bool, checkpointing: bool) -> Training:
        # With DDP gradients lie in the blocks that travel between the processes, which stay from update to update.
        kept = accumulating or self.strategy == "ddp"
        fused = self._fused(self.shape)
        return Training(self.device, self.precision, checkpointing, kept, fused, self.shards)

    def _most(self, room: int) -> int:
        """The largest micro-batch below the settled one that fits into `room` bytes, in steps of 8 from 8 on; or 0."""
        sizes = [*range(self.micro // 8 * 8, 7, -8), *range(min(self.micro, 7), 0, -1)]
        checkpointing = self.run.checkpointing

        def fits(size: int) -> bool:
            return self._step(size, accumulating=size < self.effective, checkpointing=checkpointing).total <= room

        return next((size for size in sizes if fits(size)), 0)

    def _free(self) -> int | None:
        """What is free on the device at the moment."""
        if self.device in ("cuda", "xpu") and self.card and not self.card.unified:
            return None if self.card.mig else self.card.memory_free_bytes
        return self.machine.memory.available_bytes

    def _fused(self, shape: Shape) -> bool:
        """Whether attention works without writing out its length × length matrices.

        On a CPU torch has such a kernel for attention without dropout only; on Apple's and Intel's GPUs, and on AMD's
        outside the data centre, a plan does not count on one.
        """
        if self.device == "cpu":
            return not shape.dropout
        if self.device != "cuda" or self.card is None:
            return False
        return self.card.vendor == "nvidia" or self.card.arch in _FUSED_AMD


def _budget(device: str, card: Accelerator | None, machine: Machine, processes: int) -> int | None:
    """Memory that a training step may fill in each process; those on a CPU divide it."""
    if device in ("cuda", "xpu"):
        total = card.process_memory_bytes if card else None
        if total is None and card and card.unified:
            total = machine.usable_memory_bytes
        share = _HEADROOM
    else:
        total = machine.usable_memory_bytes
        share = _APPLE_SHARE if device == "mps" else _CPU_SHARE
    if total is not None and device == "cpu":
        total //= processes
    return None if total is None else max(0, int(total * share) - PROCESS_BYTES[device])


def _context(device: str) -> str:
    return {"cpu": "", "cuda": ", and the CUDA context", "xpu": ", and the GPU's context"}.get(device, "")
