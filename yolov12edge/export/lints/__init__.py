"""Checks on an exported graph: one small class each, registered by name.

An error is what an engine builder would refuse or what makes the artifact useless to others; a
warning costs speed or clarity.
"""

from yolov12edge.export.lints import (
    attention,
    contract,
    numbers,
    quantization,
    residuals,
    structure,
)
from yolov12edge.export.lints.attention import AttentionBlock, attention_blocks
from yolov12edge.export.lints.registry import LINTS, Finding, Lint, Violation, lint_graph

__all__ = [
    "LINTS",
    "AttentionBlock",
    "Finding",
    "Lint",
    "Violation",
    "attention",
    "attention_blocks",
    "contract",
    "lint_graph",
    "numbers",
    "quantization",
    "residuals",
    "structure",
]
