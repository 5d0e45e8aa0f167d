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
        affected: versions of TensorRT that it holds for; empty if it does not depend on them.
    """

    name: ClassVar[str]
    severity: ClassVar[Severity]
    subject: ClassVar[str]
    operators: ClassVar[frozenset[str]] = frozenset()
    builders_only: ClassVar[bool] = False
    affected: ClassVar[tuple[str, ...]] = ()

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


ANY_VERSION = ""


def lint_graph(
    model: onnx.ModelProto, for_builder: bool = False, tensorrt: str | None = None
) -> list[Finding]:
    """Run every lint; errors first.

    Args:
        model: the graph.
        for_builder: whether TensorRT or TensorRT-RTX will build it.
        tensorrt: version of the TensorRT that will, "10.3", or "10" for any of those; "" for any
            at all. None where none will.
    """
    view = GraphView(model)
    findings = [
        Finding(lint.name, lint.severity, message, at)
        for lint in LINTS.values()
        if _holds(lint, for_builder, tensorrt)
        for at, message in lint().check(view)
    ]
    return sorted(findings, key=lambda finding: finding.severity)


def _holds(lint: type[Lint], for_builder: bool, tensorrt: str | None) -> bool:
    if not lint.affected:
        return for_builder or not lint.builders_only
    return tensorrt is not None and any(_may_be(tensorrt, bad) for bad in lint.affected)


def _may_be(version: str, other: str) -> bool:
    """Whether two versions, each as far as it is told, may be the same one."""
    told = zip(filter(None, version.split(".")), other.split("."), strict=False)
    return all(mine == theirs for mine, theirs in told)
