"""What a lint is, and the list of all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, TypeVar

import onnx

from yolov12edge.graph.match import Match
from yolov12edge.graph.view import GraphView

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One violated rule: which, how bad, where and what to do.

    Attributes:
        at: the node or constant; empty where it is the graph.
    """

    lint: str
    severity: Severity
    message: str
    at: str = ""


class Violation(NamedTuple):
    """What a lint found, at a node or a constant; `at` is empty where it is the graph."""

    at: str
    message: str


class Lint(ABC):
    """One rule about a graph.

    Attributes:
        subject: what it looks at, in words.
        operators: of the nodes that it looks at.
        builders_only: holds for TensorRT's and TensorRT-RTX's builders, not for other runtimes.
    """

    name: ClassVar[str]
    severity: ClassVar[Severity]
    subject: ClassVar[str]
    operators: ClassVar[frozenset[str]] = frozenset()
    builders_only: ClassVar[bool] = False

    @abstractmethod
    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield every violation."""

    def looks_at(self, view: GraphView, node: onnx.NodeProto) -> bool:
        """Whether a node is of the kind that it looks at."""
        return node.op_type in self.operators

    def match(self, view: GraphView, node: onnx.NodeProto, violations: list[Violation]) -> Match:
        """What it says of one node, given what it found in the graph."""
        reads = {node.name, *node.input} - {""}
        found = [violation.message for violation in violations if violation.at in reads]
        if found:
            return Match(self.name, True, "; ".join(found))
        looked = self.looks_at(view, node)
        return Match(
            self.name, False, "nothing wrong" if looked else f"looks at {self.subject} only"
        )


LINTS: dict[str, type[Lint]] = {}
AnyLint = TypeVar("AnyLint", bound=type[Lint])


def register(lint: AnyLint) -> AnyLint:
    """Class decorator: add a lint to the list."""
    LINTS[lint.name] = lint
    return lint


def lint_graph(model: onnx.ModelProto, for_builder: bool = False) -> list[Finding]:
    """Run every lint; errors first.

    Args:
        model: the graph.
        for_builder: whether TensorRT or TensorRT-RTX will build it.
    """
    view = GraphView(model)
    findings = [
        Finding(lint.name, lint.severity, message, at)
        for lint in LINTS.values()
        if for_builder or not lint.builders_only
        for at, message in lint().check(view)
    ]
    return sorted(findings, key=lambda finding: finding.severity)
