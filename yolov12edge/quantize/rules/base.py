"""What a quantization rule is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx

from yolov12edge.graph.view import GraphView


@dataclass(frozen=True)
class KeepFloat:
    """Leaves nodes in float.

    Attributes:
        name: what the manifest calls it.
        why: the reason, one line.
        applies: whether a node falls under it.
    """

    name: str
    why: str
    applies: Callable[[GraphView, onnx.NodeProto], bool]


@dataclass(frozen=True)
class QuantizeInputs:
    """Makes nodes read INT8.

    Attributes:
        name: what reports call it.
        why: the reason, one line.
        inputs: positions of the inputs of a node that are to be INT8; none if it does not apply.
    """

    name: str
    why: str
    inputs: Callable[[GraphView, onnx.NodeProto], Sequence[int]]


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


@dataclass(frozen=True)
class Equalize:
    """Evens out the channels that a convolution reads.

    Attributes:
        name: what reports call it.
        why: the reason, one line.
        applies: whether a convolution falls under it.
    """

    name: str
    why: str
    applies: Callable[[GraphView, onnx.NodeProto], bool]


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
    """

    name: str
    symmetric: bool
    keep: tuple[KeepFloat, ...]
    quantize: tuple[QuantizeInputs, ...]
    move_up: tuple[MoveUp, ...] = ()
    equalize: tuple[Equalize, ...] = ()

    @property
    def moved_through(self) -> frozenset[str]:
        """Operators that INT8 passes on its way up."""
        return frozenset().union(*(rule.operators for rule in self.move_up))
