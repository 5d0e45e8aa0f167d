"""Layers of an engine, read from the JSON of TensorRT's engine inspector.

Three generations are read, whatever wrote them (IEngineInspector, trtexec --exportLayerInfo):
TensorRT 8.4 to 10 with `Bindings` and `Format/Datatype`, TensorRT 11 with `I/O Tensors` and the two
apart, and from any version a plan that was built without detail, whose layers are names only.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

from yolov12edge.documents import Document
from yolov12edge.errors import CheckpointError
from yolov12edge.runtime.layer_names import NOWHERE, block_of, myelin_region, nodes_of

Role = Literal["compute", "reformat", "quantize", "nothing"]

_HINT = (
    "pass what trtexec --exportLayerInfo=FILE wrote, or IEngineInspector.get_engine_information "
    "in JSON"
)
# Longest first: "bfloat16" holds "float16", "float16" holds "float".
_TYPES = (
    ("bfloat16", "bf16"),
    ("bf16", "bf16"),
    ("float16", "fp16"),
    ("fp16", "fp16"),
    ("half", "fp16"),
    ("fp8", "fp8"),
    ("float8", "fp8"),
    ("fp4", "fp4"),
    ("uint8", "uint8"),
    ("int8", "int8"),
    ("int4", "int4"),
    ("int32", "int32"),
    ("int64", "int64"),
    ("bool", "bool"),
    ("fp32", "fp32"),
    ("float", "fp32"),
)
_BITS = {
    "fp32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "fp4": 4, "int8": 8, "uint8": 8, "int4": 4,
    "int32": 32, "int64": 64, "bool": 8,
}  # fmt: skip
# Operations in the names of kernels that TensorRT compiles are cut to three or four letters:
# __myl_TraSliResMov_myl0_3 transposes, slices, reshapes and moves.
_KERNEL = re.compile(r"__?myl_([A-Za-z]+)")
_MOVES = ("Transpose", "Slice", "Reshape", "Move", "Concat", "Replicate", "Copy", "Shuffle")
_QUANTIZES = ("Quantize", "Dequantize")
_CONVOLVES = re.compile(r"conv|correlation", re.IGNORECASE)  # deconv, CaskConvolution
_QUANTIZER = re.compile(r"(/quantize|QuantizeLinear(_\d+)?)$")
# What a compiled region's kernels are: generated, fused with what follows, or a library's own.
COMPILED = ("kgen", "runtime_fusion", "runtime_function", "correlation", "deconv", "gemm")
# Streams wait for each other, shapes are worked out: no kernel runs.
WAITING = ("wait", "signal")
_NO_KERNEL = ("NoOp", "shape_call", *WAITING)


class EngineTensor(Document):
    """A tensor of an engine; None where it is not told."""

    name: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    format: str | None = None

    @property
    def bytes(self) -> int | None:
        """Its size; None without a type or with an open dimension."""
        if self.dtype is None or self.shape is None or any(side < 0 for side in self.shape):
            return None
        return math.prod(self.shape) * _BITS[self.dtype] // 8


class EngineLayer(Document):
    """One layer of an engine.

    Attributes:
        kind: TensorRT's own name for it: CaskConvolution, gemm, kgen, Reformat; "" if not told.
        role: "reformat" only moves or converts data, "quantize" is a Q/DQ that was not fused,
            "nothing" takes no time by itself.
        precision: what it computes in; None if not told.
        nodes: graph nodes it was made of, as far as its name or metadata tells.
        block: the network's block; NOWHERE if none.
        weight_bytes, activation_bytes: of its constants, and of what it writes.
        inputs, constants, outputs: its tensors, as far as they are told.
        stream: which of the engine's streams it runs in; None if not told.
        ms: time of one run; None without a profile.
    """

    name: str
    kind: str
    role: Role
    precision: str | None
    nodes: tuple[str, ...]
    block: str
    tactic: str
    weight_bytes: int
    activation_bytes: int
    inputs: tuple[EngineTensor, ...] = ()
    constants: tuple[EngineTensor, ...] = ()
    outputs: tuple[EngineTensor, ...] = ()
    stream: int | None = None
    ms: float | None = None

    @property
    def bytes(self) -> int | None:
        """What it touches: every input, constant and output once; None if one is not told."""
        sizes = [tensor.bytes for tensor in (*self.inputs, *self.constants, *self.outputs)]
        known = [size for size in sizes if size is not None]
        return sum(known) if sizes and len(known) == len(sizes) else None

    @property
    def mover(self) -> bool:
        """A kernel beside convolutions and products: it moves, converts or adds up elements.

        Of kernels that TensorRT compiles every "kgen" but a fused attention, whatever it is named
        for: most only move, and those that compute too are kernels of their own.
        """
        if self.kind in COMPILED:
            return self.kind == "kgen" and not self.fused_attention
        return self.role in ("reformat", "quantize")

    @property
    def standing_quantizer(self) -> bool:
        """Q or DQ that takes a kernel instead of being part of one that computes."""
        if self.role == "quantize":
            return True
        return self.mover and any(_QUANTIZER.search(node) for node in self.nodes)

    @property
    def convolution(self) -> str | None:
        """The type in which it convolves, that of its input; None if it does not."""
        fused = self.kind == "runtime_fusion" and re.match(r"__myl_(Corr|Deco|Fc)", self.name)
        return self.precision if fused or _CONVOLVES.search(self.kind) else None

    @property
    def fused_attention(self) -> bool:
        """One of TensorRT's kernels for a whole attention (_gemm_mha_v2, fmha, ...)."""
        return bool(re.search(r"mha", f"{self.name} {self.tactic}".split("/")[-1], re.IGNORECASE))


