"""What users of an artifact rely on: names, types, opset, metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator

from onnx import TensorProto

from yolov12edge.export.emit import INPUT_NAME, OUTPUT_NAME
from yolov12edge.export.lints.registry import Lint, Violation, register
from yolov12edge.graph.view import GraphView
from yolov12edge.runtime.metadata import METADATA_KEY


@register
class InputsAndOutputs(Lint):
    """`images` in, `detections` out, float32 both: what C++ users bind by name."""

    name = "inputs-outputs"
    severity = "error"
    subject = "inputs and outputs of the graph"

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a deviating end."""
        ends = (("input", view.graph.input, INPUT_NAME), ("output", view.graph.output, OUTPUT_NAME))
        for end, values, expected in ends:
            names = [value.name for value in values if value.name not in view.initializers]
            if names != [expected]:
                yield Violation(
                    "", f"graph {end}s are {', '.join(names) or 'none'}; expected {expected}"
                )
            for value in values:
                if value.name == expected and (
                    value.type.tensor_type.elem_type != TensorProto.FLOAT
                ):
                    yield Violation("", f"graph {end} {expected} is not float32")


@register
class Metadata(Lint):
    """Classes and letterbox constants travel inside the file."""

    name = "metadata"
    severity = "warning"
    subject = "metadata of the file"

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield a message if the metadata is absent or unreadable."""
        text = view.metadata.get(METADATA_KEY)
        if text is None:
            yield Violation(
                "", f"no {METADATA_KEY!r} metadata: classes and letterbox constants are unknown"
            )
            return
        try:
            document = json.loads(text)
        except ValueError:
            yield Violation("", f"the {METADATA_KEY!r} metadata is no JSON")
            return
        if not isinstance(document, dict) or not {"model", "input", "output"} <= document.keys():
            yield Violation("", f"the {METADATA_KEY!r} metadata lacks model, input or output")


@register
class QuantizationOpset(Lint):
    """Per-channel Q/DQ exists from opset 13, Q/DQ with FP16 scales from 19."""

    name = "quantization-opset"
    severity = "error"
    subject = "QuantizeLinear and DequantizeLinear"
    operators = frozenset({"QuantizeLinear", "DequantizeLinear"})

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield a message if Q/DQ nodes need a later opset."""
        quantized = [n for n in view.nodes if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
        if not quantized:
            return
        half = any(view.types.get(node.input[1]) == TensorProto.FLOAT16 for node in quantized)
        floor = 19 if half else 13
        if view.opset < floor:
            yield Violation(
                "", f"Q/DQ nodes of this kind need opset {floor}, the graph has {view.opset}"
            )
