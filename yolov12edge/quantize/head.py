"""Where the detection head of an exported graph is, by the names that the exporter gives."""

from __future__ import annotations

import re

import onnx

from yolov12edge.graph.view import GraphView

# Class logits, box distributions, and the first convolutions of the box branches.
LOGITS = re.compile(r"model\.\d+\.cv3\.(\d+)\.2/conv")
BOXES = re.compile(r"model\.\d+\.cv2\.(\d+)\.2/conv")
ENTRIES = re.compile(r"model\.\d+\.cv2\.(\d+)\.0/conv")


def head_convolutions(view: GraphView, pattern: re.Pattern[str]) -> list[onnx.NodeProto]:
    """The convolutions of one kind, in graph order, which is that of levels; none without a head.

    Args:
        pattern: `LOGITS`, `BOXES` or `ENTRIES`.
    """
    return [node for node in view.nodes if pattern.fullmatch(node.name)]