def parse_layers(document: Any) -> tuple[list[EngineLayer], bool]:
    """Layers in the order they run, and whether they are detailed or names only.

    Args:
        document: the inspector's JSON, or just its list of layers.

    Raises:
        CheckpointError: it is something else.
    """
    entries = document.get("Layers") if isinstance(document, dict) else document
    if not entries and isinstance(document, dict) and document.get("unread"):
        raise CheckpointError(f"not seen: {document['unread']}", "build the plan again")
    if not isinstance(entries, list) or not entries:
        raise CheckpointError("there are no layers in this engine information", _HINT)
    if all(isinstance(entry, str) for entry in entries):
        return _with_blocks([_named(entry) for entry in entries]), False
    if not all(isinstance(entry, dict) and isinstance(entry.get("Name"), str) for entry in entries):
        raise CheckpointError("the layers of this engine information have no names", _HINT)
    return _with_blocks([_detailed(entry) for entry in entries]), True


def parse_ends(document: Any) -> list[EngineTensor]:
    """Inputs and outputs of the engine: by `Bindings` names only, by `I/O Tensors` in full."""
    if not isinstance(document, dict):
        return []
    listed = document.get("I/O Tensors")
    if isinstance(listed, list):
        return [_tensor(entry) for entry in listed if isinstance(entry, dict)]
    names = document.get("Bindings")
    listed = names if isinstance(names, list) else []
    return [EngineTensor(name=name) for name in listed if isinstance(name, str)]


def parse_type(text: str) -> str | None:
    """The element type in a text such as "Row major linear FP16 format" or "Half"."""
    lowered = text.lower()
    return next((short for word, short in _TYPES if word in lowered), None)


def _named(name: str) -> EngineLayer:
    nodes = nodes_of(name)
    return EngineLayer(
        name=name,
        kind="",
        role=_role(name, "", "", nodes),
        precision=None,
        nodes=nodes,
        block=block_of(nodes),
        tactic="",
        weight_bytes=0,
        activation_bytes=0,
    )


