"""Exact rewrites into other forms of the same function; `run.form.GraphForm` says what for.

Each takes an export model, changes it in place and returns how many modules changed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from yolov12edge.export.modules import (
    ContiguousAttention,
    ExportModel,
    FoldedConv,
    Swish,
    TanhSiLU,
    bias_of,
    frozen,
    replace,
)
from yolov12edge.model.attention import A2C2f, AttentionBlock
from yolov12edge.model.blocks import Bottleneck, C3k, C3k2, Concat

EIGHT = 8
# From so many channels on both sides on, TensorRT-RTX makes a matrix product of a 1x1 convolution.
WIDE = 256


class CellConv(nn.Module):
    """A 3x3 convolution of stride 2 as a 2x2 one over cells of 2x2 pixels.

    Args:
        conv: 3x3, stride 2, padding 1.
    """

    def __init__(self, conv: FoldedConv) -> None:
        super().__init__()
        weight = conv.conv.weight
        outputs, channels = weight.shape[:2]
        cells = weight.new_zeros(outputs, 2, 2, channels, 2, 2)
        for row in range(3):
            for column in range(3):
                # Tap 0 is the odd pixel of the cell before, taps 1 and 2 are this cell's two.
                (y, inner_y), (x, inner_x) = divmod(row + 1, 2), divmod(column + 1, 2)
                cells[:, inner_y, inner_x, :, y, x] = weight[:, :, row, column]
        self.weight = frozen(cells.reshape(outputs, -1, 2, 2))
        self.bias = frozen(bias_of(conv.conv))
        self.act = conv.act

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H / 2, W / 2); H and W even."""
        batch, channels, height, width = x.shape
        cells = x.reshape(batch, channels, height // 2, 2, width // 2, 2)
        cells = cells.permute(0, 3, 5, 1, 2, 4).reshape(batch, -1, height // 2, width // 2)
        padded = functional.pad(cells, (1, 0, 1, 0))
        return self.act(functional.conv2d(padded, self.weight, self.bias))  # type: ignore[no-any-return]


class WholeC3k2(nn.Module):
    """C3k2 whose first unit reads the whole map, with zero weights for the half it has no use for.

    With b the unit's half and g what its convolutions add to it, the merge reads a, b and g
    instead of a, b and b + g, and its weights for b and g become W_b + W_g and W_g.
    """

    def __init__(self, stage: C3k2) -> None:
        super().__init__()
        first = stage.m[0]
        self.cv1, self.cv2, self.m = stage.cv1, stage.cv2, stage.m
        hidden = _convolution(stage.cv1).out_channels // 2
        self.residual_merged = isinstance(first, Bottleneck)
        if isinstance(first, Bottleneck):
            _read_whole(_convolution(first.cv1))
            merge = _convolution(stage.cv2)
            moved = merge.weight.clone()
            moved[:, hidden : 2 * hidden] += moved[:, 2 * hidden :]
            merge.weight = frozen(moved)
        else:
            assert isinstance(first, C3k)
            _read_whole(_convolution(first.cv1))
            _read_whole(_convolution(first.cv2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        parts = [self.cv1(x)]
        for unit in self.m:
            parts.append(
                _without_residual(unit, parts[-1]) if self.residual_merged else unit(parts[-1])
            )
        return self.cv2(torch.cat(parts, dim=1))  # type: ignore[no-any-return]


def _without_residual(unit: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(unit, Bottleneck)
    return unit.cv2(unit.cv1(x))  # type: ignore[no-any-return]


def _read_whole(conv: nn.Conv2d) -> None:
    """Give a convolution twice the inputs, with zeros for the first half."""
    conv.weight = frozen(torch.cat([torch.zeros_like(conv.weight), conv.weight], dim=1))
    conv.in_channels *= 2


class GrowingMerge(nn.Module):
    """A 1x1 convolution over (coarse map, upsampled; fine map) that runs on the coarse map first.

    Nearest upsampling copies pixels, and a 1x1 convolution treats each alike: they commute.

    Args:
        merge: 1x1 over the joined maps, coarse channels first; taken apart.
        coarse: channels of the coarse map.
        transposed: convolve and upsample in one transposed convolution of 2x2 equal taps.
    """

    def __init__(self, merge: nn.Module, coarse: int, *, transposed: bool) -> None:
        super().__init__()
        conv = _convolution(merge)
        self.transposed = transposed
        self.low = frozen(conv.weight[:, :coarse])
        conv.weight = frozen(conv.weight[:, coarse:])
        conv.in_channels -= coarse
        self.high = FoldedConv(conv, silu=False)
        self.act: nn.Module = nn.SiLU()

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, H / 2, W / 2) and (B, C', H, W) to (B, C'', H, W)."""
        if self.transposed:
            grown = functional.conv_transpose2d(coarse, self.taps, stride=2)
        else:
            grown = functional.interpolate(functional.conv2d(coarse, self.low), scale_factor=2.0)
        return self.act(self.high(fine) + grown)  # type: ignore[no-any-return]

    @property
    def taps(self) -> Tensor:
        """(C, C'', 2, 2): the coarse weights, once for each pixel that one becomes."""
        return self.low.transpose(0, 1).expand(-1, -1, 2, 2)


class GrowingStage(nn.Module):
    """A stage without residual that merges two maps of different size before its units."""

    def __init__(self, stage: A2C2f, merge: GrowingMerge) -> None:
        super().__init__()
        self.cv1, self.cv2, self.m = merge, stage.cv2, stage.m

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, H / 2, W / 2) and (B, C', H, W) to (B, C'', H, W)."""
        parts = [self.cv1(coarse, fine)]
        for unit in self.m:
            parts.append(unit(parts[-1]))
        return self.cv2(torch.cat(parts, dim=1))  # type: ignore[no-any-return]


class TransposedConv(nn.Module):
    """A 1x1 convolution written as a transposed one: for a single tap they are the same.

    Args:
        conv: 1x1, one group.
    """

    def __init__(self, conv: FoldedConv) -> None:
        super().__init__()
        self.weight = frozen(conv.conv.weight.transpose(0, 1))
        self.bias = frozen(bias_of(conv.conv))
        self.act = conv.act
        self.silu = conv.silu

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        return self.act(functional.conv_transpose2d(x, self.weight, self.bias))  # type: ignore[no-any-return]


class Absorbed(nn.Module):
    """A layer whose work another layer does now."""

    def forward(self, *maps: Tensor) -> Tensor:
        """Whatever comes first, which nobody reads."""
        return maps[0]


class Negative(nn.Module):
    """A convolution that yields its negative, and the sign that puts it right."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        conv = _convolution(inner)
        conv.weight = frozen(-conv.weight)
        conv.bias = frozen(-bias_of(conv))
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        return -self.inner(x)  # type: ignore[no-any-return]


def cells_before_stem(model: ExportModel) -> int:
    """Let the first convolution read cells of 2x2 pixels."""
    first = model.model[0]
    assert isinstance(first, FoldedConv)
    model.model[0] = CellConv(first)
    return 1


def whole_halves(model: ExportModel) -> int:
    """Let the first unit of every C3k2 read the whole map."""
    changed = 0
    for index, layer in enumerate(model.model):
        # Two bottlenecks in a row would need the sum that is moved away.
        if isinstance(layer, C3k2) and (len(layer.m) == 1 or isinstance(layer.m[0], C3k)):
            model.model[index] = WholeC3k2(layer)
            changed += 1
    return changed


def grow_after_merge(model: ExportModel, *, transposed: bool) -> int:
    """Upsample behind the 1x1 convolutions that merge a coarse map with a finer one."""
    changed = 0
    for index, layer in enumerate(model.model):
        if not (isinstance(layer, A2C2f) and layer.gamma is None):
            continue
        joined, grown = model.model[index - 1], model.model[index - 2]
        if not (isinstance(joined, Concat) and isinstance(grown, nn.Upsample)):
            continue
        fine = model.routes[index - 1][1]
        coarse = _output_channels(model.model[index - 3])
        merge = GrowingMerge(layer.cv1, coarse, transposed=transposed)
        model.model[index] = GrowingStage(layer, merge)
        model.model[index - 1], model.model[index - 2] = Absorbed(), Absorbed()
        model.routes = model.routes | {index: (index - 3, fine)}
        changed += 1
    return changed


def subtract_residuals(model: ExportModel) -> int:
    """Turn the sums of attention blocks into differences."""
    blocks = [block for block in model.modules() if isinstance(block, AttentionBlock)]
    for block in blocks:
        attention: nn.Module = block.attn
        assert isinstance(attention, ContiguousAttention)
        attention.proj = Negative(attention.proj)
        block.mlp[1] = Negative(block.mlp[1])
    return len(blocks)


def transpose_wide_convolutions(model: ExportModel) -> int:
    """Write wide 1x1 convolutions as transposed ones."""

    def transpose(folded: FoldedConv) -> nn.Module | None:
        conv = folded.conv
        wide = conv.kernel_size == (1, 1) and min(conv.in_channels, conv.out_channels) >= WIDE
        return TransposedConv(folded) if wide else None

    return replace(model, FoldedConv, transpose)


def group_depthwise_by_eight(model: ExportModel) -> int:
    """Write depthwise convolutions with groups of eight channels that do not mix."""
    convolutions = [module.conv for module in model.modules() if isinstance(module, FoldedConv)]
    chosen = [
        conv
        for conv in convolutions
        if conv.groups == conv.in_channels == conv.out_channels and conv.groups % EIGHT == 0
    ]
    for conv in chosen:
        diagonal = torch.eye(EIGHT, dtype=conv.weight.dtype).repeat(conv.groups // EIGHT, 1)
        conv.weight = frozen(diagonal[:, :, None, None] * conv.weight)
        conv.groups //= EIGHT
    return len(chosen)


def say_activations(model: ExportModel, kind: type[TanhSiLU] | type[Swish]) -> int:
    """Write every SiLU in another way."""
    return replace(model, nn.SiLU, lambda act: None if isinstance(act, kind) else kind())


def _convolution(folded: nn.Module) -> nn.Conv2d:
    assert isinstance(folded, FoldedConv)
    return folded.conv


def _output_channels(layer: nn.Module) -> int:
    """Channels of what a stage yields."""
    assert isinstance(layer, (A2C2f, C3k2, GrowingStage, WholeC3k2))
    return _convolution(layer.cv2).out_channels
