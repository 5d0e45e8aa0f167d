"""Why a parser refused an ONNX file: the node, the reason in one line, what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from yolov12edge.engine.onnx_file import OnnxNetwork
from yolov12edge.errors import ExportError
from yolov12edge.runtime.tensorrt_log import one_line


def parse_error(
    title: str, network: OnnxNetwork, errors: Sequence[Any], otherwise: str
) -> ExportError:
    """The error to raise for a parser's own.

    Args:
        title: the library and its version.
        network: what was parsed.
        errors: the library's ParserErrors, the first of which is reported.
        otherwise: the reason where there are none.
    """
    if not errors:
        return ExportError(f"{title} cannot parse {network.path}: {otherwise}", _PARSE_HINT)
    name, operator = _node_of(errors[0], network)
    where = f"node {name or '(unnamed)'} ({operator}): " if operator else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    code = errors[0].code().name
    hint = _PARSE_HINTS.get(code, _PARSE_HINT)
    return ExportError(
        f"{title} cannot parse {network.path}: {where}{_description(errors[0])}{more}",
        hint.format(operator=operator or "this node", title=title),
    )


def _description(error: Any) -> str:
    """The error's text; of a failed assertion `condition && "text"` only the text."""
    text = one_line(error.desc())
    quoted = _ASSERTED.search(text)
    return quoted.group(1) if quoted else text


def _node_of(error: Any, network: OnnxNetwork) -> tuple[str, str]:
    """Name and operator of the node an error is about; ("", "") where it is about none."""
    if hasattr(error, "node_operator") and error.node_operator():
        return error.node_name(), error.node_operator()
    # Before TensorRT 10 an error carries only the node's number.
    index = error.node()
    return network.nodes[index] if 0 <= index < len(network.nodes) else ("", "")


_ASSERTED = re.compile(r'&& "(.+)"$')
_PARSE_HINT = "see what the graph holds: yolov12edge inspect model.onnx"
_NO_OPERATOR = (
    "{operator} is no operator of {title}: export the model again with yolov12edge export, "
    "or take the node out"
)
_OTHER_FORM = "export with another --opset: {title} lacks this form of {operator}"
_PARSE_HINTS = {
    "INVALID_NODE": _NO_OPERATOR,
    "UNSUPPORTED_NODE": _NO_OPERATOR,
    "UNSUPPORTED_NODE_ATTR": _OTHER_FORM,
    "UNSUPPORTED_NODE_INPUT": _OTHER_FORM,
    "UNSUPPORTED_NODE_DATATYPE": "export in another precision: {title} lacks this {operator}",
    "UNSUPPORTED_NODE_DYNAMIC": "export with a fixed image size",
    "UNSUPPORTED_NODE_SHAPE": "export with a fixed image size",
    "MODEL_DESERIALIZE_FAILED": "export again, with a lower --opset if the library is old",
}
