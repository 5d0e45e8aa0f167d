"""ONNX graphs: how they are read and built, and in which precision their nodes compute."""

from yolov12edge.graph.load import load_graph
from yolov12edge.graph.view import GraphView

__all__ = ["GraphView", "load_graph"]
