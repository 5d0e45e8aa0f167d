"""Convolutional building blocks of YOLOv12.

Attribute names (`conv`, `bn`, `cv1`, `m`, ...) are the published state-dict keys. All blocks
map (B, C, H, W) to (B, C', H', W').
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BN_EPS = 1e-3
BN_MOMENTUM = 0.03


class Conv(nn.Module):
    """Convolution without bias, batch norm, SiLU (or nothing); "same" padding for odd kernels."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=BN_EPS, momentum=BN_MOMENTUM)
        self.act = nn.SiLU() if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))  # type: ignore[no-any-return]


class DepthwiseConv(Conv):
    """Conv with one group a channel."""

    def __init__(self, channels: int, kernel: int, activation: bool = True) -> None:
        super().__init__(channels, channels, kernel, groups=channels, activation=activation)


class Bottleneck(nn.Module):
    """Two 3x3 convolutions with a residual; `expansion` sets the width between them."""

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.cv1 = Conv(channels, hidden, 3)
        self.cv2 = Conv(hidden, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cv2(self.cv1(x))  # type: ignore[no-any-return]


class C3k(nn.Module):
    """CSP block: two bottlenecks beside a bypass, merged by a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.cv1 = Conv(channels, hidden)
        self.cv2 = Conv(channels, hidden)
        self.cv3 = Conv(2 * hidden, channels)
        self.m = nn.Sequential(Bottleneck(hidden, 1.0), Bottleneck(hidden, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], dim=1))  # type: ignore[no-any-return]


class C3k2(nn.Module):
    """Split in two halves, chain `repeats` units on the second, merge every intermediate."""

    def __init__(
        self, in_channels: int, out_channels: int, repeats: int, use_c3k: bool, expansion: float
    ) -> None:
        super().__init__()
        hidden = int(out_channels * expansion)
        self.cv1 = Conv(in_channels, 2 * hidden)
        self.cv2 = Conv((2 + repeats) * hidden, out_channels)
        self.m = nn.ModuleList(
            C3k(hidden) if use_c3k else Bottleneck(hidden, 0.5) for _ in range(repeats)
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.cv1(x).chunk(2, dim=1))
        for unit in self.m:
            parts.append(unit(parts[-1]))
        return self.cv2(torch.cat(parts, dim=1))  # type: ignore[no-any-return]


class Concat(nn.Module):
    """Channel concatenation of feature maps of one size."""

    def forward(self, *maps: Tensor) -> Tensor:
        return torch.cat(maps, dim=1)
