"""The modules an export model is made of: what is left of the detector after the rewrite.

They compute what their originals compute, in the form that engine builders fuse; the emitter
knows exactly these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from yolov12edge.model.head import REG_MAX, DetectionHead, anchor_centres
from yolov12edge.model.scales import HEAD_DIM

AttentionVariant = Literal["packed", "separate", "value-left", "rows", "shared-rows"]
"""How attention, and with `rows` the head, lays out its tensors; all variants compute the same.

packed: q, k and v leave the projection in one tensor and share one transpose;
    (scaled Q) x K^T -> Softmax -> x V, the pattern TensorRT fuses.
separate: the same product, with a split before and a transpose for each of q, k and v.
value-left: channels stay in front of tokens, V x Softmax(...)^T; fewest transposes of activations,
    for CPU runtimes that fold a transposed operand into the product.
rows: maps become rows of tokens before anything is cut; more transposes in the file, but none that
    moves memory in a runtime that keeps maps channels-last and folds the rest into the product.
shared-rows: as rows, and the map of values is cut from the same rows as q, k and v: a builder that
    compiles kernels yields all four in one. The head stays as it is.
"""

Kind = TypeVar("Kind", bound=nn.Module)
ATTENTION_VARIANTS: tuple[AttentionVariant, ...] = get_args(AttentionVariant)


class TanhSiLU(nn.SiLU):
    """SiLU by way of tanh: sigmoid(x) = tanh(x / 2) / 2 + 1/2."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * (0.5 * torch.tanh(0.5 * x) + 0.5)


class Swish(nn.SiLU):
    """SiLU that is written as one operator."""


