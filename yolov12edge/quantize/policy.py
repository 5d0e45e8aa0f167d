"""Which tensors of a graph become INT8, which share a scale, and what stays float and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from yolov12edge.errors import UsageError
from yolov12edge.graph.match import Match
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.rules import Dialect, KeepFloat

# Operators with arithmetic worth doing in INT8: what is left of these is reported.
WEIGHTY = frozenset({"Conv", "MatMul"})

Edge = tuple[str, int]
"""Name of a node and position of its input."""


@dataclass(frozen=True)
class QuantizationPlan:
    """What a dialect makes of a graph.

    Attributes:
        edges: tensor to the inputs that read it as INT8.
        groups: tensors that share one scale.
        convolutions: nodes with INT8 weights.
        kept: nodes that stay float, and the rule that left them.
    """

    edges: dict[str, tuple[Edge, ...]]
    groups: tuple[tuple[str, ...], ...]
    convolutions: tuple[str, ...]
    kept: dict[str, str]

    @property
    def tensors(self) -> tuple[str, ...]:
        """Every tensor that is quantized."""
        return tuple(self.edges)


def plan_quantization(
    model: onnx.ModelProto,
    dialect: Dialect,
    keep_blocks: Sequence[str] = (),
    costly: Mapping[str, str] | None = None,
) -> QuantizationPlan:
    """Apply the rules of a dialect to a float graph.

    Args:
        model: float32 graph of this package.
        dialect: rules of a family of runtimes.
        keep_blocks: dotted module paths whose nodes stay float, as drift reports name them.
        costly: convolutions that a measurement left in float, and why (quantize/budget.py); they
            take the place of the rules that the dialect's budget names. None: all rules hold.

    Raises:
        UsageError: a block that the graph does not have.
    """
    planner = _Planner(GraphView(model), dialect)
    rules = dialect.keep if costly is None else dialect.fixed
    kept: dict[str, str] = {}
    missing = [block for block in keep_blocks if not planner.holds(block)]
    if missing:
        raise UsageError(
            f"the model has no block {missing[0]!r}",
            "name blocks as the drift report does, for example model.6.m.0",
        )
    convolutions = []
    for node in model.graph.node:
        reason = _reason_to_keep(planner.view, rules, node, keep_blocks)
        if reason is None and costly is not None:
            reason = costly.get(node.name)
        if reason is not None:
            if node.op_type in WEIGHTY:
                kept[node.name] = reason
            continue
        inputs = {index for rule in dialect.quantize for index in rule.inputs(planner.view, node)}
        for index in sorted(inputs):
            planner.quantize(node, index)
        if node.op_type == "Conv" and 0 in inputs:
            convolutions.append(node.name)
    return QuantizationPlan(
        {tensor: tuple(sorted(edges)) for tensor, edges in planner.edges.items()},
        planner.groups(),
        tuple(convolutions),
        kept,
    )


def tensors_read(view: GraphView, plan: QuantizationPlan) -> dict[str, str]:
    """For every convolution of a plan a tensor of the plan whose step its input has."""
    found = {}
    for name in plan.convolutions:
        tensor = view.by_name[name].input[0]
        while tensor not in plan.edges:
            producer = view.producer(tensor)
            assert producer is not None, f"{tensor} is not quantized"
            tensor = producer.input[0]
        found[name] = tensor
    return found


def in_block(node: str, block: str) -> bool:
    """Whether a node belongs to a block or to one inside it."""
    return node.startswith((f"{block}.", f"{block}/"))


def _reason_to_keep(
    view: GraphView, rules: Sequence[KeepFloat], node: onnx.NodeProto, blocks: Sequence[str]
) -> str | None:
    if any(in_block(node.name, block) for block in blocks):
        return "keep-float: asked for"
    for rule in rules:
        if rule.applies(view, node):
            return f"{rule.name}: {rule.why}"
    return None


@dataclass(frozen=True)
class Verdict:
    """What a dialect makes of one node.

    Attributes:
        int8: it reads INT8; None where it passes on what it gets.
        reason: the rule that decided and why, one line.
        matches: every rule of the dialect, in the order asked, and why it applies or not.
    """

    int8: bool | None
    reason: str
    matches: tuple[Match, ...]


def judge_node(view: GraphView, dialect: Dialect, node: onnx.NodeProto) -> Verdict:
    """Ask every rule of a dialect about one node of a float graph."""
    matches = tuple(rule.match(view, node) for rule in dialect.rules)
    for rules, int8 in ((dialect.keep, False), (dialect.quantize, True), (dialect.move_up, None)):
        names = {rule.name for rule in rules}
        for match in matches:
            if match.applies and match.rule in names:
                return Verdict(int8, f"{match.rule}: {match.reason}", matches)
    return Verdict(False, f"no rule takes {node.op_type}", matches)


class _Planner:
    """Collects the tensors to quantize and which of them share a scale."""

    def __init__(self, view: GraphView, dialect: Dialect) -> None:
        self.view = view
        self.names = view.by_name
        self.edges: dict[str, set[Edge]] = {}
        self._through = dialect.moved_through
        self._parents: dict[str, str] = {}

    def holds(self, block: str) -> bool:
        return any(in_block(name, block) for name in self.names)

    def quantize(self, node: onnx.NodeProto, index: int) -> str:
        """Make one input INT8, as far up as the dialect moves; returns a tensor of its group."""
        tensor = node.input[index]
        producer = self.view.producer(tensor)
        if producer is not None and producer.op_type in self._through:
            sources = [
                self.quantize(producer, source)
                for source in (
                    self.view.computed_inputs(producer) if producer.op_type == "Concat" else [0]
                )
            ]
            for source in sources[1:]:
                self._join(sources[0], source)
            return sources[0]
        self.edges.setdefault(tensor, set()).add((node.name, index))
        return tensor

    def groups(self) -> tuple[tuple[str, ...], ...]:
        found: dict[str, list[str]] = {}
        for tensor in self.edges:
            found.setdefault(self._root(tensor), []).append(tensor)
        return tuple(tuple(group) for group in found.values())

    def _join(self, first: str, second: str) -> None:
        self._parents[self._root(second)] = self._root(first)

    def _root(self, tensor: str) -> str:
        while (parent := self._parents.get(tensor, tensor)) != tensor:
            tensor = parent
        return tensor
