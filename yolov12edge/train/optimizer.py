"""The optimizer and its three groups of parameters."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, AdamW, Optimizer

from yolov12edge.train.settings import TrainingSettings

ADAMW_BETAS = (0.9, 0.999)


def build_optimizer(model: nn.Module, settings: TrainingSettings) -> Optimizer:
    """SGD with Nesterov momentum, or AdamW, over the parameters that are trained.

    Args:
        settings: resolved.
    """
    decayed, norms, biases = parameter_groups(model)
    groups = [
        {"params": decayed, "weight_decay": settings.scaled_decay},
        {"params": norms, "weight_decay": 0.0},
        {"params": biases, "weight_decay": 0.0},
    ]
    assert settings.lr is not None, "settings are resolved"
    # One kernel over all tensors: a detector has hundreds of small ones.
    fused = all(p.device.type in ("cpu", "cuda") for p in model.parameters())
    if settings.optimizer == "adamw":
        return AdamW(groups, lr=settings.lr, betas=ADAMW_BETAS, fused=fused)
    return SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=True, fused=fused)


def parameter_groups(
    model: nn.Module,
) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Decayed weights, batch-norm weights, biases; frozen parameters are in none.

    As published: a bias is what has "bias" in its name, of batch norms too; every weight that is
    not a batch norm's decays, the `gamma` of the large scales included.
    """
    decayed: list[nn.Parameter] = []
    norms: list[nn.Parameter] = []
    biases: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if "bias" in name:
                biases.append(parameter)
            elif isinstance(module, _BatchNorm):
                norms.append(parameter)
            else:
                decayed.append(parameter)
    return decayed, norms, biases


def clip_gradients(optimizer: Optimizer, limit: float) -> bool:
    """Scale the gradient down to a norm of at most `limit`; whether it was finite."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    return bool(torch.isfinite(norm))
