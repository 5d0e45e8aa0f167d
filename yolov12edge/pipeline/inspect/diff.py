"""What differs between two artifacts of one kind, fact by fact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import onnx

from yolov12edge.documents import Document
from yolov12edge.engine.inspection import EngineInspection
from yolov12edge.errors import UsageError
from yolov12edge.graph import GraphView, load_graph
from yolov12edge.pipeline.inspect.artifact import Inspection, RunInspection
from yolov12edge.pipeline.inspect.onnx import OnnxInspection
from yolov12edge.pipeline.inspect.plan import PlanInspection

Facts = dict[str, Any]
_KINDS = {"onnx": "ONNX file", "plan": "plan", "engine": "engine information", "run": "run folder"}
# True of every pair of files, and of no interest.
_TRIVIAL = frozenset({"path", "created", "seconds"})


class Difference(Document):
    """One fact that is not the same; None where one side lacks it."""

    fact: str
    before: str | int | float | bool | None
    after: str | int | float | bool | None


class InspectionDiff(Document):
    """Two artifacts of one kind and every fact in which they differ.

    Attributes:
        same: facts that agree.
    """

    kind: Literal["diff"] = "diff"
    of: str
    before: str
    after: str
    same: int
    differences: list[Difference]


def diff(before: Inspection, after: Inspection) -> InspectionDiff:
    """Compare two inspections.

    Plans are compared by their layers too, where these are known of both.

    Raises:
        UsageError: they are of different kinds.
    """
    one, two = before.kind, after.kind
    if one != two:
        raise UsageError(
            f"--diff compares artifacts of one kind, not a {_title(one)} and a {_title(two)}",
            "pass two ONNX files, two plans, two files of engine information or two run folders",
        )
    left, right = _facts(before), _facts(after)
    names = dict.fromkeys([*left, *right])
    differences = [
        Difference(fact=name, before=left.get(name), after=right.get(name))
        for name in names
        if left.get(name) != right.get(name)
    ]
    return InspectionDiff(
        of=_title(one),
        before=before.path,
        after=after.path,
        same=len(names) - len(differences),
        differences=differences,
    )


def _title(kind: str) -> str:
    return _KINDS.get(kind, kind)


def _facts(found: Inspection) -> Facts:
    if isinstance(found, OnnxInspection):
        return _onnx(found)
    if isinstance(found, EngineInspection):
        return _engine(found)
    if isinstance(found, PlanInspection):
        plan = found.model_dump(mode="json", exclude={"engine", "engine_reason", "reason"})
        return dict(_flat(plan)) | (_engine(found.engine) if found.engine else {})
    if isinstance(found, RunInspection):
        run = dict(_flat(found.manifest.model_dump(mode="json")))
        return run | (_engine(found.engine) if found.engine else {})
    return dict(_flat(found.model_dump(mode="json")))


def _onnx(found: OnnxInspection) -> Facts:
    """The graph's facts; of nodes and weights those that are in one file only."""
    plain = found.model_dump(mode="json", exclude={"attention", "lints", "metadata"})
    facts = dict(_flat(plain)) | dict(_flat(found.metadata or {}, "metadata"))
    lints = Counter(lint.lint for lint in found.lints)
    facts |= {f"lint {name}": count for name, count in lints.items()}
    for block in found.attention:
        facts[f"attention {block.name}"] = "; ".join(block.obstacles) or "can be fused"
    return facts | _members(Path(found.path))


def _members(path: Path) -> Facts:
    """Every node with its operator, every constant with its type and shape, by name."""
    view = GraphView(load_graph(path, weights=False))
    facts: Facts = {f"node {node.name}": node.op_type for node in view.nodes if node.name}
    for name, tensor in view.initializers.items():
        kind = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        facts[f"constant {name}"] = f"{kind} {list(tensor.dims)}"
    return facts


def _engine(found: EngineInspection) -> Facts:
    """An engine's sums, its attention and its blocks; single layers have no lasting names."""
    facts = dict(
        _flat(found.model_dump(mode="json", exclude={"layers", "blocks", "attention", "ends"}))
    )
    facts["layers"] = len(found.layers)
    for end in found.ends:
        facts[f"end {end.name}"] = f"{end.dtype} {end.shape}"
    for attention in found.attention:
        facts[f"attention {attention.name}"] = attention.fusion
        facts[f"attention {attention.name} kernels"] = attention.kernels
    for block in found.blocks:
        facts |= dict(_flat(block.model_dump(mode="json", exclude={"block"}), block.block))
    return facts


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values as (dotted name, plain value); lists of plain values as one text."""
    for key, value in document.items():
        name = f"{prefix} {key}" if prefix else str(key)
        if key in _TRIVIAL:
            continue
        if isinstance(value, dict):
            yield from _flat(value, name)
        elif isinstance(value, list):
            yield name, ", ".join(map(str, value))
        else:
            yield name, value
