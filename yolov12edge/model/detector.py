"""The YOLOv12 detector: 22 layers from image to detections."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from yolov12edge.errors import UsageError
from yolov12edge.model.attention import (
    A2C2f,
    AreaAttention,
    AttentionBlock,
    attention_kernel,
    c3k_units,
)
from yolov12edge.model.blocks import C3k2, Concat, Conv
from yolov12edge.model.head import DetectionHead
from yolov12edge.model.scales import STRIDES, Architecture, published_architecture

# Layers that read something other than the layer before them.
ROUTES: dict[int, tuple[int, ...]] = {
    10: (9, 6),
    13: (12, 4),
    16: (15, 11),
    19: (18, 8),
    21: (14, 17, 20),
}
KEPT = frozenset(source for sources in ROUTES.values() for source in sources)


class Detector(nn.Module):
    """YOLOv12 for detection; state-dict keys are those of the published checkpoints.

    Args:
        architecture: scale, layout, classes and what follows from them.
        names: one a class; "0", "1", ... where absent.

    Raises:
        UsageError: the number of names is not the number of classes.
    """

    strides = STRIDES

    def __init__(self, architecture: Architecture, names: Sequence[str] | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        self.names = tuple(names or map(str, range(architecture.num_classes)))
        if len(self.names) != architecture.num_classes:
            raise UsageError(
                f"{len(self.names)} class names for {architecture.num_classes} classes",
                "give exactly one name a class",
            )
        self.model = nn.Sequential(*_layers(architecture))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..1 to (B, 4 + classes, A): cx, cy, w, h in input pixels, scores.

        H and W must be multiples of 32; A is (H*W) * (1/64 + 1/256 + 1/1024).
        """
        return self.head.decode(self.raw(x))

    def raw(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to three levels (B, 64 + classes, h, w): box bins, then class logits."""
        height, width = x.shape[2:]
        if height % 32 or width % 32:
            raise UsageError(
                f"input of {height}x{width} pixels", "height and width must be multiples of 32"
            )
        kept: dict[int, Tensor] = {}
        for index, layer in enumerate(self.model):
            if index not in ROUTES:
                x = layer(x)
            elif index == len(self.model) - 1:
                return layer([kept[source] for source in ROUTES[index]])  # type: ignore[no-any-return]
            else:
                x = layer(*(x if source == index - 1 else kept[source] for source in ROUTES[index]))
            if index in KEPT:
                kept[index] = x
        raise AssertionError("the last layer is the head")

    @property
    def head(self) -> DetectionHead:
        """The detection head (layer 21)."""
        head = self.model[-1]
        assert isinstance(head, DetectionHead)
        return head

    @property
    def num_parameters(self) -> int:
        """Learned numbers, with the 16 frozen bins of the box distribution."""
        return sum(parameter.numel() for parameter in self.parameters())

    def set_attention(self, backend: str) -> Detector:
        """Choose the attention kernel: auto, flash, sdpa or explicit."""
        kernel = attention_kernel(backend)
        for module in self.modules():
            if isinstance(module, AreaAttention):
                module.kernel = kernel
        return self


def build_model(
    scale: str, layout: str = "turbo", num_classes: int = 80, names: Sequence[str] | None = None
) -> Detector:
    """A YOLOv12 with random weights.

    Args:
        scale: n, s, m, l or x.
        layout: "v1" (the paper's release) or "turbo" (the official repository's main).
        num_classes: at least 1.
        names: one a class.

    Raises:
        UsageError: unknown scale or layout, no classes, or a wrong number of names.
    """
    return Detector(published_architecture(scale, layout, num_classes), names)


def _layers(architecture: Architecture) -> list[nn.Module]:
    """The graph, top-down; channel counts are the unscaled ones of the release."""
    scaling = architecture.scaling
    width, repeats = scaling.channels, scaling.repeats
    first_groups, second_groups = architecture.stem_groups

    def c3k2(in_channels: int, base: int, *, c3k: bool, expansion: float) -> C3k2:
        return C3k2(in_channels, width(base), repeats(2), c3k, expansion)

    def attention_stage(base: int, area: int) -> A2C2f:
        hidden = width(base) // 2
        pairs: list[nn.Module] = [
            nn.Sequential(
                *(
                    AttentionBlock(
                        hidden,
                        architecture.mlp_width(hidden),
                        area,
                        architecture.layout,
                        architecture.pe_kernel,
                    )
                    for _ in range(2)
                )
            )
            for _ in range(repeats(4))
        ]
        return A2C2f(width(base), width(base), pairs, scaled_residual=architecture.is_large)

    def fusion_stage(in_channels: int, base: int) -> A2C2f:
        return A2C2f(in_channels, width(base), c3k_units(width(base) // 2, repeats(2)))

    force_c3k = architecture.forces_c3k
    p3, p4, p5 = width(256), width(512), width(1024)
    return [
        Conv(3, width(64), 3, 2),
        Conv(width(64), width(128), 3, 2, groups=first_groups),
        c3k2(width(128), 256, c3k=force_c3k, expansion=0.25),
        Conv(width(256), width(256), 3, 2, groups=second_groups),
        c3k2(width(256), 512, c3k=force_c3k, expansion=0.25),
        Conv(width(512), width(512), 3, 2),
        attention_stage(512, area=4),
        Conv(width(512), width(1024), 3, 2),
        attention_stage(1024, area=1),
        nn.Upsample(scale_factor=2, mode="nearest"),
        Concat(),
        fusion_stage(p5 + width(512), 512),
        nn.Upsample(scale_factor=2, mode="nearest"),
        Concat(),
        fusion_stage(p4 + width(512), 256),
        Conv(p3, width(256), 3, 2),
        Concat(),
        fusion_stage(width(256) + p4, 512),
        Conv(p4, width(512), 3, 2),
        Concat(),
        c3k2(width(512) + p5, 1024, c3k=True, expansion=0.5),
        DetectionHead((p3, p4, p5), architecture.num_classes, architecture.class_width),
    ]
