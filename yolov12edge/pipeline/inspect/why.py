"""Why a node of an ONNX file computes as it does: precision, rules, lints, attention."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import checker, shape_inference

from yolov12edge.documents import Document
from yolov12edge.errors import CheckpointError, EdgeError, UsageError
from yolov12edge.export.lints import LINTS, Violation, attention_blocks
from yolov12edge.export.lints.registry import Lint
from yolov12edge.files import sha256_file
from yolov12edge.graph import GraphView, load_graph
from yolov12edge.graph.load import detach_external
from yolov12edge.graph.match import Match
from yolov12edge.graph.precisions import is_quantized, lowest_precision, node_precisions, uses_half
from yolov12edge.graph.saturation import int8_convolutions
from yolov12edge.quantize import CPU, CPU_VNNI, TENSORRT, Dialect
from yolov12edge.quantize.fp16 import float_reason
from yolov12edge.quantize.policy import Verdict, in_block, judge_node
from yolov12edge.quantize.restore import without_conversions
from yolov12edge.run.manifest import Manifest, read_manifest
from yolov12edge.runtime.metadata import METADATA_KEY

_NEAR = 3


class RuleAnswer(Document):
    """What one quantization rule or lint says of a node, and why."""

    rule: str
    applies: bool
    reason: str


class NodeAnswer(Document):
    """One node.

    Attributes:
        precision: what it computes in; None for a cast or Q/DQ.
        reason: why, one line.
        told_by: "manifest", where the run folder recorded it; "rules", asked here and now; "graph".
        rules: what every quantization rule says, by dialect; empty for graphs of other tools.
        lints: what every lint says; those for TensorRT's builders only where they matter.
        attention: the attention block that it belongs to.
        obstacles: what keeps engine builders from fusing that block; None outside attention.
    """

    node: str
    operator: str
    precision: str | None
    reason: str
    told_by: str
    rules: dict[str, list[RuleAnswer]]
    lints: list[RuleAnswer]
    attention: str | None
    obstacles: list[str] | None


class Explanation(Document):
    """What was asked about and every node that it names.

    Attributes:
        asked: a node, or a block of the network.
        lints_run: False where weights are kept in other files, which are not opened.
    """

    asked: str
    lints_run: bool
    nodes: list[NodeAnswer]


def explain(path: Path, asked: str) -> Explanation:
    """Say why nodes of an ONNX file compute as they do.

    What the manifest beside the file recorded of it comes first, then what the quantization rules
    say of the graph; the file may be of any precision, and of another tool.

    Args:
        path: the file.
        asked: name of a node, or a dotted block such as model.6.m.0.

    Raises:
        UsageError: no such file or node.
        CheckpointError: the file is no valid ONNX graph.
    """
    model = load_graph(path, weights=False)
    external = detach_external(model)
    try:
        checker.check_model(model)
        view = GraphView(shape_inference.infer_shapes(model))
    except (checker.ValidationError, shape_inference.InferenceError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no valid ONNX graph: {str(error).strip().splitlines()[0]}",
            "export the model again",
        ) from error
    chosen = _chosen(view, asked, path)
    graph = _Graph.of(view, path, lint=not external)
    return Explanation(
        asked=asked, lints_run=not external, nodes=[graph.answer(node) for node in chosen]
    )


def _chosen(view: GraphView, asked: str, path: Path) -> list[onnx.NodeProto]:
    exact = [node for node in view.nodes if node.name == asked]
    found = exact or [node for node in view.nodes if in_block(node.name, asked)]
    if not asked or not found:
        near = difflib.get_close_matches(asked, list(_names(view)), _NEAR, cutoff=0.5)
        raise UsageError(
            f"{path} has no node or block {asked!r}",
            f"near it: {', '.join(near)}" if near else "name blocks as in model.6.m.0.attn",
        )
    return found


def _names(view: GraphView) -> dict[str, None]:
    """Nodes and the blocks that they lie in."""
    names: dict[str, None] = {}
    for node in view.nodes:
        names[node.name] = None
        path = node.name.rpartition("/")[0]
        while path:
            names[path] = None
            path = path.rpartition(".")[0]
    return names


@dataclass(frozen=True)
class _Graph:
    """A graph and everything that is known of it beforehand.

    Attributes:
        plain: the graph without casts and Q/DQ, which the rules read.
        recorded: reasons of the manifest, by node.
        dialects: whose rules the file was made by, or would be made by.
        violations: by lint; None where lints cannot run.
    """

    view: GraphView
    plain: GraphView
    precisions: dict[str, str]
    recorded: dict[str, str]
    dialects: tuple[Dialect, ...]
    violations: dict[str, list[Violation]] | None

    @classmethod
    def of(cls, view: GraphView, path: Path, lint: bool) -> _Graph:
        manifest = _manifest_of(path)
        violations = {name: list(each().check(view)) for name, each in LINTS.items() if lint}
        return cls(
            view,
            without_conversions(view),
            {node.name: kind for node, kind in node_precisions(view)},
            _recorded(manifest, view),
            _dialects(view, manifest),
            violations if lint else None,
        )

    def answer(self, node: onnx.NodeProto) -> NodeAnswer:
        verdicts = dict(self._verdicts(node))
        reason, told_by = self._reason(node, list(verdicts.values()))
        attention = self._attention(node)
        return NodeAnswer(
            node=node.name,
            operator=node.op_type,
            precision=self.precisions.get(node.name),
            reason=reason,
            told_by=told_by,
            rules={name: _answers(verdict.matches) for name, verdict in verdicts.items()},
            lints=_answers([*self._lints(node)]),
            attention=attention[0] if attention else None,
            obstacles=attention[1] if attention else None,
        )

    def _reason(self, node: onnx.NodeProto, verdicts: Sequence[Verdict]) -> tuple[str, str]:
        """(reason, who tells it) of the precision that a node computes in."""
        kind = self.precisions.get(node.name)
        if kind is None:
            return "converts between precisions, computes nothing", "graph"
        if node.name in self.recorded and kind != "int8":
            return self.recorded[node.name], "manifest"
        if kind not in ("int8", "fp16", "fp32") or not self._ours:
            return f"the graph says so: its values are {kind}", "graph"
        half, quantized = uses_half(self.view), is_quantized(self.view)
        if half and kind == "fp32":
            return float_reason(node), "rules"
        if quantized and verdicts:
            return _of_int8(verdicts[0], kind)
        if half:
            return "AutoCast made it FP16: its values on the images stay within range", "rules"
        return "nothing in this file is FP16 or INT8", "graph"

    def _verdicts(self, node: onnx.NodeProto) -> Iterator[tuple[str, Verdict]]:
        plain = next((one for one in self.plain.nodes if one.name == node.name), None)
        if plain is None or not self._ours:
            return
        for dialect in self.dialects:
            try:
                yield dialect.name, judge_node(self.plain, dialect, plain)
            except (EdgeError, LookupError):
                return  # the rules know the form of our graphs alone

    @property
    def _ours(self) -> bool:
        return METADATA_KEY in self.view.metadata

    def _lints(self, node: onnx.NodeProto) -> Iterator[Match]:
        if self.violations is None:
            return
        for name, kind in LINTS.items():
            lint: Lint = kind()
            if not lint.builders_only or TENSORRT in self.dialects:
                yield lint.match(self.view, node, self.violations[name])

    def _attention(self, node: onnx.NodeProto) -> tuple[str, list[str]] | None:
        for block in attention_blocks(self.view):
            path = block.name.rpartition("/")[0]
            if block.name == node.name or (path and in_block(node.name, path)):
                return path or block.name, list(block.obstacles)
        return None


def _of_int8(verdict: Verdict, kind: str) -> tuple[str, str]:
    """What the rules say of a node of an INT8 file, next to what it really computes in."""
    if kind == "int8" and verdict.int8 is False:
        return "the graph says so: what it reads comes out of DequantizeLinear", "graph"
    if kind != "int8" and verdict.int8:
        return (
            f"left in float by who made the file, though a rule takes it ({verdict.reason})",
            "graph",
        )
    if kind != "int8" and verdict.int8 is None:
        return f"what it feeds is not INT8 ({verdict.reason})", "rules"
    return verdict.reason, "rules"


def _answers(matches: Sequence[Match]) -> list[RuleAnswer]:
    return [RuleAnswer(**match._asdict()) for match in matches]


def _manifest_of(path: Path) -> Manifest | None:
    """The manifest beside a file, where it describes these bytes."""
    try:
        manifest = read_manifest(path.parent)
    except EdgeError:
        return None
    return manifest if manifest.files.get(path.name) == sha256_file(path) else None


def _recorded(manifest: Manifest | None, view: GraphView) -> dict[str, str]:
    """Reasons of a manifest, which tells them of its lowest precision alone."""
    if manifest is None:
        return {}
    same = manifest.precision.name == lowest_precision(view)
    return manifest.precision.kept_in_float if same else {}


def _dialects(view: GraphView, manifest: Manifest | None) -> tuple[Dialect, ...]:
    """By whose rules an INT8 file was made; of a float file, whose its target would take."""
    for node in view.nodes:
        if node.op_type == "QuantizeLinear":
            zero = view.constant(node.input[2]) if len(node.input) > 2 else None
            if zero is not None and zero.dtype == np.int8:
                return (TENSORRT,)
            saturates = any(conv.headroom.saturating for conv in int8_convolutions(view))
            return (CPU_VNNI if saturates else CPU,)
    if manifest is None:
        return (TENSORRT, CPU)
    return (TENSORRT if manifest.target.backend.startswith("tensorrt") else CPU,)
