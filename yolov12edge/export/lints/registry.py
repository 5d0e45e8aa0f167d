"""What a lint is, and the list of all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

import onnx

from yolov12edge.graph.view import GraphView

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One violated rule: which, how bad, where and what to do."""

    lint: str
    severity: Severity
    message: str


class Lint(ABC):
    """One rule about a graph.

    Attributes:
        builders_only: holds for TensorRT's and TensorRT-RTX's builders, not for other runtimes.
    """

    name: ClassVar[str]
    severity: ClassVar[Severity]
    builders_only: ClassVar[bool] = False

    @abstractmethod
    def check(self, view: GraphView) -> Iterator[str]:
        """Yield one message a violation."""


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
        Finding(lint.name, lint.severity, message)
        for lint in LINTS.values()
        if for_builder or not lint.builders_only
        for message in lint().check(view)
    ]
    return sorted(findings, key=lambda finding: finding.severity)
