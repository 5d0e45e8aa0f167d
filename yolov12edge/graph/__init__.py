"""ONNX graphs: one view to read them, one builder, in which precision nodes compute, a probe."""

from yolov12edge.graph.view import GraphView

__all__ = ["GraphView"]
