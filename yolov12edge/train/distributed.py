"""Several processes that train one model: who is who, sums over all, batch norm over all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from yolov12edge.errors import UsageError

# The first process evaluates while the others wait for it.
TIMEOUT = timedelta(hours=2)


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: of this one, from 0.
        size: how many there are.
        device: what this one computes on.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process evaluates, prints and writes."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes, without gradient."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    def from_leader(self, flag: bool) -> bool:
        """The leader's value of a flag."""
        if self.size == 1:
            return flag
        value = torch.tensor([int(flag)], device=self.device)
        dist.broadcast(value, src=0)
        return bool(value.item())


@contextlib.contextmanager
def open_world(device: str = "auto") -> Iterator[World]:
    """The world that torchrun's environment variables describe; one process without them.

    Args:
        device: auto, cpu, cuda or cuda:N.

    Raises:
        UsageError: no such device.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    place = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size == 1:
        yield World(0, 1, place)
        return
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield World(rank, size, place)
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}", "use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"training on {name} is not supported", "use auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        index = local_rank if device.index is None else device.index
        if index >= count:
            raise UsageError(
                f"there is no GPU {index}: this machine has {count}",
                "use --device cpu, or fewer processes (--nproc-per-node)",
            )
        return torch.device("cuda", index)
    return device


class GlobalBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics are those of the images of all processes.

    Shapes, parameters and buffers are those of `nn.BatchNorm2d`; works with gloo and with nccl. In
    evaluation mode it is the plain one. By hand, since `nn.SyncBatchNorm` refuses tensors on a CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape and type."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        normed, mean, variance, count = _Normalise.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, self.eps
        )
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        return normed  # type: ignore[no-any-return]


def share_batch_norms(model: nn.Module) -> None:
    """Make every batch norm of a model one over all processes; parameters stay the same objects."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias, mean and var over all processes.

    Returns mean, biased variance and number of values as well. Gradients of weight and bias are
    this process' share; that of x holds what x does to the other processes through the statistics.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        own = wide.new_full((1,), x.numel() // x.shape[1])
        sums = torch.cat([wide.sum(dim=(0, 2, 3)), own])
        dist.all_reduce(sums)
        mean, count = sums[:-1] / sums[-1], sums[-1]
        # A second sum, around the mean: E[x^2] - E[x]^2 would lose the digits.
        centred = wide - mean.view(1, -1, 1, 1)
        squares = centred.square().sum(dim=(0, 2, 3))
        dist.all_reduce(squares)
        variance = squares / count
        inverse = torch.rsqrt(variance + eps)
        scale = (inverse * weight.to(wide.dtype)).view(1, -1, 1, 1)
        normed = torch.addcmul(bias.to(wide.dtype).view(1, -1, 1, 1), centred, scale).to(x.dtype)
        ctx.save_for_backward(x, weight, mean, inverse, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return normed, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse, count = ctx.saved_tensors
        wide = gradient.to(mean.dtype)
        normed = (x.to(mean.dtype) - mean.view(1, -1, 1, 1)) * inverse.view(1, -1, 1, 1)
        of_bias = wide.sum(dim=(0, 2, 3))
        of_weight = (wide * normed).sum(dim=(0, 2, 3))
        sums = torch.stack([of_bias, of_weight])
        dist.all_reduce(sums)
        bias_mean, weight_mean = (sums / count).view(2, 1, -1, 1, 1)
        scale = (inverse * weight.to(mean.dtype)).view(1, -1, 1, 1)
        of_x = (wide - bias_mean - normed * weight_mean) * scale
        return of_x.to(x.dtype), of_weight.to(weight.dtype), of_bias.to(weight.dtype), None


class RawForward(nn.Module):
    """Makes `model.raw` the forward pass, for wrappers that know only that."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.detector = model

    def forward(self, images: Tensor) -> list[Tensor]:
        """As `Detector.raw`."""
        return self.detector.raw(images)  # type: ignore[no-any-return, operator]


def across(model: nn.Module, world: World, sync_bn: bool) -> nn.Module:
    """The raw forward pass of a model, whose gradients are averaged over the processes."""
    forward = RawForward(model)
    if world.size == 1:
        return forward
    if sync_bn:
        share_batch_norms(model)
    return nn.parallel.DistributedDataParallel(
        forward,
        device_ids=[world.device.index] if world.device.type == "cuda" else None,
        # With shared batch norms every process has the same statistics already.
        broadcast_buffers=not sync_bn,
        gradient_as_bucket_view=True,
    )
