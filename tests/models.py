"""Small detectors that tests share: random weights, but with statistics that matter."""

from __future__ import annotations

import torch

from yolov12edge.model import Detector, build_model


def lively_model(
    scale: str = "n", layout: str = "turbo", num_classes: int = 80, seed: int = 0
) -> Detector:
    """A detector whose batch norms, gammas and biases all do something, in eval mode.

    A fresh model scores everything near zero and has trivial statistics, so a wrong fold or a wrong
    permutation would go unnoticed.
    """
    torch.manual_seed(seed)
    model = build_model(scale, layout, num_classes)
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    for name, value in model.state_dict().items():
        if name.endswith("bn.running_var"):
            value.copy_(uniform(value, 0.5, 1.5))
        elif name.endswith("bn.running_mean"):
            value.copy_(uniform(value, -0.2, 0.2))
        elif name.endswith("bn.weight"):
            value.copy_(uniform(value, 0.8, 1.6))
        elif name.endswith("bn.bias"):
            value.copy_(uniform(value, -0.3, 0.3))
        elif name.endswith("gamma"):
            value.copy_(uniform(value, 0.2, 0.6))
        elif ".attn.qk" in name and name.endswith("conv.weight"):
            value.mul_(20)
        elif ".cv3." in name and name.endswith("2.bias"):
            value.copy_(uniform(value, -4, 1))
    return model.eval()
