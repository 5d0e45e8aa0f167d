"""Area attention and the blocks around it, with interchangeable attention kernels.

Area attention (YOLOv12, arXiv:2502.12524) cuts the row-major token sequence of a feature map
into `area` contiguous pieces that attend only to themselves. The head width is always 32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from yolov12edge.errors import UnsupportedError, UsageError
from yolov12edge.model.blocks import C3k, Conv
from yolov12edge.model.scales import HEAD_DIM, Layout

AttentionBackend = Literal["auto", "flash", "sdpa", "explicit"]
AttentionKernel = Callable[[Tensor, Tensor, Tensor], Tensor]


def explicit_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, spelled out; q, k, v: (B, heads, tokens, d)."""
    scores: Tensor = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return scores.softmax(dim=-1) @ v


def sdpa_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's fused scaled-dot-product attention; q, k, v: (B, heads, tokens, d)."""
    return functional.scaled_dot_product_attention(q, k, v)


def flash_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The flash-attn package's kernel, in half precision; q, k, v: (B, heads, tokens, d) on CUDA.

    float32 input is rounded to float16 for the product and the result cast back.
    """
    kernel = _flash_kernel()
    if kernel is None:
        raise UnsupportedError(
            "the flash-attn package is not installed",
            'install it with: pip install "yolov12edge[flash]", or use the sdpa backend',
        )
    half = q.dtype if q.dtype in (torch.float16, torch.bfloat16) else torch.float16
    token_first = (x.transpose(1, 2).to(half) for x in (q, k, v))
    return kernel(*token_first).transpose(1, 2).to(q.dtype)


@cache
def _flash_kernel() -> Callable[..., Tensor] | None:
    try:
        from flash_attn import flash_attn_func
    except ImportError:
        return None
    return flash_attn_func  # type: ignore[no-any-return]


def flash_available(device: torch.device) -> bool:
    """Whether flash-attn is installed and `device` is a CUDA GPU of capability 8.0 or later."""
    return (
        device.type == "cuda"
        and torch.cuda.get_device_capability(device) >= (8, 0)
        and _flash_kernel() is not None
    )


def automatic_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """flash-attn for half-precision CUDA tensors where it is there, else PyTorch's own.

    float32 input stays float32: silently rounding it to half would make the reference drift.
    """
    if q.dtype in (torch.float16, torch.bfloat16) and flash_available(q.device):
        return flash_attention(q, k, v)
    return sdpa_attention(q, k, v)


_KERNELS: dict[str, AttentionKernel] = {
    "auto": automatic_attention,
    "flash": flash_attention,
    "sdpa": sdpa_attention,
    "explicit": explicit_attention,
}


def attention_kernel(backend: str) -> AttentionKernel:
    """The kernel of a backend name.

    Raises:
        UsageError: unknown name.
    """
    if backend not in _KERNELS:
        raise UsageError(
            f"unknown attention backend {backend!r}",
            f"use one of: {', '.join(get_args(AttentionBackend))}",
        )
    return _KERNELS[backend]


def split_areas(tokens: Tensor, area: int) -> Tensor:
    """(B, N, heads, d) to (B * area, heads, N / area, d): contiguous pieces, as a view."""
    batch, count, heads, width = tokens.shape
    return tokens.reshape(batch * area, count // area, heads, width).transpose(1, 2)


def join_areas(tokens: Tensor, area: int) -> Tensor:
    """Inverse of `split_areas`."""
    pieces, heads, count, width = tokens.shape
    return tokens.transpose(1, 2).reshape(pieces // area, area * count, heads, width)


class AreaAttention(nn.Module):
    """Multi-head area attention with a depthwise position term on the values.

    (B, C, H, W) to (B, C, H, W); H * W must be divisible by `area`.
    Layout "v1" keeps q, k, v of each head side by side in one projection `qkv`; "turbo" has
    `qk` (all queries, then all keys) and `v`.
    """

    def __init__(self, channels: int, area: int, layout: Layout, pe_kernel: int) -> None:
        super().__init__()
        self.heads = channels // HEAD_DIM
        self.area = area
        self.layout = layout
        self.kernel = attention_kernel("auto")
        if layout == "v1":
            self.qkv = Conv(channels, 3 * channels, activation=False)
        else:
            self.qk = Conv(channels, 2 * channels, activation=False)
            self.v = Conv(channels, channels, activation=False)
        self.proj = Conv(channels, channels, activation=False)
        self.pe = Conv(channels, channels, pe_kernel, groups=channels, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self._project(x)
        attended = self.kernel(*(split_areas(tokens, self.area) for tokens in (q, k, v)))
        position = self.pe(_to_map(v, x))
        return self.proj(_to_map(join_areas(attended, self.area), x) + position)  # type: ignore[no-any-return]

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, H * W, heads, 32)."""
        if self.layout == "v1":
            q, k, v = _to_tokens(self.qkv(x), self.heads).chunk(3, dim=3)
            return q, k, v
        q, k = _to_tokens(self.qk(x), 2 * self.heads).chunk(2, dim=2)
        return q, k, _to_tokens(self.v(x), self.heads)


def _to_tokens(x: Tensor, heads: int) -> Tensor:
    """(B, C, H, W) to (B, H * W, heads, C / heads); a view of a map in channels-last memory."""
    batch, _, height, width = x.shape
    return x.permute(0, 2, 3, 1).contiguous().view(batch, height * width, heads, -1)


def _to_map(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, H * W, heads, d) to the shape of `like`, in channels-last memory."""
    batch, channels, height, width = like.shape
    return tokens.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class AttentionBlock(nn.Module):
    """Area attention and an MLP of 1x1 convolutions, each with a residual."""

    def __init__(
        self, channels: int, mlp_width: int, area: int, layout: Layout, pe_kernel: int
    ) -> None:
        super().__init__()
        self.attn = AreaAttention(channels, area, layout, pe_kernel)
        self.mlp = nn.Sequential(
            Conv(channels, mlp_width), Conv(mlp_width, channels, activation=False)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        return x + self.mlp(x)  # type: ignore[no-any-return]


class A2C2f(nn.Module):
    """R-ELAN stage: chain units on a reduced map, merge every intermediate.

    With `attention_units` each unit is a pair of attention blocks, else a C3k. `gamma`, where
    it exists, scales the stage before its residual.
    """

    gamma: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        units: list[nn.Module],
        scaled_residual: bool = False,
    ) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.gamma = nn.Parameter(torch.full((out_channels,), 0.01)) if scaled_residual else None
        self.cv1 = Conv(in_channels, hidden)
        self.cv2 = Conv((1 + len(units)) * hidden, out_channels)
        self.m = nn.ModuleList(units)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.cv1(x)]
        for unit in self.m:
            parts.append(unit(parts[-1]))
        merged = self.cv2(torch.cat(parts, dim=1))
        if self.gamma is None:
            return merged  # type: ignore[no-any-return]
        return x + self.gamma.view(1, -1, 1, 1) * merged  # type: ignore[no-any-return]


def c3k_units(channels: int, repeats: int) -> list[nn.Module]:
    """Units of a stage without attention."""
    return [C3k(channels) for _ in range(repeats)]