def _detailed(entry: dict[str, Any]) -> EngineLayer:
    name, kind = entry["Name"], _text(entry, "LayerType")
    nodes = nodes_of(name, _text(entry, "Metadata"))
    inputs, outputs, constants = (
        [_tensor(item) for item in _list(entry, key) if isinstance(item, dict)]
        for key in ("Inputs", "Outputs", "Constants")
    )
    weights = [_stored(entry.get(key)) for key in ("Weights", "Bias")]
    types = [dtype for dtype, _ in weights[:1]] + [tensor.dtype for tensor in (*inputs, *outputs)]
    return EngineLayer(
        name=name,
        kind=kind,
        role=_role(name, kind, _text(entry, "Origin"), nodes),
        precision=_text(entry, "Precision").lower() or next(filter(None, types), None),
        nodes=nodes,
        block=block_of(nodes),
        tactic=_text(entry, "TacticName"),
        weight_bytes=sum(size for _, size in weights) + _total(constants),
        activation_bytes=_total(outputs),
        inputs=tuple(inputs),
        constants=tuple(constants),
        outputs=tuple(outputs),
        stream=stream if isinstance(stream := entry.get("StreamId"), int) else None,
    )


def _role(name: str, kind: str, origin: str, nodes: Sequence[str]) -> Role:
    if kind in _NO_KERNEL:
        return "nothing"
    quantizing = bool(nodes) and all(
        re.search(r"(Quantize|Dequantize)Linear(_\d+)?$", node) for node in nodes
    )
    if origin == "QDQ" or (quantizing and not name.startswith("Reformatting")):
        return "quantize"
    if kind == "Reformat" or name.startswith("Reformatting CopyNode") or name.endswith(" copy"):
        return "reformat"
    kernel = _KERNEL.match(name)
    words = re.findall(r"[A-Z][a-z]*", kernel[1]) if kernel else []
    moves = [any(full.startswith(word) for full in _MOVES) for word in words]
    quantizes = [any(full.startswith(word) for full in _QUANTIZES) for word in words]
    if words and all(moves):
        return "reformat"
    if words and all(a or b for a, b in zip(moves, quantizes, strict=True)):
        return "quantize"
    return "compute"


def _with_blocks(layers: list[EngineLayer]) -> list[EngineLayer]:
    """Give layers whose name says nothing the block of their compiled region, else of the last.

    A region with layers of several blocks, as a network that is compiled whole, tells nothing.
    """
    regions: dict[str, set[str]] = defaultdict(set)
    for layer in layers:
        region = myelin_region(layer.name)
        if region is not None and layer.block != NOWHERE:
            regions[region].add(layer.block)
    found, last = [], NOWHERE
    for layer in layers:
        block = layer.block
        if block == NOWHERE:
            own = regions.get(myelin_region(layer.name) or "", set())
            block = next(iter(own)) if len(own) == 1 else last
        last = block
        found.append(layer.model_copy(update={"block": block}))
    return found


def _tensor(entry: dict[str, Any]) -> EngineTensor:
    told = " ".join(_text(entry, key) for key in ("Format/Datatype", "Datatype", "DataType"))
    shape = entry.get("Dimensions")
    whole = isinstance(shape, list) and all(isinstance(side, int) for side in shape)
    return EngineTensor(
        name=_text(entry, "Name"),
        dtype=parse_type(told) or parse_type(_text(entry, "Format")),
        shape=tuple(shape) if whole and shape is not None else None,
        format=_text(entry, "Format") or _text(entry, "Format/Datatype") or None,
    )


def _stored(entry: Any) -> tuple[str | None, int]:
    """Type and bytes of {"Type": "Int8", "Count": 864}."""
    if not isinstance(entry, dict) or not isinstance(entry.get("Count"), int):
        return None, 0
    dtype = parse_type(_text(entry, "Type"))
    return (dtype, entry["Count"] * _BITS[dtype] // 8) if dtype and entry["Count"] else (None, 0)


def _total(tensors: Sequence[EngineTensor]) -> int:
    return sum(tensor.bytes or 0 for tensor in tensors)


def _text(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _list(entry: dict[str, Any], key: str) -> list[Any]:
    value = entry.get(key)
    return value if isinstance(value, list) else []
