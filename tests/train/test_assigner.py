"""The assigner's rules on cases made by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from yolov12edge.train.assigner import (
    Assignment,
    Objects,
    TaskAlignedAssigner,
    candidate_pairs,
)

SHAPES = ((4, 4), (2, 2), (1, 1))
STRIDES = (8, 16, 32)
ANCHORS = 21
ASSIGN = TaskAlignedAssigner()


def objects_of(*corners: tuple[float, float, float, float], label: int = 0) -> Objects:
    count = len(corners)
    return Objects(
        torch.zeros(count, dtype=torch.long),
        torch.full((count,), label),
        torch.tensor(corners, dtype=torch.float64).reshape(-1, 4),
    )


def assign(objects: Objects, boxes: Tensor, logits: Tensor | None = None) -> Assignment:
    """Assign one image of 32 x 32 pixels with two classes."""
    pairs = candidate_pairs(objects.corners, SHAPES, STRIDES)
    if logits is None:
        logits = torch.zeros(ANCHORS, 2, dtype=torch.float64)
    return ASSIGN(logits[None], boxes[None], objects, pairs)


def everywhere(*box: float) -> Tensor:
    """Every anchor predicts this box."""
    return torch.tensor([box], dtype=torch.float64).repeat(ANCHORS, 1)


def as_dict(found: Assignment) -> dict[int, int]:
    return dict(zip(found.anchor.tolist(), found.target.tolist(), strict=True))


def test_candidates_are_centres_strictly_inside() -> None:
    # Left and top side run through P3 centres (x = y = 4) and are not inside.
    target, anchor = candidate_pairs(
        torch.tensor([[4.0, 4.0, 21.0, 12.5], [24.0, 24.0, 24.0, 24.0], [-9, -9, 40, 4.5]]),
        SHAPES,
        STRIDES,
    )
    pairs = list(zip(target.tolist(), anchor.tolist(), strict=True))
    # P3 centres (12, 12) and (20, 12); P4 centre (8, 8). The second has no area. The third reaches
    # over the border and holds the top row of P3.
    assert pairs == [(0, 5), (0, 6), (0, 16), (2, 0), (2, 1), (2, 2), (2, 3)]


def test_no_objects_no_positives() -> None:
    found = assign(objects_of(), everywhere(0, 0, 8, 8))
    assert found.anchor.numel() == found.score.numel() == 0


def test_object_between_the_centres_has_no_positives() -> None:
    assert assign(objects_of((5, 5, 7, 7)), everywhere(5, 5, 7, 7)).anchor.numel() == 0


def test_ten_best_and_the_lower_anchor_of_equal_ones() -> None:
    # All 21 anchors are inside and predict alike: a tie of all.
    found = assign(objects_of((0, 0, 32, 32)), everywhere(0, 0, 32, 32))
    assert found.anchor.tolist() == list(range(10))
    # A better score beats the order.
    logits = torch.zeros(ANCHORS, 2, dtype=torch.float64)
    logits[20, 0], logits[13, 0], logits[14, 1] = 2.0, 1.0, 9.0
    found = assign(objects_of((0, 0, 32, 32)), everywhere(0, 0, 32, 32), logits)
    assert sorted(found.anchor.tolist()) == [*range(8), 13, 20]


def test_best_anchor_of_an_object_has_its_best_overlap_as_score() -> None:
    boxes = everywhere(0, 0, 32, 32)
    boxes[7] = torch.tensor([0, 0, 32, 16])
    logits = torch.full((ANCHORS, 2), -3.0, dtype=torch.float64)
    logits[3, 0] = 1.0
    found = assign(objects_of((0, 0, 32, 32)), boxes, logits)
    scores = dict(zip(found.anchor.tolist(), found.score.tolist(), strict=True))
    assert abs(scores[3] - 1) < 1e-6
    ratio = (torch.tensor(-3.0).sigmoid() / torch.tensor(1.0).sigmoid()).sqrt().item()
    assert abs(scores[0] - ratio) < 1e-6
    assert max(scores.values()) == scores[3]


def test_anchor_of_several_objects_goes_to_the_best_overlap() -> None:
    objects = objects_of((0, 0, 32, 32), (0, 0, 16, 16))
    found = as_dict(assign(objects, everywhere(0, 0, 17, 17)))
    # P3 anchors 0, 1, 4, 5 and P4 anchor 16 lie in both; the small one fits better.
    assert {anchor for anchor, target in found.items() if target == 1} == {0, 1, 4, 5, 16}
    assert {anchor for anchor, target in found.items() if target == 0} == {2, 3, 6, 7, 8, 9}


def test_first_of_two_equal_objects_wins() -> None:
    found = assign(objects_of((0, 0, 16, 16), (0, 0, 16, 16)), everywhere(0, 0, 16, 16))
    assert set(found.target.tolist()) == {0}


def test_contested_anchor_may_go_to_an_object_that_did_not_choose_it() -> None:
    # Objects 0 and 1 choose the five anchors inside them. Object 2 fits all boxes best, but prefers
    # ten others: of equal ones the lower, and 15 scores low for its class.
    objects = Objects(
        torch.zeros(3, dtype=torch.long),
        torch.tensor([0, 0, 1]),
        torch.tensor([[16, 16, 32, 32], [16, 16, 32, 32], [0, 0, 32, 32]], dtype=torch.float64),
    )
    boxes = everywhere(0, 0, 32, 32)
    boxes[15] = torch.tensor([2, 2, 32, 32])
    logits = torch.full((ANCHORS, 2), 3.0, dtype=torch.float64)
    logits[15, 1] = -9.0
    found = as_dict(assign(objects, boxes, logits))
    assert found == dict.fromkeys([*range(10), 10, 11, 14, 15, 19], 2)


def test_anchors_without_metric_fill_the_ten_in_their_order() -> None:
    # No predicted box touches the object: all 21 anchors have metric 0, the first ten are chosen,
    # of which those inside the object (4 to 7, and 8, 9 of 8 to 15) count, with score 0.
    found = assign(objects_of((0, 8, 32, 32)), everywhere(90, 90, 95, 95))
    assert found.anchor.tolist() == [4, 5, 6, 7, 8, 9]
    assert found.score.tolist() == [0.0] * 6
    # One with a metric takes a place from the last.
    boxes = everywhere(90, 90, 95, 95)
    boxes[13] = torch.tensor([0, 8, 32, 32])
    assert sorted(assign(objects_of((0, 8, 32, 32)), boxes).anchor.tolist()) == [4, 5, 6, 7, 8, 13]


def test_images_do_not_see_each_other() -> None:
    corners = torch.tensor([[0, 0, 16, 16]] * 2, dtype=torch.float64)
    objects = Objects(torch.tensor([1, 0]), torch.tensor([0, 1]), corners)
    pairs = candidate_pairs(corners, SHAPES, STRIDES)
    logits = torch.zeros(2, ANCHORS, 2, dtype=torch.float64)
    boxes = everywhere(0, 0, 16, 16).repeat(2, 1, 1)
    found = ASSIGN(logits, boxes, objects, pairs)
    inside = [0, 1, 4, 5, 16]
    assert as_dict(found) == dict.fromkeys(inside, 1) | {ANCHORS + a: 0 for a in inside}
