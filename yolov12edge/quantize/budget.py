"""Which convolutions stay float because INT8 in them costs most for their work."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.losses import ConvLoss
from yolov12edge.quantize.rules import FloatBudget

# Every convolution in float costs something of its own, however small: two changes of type.
WORK_OF_ONE = 0.02
# What loses less than this share is not worth leaving in float at any price.
LEAST_LOSS = 0.002
# What is left once INT8 loses no more than this share of what it would lose everywhere.
ENOUGH = 0.02


def costly_convolutions(
    losses: Mapping[str, ConvLoss], budget: FloatBudget, barred: Collection[str] = ()
) -> dict[str, str]:
    """Convolutions to leave in float, the most costly first, and why.

    Args:
        losses: of every convolution that may be INT8.
        budget: how many, and how much of the work.
        barred: convolutions that it may not choose.
    """
    total = sum(loss.both for loss in losses.values())
    free = [name for name in losses if name not in barred]
    order = sorted(free, key=lambda name: -losses[name].both / _price(losses[name]))
    found: dict[str, str] = {}
    left, spent = total, 0.0
    for name in order:
        loss = losses[name]
        if left <= ENOUGH * total or len(found) == budget.convolutions:
            break
        if spent + loss.work > budget.work or loss.both < LEAST_LOSS * total:
            continue
        found[name] = (
            f"costly: {loss.both / total:.1%} of what INT8 would lose on the calibration images, "
            f"for {loss.work:.1%} of the work"
        )
        left, spent = left - loss.both, spent + loss.work
    return found


def barred_convolutions(view: GraphView, budget: FloatBudget) -> set[str]:
    """Convolutions that a budget may not choose."""
    never = budget.never
    return set() if never is None else {node.name for node in view.nodes if never(view, node)}


def _price(loss: ConvLoss) -> float:
    return loss.work + WORK_OF_ONE
