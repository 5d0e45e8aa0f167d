"""FP16 written into the graph by ModelOpt AutoCast, which decides node by node on real images.

Input and output stay float32. Box decoding stays float32 as well: its values reach the image size,
where FP16 counts in half pixels.
"""

from __future__ import annotations

import contextlib
import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from yolov12edge.errors import DataError, ExportError, UnsupportedError
from yolov12edge.files import write_bytes
from yolov12edge.graph.builder import checked
from yolov12edge.graph.load import load_graph
from yolov12edge.graph.precisions import count_precisions, node_precisions
from yolov12edge.graph.view import GraphView
from yolov12edge.interrupts import interrupts_held
from yolov12edge.libraries import load_onnxruntime

FP16_MAX = 65504.0
# AutoCast keeps a node in float32 if a value on the images exceeds this; NVIDIA's own default.
RANGE_LIMIT = 512.0
ACTIVATION_BUDGET = 2 << 30
MAX_IMAGES = 8


@dataclass(frozen=True)
class FloatRule:
    """Nodes that stay float32 by policy, and why."""

    prefix: str
    why: str


FLOAT_RULES = (
    FloatRule(".decode/probabilities", "the box distribution decides sub-pixel positions"),
    FloatRule(".decode/flat_probabilities", "part of box decoding"),
    FloatRule(".decode/weighted", "distances add up over 16 bins"),
    FloatRule(".decode/distances", "distances add up over 16 bins"),
    FloatRule(".decode/split", "part of box decoding"),
    FloatRule(".decode/apart", "part of box decoding"),
    FloatRule(".decode/centre", "part of box decoding"),
    FloatRule(".decode/size", "part of box decoding"),
    FloatRule(".decode/cells", "distances add up over 16 bins"),
    FloatRule(".decode/pixels", "values reach the image size, where FP16 counts in half pixels"),
    FloatRule(".decode/box_rows", "values reach the image size, where FP16 counts in half pixels"),
    FloatRule(".decode/box", "values reach the image size, where FP16 counts in half pixels"),
    FloatRule(".decode/scores", "small scores vanish in FP16, and a CPU judge may get them wrong"),
    FloatRule(".decode/detections", "the output is float32"),
)


@dataclass(frozen=True)
class Fp16Conversion:
    """What became of the graph.

    Attributes:
        path: the FP16 file.
        nodes: number of nodes by precision, casts apart.
        kept: nodes left in float32 and why.
        images: images that AutoCast saw.
    """

    path: Path
    nodes: dict[str, int]
    kept: dict[str, str]
    images: int


def convert_to_fp16(
    source: Path, target: Path, images: Sequence[NDArray[np.float32]]
) -> Fp16Conversion:
    """Write an FP16 twin of a float32 ONNX file.

    Args:
        source: float32 ONNX with input `images` and output `detections`.
        target: where the twin goes.
        images: real pictures, each (3, H, W) RGB in 0..1 at the file's size.

    Raises:
        DataError: no images.
        ExportError: AutoCast failed, or a weight does not fit FP16.
        UnsupportedError: ModelOpt or ONNX Runtime is not installed.
    """
    if not images:
        raise DataError(
            "FP16 conversion needs real images and got none",
            "pass --calib DIR (pictures as the camera sees them) or --data data.yaml",
        )
    model = load_graph(source)
    _refuse_overflow(model)
    chosen = images[: _image_budget(model)]
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
        for index, image in enumerate(chosen):
            np.savez(Path(folder) / f"{index:04d}.npz", images=_fill_batch(image, model))
        converted = _autocast(source, Path(folder))
    converted = _finish(converted, model)
    write_bytes(target, converted.SerializeToString(deterministic=True))
    view = GraphView(converted)
    counts = count_precisions(view)
    nodes = {name: counts.get(name, 0) for name in ("fp16", "fp32")}
    return Fp16Conversion(target, nodes, _float_nodes(view), len(chosen))


def _autocast(source: Path, images: Path) -> onnx.ModelProto:
    load_onnxruntime()  # ModelOpt runs the images in it
    try:
        with _quiet_modelopt(), interrupts_held():
            from modelopt.onnx.autocast import convert_to_mixed_precision
    except ImportError as error:
        raise UnsupportedError(
            f"FP16 conversion needs NVIDIA ModelOpt: {error}",
            'install it with: pip install "yolov12edge[quantize]"',
        ) from error
    with _quiet_modelopt():
        try:
            converted: onnx.ModelProto = convert_to_mixed_precision(
                str(source),
                low_precision_type="fp16",
                nodes_to_exclude=[_pattern(rule) for rule in FLOAT_RULES],
                data_max=RANGE_LIMIT,
                init_max=FP16_MAX,
                keep_io_types=True,
                calibration_data=str(images),
            )
        except Exception as error:
            raise ExportError(
                f"ModelOpt AutoCast failed: {type(error).__name__}: {error}",
                "export with --fp32, or report this with the checkpoint",
            ) from error
    return converted


def _pattern(rule: FloatRule) -> str:
    return r"^model\.\d+" + rule.prefix.replace(".", r"\.") + "$"


@contextlib.contextmanager
def _quiet_modelopt() -> Iterator[None]:
    """Keep ModelOpt's log lines off stdout, which belongs to results."""
    with contextlib.redirect_stdout(_Discard()):
        logging.getLogger("modelopt").setLevel(logging.ERROR)
        logging.getLogger("modelopt.onnx").setLevel(logging.ERROR)
        logging.getLogger("modelopt.onnx.autocast").setLevel(logging.ERROR)
        yield


class _Discard:
    """A file that forgets what is written to it."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return


def _refuse_overflow(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            largest = float(np.abs(onnx.numpy_helper.to_array(tensor)).max(initial=0))
            if not largest <= FP16_MAX:
                raise ExportError(
                    f"weight {tensor.name} reaches {largest:.3g}, beyond FP16's {FP16_MAX:.0f}",
                    "export with --fp32, and check the checkpoint with: yolov12edge inspect",
                )


def _image_budget(model: onnx.ModelProto) -> int:
    """Images AutoCast may hold all activations of at once, within the memory budget."""
    sizes = (
        math.prod(max(dimension.dim_value, 1) for dimension in value.type.tensor_type.shape.dim)
        for value in model.graph.value_info
    )
    return int(min(MAX_IMAGES, max(1, ACTIVATION_BUDGET // (4 * max(sum(sizes), 1)))))


def _fill_batch(image: NDArray[np.float32], model: onnx.ModelProto) -> NDArray[np.float32]:
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    return np.repeat(image[None], batch, axis=0)


def _finish(converted: onnx.ModelProto, source: onnx.ModelProto) -> onnx.ModelProto:
    """Give the twin the metadata and the producer of its source, and check it."""
    helper.set_model_props(converted, {p.key: p.value for p in source.metadata_props})
    converted.producer_name = source.producer_name
    converted.producer_version = source.producer_version
    converted.ir_version = source.ir_version
    del converted.graph.value_info[:]
    return checked(converted)


def _float_nodes(view: GraphView) -> dict[str, str]:
    """Nodes that compute in float32, with the reason."""
    return {node.name: float_reason(node) for node, kind in node_precisions(view) if kind == "fp32"}


def float_reason(node: onnx.NodeProto) -> str:
    """Why a node of an FP16 file stays float32."""
    for rule in FLOAT_RULES:
        if node.name.endswith(rule.prefix):
            return f"policy: {rule.why}"
    return f"AutoCast: a value beyond {RANGE_LIMIT:.0f} on the images"
