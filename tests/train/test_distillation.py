"""What a detector is told by its teacher."""

from __future__ import annotations

import contextlib

import pytest
import torch

from tests.models import lively_model
from yolov12edge.errors import CheckpointError
from yolov12edge.model.head import REG_MAX
from yolov12edge.train.distillation import (
    Teacher,
    check_teacher,
    distillation_losses,
    feature_loss,
    head_error,
)

CLASSES = 3


def levels(seed: int, images: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(images, 4 * REG_MAX + CLASSES, side, side, generator=generator)
        for side in (4, 2, 1)
    ]


def test_nothing_is_left_to_learn_from_oneself() -> None:
    own = levels(0)
    assert distillation_losses(own, own).abs().max() < 1e-6
    assert float(feature_loss(own, own)) == 0
    assert head_error(own, own).tolist() == [0, 0]


def test_the_losses_are_divergences_weighted_by_the_best_score() -> None:
    ours, theirs = levels(0, images=1), levels(1, images=1)
    flat = [torch.cat([x.flatten(2) for x in some], dim=2)[0].double() for some in (ours, theirs)]
    total, scores, boxes = 0.0, 0.0, 0.0
    for place in range(flat[0].shape[1]):
        p, q = (torch.sigmoid(one[4 * REG_MAX :, place]) for one in reversed(flat))
        weight = float(p.max())
        total += weight
        scores += float((p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum())
        bins = [one[: 4 * REG_MAX, place].reshape(4, REG_MAX).softmax(1) for one in reversed(flat)]
        boxes += weight * float((bins[0] * (bins[0] / bins[1]).log()).sum()) / 4
    found = distillation_losses(ours, theirs)
    assert found.tolist() == pytest.approx([scores / total, boxes / total], rel=1e-4)


def test_boxes_count_only_where_something_is_seen() -> None:
    theirs = levels(0)
    for level in theirs:
        level[:, 4 * REG_MAX :] = -9.0
    theirs[0][0, 4 * REG_MAX, 1, 1] = 3.0
    ours = [level.clone().requires_grad_() for level in theirs]
    shifted = [level + torch.randn(level.shape) for level in ours]
    distillation_losses(shifted, theirs)[1].backward()
    assert ours[0].grad is not None
    reached = ours[0].grad[0, : 4 * REG_MAX].abs().sum(0).nonzero().tolist()
    assert reached == [[1, 1]]


def test_the_error_of_the_head_is_that_of_scores_and_distances() -> None:
    theirs = levels(0, images=1)
    for level in theirs:
        level[:] = 0
        level[:, 4 * REG_MAX :] = -9.0
    theirs[0][0, 4 * REG_MAX, 1, 1] = 2.0
    ours = [level.clone() for level in theirs]
    ours[0][0, 4 * REG_MAX, 1, 1] = 1.0
    ours[0][0, 4 * REG_MAX + 1, 0, 0] = 5.0  # nobody saw anything there
    seen = torch.sigmoid(torch.tensor([2.0, 1.0]))
    apart = float((seen[0] - seen[1]) ** 2)
    assert float(head_error(ours, theirs)) == pytest.approx(apart, rel=1e-4)
    ours[0][0, 15, 1, 1] = 50.0  # one side: from the middle, 7.5, to the last bin
    expected = apart + 0.3**2 * float(seen[0]) * 7.5**2
    assert float(head_error(ours, theirs)) == pytest.approx(expected, rel=1e-4)


def test_learning_from_a_teacher_brings_its_answers_nearer() -> None:
    student, teacher = lively_model("n", num_classes=2), lively_model("n", num_classes=2, seed=1)
    told = Teacher(teacher, contextlib.nullcontext)
    images = torch.rand(2, 3, 64, 64)
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    losses = []
    for _ in range(6):
        loss = told.loss(images, student.raw(images))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_a_teacher_of_other_classes_is_refused() -> None:
    teacher = lively_model("n", num_classes=2)
    with pytest.raises(CheckpointError, match="2 classes, the student 3"):
        check_teacher(teacher, 3, None)
    teacher.names = ("cat", "dog")
    check_teacher(teacher, 2, None)
    check_teacher(teacher, 2, ("cat", "dog"))
    with pytest.raises(CheckpointError, match="cat, dog, the student dog, cat"):
        check_teacher(teacher, 2, ("dog", "cat"))
