"""Whether what the user chose with `--set` is something that the machine and its build of torch can do.

The plan itself never asks for more than they have; a person may. A generated project would then fall back to what
works, so the honest moment to say it is now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaffold.errors import UsageError
from scaffold.hardware.machine import Accelerator, Machine
from scaffold.hardware.torch_build import TorchBuild

# torch's own name of the device for each kind of build; ROCm calls itself cuda.
DEVICES = {"cpu": "cpu", "cuda": "cuda", "rocm": "cuda", "xpu": "xpu", "mps": "mps"}
_BF16_UNITS = ("bf16", "avx512_bf16", "amx_bf16")
_AMPERE = (8, 0)
_TRITON_OLDEST = (7, 0)  # what torch.compile's GPU code needs, says torch's own check


@dataclass(frozen=True)
class Checks:
    """What there is, to hold a choice against. An unknown capability or core count refuses nothing.

    Attributes:
        device: cpu, cuda, mps or xpu.
        card: the accelerator, None for the CPU.
    """

    device: str
    card: Accelerator | None
    machine: Machine
    torch: TorchBuild

    def all(self, chosen: Mapping[str, Any]) -> None:
        """Look at every choice.

        Raises:
            UsageError: for the first that cannot be had, with what can.
        """
        for name, check in (
            ("precision", self.precision),
            ("tf32", self.tf32),
            ("compile", self.compile),
            ("pin_memory", self.pin_memory),
            ("threads", self.threads),
        ):
            if name in chosen:
                check(chosen[name])

    def precision(self, value: str) -> None:
        """16-bit numbers need units that compute in them."""
        if self.device == "cpu":
            features = self.machine.cpu.features
            if value == "fp16":
                raise UsageError("precision fp16 is for GPUs: no CPU computes in it", hint="Use --set precision=fp32.")
            if value == "bf16" and features and not any(unit in features for unit in _BF16_UNITS):
                raise UsageError(
                    "this CPU has no units for bf16: emulating it measured 12 × slower than fp32",
                    hint="Use --set precision=fp32.",
                )
        elif value == "bf16" and self._older_than(_AMPERE):
            better = "fp16" if not self._older_than(_TRITON_OLDEST) else "fp32"
            raise UsageError(f"{self._card} has no units for bf16", hint=f"Use --set precision={better}.")
        elif value == "fp16" and self._older_than(_TRITON_OLDEST):
            raise UsageError(f"{self._card} has no tensor cores for fp16", hint="Use --set precision=fp32.")
        elif value == "fp16" and self.device == "xpu":
            raise UsageError(
                "fp16 has its loss scaled in 64 bits, which not all of Intel's GPUs have",
                hint="Use --set precision=bf16.",
            )

    def tf32(self, value: bool) -> None:
        """TF32 is a matter of NVIDIA's tensor cores, from Ampere on."""
        if value and (self.device != "cuda" or self.torch.build != "cuda" or self._older_than(_AMPERE)):
            raise UsageError(f"{self._card} has no TF32", hint="It needs an NVIDIA card of capability 8.0 or more.")

    def compile(self, value: bool) -> None:
        """torch.compile's GPU code goes through Triton, which Windows builds come without."""
        if not value or self.device in ("cpu", "mps"):
            return
        if self.machine.os == "windows":
            raise UsageError("torch for Windows comes without Triton: compile can't be had", hint="WSL 2 has it.")
        if self.torch.build == "cuda" and self._older_than(_TRITON_OLDEST):
            raise UsageError(f"{self._card} is too old for torch.compile", hint="It needs capability 7.0 or more.")

    def pin_memory(self, value: bool) -> None:
        """Pinned memory is for copies to a card of its own memory."""
        if value and self.device in ("cpu", "mps"):
            raise UsageError("there is no copy to a GPU that pin_memory could speed up", hint="Leave it out.")

    def threads(self, value: int) -> None:
        """More threads than cores wait for each other."""
        cores = self.machine.cpu.usable_cores or self.machine.cpu.logical_cores
        if cores and value > cores:
            raise UsageError(f"threads {value} is more than the cores that may be used", hint=f"{cores} at most here.")

    def _older_than(self, capability: tuple[int, int]) -> bool:
        known = self.card.capability if self.card and self.card.vendor == "nvidia" else None
        return known is not None and known < capability

    @property
    def _card(self) -> str:
        return self.card.name or "this GPU" if self.card else "this device"


def check_device(device: str, torch: TorchBuild) -> None:
    """Refuse a device that the machine's build of torch has no code for.

    Raises:
        UsageError: with the devices that it has.
    """
    allowed = {"cpu", DEVICES[torch.build]}
    if device not in allowed:
        raise UsageError(
            f"device {device} needs another build of torch than this machine's ({torch.build})",
            hint=f"Here --set device can be {' or '.join(sorted(allowed))}; or generate for another --target.",
        )
