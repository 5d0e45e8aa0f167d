"""The arithmetic of QuantizeLinear and DequantizeLinear in torch, with gradients.

Rounding is to even and scales are divided by, as ONNX defines it, so that what is learned is what
runtimes compute. Steps learn as in "Learned Step Size Quantization" (arXiv 1902.08153) and "LSQ+"
(arXiv 2004.09576), which adds the zero point.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Quantize(torch.autograd.Function):
    """Round to steps and back: gradients pass inside the range, and move its ends outside."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int
    ) -> Tensor:
        shift = torch.round(zero)
        steps = torch.round(x / scale).add_(shift)
        inside = (steps >= low) & (steps <= high)
        levels = steps.clamp_(low, high).sub_(shift)
        context.save_for_backward(x, scale, levels, inside)
        return levels * scale

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, levels, inside = context.saved_tensors
        gradient = gradients[0]
        passed = gradient * inside
        to_scale = to_zero = None
        if context.needs_input_grad[1]:
            to_scale = ((gradient * levels).sum() - (passed * x).sum() / scale).reshape(scale.shape)
        if context.needs_input_grad[2]:
            to_zero = ((passed - gradient).sum() * scale).reshape(scale.shape)
        return passed, to_scale, to_zero, None, None


def fake_quantize(x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int) -> Tensor:
    """Values on the steps of INT8.

    Args:
        x: any shape, float32.
        scale: () real value of one step, above 0.
        zero: () step that stands for zero; it is rounded here, so that it can be learned.
        low, high: first and last step, -128 and 127 or 0 and 255.
    """
    found: Tensor = _Quantize.apply(x, scale, zero, low, high)  # type: ignore[no-untyped-call]
    return found
