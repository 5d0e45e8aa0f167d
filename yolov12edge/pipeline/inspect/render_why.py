"""Why a node computes as it does, for people, in 80 columns."""

from __future__ import annotations

from collections import Counter

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from yolov12edge.pipeline.inspect.why import Explanation, NodeAnswer, RuleAnswer
from yolov12edge.tables import new_fields, new_table, spaced

_SHOWN = 12


def render_why(found: Explanation) -> RenderableType:
    """One node with every rule and lint; of a block its nodes, and what lints found there."""
    if len(found.nodes) == 1:
        return _node(found.nodes[0], found.lints_run)
    return spaced([_block(found), _table(found.asked, found.nodes)])


def _node(node: NodeAnswer, lints_run: bool) -> RenderableType:
    facts = new_fields(escape(node.node))
    for name, value in {
        "operator": node.operator,
        "precision": node.precision or "-",
        "why": node.reason,
        "told by": node.told_by,
        "attention": _attention(node),
        "lints": _lints([node]) if lints_run else _NOT_RUN,
    }.items():
        facts.add_row(name, Text(value))
    return spaced([facts, *(_rules(name, answers) for name, answers in node.rules.items())])


_NOT_RUN = "not run: constants are kept in other files"


def _rules(dialect: str, answers: list[RuleAnswer]) -> Table:
    table = new_table(f"rules of {dialect}: the first that applies decides")
    table.add_column("rule", no_wrap=True)
    table.add_column("applies", no_wrap=True)
    table.add_column("because", overflow="fold")
    for answer in answers:
        says = Text("yes", "bold") if answer.applies else Text("no", "dim")
        table.add_row(answer.rule, says, escape(answer.reason))
    return table


def _block(found: Explanation) -> Table:
    facts = new_fields(escape(found.asked))
    counts = Counter(node.precision or "conversions" for node in found.nodes)
    blocks = {node.attention: node for node in found.nodes if node.attention}
    rows = {
        "nodes": f"{len(found.nodes)}: "
        + ", ".join(f"{count} {kind}" for kind, count in counts.most_common()),
        "attention": "\n".join(f"{name}: {_attention(node)}" for name, node in blocks.items()),
        "lints": _lints(found.nodes) if found.lints_run else _NOT_RUN,
    }
    for name, value in rows.items():
        facts.add_row(name, Text(value or "none"))
    return facts


def _table(asked: str, nodes: list[NodeAnswer]) -> Table:
    """Nodes that compute in one precision for one reason share a row."""
    table = new_table("nodes")
    table.add_column("precision", no_wrap=True)
    table.add_column("because", overflow="fold", ratio=2)
    table.add_column("nodes", overflow="fold", ratio=3)
    rows: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        if node.precision is not None:
            name = node.node.removeprefix(asked).lstrip("./")
            rows.setdefault((node.precision, node.reason), []).append(name)
    for (precision, reason), names in rows.items():
        listed = ", ".join(names[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more (all with --json)" if len(names) > _SHOWN else ""
        table.add_row(precision, escape(reason), escape(listed + more))
    return table


def _attention(node: NodeAnswer) -> str:
    if node.attention is None:
        return "in no attention block"
    return "; ".join(node.obstacles or []) or "in the form that engine builders fuse"


def _lints(nodes: list[NodeAnswer]) -> str:
    found = [f"{lint.rule}: {lint.reason}" for node in nodes for lint in node.lints if lint.applies]
    return "\n".join(dict.fromkeys(found)) or "clean"
