"""Which YOLOv12 a set of tensors is, told from names and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch

from yolov12edge.checkpoints.text import printable
from yolov12edge.errors import CheckpointError
from yolov12edge.model import Architecture, Detector, published_architecture
from yolov12edge.model.scales import Layout, Scale

Shapes = Mapping[str, tuple[int, ...]]

STEM = "model.0.conv.weight"
CLASSES = "model.21.cv3.0.2.weight"
COUNTER = "num_batches_tracked"
MAX_CLASSES = 10_000
_FIRST_ROWS: dict[int, Scale] = {16: "n", 32: "s", 64: "m", 96: "x"}
_ATTENTION = re.compile(r"model\.[68]\.m\.\d+\.[01]\.attn\.(qkv|qk)\.conv\.weight$")
_PREFIX = re.compile(r"((?:module\.|_orig_mod\.|model\.)*?)model\.\d+\.")
_HINT = "pass a YOLOv12 detection checkpoint (scales n, s, m, l, x; layouts v1 and turbo)"

# Telling names of relatives that people pass by mistake.
_RELATIVES = (
    (r"\.proto\.", "a segmentation model"),
    (r"model\.\d+\.cv4\.", "a model with a pose, mask or oriented-box head"),
    (r"model\.\d+\.one2one_", "a model with a second, NMS-free head"),
    (r"model\.\d+\.linear\.", "a classification model"),
    (r"model\.10\.m\.\d+\.attn\.", "a YOLO11"),
    (r"model\.9\.cv1\.", "a YOLO with a pooling layer 9 (YOLOv8 or YOLO11)"),
)


def strip_prefix(names: Iterable[str]) -> str:
    """What wrappers (DDP, torch.compile, the trainer's facade) put before `model.0.`..."""
    for name in names:
        found = _PREFIX.match(name)
        if found:
            return found.group(1)
    return ""


def find_architecture(shapes: Shapes) -> Architecture:
    """The architecture whose tensors `shapes` are, keyed as published.

    Raises:
        CheckpointError: no YOLOv12 detector, or not a whole one.
    """
    rows = _side(shapes, STEM, 0)
    attention = next(filter(None, map(_ATTENTION.match, shapes)), None)
    if rows not in _FIRST_ROWS or attention is None:
        raise _foreign(shapes)
    scale: Scale = _FIRST_ROWS[rows]
    if scale == "m" and any(name.startswith(("model.6.m.2.", "model.6.gamma")) for name in shapes):
        scale = "l"
    layout: Layout = "turbo" if attention.group(1) == "qk" else "v1"
    if CLASSES not in shapes:
        return published_architecture(scale, layout)
    num_classes = _side(shapes, CLASSES, 0)
    if not 1 <= num_classes <= MAX_CLASSES:
        raise CheckpointError(f"has a head of {num_classes} classes", _HINT)
    published = published_architecture(scale, layout, num_classes)
    block = attention.group(0).partition(".attn.")[0]
    kernel = _side(shapes, f"{block}.attn.pe.conv.weight", 3)
    class_width = _side(shapes, CLASSES, 1)
    follows = class_width == max(published.scaling.channels(256), min(num_classes, 100))
    return Architecture(
        scale,
        layout,
        num_classes,
        pe_kernel=kernel if kernel % 2 else published.pe_kernel,
        mlp_ratio=_mlp_ratio(shapes, f"{block}.mlp.0.conv.weight", published),
        stem_groups=(_groups(shapes, published, 0), _groups(shapes, published, 1)),
        class_width=None if follows else class_width,
    )


def skeleton(architecture: Architecture, names: tuple[str, ...] | None = None) -> Detector:
    """A detector without values (on the meta device), ready for `load_state_dict(assign=True)`."""
    with torch.device("meta"):
        return Detector(architecture, names)


def check_complete(shapes: Shapes, architecture: Architecture) -> list[str]:
    """Compare canonical `shapes` with those of `architecture`; batch-norm counters may be absent.

    Returns:
        the names of all tensors, in the network's order.

    Raises:
        CheckpointError: tensors are missing, left over, or of another shape.
    """
    expected = {
        name: tuple(tensor.shape) for name, tensor in skeleton(architecture).state_dict().items()
    }
    required = [name for name in expected if not name.endswith(COUNTER)]
    title = f"YOLOv12-{architecture.scale} ({architecture.layout})"
    missing = [name for name in required if name not in shapes]
    extra = [name for name in shapes if name not in expected]
    wrong = [n for n, shape in expected.items() if n in shapes and shapes[n] != shape]
    if extra and _relative(shapes) is not None:
        raise _foreign(shapes)
    if missing:
        raise CheckpointError(
            f"is not a whole {title}: it has {len(required) - len(missing)} of {len(required)} "
            f"tensors; in layers {_layers(missing)} some are missing, first {missing[0]}",
            "pass a complete detector; a part of one only serves as a start for training",
        )
    if wrong:
        raise CheckpointError(
            f"looks like {title}, but {printable(wrong[0])} has shape {shapes[wrong[0]]} in place "
            f"of {expected[wrong[0]]} ({len(wrong)} such tensors)",
            _HINT,
        )
    if extra:
        raise CheckpointError(
            f"has {len(extra)} tensors that no {title} has, first {printable(extra[0])}", _HINT
        )
    return list(expected)


def _side(shapes: Shapes, name: str, axis: int) -> int:
    shape = shapes.get(name, ())
    return shape[axis] if axis < len(shape) else 0


def _mlp_ratio(shapes: Shapes, name: str, published: Architecture) -> float:
    hidden, width = _side(shapes, name, 0), _side(shapes, name, 1)
    if width == 0 or published.mlp_width(width) == hidden:
        return published.mlp_ratio
    # Half a channel up: the width is truncated, and hidden / width * width can fall below hidden.
    return (hidden + 0.5) / width


def _groups(shapes: Shapes, published: Architecture, position: int) -> int:
    """Groups of layer 1 or 3: input channels over the channels that one filter sees."""
    layer, base = ((1, 64), (3, 256))[position]
    width, seen = published.scaling.channels(base), _side(shapes, f"model.{layer}.conv.weight", 1)
    return published.stem_groups[position] if seen == 0 or width % seen else width // seen


def _foreign(shapes: Shapes) -> CheckpointError:
    relative = _relative(shapes)
    if relative is not None:
        return CheckpointError(f"is {relative}, not a YOLOv12 detector", _HINT)
    lacks = STEM if STEM not in shapes else "the attention of layer 6"
    first = next(iter(shapes))
    return CheckpointError(
        f"is no YOLOv12: its {len(shapes)} tensors (first {printable(first)}, "
        f"{list(shapes[first])}) lack {lacks} in a known size",
        _HINT,
    )


def _relative(shapes: Shapes) -> str | None:
    for pattern, what in _RELATIVES:
        if any(re.search(pattern, name) for name in shapes):
            return what
    return None


def _layers(names: Iterable[str]) -> str:
    return ", ".join(map(str, sorted({int(name.split(".")[1]) for name in names})))
