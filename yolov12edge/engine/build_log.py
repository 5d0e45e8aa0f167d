"""What a builder says it made, read from its log into the form of TensorRT's engine inspector.

TensorRT-RTX compiles ahead of time, with no GPU. At profiling verbosity DETAILED its log ends with
one line a kernel: name, type, tensors with dimensions, strides, types and formats, tactic, stream,
and the ONNX nodes it came from. The list is read whole or not at all: a line of another form than
1.7.1 writes, a kind or type that is not known, a number that is missing make the log unread, never
a figure wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from yolov12edge.runtime.layer_names import attention_of, nodes_of

# What a message must contain to be kept for this.
MARK = "LayerType: "
# What 1.7.1 calls its kernels, and what is no kernel; figures go by these.
_KINDS = frozenset(
    ("kgen", "runtime_fusion", "runtime_function", "correlation", "deconv", "gemm", "wait",
     "signal", "shape_call", "maxpool")
)  # fmt: skip
_TYPES = frozenset(
    ("Float", "Half", "BF16", "FP8", "FP4", "Int4", "Int8", "UInt8", "Int32", "Int64", "Bool")
)
_IO = re.compile(r"^ ?Name: (.+?), IOMode: (\w+), DataType: ", re.MULTILINE)
_NUMBER = re.compile(r"_myl(?P<region>\d+)_(?P<number>\d+)$")
_BEGIN, _END = "Layers:", "I/O Tensors:"

_LINE = re.compile(
    r"Name: (?P<name>[^,]+), LayerType: (?P<kind>\w+), Inputs: (?P<inputs>\[.*?\]), "
    r"Constants: (?P<constants>\[.*?\]), Outputs: (?P<outputs>\[.*?\]), "
    r"TacticName: (?P<tactic>.*?), StreamId: (?P<stream>\d+)(?:, EventId: (?P<event>\d+))?, "
    r"Metadata: ?(?P<metadata>(?:\[ONNX Layer: [^\[\]]+\](?:__\w+)?\x1f?)*)"
)
# What it compiled is named for its operations, __myl_SlicConc_myl0_10, and its tactic after it.
_COMPILED = re.compile(r"__myl_(?:[A-Z][a-z]{0,3})+|_gemm_mha_v\d+")
_TENSOR = re.compile(
    r"\{ Name: (?P<name>[^{},]+), Dimensions: \[(?P<shape>-?\d+(?:,-?\d+)*)?\], "
    r"Strides: \[[-\d,]*\], StrideOrder: \[[-\d,]*\], Datatype: (?P<dtype>\w+), "
    r"Format: (?P<format>[^{}:]*?) \}"
)


@dataclass(frozen=True)
class BuildLog:
    """The kernels of one engine.

    Attributes:
        layers: in the order they run, each as the engine inspector would tell it.
        unread: why there are none although the builder spoke of some; None if all were read.
    """

    layers: tuple[dict[str, Any], ...] = ()
    unread: str | None = None


def read_build_log(messages: Sequence[str]) -> BuildLog:
    """Read what was kept of a log: messages that contain `MARK`, one for each engine."""
    if not messages:
        return BuildLog()
    if len(messages) > 1:
        return BuildLog(unread=f"the builder listed the kernels of {len(messages)} engines")
    lines = _listed(messages[0])
    if lines is None:
        return BuildLog(unread="the list of kernels has no beginning or no end that is known")
    layers = [layer for line in lines if (layer := _layer(line)) is not None]
    unknown = len(lines) - len(layers)
    if unknown:
        return BuildLog(
            unread=f"{unknown} of {len(lines)} lines about kernels have a form that is not known"
        )
    if not _numbered([layer["Name"] for layer in layers]):
        return BuildLog(unread="kernels are not numbered as they should be: some may be missing")
    if not _paired(layers):
        return BuildLog(unread="streams wait for what no stream signals: some lines are missing")
    if not _ends_are_met(messages[0], layers):
        return BuildLog(unread="no kernel reads the input, or writes the output: some are missing")
    return BuildLog(tuple(layers))


def _numbered(names: Sequence[str]) -> bool:
    """Whether names count up from 0 in every region, as x_myl0_0, y_myl0_1: none is missing."""
    following: dict[str, int] = {}
    for name in names:
        found = _NUMBER.search(name)
        if found is None or int(found["number"]) != following.get(found["region"], 0):
            return False
        following[found["region"]] = int(found["number"]) + 1
    return True


def _paired(layers: Sequence[dict[str, Any]]) -> bool:
    """Whether every signal is waited for, every wait signalled, and every stream joins stream 0."""
    signalled, awaited = (
        {layer["EventId"] for layer in layers if layer["LayerType"] == kind}
        for kind in ("signal", "wait")
    )
    last = {layer["StreamId"]: layer["LayerType"] for layer in layers}
    joined = all(kind == "signal" for stream, kind in last.items() if stream != 0)
    return signalled == awaited and joined


def _ends_are_met(message: str, layers: Sequence[dict[str, Any]]) -> bool:
    """Whether a kernel reads every input of the network, and one writes every output."""
    ends = _IO.findall(message)
    read, written = (
        {tensor["Name"] for layer in layers for tensor in layer[key]}
        for key in ("Inputs", "Outputs")
    )
    return bool(ends) and all(name in (read if mode == "Input" else written) for name, mode in ends)


def _listed(message: str) -> list[str] | None:
    """The lines between "Layers:" and "I/O Tensors:"; None if either is missing."""
    lines = [line.strip() for line in message.split("\n")]
    if lines.count(_BEGIN) != 1 or lines.count(_END) != 1:
        return None
    return [line for line in lines[lines.index(_BEGIN) + 1 : lines.index(_END)] if line]


def _layer(line: str) -> dict[str, Any] | None:
    found = _LINE.fullmatch(line)
    if found is None or not _means_what_it_says(**found.groupdict()):
        return None
    parts = {key: _tensors(found[key]) for key in ("inputs", "constants", "outputs")}
    if any(tensors is None for tensors in parts.values()):
        return None
    return {
        "Name": found["name"],
        "LayerType": found["kind"],
        "Inputs": parts["inputs"],
        "Constants": parts["constants"],
        "Outputs": parts["outputs"],
        "TacticName": found["tactic"],
        "StreamId": int(found["stream"]),
        "EventId": found["event"] and int(found["event"]),
        "Metadata": found["metadata"],
    }


def _means_what_it_says(name: str, kind: str, tactic: str, metadata: str, **_: str) -> bool:
    """Whether what kernels are told apart by is such as 1.7.1 gives: name, kind and nodes."""
    stem = _NUMBER.sub("", name)
    if kind == "kgen" and not tactic.startswith(f"{stem}_0x"):
        return False
    if "mha" in stem and len({attention_of(node) for node in nodes_of(name, metadata)}) != 1:
        return False
    compiled = kind in ("kgen", "runtime_fusion", "runtime_function")
    return kind in _KINDS and (not compiled or bool(_COMPILED.fullmatch(stem)))


def _tensors(text: str) -> list[dict[str, Any]] | None:
    """The tensors of a list; None if it holds anything else, or a type that is not known."""
    if re.fullmatch(r"\[ ?\]", text):
        return []
    tensors = [
        {
            "Name": found["name"],
            "Dimensions": [int(side) for side in (found["shape"] or "").split(",") if side],
            "Format/Datatype": found["format"],
            "Datatype": found["dtype"],
        }
        for found in _TENSOR.finditer(text)
    ]
    rest = _TENSOR.sub("", text)
    known = all(tensor["Datatype"] in _TYPES for tensor in tensors)
    return tensors if known and re.fullmatch(r"\[[ ,]*\]", rest) else None
