"""Golden inputs of schema 2: what is beyond an artifact's precision, and what is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov12edge.data import Letterbox
from yolov12edge.errors import CheckpointError
from yolov12edge.evaluate import non_max_suppression
from yolov12edge.runtime.golden import GoldenInputs, levels_of, read_golden, strongest_of
from yolov12edge.runtime.golden_checks import (
    TOLERANCES,
    batch_differences,
    check_outputs,
    differences,
    letterbox_difference,
)

SIDE, CLASSES, IMAGES = 128, 3, 4
LEVELS = levels_of(SIDE, SIDE)
ANCHORS = LEVELS[-1].stop
Array = np.ndarray


def reference(seed: int = 0) -> Array:
    """(IMAGES, 4 + CLASSES, ANCHORS): some objects on strides 8 and 16, none on 32."""
    rng = np.random.default_rng(seed)
    outputs = np.empty((IMAGES, 4 + CLASSES, ANCHORS), np.float32)
    outputs[:, :2] = rng.uniform(0, SIDE, (IMAGES, 2, ANCHORS))
    outputs[:, 2:4] = rng.uniform(8, 60, (IMAGES, 2, ANCHORS))
    outputs[:, 4:] = rng.uniform(0, 0.01, (IMAGES, CLASSES, ANCHORS))
    for image in range(IMAGES):
        for level, count in zip(LEVELS, (20, 5, 0), strict=True):
            anchors = rng.integers(level.start, level.stop, count)
            outputs[image, 4 + rng.integers(0, CLASSES, count), anchors] = rng.uniform(
                0.3, 0.95, count
            )
    return outputs


def golden(outputs: Array) -> GoldenInputs:
    found = [non_max_suppression(output) for output in outputs]
    return GoldenInputs(
        images=np.zeros((IMAGES, 3, SIDE, SIDE), np.uint8),
        counts=np.array([len(one) for one in found], np.int64),
        boxes=np.concatenate([one.boxes for one in found]).astype(np.float32),
        scores=np.concatenate([one.scores for one in found]).astype(np.float32),
        classes=np.concatenate([one.classes for one in found]).astype(np.int64),
        strongest=strongest_of(outputs, SIDE, SIDE),
    )


def test_strongest_anchors_are_the_strongest_of_every_level() -> None:
    outputs = reference()
    kept = strongest_of(outputs, SIDE, SIDE)
    assert kept.anchors.shape == (IMAGES, 32 + 32 + 16)
    best = outputs[:, 4:].max(axis=1)
    for index, level in enumerate(LEVELS):
        for image in range(IMAGES):
            mine = [a for a in kept.anchors[image] if level.start <= a < level.stop]
            others = np.delete(best[image], mine)[level.start : level.stop - len(mine)]
            assert best[image, mine].min() >= kept.rest[image, index]
            assert kept.rest[image, index] == pytest.approx(others.max(initial=0))
    picked = outputs[1][:, kept.anchors[1]]
    np.testing.assert_array_equal(kept.outputs[1], picked)


def test_a_file_reads_back(tmp_path: Path) -> None:
    one = dataclasses.replace(golden(reference()), picture=np.full((9, 7, 3), 3, np.uint8))
    one.write(tmp_path / "golden.npz")
    again = read_golden(tmp_path / "golden.npz")
    assert again.strongest is not None
    assert one.strongest is not None
    np.testing.assert_array_equal(again.strongest.anchors, one.strongest.anchors)
    np.testing.assert_array_equal(again.strongest.outputs, one.strongest.outputs)
    np.testing.assert_array_equal(again.picture, one.picture)


@pytest.mark.parametrize("field", ["anchors", "outputs", "rest"])
def test_arrays_that_do_not_belong_together_are_damage(tmp_path: Path, field: str) -> None:
    one = golden(reference())
    assert one.strongest is not None
    broken = {
        "anchors": one.strongest.anchors + ANCHORS,
        "outputs": one.strongest.outputs[:, :, 1:],
        "rest": one.strongest.rest[:, 1:],
    }[field]
    strongest = dataclasses.replace(one.strongest, **{field: broken})
    dataclasses.replace(one, strongest=strongest).write(tmp_path / "golden.npz")
    with pytest.raises(CheckpointError, match="arrays of other shapes"):
        read_golden(tmp_path / "golden.npz")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 99),
    precision=st.sampled_from(sorted(TOLERANCES)),
    share=st.floats(0, 0.99),
)
def test_errors_within_the_tolerance_are_none(seed: int, precision: str, share: float) -> None:
    outputs, tolerance = reference(seed), TOLERANCES[precision]
    noise = np.random.default_rng(seed).uniform(-share, share, outputs.shape)
    strides = np.repeat([8, 16, 32], [level.stop - level.start for level in LEVELS])
    noise[:, :4] *= tolerance.box * strides
    noise[:, 4:] *= tolerance.score
    assert differences((outputs + noise).astype("f"), golden(outputs), tolerance) == []


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 99),
    precision=st.sampled_from(sorted(TOLERANCES)),
    level=st.integers(0, 2),
    times=st.floats(1.1, 1e6),
)
def test_boxes_of_one_level_are_told_by_its_stride(
    seed: int, precision: str, level: int, times: float
) -> None:
    outputs, tolerance, stride = reference(seed), TOLERANCES[precision], 8 << level
    # Nothing is seen on the coarsest level.
    times *= 4 if level == 2 else 1
    wrong = outputs.copy()
    wrong[:, 2, LEVELS[level]] += times * tolerance.box * stride
    (text,) = differences(wrong, golden(outputs), tolerance)
    assert text.startswith("boxes are wrong where scores are right")
    assert f"at level stride {stride} (" in text


def test_schema_1_has_nothing_to_compare() -> None:
    outputs = reference()
    old = dataclasses.replace(golden(outputs), strongest=None)
    assert differences(outputs * 0, old, TOLERANCES["fp32"]) == []
    assert batch_differences(outputs, outputs * 0, [0, 1, 2, 3], old, "fp32") == []


def test_one_image_of_a_batch() -> None:
    outputs = reference()
    order = [3, 2, 1, 0]
    crowd = outputs[order]
    assert batch_differences(outputs, crowd, order, golden(outputs), "fp32") == []
    crowd[2, :4] += 40
    (text,) = batch_differences(outputs, crowd, order, golden(outputs), "fp32")
    assert text == "other results than alone in 1 of 4 places, first 2"


def blind(outputs: Array) -> Array:
    outputs[:, 4:] *= 0.01
    return outputs


def haunted(outputs: Array) -> Array:
    outputs[:, 4, -40:-20] = 0.9
    return outputs


@pytest.mark.parametrize("change", [blind, haunted])
def test_an_image_that_sees_otherwise_in_company(change: Callable[[Array], Array]) -> None:
    outputs = reference()
    crowd = change(outputs.copy())
    assert batch_differences(outputs, crowd, [0, 1, 2, 3], golden(outputs), "int8")


def test_a_letterbox_one_grey_level_away_is_the_same() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    fitted = Letterbox(SIDE, SIDE)(picture)[0].transpose(2, 0, 1)
    images = np.stack([fitted] * IMAGES)
    one = dataclasses.replace(golden(reference()), picture=picture, images=images)
    assert letterbox_difference(one, Letterbox(SIDE, SIDE)) is None
    one = dataclasses.replace(one, images=images + np.uint8(1))
    assert letterbox_difference(one, Letterbox(SIDE, SIDE)) is None
    text = letterbox_difference(one, Letterbox(SIDE, SIDE, pad_value=0))
    assert text == "the letterbox gives other pixels than the checkpoint's: 22% of them"


def test_another_network_is_refused() -> None:
    outputs = reference()
    with pytest.raises(CheckpointError, match=r"has 4 classes, the golden\.npz beside it has 3"):
        check_outputs(Path("a.plan"), np.pad(outputs, [(0, 0), (0, 1), (0, 0)]), golden(outputs))
    with pytest.raises(CheckpointError, match="yields 335 anchors"):
        check_outputs(Path("a.plan"), outputs[:, :, 1:], golden(outputs))