class FoldedConv(nn.Module):
    """Convolution with bias and an optional SiLU; batch norm is inside the weights."""

    def __init__(self, conv: nn.Conv2d, silu: bool) -> None:
        super().__init__()
        self.conv = conv
        self.act: nn.Module = nn.SiLU() if silu else nn.Identity()

    @property
    def silu(self) -> bool:
        """Whether SiLU follows."""
        return isinstance(self.act, nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return self.act(self.conv(x))  # type: ignore[no-any-return]


def bias_of(conv: nn.Conv2d) -> Tensor:
    """The bias that every convolution has once batch norm is folded."""
    assert conv.bias is not None
    return conv.bias


def frozen(values: Tensor) -> nn.Parameter:
    """Weights of an export model, which nobody trains."""
    return nn.Parameter(values.detach().clone(), requires_grad=False)


def replace(root: nn.Module, kind: type[Kind], make: Callable[[Kind], nn.Module | None]) -> int:
    """Replace submodules of a kind, outermost first; returns how many.

    Args:
        make: yields what takes a module's place; None keeps it, and looks inside it.
    """
    changed = 0
    for name, child in root.named_children():
        other = make(child) if isinstance(child, kind) else None
        if other is None:
            changed += replace(child, kind, make)
        else:
            setattr(root, name, other)
            changed += 1
    return changed


class ContiguousAttention(nn.Module):
    """Area attention whose projection yields all queries, then all keys, then all values.

    Args:
        qkv: (B, C, H, W) to (B, 3C, H, W), rows ordered q, k, v, head-major inside each.
        proj: merges the heads.
        pe: depthwise position term on the values.
        area: number of contiguous token pieces that attend only to themselves.
        variant: tensor layout, see `AttentionVariant`.
        scale: factor on the scores; 1 once it lives in the query weights.
    """

    def __init__(
        self,
        qkv: FoldedConv,
        proj: FoldedConv,
        pe: FoldedConv,
        area: int,
        variant: AttentionVariant,
        scale: float,
    ) -> None:
        super().__init__()
        self.qkv = qkv
        self.proj: nn.Module = proj
        self.pe = pe
        self.area = area
        self.variant: AttentionVariant = variant
        self.scale = scale
        self.channels = proj.conv.in_channels
        # A head of one area is independent of all other heads and areas, so areas count as heads.
        self.lanes = self.channels // HEAD_DIM * area

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        packed = self.qkv(x)
        values = packed[:, 2 * self.channels :]
        q, k, v = (self._lanes(part) for part in packed.chunk(3, dim=1))
        q = q if self.scale == 1 else q * self.scale
        weights = (q.transpose(-2, -1) @ k).softmax(dim=-1)
        if self.variant == "value-left":
            mixed = v @ weights.transpose(-2, -1)
        else:
            mixed = (weights @ v.transpose(-2, -1)).transpose(-2, -1)
        return self.proj(self._map(mixed, x) + self.pe(values))  # type: ignore[no-any-return]

    def _lanes(self, part: Tensor) -> Tensor:
        """(B, C, H, W) to (B, heads * area, 32, H * W / area)."""
        heads = self.lanes // self.area
        tokens = part.reshape(len(part), heads, HEAD_DIM, self.area, -1)
        return tokens.transpose(2, 3).flatten(1, 2)

    def _map(self, lanes: Tensor, like: Tensor) -> Tensor:
        """Inverse of `_lanes`."""
        heads = self.lanes // self.area
        tokens = lanes.reshape(len(lanes), heads, self.area, HEAD_DIM, -1)
        return tokens.transpose(2, 3).reshape(like.shape)


class LinearDecode(nn.Module):
    """Box decoding as one matrix product: bins to centre and size without corners in between.

    With distances l, t, r, b from the anchor: cx = x + (r - l) / 2, w = l + r, and so for y, h;
    each distance is the expectation over 16 bins, so all four rows are linear in the bins.
    """

    def __init__(self, bins: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", _decode_matrix(bins))

    matrix: Tensor

    def forward(self, boxes: Tensor, logits: Tensor, height: int, width: int) -> Tensor:
        """(B, 64, A) bin logits and (B, classes, A) class logits to (B, 4 + classes, A)."""
        offsets, strides = decode_constants(height, width)
        bins = boxes.reshape(len(boxes), 4, REG_MAX, -1)
        probabilities = bins.softmax(dim=2).flatten(1, 2)
        box = (self.matrix @ probabilities) * strides.to(boxes) + offsets.to(boxes)
        return torch.cat([box, logits.sigmoid()], dim=1)


class ExpectationDecode(nn.Module):
    """Box decoding in the words of the paper: each distance is the mean of its bins' numbers."""

    def __init__(self, bins: Tensor) -> None:
        super().__init__()
        self.register_buffer("bins", bins)

    bins: Tensor

    def forward(self, boxes: Tensor, logits: Tensor, height: int, width: int) -> Tensor:
        """(B, 64, A) bin logits and (B, classes, A) class logits to (B, 4 + classes, A)."""
        offsets, strides = decode_constants(height, width)
        rows = boxes.transpose(1, 2).reshape(len(boxes), -1, 4, REG_MAX)
        distances = (rows.softmax(dim=3) * self.bins).sum(dim=3)
        first, second = distances.chunk(2, dim=2)
        cells = torch.cat([(second - first) / 2, first + second], dim=2).transpose(1, 2)
        box = cells * strides.to(boxes) + offsets.to(boxes)
        return torch.cat([box, logits.sigmoid()], dim=1)


def decode_constants(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Anchor centres in pixels as (4, A) rows x, y, 0, 0, and strides (1, A), in float64."""
    centres, strides = anchor_centres(height, width, dtype=torch.float64)
    return torch.cat([centres * strides, torch.zeros_like(centres)]), strides


def _decode_matrix(bins: Tensor) -> Tensor:
    """(4, 64): rows cx, cy, w, h over side-major bins (left, top, right, bottom)."""
    half = bins / 2
    zero = torch.zeros_like(bins)
    rows = [
        [-half, zero, half, zero],
        [zero, -half, zero, half],
        [bins, zero, bins, zero],
        [zero, bins, zero, bins],
    ]
    return torch.stack([torch.cat(row) for row in rows])


class ExportHead(nn.Module):
    """The detection head with its decoding, levels flattened before they are joined.

    Args:
        head: the head as trained.
        variant: tensor layout, see `AttentionVariant`.
        expectation: decode by weighted sums instead of one product.
    """

    def __init__(
        self, head: DetectionHead, variant: AttentionVariant, *, expectation: bool
    ) -> None:
        super().__init__()
        self.variant: AttentionVariant = variant
        self.cv2 = head.cv2
        self.cv3 = head.cv3
        self.num_classes = head.num_classes
        bins = head.dfl.conv.weight.detach().flatten()
        self.decode: nn.Module = ExpectationDecode(bins) if expectation else LinearDecode(bins)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Three maps to (B, 4 + classes, A): cx, cy, w, h in input pixels, then scores."""
        height, width = (side * 8 for side in maps[0].shape[2:])
        boxes = [branch(x).flatten(2) for branch, x in zip(self.cv2, maps, strict=True)]
        logits = [branch(x).flatten(2) for branch, x in zip(self.cv3, maps, strict=True)]
        return self.decode(torch.cat(boxes, 2), torch.cat(logits, 2), height, width)  # type: ignore[no-any-return]


class ExportModel(nn.Module):
    """A detector in rewrite: starts with the detector's own layers, ends with the modules here."""

    def __init__(self, layers: nn.Sequential, routes: dict[int, tuple[int, ...]]) -> None:
        super().__init__()
        self.model = layers
        self.routes = routes

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 to (B, 4 + classes, A), as `Detector`."""
        outputs: list[Tensor] = []
        for index, layer in enumerate(self.model):
            sources = [outputs[source] for source in self.routes.get(index, ())]
            if isinstance(layer, DetectionHead):
                x = layer.decode(layer(sources))
            elif isinstance(layer, ExportHead):
                x = layer(sources)
            else:
                x = layer(*sources) if sources else layer(x)
            outputs.append(x)
        return x
