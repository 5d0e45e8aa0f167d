"""Mixed precision: where it gains, and the scaling that float16 needs."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.optim import Optimizer

from yolov12edge.errors import UnsupportedError


class Precision:
    """How the forward pass computes, and how its loss is scaled for the backward pass.

    Attributes:
        name: bf16, fp16 or off.
        scaler: of the loss, for fp16; does nothing otherwise.
    """

    def __init__(self, amp: str, device: torch.device) -> None:
        self.name = _resolve(amp, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.name == "fp16")
        self._device = device.type
        self._dtype = torch.bfloat16 if self.name == "bf16" else torch.float16

    def forward(self) -> AbstractContextManager[object]:
        """The context of the forward pass."""
        return torch.autocast(self._device, self._dtype, enabled=self.name != "off")

    def backward(self, loss: Tensor) -> None:
        """Backward pass of a loss, scaled if need be."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def unscale(self, optimizer: Optimizer) -> None:
        """Bring the gradients to their true size."""
        if self.scaler.is_enabled():
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer, finite: bool) -> bool:
        """One update unless the gradient is not finite; whether it was made."""
        if self.scaler.is_enabled():
            self.scaler.step(optimizer)
            self.scaler.update()
        elif finite:
            optimizer.step()
        return finite

    def scale(self) -> dict[str, float]:
        """State of the scaler, empty where there is none."""
        return {name: float(value) for name, value in self.scaler.state_dict().items()}

    def restore(self, scale: dict[str, float]) -> None:
        """Set the scaler to a state that `scale` gave."""
        if self.scaler.is_enabled() and scale:
            whole = ("growth_interval", "_growth_tracker")
            self.scaler.load_state_dict(
                {name: int(value) if name in whole else value for name, value in scale.items()}
            )


def _resolve(amp: str, device: torch.device) -> str:
    if device.type == "cuda":
        brain = torch.cuda.get_device_capability(device) >= (8, 0)
        if amp == "bf16" and not brain:
            raise UnsupportedError("this GPU has no bfloat16", "use --amp fp16, or auto")
        return ("bf16" if brain else "fp16") if amp == "auto" else amp
    if amp == "fp16":
        raise UnsupportedError("float16 training needs a GPU", "use --amp bf16 or off on a CPU")
    return "off" if amp == "auto" else amp
