"""From the PyTorch detector to a clean ONNX graph: rewrite steps, emission, lints, parity."""

from yolov12edge.export.lints import AttentionBlock, Finding, attention_blocks, lint_graph
from yolov12edge.export.modules import ATTENTION_VARIANTS, AttentionVariant
from yolov12edge.export.onnx_export import (
    ExportOptions,
    OnnxExport,
    Parity,
    check_parity,
    export_onnx,
    graph_statistics,
    probe_picture,
)
from yolov12edge.export.rewrite import StepProof

__all__ = [
    "ATTENTION_VARIANTS",
    "AttentionBlock",
    "AttentionVariant",
    "ExportOptions",
    "Finding",
    "OnnxExport",
    "Parity",
    "StepProof",
    "attention_blocks",
    "check_parity",
    "export_onnx",
    "graph_statistics",
    "lint_graph",
    "probe_picture",
]
