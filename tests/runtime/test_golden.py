"""Golden inputs: what a broken engine looks like on the device, and what is no proof of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from yolov12edge.errors import CheckpointError, GateFailed
from yolov12edge.runtime.golden import GoldenInputs, check_on_device, check_outputs, read_golden

SIDE = 32


def golden(counts: tuple[int, ...] = (2, 0)) -> GoldenInputs:
    rng = np.random.default_rng(0)
    total = sum(counts)
    return GoldenInputs(
        images=rng.integers(0, 256, (len(counts), 3, SIDE, SIDE), np.uint8),
        counts=np.array(counts, np.int64),
        boxes=rng.random((total, 4), np.float32),
        scores=rng.random(total, np.float32),
        classes=np.zeros(total, np.int64),
    )


class Device:
    """A runner that scores every image alike."""

    name = "tensorrt"
    input_shape = (None, 3, SIDE, SIDE)

    def __init__(self, score: float) -> None:
        self.score = score
        self.seen: np.ndarray | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.seen = images
        return np.full((len(images), 6, 7), self.score, np.float32)


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
    np.testing.assert_array_equal(device.seen, golden().images.astype(np.float32) / 255)


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
    golden((0, 0)).write(tmp_path / "golden.npz")
    check_on_device(tmp_path / "engine.plan", Device(0.1))


def test_detections_on_other_images_do_not_excuse_silence() -> None:
    outputs = np.zeros((2, 6, 7), np.float32)
    outputs[1] = 0.9
    with pytest.raises(GateFailed):
        check_outputs(Path("engine.plan"), outputs, golden((2, 0)))
    check_outputs(Path("engine.plan"), outputs, golden((2, 1)))


def test_runtimes_judged_at_export_are_not_asked_again(plan: Path) -> None:
    device = Device(np.nan)
    device.name = "onnxruntime"
    check_on_device(plan, device)
    assert device.seen is None
    check_on_device(plan.parent / "elsewhere" / "engine.plan", Device(np.nan))


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
