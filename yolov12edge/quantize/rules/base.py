"""What a quantization rule is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx

from yolov12edge.graph.match import Match
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.limits import Limit


@dataclass(frozen=True)
class KeepFloat:
    """Leaves nodes in float.

    Attributes:
        name: what the manifest calls it.
        why: the reason, one line.
        takes: which nodes, in words.
        applies: whether a node falls under it.
    """

    name: str
    why: str
    takes: str
    applies: Callable[[GraphView, onnx.NodeProto], bool]

    def match(self, view: GraphView, node: onnx.NodeProto) -> Match:
        """Whether it keeps a node in float."""
        return _match(self, self.applies(view, node))


@dataclass(frozen=True)
class QuantizeInputs:
    """Makes nodes read INT8.

    Attributes:
        name: what reports call it.
        why: the reason, one line.
        takes: which nodes, in words.
        inputs: positions of the inputs of a node that are to be INT8; none if it does not apply.
    """

    name: str
    why: str
    takes: str
    inputs: Callable[[GraphView, onnx.NodeProto], Sequence[int]]

    def match(self, view: GraphView, node: onnx.NodeProto) -> Match:
        """Whether it makes a node read INT8."""
        return _match(self, bool(self.inputs(view, node)))


@dataclass(frozen=True)
class MoveUp:
    """Quantizes what enters a moving operator instead of what leaves it, with one scale for all.

    Attributes:
        name: what reports call it.
        why: the reason, one line.
        operators: operators that values pass unchanged.
    """

    name: str
    why: str
    operators: frozenset[str]

    @property
    def takes(self) -> str:
        """Which nodes, in words."""
        return ", ".join(sorted(self.operators))

    def match(self, view: GraphView, node: onnx.NodeProto) -> Match:
        """Whether a node passes INT8 on to what it feeds."""
        return _match(self, node.op_type in self.operators)


@dataclass(frozen=True)
class Equalize:
    """Evens out the channels that a convolution reads.

    Attributes:
        name: what reports call it.
        why: the reason, one line.
        takes: which convolutions, in words.
        applies: whether a convolution falls under it.
    """

    name: str
    why: str
    takes: str
    applies: Callable[[GraphView, onnx.NodeProto], bool]

    def match(self, view: GraphView, node: onnx.NodeProto) -> Match:
        """Whether the channels that a node reads are evened out."""
        return _match(self, self.applies(view, node))


@dataclass(frozen=True)
class LimitWeights:
    """Keeps INT8 weights so small that no processor overflows.

    Attributes:
        name: what reports call it.
        why: the reason, one line.
        takes: which nodes, in words.
        limit: makes weights fit.
    """

    name: str
    why: str
    takes: str
    limit: Limit

    def match(self, view: GraphView, node: onnx.NodeProto) -> Match:
        """Whether a node's weights are limited where it is INT8."""
        return _match(self, node.op_type == "Conv")


@dataclass(frozen=True)
class FloatBudget:
    """Lets a measurement choose what stays float, where images say what INT8 costs.

    Attributes:
        replaces: names of the rules whose place the measurement takes.
        convolutions: how many it may leave in float.
        work: share of the multiply-adds of all convolutions that these may have.
        never: whether it may not choose a convolution, whatever it costs; None: it may any.
    """

    replaces: frozenset[str]
    convolutions: int
    work: float
    never: Callable[[GraphView, onnx.NodeProto], bool] | None = None


Rule = KeepFloat | QuantizeInputs | MoveUp | Equalize | LimitWeights


def _match(rule: Rule, applies: bool) -> Match:
    return Match(rule.name, applies, rule.why if applies else f"takes {rule.takes}")


@dataclass(frozen=True)
class Dialect:
    """Everything one family of runtimes wants.

    Attributes:
        name: of the dialect.
        symmetric: zero point 0 and int8 activations; else uint8 with a zero point.
        keep: the first rule that applies to a node leaves it in float.
        quantize: rules that make nodes read INT8.
        move_up: operators to quantize in front of.
        equalize: convolutions whose input channels are evened out first.
        weights: what INT8 weights must keep to; None where all of -127..127 will do.
        budget: what a measurement may leave in float in place of rules; None: rules decide.
    """

    name: str
    symmetric: bool
    keep: tuple[KeepFloat, ...]
    quantize: tuple[QuantizeInputs, ...]
    move_up: tuple[MoveUp, ...] = ()
    equalize: tuple[Equalize, ...] = ()
    weights: LimitWeights | None = None
    budget: FloatBudget | None = None

    @property
    def fixed(self) -> tuple[KeepFloat, ...]:
        """Rules that hold whatever a measurement says."""
        replaced = frozenset[str]() if self.budget is None else self.budget.replaces
        return tuple(rule for rule in self.keep if rule.name not in replaced)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All of them, in the order in which they are asked."""
        limits = () if self.weights is None else (self.weights,)
        return (*self.keep, *self.quantize, *self.move_up, *self.equalize, *limits)

    @property
    def moved_through(self) -> frozenset[str]:
        """Operators that INT8 passes on its way up."""
        return frozenset().union(*(rule.operators for rule in self.move_up))
