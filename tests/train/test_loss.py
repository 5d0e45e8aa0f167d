"""The loss against its plain-loop derivation, and rule by rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.models import lively_model
from tests.train import reference
from yolov12edge.model import build_model
from yolov12edge.train import DetectionLoss
from yolov12edge.train.iou import complete_iou
from yolov12edge.train.loss import distribution_loss

CLASSES = 3
CRITERION = DetectionLoss(build_model("n", num_classes=CLASSES))


def random_levels(
    rng: np.random.Generator, batch: int, height: int, width: int, reach: float = 4.0
) -> list[Tensor]:
    """Raw levels whose boxes reach about `reach` cells to each side, with gradients, float64."""
    nearness = -np.abs(np.tile(np.arange(16), 4) - reach)
    levels = []
    for stride in reference.STRIDES:
        shape = (batch, 64 + CLASSES, height // stride, width // stride)
        level = rng.normal(size=shape) * 1.5
        level[:, :64] += nearness[:, None, None]
        levels.append(torch.tensor(level, requires_grad=True))
    return levels


def random_targets(rng: np.random.Generator, batch: int, count: int, largest: float) -> Tensor:
    """Objects of all sizes, some across the border of the image, images in any order."""
    rows = np.empty((count, 6))
    rows[:, 0] = rng.integers(0, batch, count)
    rows[:, 1] = rng.integers(0, CLASSES, count)
    rows[:, 2:4] = rng.uniform(0.02, 0.98, (count, 2))
    rows[:, 4:] = largest ** rng.uniform(0.3, 3, (count, 2))
    return torch.tensor(rows)


def arrays(levels: list[Tensor]) -> list[reference.Array]:
    return [level.detach().double().numpy() for level in levels]


def one_object(
    *box: float, label: int = 1, image: int = 0, size: tuple[int, int] = (96, 64)
) -> list[float]:
    """A row of targets from cx, cy, w, h in pixels of an input of width x height."""
    width, height = size
    cx, cy, w, h = box
    return [image, label, cx / width, cy / height, w / width, h / height]


def assert_like_reference(levels: list[Tensor], targets: Tensor) -> Tensor:
    total, items = CRITERION(levels, targets)
    expected_total, expected = reference.loss(arrays(levels), targets.double().numpy())
    np.testing.assert_allclose(items.numpy(), expected, rtol=1e-5, atol=1e-9)
    assert total.item() == pytest.approx(expected_total, rel=1e-5)
    return items


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    count=st.integers(0, 9),
    largest=st.floats(0.2, 0.9),
    reach=st.floats(0, 14),
    sides=st.sampled_from([(32, 32), (64, 96), (96, 32)]),
)
def test_equals_the_plain_loops(
    seed: int, batch: int, count: int, largest: float, reach: float, sides: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    levels = random_levels(rng, batch, *sides, reach)
    assert_like_reference(levels, random_targets(rng, batch, count, largest))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 6))
def test_gradients_equal_differences_of_the_plain_loops(seed: int, count: int) -> None:
    # Targets are no function of the predictions for the gradient, nor is CIoU's alpha: both are
    # held while the reference is moved.
    rng = np.random.default_rng(seed)
    levels = random_levels(rng, 2, 64, 64)
    targets = random_targets(rng, 2, count, 0.7)
    gradients = torch.autograd.grad(CRITERION(levels, targets)[0], levels)
    start = arrays(levels)
    held = reference.positives(start, targets.numpy())
    for _ in range(3):
        direction = [rng.normal(size=level.shape) for level in start]
        step = 1e-6
        ahead, behind = (
            reference.loss_of(
                [x + sign * step * d for x, d in zip(start, direction, strict=True)], held
            )[0]
            for sign in (1, -1)
        )
        along = sum((g.numpy() * d).sum() for g, d in zip(gradients, direction, strict=True))
        assert along == pytest.approx((ahead - behind) / (2 * step), rel=1e-5, abs=1e-6)


def test_distribution_loss_passes_gradcheck() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 4, 16, dtype=torch.float64, requires_grad=True)
    distances = torch.rand(3, 4, dtype=torch.float64) * 18 - 1
    assert torch.autograd.gradcheck(lambda x: distribution_loss(x, distances), logits)


@pytest.mark.parametrize(
    ("distance", "weights"),
    [
        (-2.0, {0: 1.0}),
        (0.0, {0: 1.0}),
        (3.25, {3: 0.75, 4: 0.25}),
        (14.0, {14: 1.0}),
        (14.99, {14: 0.01, 15: 0.99}),
        (15.0, {14: 0.01, 15: 0.99}),
        (400.0, {14: 0.01, 15: 0.99}),
    ],
)
def test_distances_teach_the_two_bins_beside_them_and_end_before_the_last(
    distance: float, weights: dict[int, float]
) -> None:
    logits = torch.randn(1, 1, 16, generator=torch.Generator().manual_seed(3)).expand(1, 4, 16)
    expected = -sum(w * logits[0, 0].log_softmax(0)[k].item() for k, w in weights.items())
    loss = distribution_loss(logits, torch.full((1, 4), distance))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_ciou_of_known_pairs() -> None:
    first = torch.tensor([[0, 0, 4, 4], [0, 0, 2, 2], [0, 0, 4, 4], [1, 1, 1, 1]]).double()
    second = torch.tensor([[0, 0, 4, 4], [6, 6, 8, 8], [0, 0, 4, 2], [1, 1, 1, 1]]).double()
    # Same box; no overlap, centres 72 apart (squared), diagonal 128; half the box, other aspect;
    # nothing at all.
    v = 4 / math.pi**2 * (math.atan(2) - math.atan(1)) ** 2
    half = 0.5 - 1 / 32 - v * v / (v + 0.5)
    values = complete_iou(first, second)
    assert values[:3].tolist() == pytest.approx([1, -72 / 128, half], abs=1e-6)
    assert values.isfinite().all()


def test_image_without_objects_learns_background_only() -> None:
    levels = random_levels(np.random.default_rng(0), 2, 64, 96)
    items = assert_like_reference(levels, torch.zeros(0, 6))
    assert items[0] == items[2] == 0
    logits = torch.cat([level[:, 64:].flatten() for level in levels])
    # The normaliser is never below 1.
    background = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.zeros_like(logits), reduction="sum"
    )
    assert items[1].item() == pytest.approx(0.5 * background.item())


def test_loss_without_positives_still_reaches_every_output() -> None:
    levels = random_levels(np.random.default_rng(0), 1, 64, 64)
    CRITERION(levels, torch.zeros(0, 6))[0].backward()
    for level in levels:
        assert level.grad is not None
        assert (level.grad[:, :64] == 0).all()
        assert (level.grad[:, 64:] != 0).all()


def test_object_smaller_than_a_cell() -> None:
    levels = random_levels(np.random.default_rng(1), 1, 64, 96)
    # 3 px wide: around the centre of a P3 cell there is one anchor, between cells none.
    around = torch.tensor([one_object(20, 28, 3, 3)])
    between = torch.tensor([one_object(24, 32, 3, 3)])
    assert_like_reference(levels, around)
    items = assert_like_reference(levels, between)
    assert items[0] == items[2] == 0


def test_padding_rows_change_nothing() -> None:
    levels = random_levels(np.random.default_rng(2), 2, 64, 96)
    real = random_targets(np.random.default_rng(3), 2, 4, 0.6)
    padding = torch.zeros(3, 6, dtype=torch.float64)
    padding[1, 0] = 1
    assert torch.equal(CRITERION(levels, torch.cat([real, padding]))[1], CRITERION(levels, real)[1])


def test_crowd_of_objects_over_the_same_anchors() -> None:
    rng = np.random.default_rng(4)
    levels = random_levels(rng, 1, 64, 96, reach=2)
    crowd = [
        one_object(48 + x, 32 + y, 30, 30, label=(x + y) % CLASSES)
        for x in range(-6, 7, 3)
        for y in range(-6, 7, 3)
    ]
    items = assert_like_reference(levels, torch.tensor(crowd, dtype=torch.float64))
    assert items[0] > 0


def test_same_object_twice_goes_to_the_first() -> None:
    levels = random_levels(np.random.default_rng(5), 1, 64, 96, reach=2)
    twice = torch.tensor(
        [one_object(48, 32, 40, 30, label=0), one_object(48, 32, 40, 30, label=2)],
        dtype=torch.float64,
    )
    # The two choose different anchors (their scores differ), those both choose are ties.
    assert_like_reference(levels, twice)


def test_ties_of_equal_predictions_take_the_lower_anchor() -> None:
    levels = [
        torch.zeros(1, 64 + CLASSES, 64 // s, 96 // s, dtype=torch.float64)
        for s in reference.STRIDES
    ]
    # All boxes are alike and the object is symmetric: pairs of anchors tie exactly.
    targets = torch.tensor([one_object(48, 32, 64, 48)], dtype=torch.float64)
    assert_like_reference(levels, targets)


def test_items_carry_their_gains_and_total_the_batch() -> None:
    rng = np.random.default_rng(6)
    levels, targets = random_levels(rng, 3, 64, 64), random_targets(rng, 3, 6, 0.6)
    model = build_model("n", num_classes=CLASSES)
    plain = DetectionLoss(model, gains=(1, 1, 1))(levels, targets)[1]
    total, items = CRITERION(levels, targets)
    assert torch.allclose(items, plain * torch.tensor([7.5, 0.5, 1.5]))
    assert total.item() == pytest.approx(items.sum().item() * 3)
    assert total.requires_grad
    assert not items.requires_grad


@pytest.mark.parametrize("counts", [(4, 5), (7, 0), (0, 0)])
@pytest.mark.parametrize("split", [1, 2])
def test_gradients_of_the_parts_of_a_batch_sum_to_those_of_the_whole(
    counts: tuple[int, int], split: int
) -> None:
    rng = np.random.default_rng(7)
    levels = random_levels(rng, 3, 64, 64)
    targets = torch.cat(
        [random_targets(rng, split, counts[0], 0.6), random_targets(rng, 3 - split, counts[1], 0.6)]
    )
    targets[counts[0] :, 0] += split
    parts = [
        ([level[:split] for level in levels], targets[: counts[0]]),
        ([level[split:] for level in levels], targets[counts[0] :] - torch.eye(6)[0] * split),
    ]
    whole, whole_items = CRITERION(levels, targets)
    expected = torch.autograd.grad(whole, levels)

    shares: list[Tensor] = []

    def record(share: Tensor) -> Tensor:
        shares.append(share)
        return share

    model = build_model("n", num_classes=CLASSES)
    for part in parts:
        DetectionLoss(model, reduce=record)(*part)
    together = DetectionLoss(model, reduce=lambda _: torch.stack(shares).sum(0))
    totals, items = zip(*(together(*part) for part in parts), strict=True)
    gradients = torch.autograd.grad(sum(totals), levels)
    assert torch.allclose(sum(items), whole_items, rtol=1e-12)
    assert sum(totals).item() == pytest.approx(whole.item(), rel=1e-12)
    for gradient, wanted in zip(gradients, expected, strict=True):
        assert torch.allclose(gradient, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_trains_a_model_in_both_modes_and_under_autocast(dtype: torch.dtype) -> None:
    model = lively_model("n", num_classes=CLASSES)
    criterion = DetectionLoss(model)
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    targets = random_targets(np.random.default_rng(8), 2, 6, 0.7).float()
    for mode in (True, False):
        model.train(mode).zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            levels = model.raw(images)
            total, items = criterion(levels, targets)
        assert levels[0].dtype == dtype
        assert total.dtype == items.dtype == torch.float32
        assert_like_reference(levels, targets)
        total.backward()
        assert all(
            parameter.grad is not None and parameter.grad.isfinite().all()
            for parameter in model.parameters()
            if parameter.requires_grad
        )


def test_memory_layout_of_the_levels_changes_nothing() -> None:
    rng = np.random.default_rng(9)
    levels, targets = random_levels(rng, 2, 64, 96), random_targets(rng, 2, 5, 0.6)
    last = [level.to(memory_format=torch.channels_last) for level in levels]
    assert CRITERION(last, targets)[0].item() == CRITERION(levels, targets)[0].item()
