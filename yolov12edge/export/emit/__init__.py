"""From an export model to ONNX nodes, one function a module kind.

The graph is written, not traced: every node carries the path of the module it comes from, so a
profile, a lint or a drift report can name the block in the words of the checkpoint.
"""

from yolov12edge.export.emit import attention, head, layers
from yolov12edge.export.emit.head import OUTPUT_NAME
from yolov12edge.export.emit.model import INPUT_NAME, emit_model

__all__ = ["INPUT_NAME", "OUTPUT_NAME", "attention", "emit_model", "head", "layers"]
