"""Golden inputs: what a broken engine looks like on the device, and what is no proof of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from yolov12edge.errors import CheckpointError, GateFailed
from yolov12edge.runtime.golden import GoldenInputs, read_golden
from yolov12edge.runtime.golden_checks import check_outputs
from yolov12edge.runtime.golden_gate import check_artifact, check_on_device

SIDE, CLASSES, ANCHORS = 32, 2, 40


def golden(counts: tuple[int, ...] = (2, 0)) -> GoldenInputs:
    rng = np.random.default_rng(0)
    total = sum(counts)
    corners = rng.uniform(0, SIDE / 2, (total, 2))
    return GoldenInputs(
        images=rng.integers(0, 256, (len(counts), 3, SIDE, SIDE), np.uint8),
        counts=np.array(counts, np.int64),
        boxes=np.concatenate([corners, corners + SIDE / 3], axis=1).astype(np.float32),
        scores=np.full(total, 0.8, np.float32),
        classes=np.arange(total, dtype=np.int64) % CLASSES,
    )


def answer(one: GoldenInputs, score: float = 0.9) -> np.ndarray:
    """(N, 4 + classes, A): the detections of `one`, all at `score`; other anchors see nothing."""
    outputs = np.zeros((len(one.counts), 4 + CLASSES, ANCHORS), np.float32)
    starts = one.counts.cumsum() - one.counts
    for output, start, count in zip(outputs, starts, one.counts, strict=True):
        for anchor, found in enumerate(range(start, start + count)):
            left, top, right, bottom = one.boxes[found]
            output[:4, anchor] = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
            output[4 + one.classes[found], anchor] = score
    return outputs


class Device:
    """A runner that sees on the images of `golden()` what it has, at one score."""

    name = "tensorrt"
    input_shape = (None, 3, SIDE, SIDE)

    def __init__(self, score: float) -> None:
        self.score = score
        self.seen: list[np.ndarray] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.seen.append(images)
        outputs = answer(golden(), self.score)
        outputs[:, 4:, -1] = self.score if not np.isfinite(self.score) else 0
        pixels = np.round(images * 255).astype(np.uint8)
        known = [one.tobytes() for one in golden().images]
        return outputs[[known.index(one.tobytes()) for one in pixels]]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    golden().write(tmp_path / "golden.npz")
    return tmp_path / "engine.plan"


def test_a_file_reads_back_and_equal_goldens_give_equal_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.npz", "b.npz")]
    for path in paths:
        golden().write(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    found = read_golden(paths[0])
    for field in dataclasses.fields(GoldenInputs):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(golden(), field.name))


def test_a_working_engine_passes_and_has_seen_pixels_in_0_to_1(plan: Path) -> None:
    device = Device(0.9)
    check_on_device(plan, device)
    pixels = golden().images.astype(np.float32) / 255
    np.testing.assert_array_equal(np.concatenate(device.seen[:2]), pixels)
    (crowd,) = device.seen[2:]
    np.testing.assert_array_equal(crowd, pixels[[1, 0, 1, 0]])


@pytest.mark.parametrize(
    ("score", "says"),
    [
        (np.nan, "NaN or infinity on 2 of 2"),
        (np.inf, "NaN or infinity"),
        (0.2, "finds nothing on 1 golden images with 2 detections"),
    ],
)
def test_a_broken_engine_fails_with_6(plan: Path, score: float, says: str) -> None:
    with pytest.raises(GateFailed, match=says) as caught:
        check_on_device(plan, Device(score))
    assert caught.value.exit_code == 6
    assert caught.value.hint


def test_nothing_found_where_nothing_is_is_no_failure(tmp_path: Path) -> None:
    dataclasses.replace(golden((0, 0)), images=golden().images).write(tmp_path / "golden.npz")
    device = Device(0.1)
    check_on_device(tmp_path / "engine.plan", device)
    assert device.seen


def test_detections_on_other_images_do_not_excuse_silence() -> None:
    outputs = answer(golden((2, 1)))
    check_outputs(Path("engine.plan"), outputs, golden((2, 1)))
    outputs[0, 4:] = 0
    with pytest.raises(GateFailed, match="finds 1 of 3 objects again"):
        check_outputs(Path("engine.plan"), outputs, golden((2, 1)))
    with pytest.raises(GateFailed, match="finds nothing"):
        check_outputs(Path("engine.plan"), outputs, golden((2, 0)))


def elsewhere(outputs: np.ndarray) -> None:
    outputs[:, :2] += SIDE


def of_other_classes(outputs: np.ndarray) -> None:
    outputs[:, 4:] = outputs[:, :3:-1].copy()


def with_invented_ones(outputs: np.ndarray) -> None:
    outputs[:, :4, 10:20] = np.array([2, 30, 3, 3])[:, None]
    outputs[:, 4, 10:20] = 0.99


def everywhere(outputs: np.ndarray) -> None:
    outputs[:, 4:] = 0.9


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (elsewhere, "finds 0 of 3 objects again that the checkpoint clearly sees"),
        (of_other_classes, "finds 0 of 3 objects again"),
        (with_invented_ones, "of which the checkpoint knows nothing, at 20 of 23 anchors"),
        (everywhere, "of which the checkpoint knows nothing"),
    ],
)
def test_other_objects_are_nonsense(fault: Callable[[np.ndarray], None], says: str) -> None:
    outputs = answer(golden((2, 1)))
    fault(outputs)
    with pytest.raises(GateFailed, match=says) as caught:
        check_outputs(Path("engine.plan"), outputs, golden((2, 1)))
    assert caught.value.exit_code == 6
    assert caught.value.hint


def test_drift_is_no_nonsense() -> None:
    one = golden((3, 1))
    outputs = answer(one, score=0.3)
    outputs[:, 4:, 0][outputs[:, 4:, 0] > 0] = 0.6
    outputs[:, :4] *= 1.05
    outputs[0, 4:, 1] = 0.1
    check_outputs(Path("engine.plan"), outputs, one)
    outputs[0, 4:, 30] = 0.9
    check_outputs(Path("engine.plan"), outputs, one)


def test_objects_where_nothing_is_are_nonsense() -> None:
    outputs = answer(golden((0, 0)))
    with_invented_ones(outputs)
    with pytest.raises(GateFailed, match="at 20 of 20 anchors"):
        check_outputs(Path("engine.plan"), outputs, golden((0, 0)))


def test_goldens_of_more_classes_are_refused() -> None:
    outputs = answer(golden())[:, : 4 + 1]
    with pytest.raises(CheckpointError, match="has 1 classes"):
        check_outputs(Path("engine.plan"), outputs, golden())


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "torch"])
def test_runtimes_judged_at_export_are_not_asked_again(plan: Path, runtime: str) -> None:
    device = Device(np.nan)
    device.name = runtime
    check_artifact(plan, device, None)
    assert not device.seen
    check_artifact(plan.parent / "elsewhere" / "engine.plan", Device(np.nan), None)
    with pytest.raises(GateFailed):
        check_artifact(plan, Device(np.nan), None)


def test_goldens_of_another_size_are_refused(plan: Path) -> None:
    device = Device(0.9)
    device.input_shape = (None, 3, 64, 64)
    with pytest.raises(CheckpointError, match="holds 32x32 images"):
        check_on_device(plan, device)


@pytest.mark.parametrize("damage", ["cut", "text", "missing", "shape", "pickle"])
def test_a_damaged_file_is_one_line(plan: Path, damage: str) -> None:
    path = plan.with_name("golden.npz")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "text":
        path.write_text("no archive")
    elif damage == "missing":
        np.savez(path, images=golden().images)
    elif damage == "shape":
        dataclasses.replace(golden(), counts=np.array([9, 9])).write(path)
    else:
        np.savez(path, images=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(CheckpointError, match="is damaged") as caught:
        check_on_device(plan, Device(0.9))
    assert "\n" not in caught.value.message
