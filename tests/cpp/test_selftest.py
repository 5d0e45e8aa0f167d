"""The self-test of a bundle against devices that compute something else than was recorded."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.cpp.test_bundle import made_once
from tests.cpp.toolchain import CPP, HERE, SANITIZED, compile_with_png, skip_without_sanitizer
from yolov12edge.data import Letterbox
from yolov12edge.evaluate.detections import non_max_suppression
from yolov12edge.pipeline.bundle.golden import write_goldens
from yolov12edge.pipeline.stages.goldens import Golden
from yolov12edge.thresholds import COUNTED

SIDE, CLASSES = 256, 3
ANCHORS = sum((SIDE // stride) ** 2 for stride in (8, 16, 32))
# As in compare.hpp: of scores and of boxes.
TOLERANCES = {"int8": (0.15, 8.0), "fp16": (0.05, 2.0), "other": (0.01, 1.0), "same": (1e-4, 0.01)}
# Class, score and x, y, width, height of what is on the picture.
OBJECTS = (
    (0, 0.93, (60, 60, 80, 70)),
    (1, 0.81, (190, 70, 90, 60)),
    (2, 0.62, (70, 190, 60, 90)),
    (1, 0.55, (190, 190, 100, 90)),
)

Output = NDArray[np.float32]


def recorded_output() -> Output:
    """A background, and objects that three anchors each see, the first one best."""
    rng = np.random.default_rng(0)
    output = np.empty((4 + CLASSES, ANCHORS), np.float32)
    output[:2] = rng.uniform(0, SIDE, (2, ANCHORS))
    output[2:4] = rng.uniform(10, 120, (2, ANCHORS))
    output[4:] = rng.uniform(0, 0.02, (CLASSES, ANCHORS))
    for number, (name, score, box) in enumerate(OBJECTS):
        for seen in range(3):
            output[:4, 3 * number + seen] = np.array(box) + seen
            output[4 + name, 3 * number + seen] = score - 0.08 * seen
    return output


def changed(change: Callable[[Output], None], output: Output | None = None) -> Output:
    """What a device computes that has a fault."""
    output = recorded_output() if output is None else output.copy()
    change(output)
    return output


@dataclass(frozen=True)
class SelfTest:
    """The compiled program."""

    program: Path

    def __call__(
        self,
        folder: Path,
        first: Output,
        again: Output | None = None,
        precision: str = "same",
        recorded: Output | None = None,
        many: Output | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Judge a device that computes `first`, and `again` when it is run once more.

        Args:
            many: what it computes in the last place of a batch; None for a device of batch 1.
        """
        write_bundle(folder, precision, recorded_output() if recorded is None else recorded)
        for name, output in (("first", first), ("again", first if again is None else again)):
            (folder / f"model/{name}.output").write_bytes(output.astype("<f4").tobytes())
        if many is not None:
            (folder / "model/many.output").write_bytes(many.astype("<f4").tobytes())
        words = [str(self.program), "--bundle", str(folder)]
        return subprocess.run(words, capture_output=True, text=True)


def write_bundle(folder: Path, precision: str, output: Output) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (200, 256, 3), np.uint8)
    letterboxed, placement = Letterbox(SIDE, SIDE)(picture)
    found = non_max_suppression(output)
    assert len(found) >= len(OBJECTS)
    evaluated = non_max_suppression(output, COUNTED)
    golden = Golden(
        picture,
        letterboxed,
        output,
        found,
        found.to_image(placement),
        evaluated.to_image(placement),
    )
    (folder / "model").mkdir(parents=True)
    runtime = "replay" if precision == "same" else "onnxruntime"
    write_goldens(folder / "golden", runtime, [golden])
    (folder / "model/precision").write_text(precision if precision in ("int8", "fp16") else "fp32")


@pytest.fixture(scope="module")
def selftest(tmp_path_factory: pytest.TempPathFactory) -> SelfTest:
    """The self-test around a device that replays files, with sanitizers."""

    def make(folder: Path) -> None:
        skip_without_sanitizer("g++", folder, *SANITIZED)
        replay = ("-iquote", str(HERE / "replay"), '-DYOLOV12EDGE_BUNDLE_DIR="."')
        compile_with_png("g++", CPP / "apps/selftest.cpp", folder / "selftest", *replay, *SANITIZED)

    return SelfTest(made_once(tmp_path_factory, "selftest", make) / "selftest")


def add_twenty_objects(output: Output) -> None:
    for number in range(20):
        output[:4, 100 + number] = (12 * number, 250 - 12 * number, 11, 11)
        output[4 + number % CLASSES, 100 + number] = 0.99


def add_one_in_the_background(output: Output) -> None:
    output[5, 777] = 0.9


def drop_one(output: Output) -> None:
    output[4:, 3:6] = 0.01


def swap_a_class(output: Output) -> None:
    output[[4, 5], :3] = output[[5, 4], :3]


def see_one_twice(output: Output) -> None:
    output[:4, 900] = (60, 90, 80, 70)
    output[4, 900] = 0.9


FAULTS = [add_twenty_objects, add_one_in_the_background, drop_one, swap_a_class, see_one_twice]


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_device_that_sees_something_else_is_different(
    fault: Callable[[Output], None], precision: str, selftest: SelfTest, tmp_path: Path
) -> None:
    done = selftest(tmp_path / "bundle", changed(fault), precision=precision)
    assert (done.returncode, done.stderr) == (1, "")
    assert "01: first difference in tensor: score of class " in done.stdout
    assert "FAILED: 0 of 1 images equal" in done.stdout


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (add_twenty_objects, "is extra: nothing like it is recorded; 20 differ, 24 found, 4 rec"),
        (add_one_in_the_background, "class 1 with 0.900"),
        (drop_one, "class 1 with 0.810 at 145.0,12.0 is missing; 1 differ, 3 found, 4 recorded"),
        (swap_a_class, "class 1 with 0.930"),
        (see_one_twice, "class 0 with 0.900 at 20.0,27.0 is extra"),
    ],
)
@pytest.mark.parametrize("precision", TOLERANCES)
def test_what_only_the_whole_run_sees_is_different(
    fault: Callable[[Output], None], says: str, precision: str, selftest: SelfTest, tmp_path: Path
) -> None:
    again = changed(fault)
    done = selftest(tmp_path / "bundle", recorded_output(), again, precision)
    assert done.returncode == 1
    assert "01: first difference in detections: " in done.stdout
    assert says in done.stdout


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("row", range(4))
def test_a_box_beyond_the_tolerance_is_different(
    row: int, precision: str, selftest: SelfTest, tmp_path: Path
) -> None:
    shifted = recorded_output()
    shifted[row, 0] += 1.2 * TOLERANCES[precision][1]
    done = selftest(tmp_path / "bundle", shifted, precision=precision)
    assert done.returncode == 1
    name = ("x", "y", "width", "height")[row]
    assert f"01: first difference in tensor: {name} at anchor 0 is " in done.stdout
    shifted[row, 0] -= 0.3 * TOLERANCES[precision][1]
    assert selftest(tmp_path / "within", shifted, precision=precision).returncode == 0


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("seed", range(3))
def test_noise_within_the_tolerances_is_equal(
    seed: int, precision: str, selftest: SelfTest, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    score, box = (0.95 * tolerance for tolerance in TOLERANCES[precision])
    noises = []
    for _ in range(2):
        output = recorded_output()
        output[:4] += rng.uniform(-box, box, output[:4].shape)
        noise = rng.uniform(-score, score, output[4:].shape)
        output[4:] = np.clip(output[4:] + noise, 0, 1)
        noises.append(output)
    done = selftest(tmp_path / "bundle", *noises, precision=precision)
    assert done.returncode == 0, done.stdout
    assert "PASSED: 1 of 1 images equal" in done.stdout


def at_the_threshold(output: Output) -> None:
    """One object that counts by a hair, one that does not."""
    output[:4, 500:502] = np.array([(128, 20, 20, 20), (20, 128, 20, 20)]).T
    output[4, 500:502] = (0.27, 0.23)


def other_side_of_the_threshold(output: Output) -> None:
    output[4, 500:502] = (0.23, 0.27)


def two_side_by_side(output: Output) -> None:
    """Two objects of which NMS leaves both by a hair: their IoU is 0.69."""
    output[:4, 600:602] = np.array([(128, 128, 100, 40), (146.4, 128, 100, 40)]).T
    output[5, 600:602] = (0.8, 0.7)


def a_little_closer(output: Output) -> None:
    output[0, 600:602] += (1, -1)


def one_of_two_classes(output: Output) -> None:
    output[:4, 700] = (128, 240, 30, 20)
    output[4:6, 700] = (0.61, 0.6)


def the_other_class(output: Output) -> None:
    output[4:6, 700] = (0.6, 0.61)


@pytest.mark.parametrize(
    ("edge", "crossed", "open_ones"),
    [
        (at_the_threshold, other_side_of_the_threshold, 2),
        (two_side_by_side, a_little_closer, 1),
        (one_of_two_classes, the_other_class, 2),
    ],
)
def test_what_a_hair_decides_may_differ_as_far_as_tolerances_go(
    edge: Callable[[Output], None],
    crossed: Callable[[Output], None],
    open_ones: int,
    selftest: SelfTest,
    tmp_path: Path,
) -> None:
    recorded = changed(edge)
    device = changed(crossed, recorded)
    done = selftest(tmp_path / "fp16", device, precision="fp16", recorded=recorded)
    assert done.returncode == 0, done.stdout
    assert f", {open_ones} more or less at a threshold" in done.stdout
    assert selftest(tmp_path / "same", device, recorded=recorded).returncode == 1
    whole = selftest(tmp_path / "whole", recorded, device, recorded=recorded)
    assert (whole.returncode, "difference in detections: " in whole.stdout) == (1, True)


def test_noise_is_told_from_nonsense(selftest: SelfTest, tmp_path: Path) -> None:
    broken = recorded_output()
    broken[4, 1000] = np.nan
    done = selftest(tmp_path / "bundle", broken)
    assert done.returncode == 1
    assert "in tensor: the output holds NaN or infinity" in done.stdout


def lose_the_boxes(output: Output) -> None:
    output[:2, :12] += 30


@pytest.mark.parametrize("precision", TOLERANCES)
def test_boxes_that_are_wrong_where_scores_are_right_are_named(
    precision: str, selftest: SelfTest, tmp_path: Path
) -> None:
    done = selftest(tmp_path / "bundle", changed(lose_the_boxes), precision=precision)
    assert done.returncode == 1
    assert "; 12 of 1344 anchors differ, boxes alone, at stride 8 alone" in done.stdout


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize(("stride", "anchors"), [(16, slice(1024, 1280)), (32, slice(1280, 1344))])
def test_a_level_on_which_nothing_is_detected_is_compared(
    stride: int, anchors: slice, precision: str, selftest: SelfTest, tmp_path: Path
) -> None:
    def spoil(output: Output) -> None:
        output[2:4, anchors] += 80

    def spoil_little(output: Output) -> None:
        output[2:4, anchors] += 3 * TOLERANCES[precision][1]

    # Nothing else is among the recording's best, whose boxes are compared closely.
    sure = changed(lambda output: output[4, :60].fill(0.9))
    done = selftest(tmp_path / "bundle", changed(spoil, sure), precision=precision, recorded=sure)
    assert done.returncode == 1
    assert f"boxes at stride {stride} are off at 16 of its best 16 anchors" in done.stdout
    little = changed(spoil_little, sure)
    done = selftest(tmp_path / "within", little, precision=precision, recorded=sure)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_batch_is_asked_for_every_place(
    precision: str, selftest: SelfTest, tmp_path: Path
) -> None:
    fine = recorded_output()
    done = selftest(tmp_path / "fine", fine, precision=precision, many=fine)
    assert done.returncode == 0, done.stdout
    assert "batch of 4: equal" in done.stdout
    lost = changed(drop_one)
    done = selftest(tmp_path / "lost", fine, precision=precision, many=lost)
    assert done.returncode == 1
    assert "01 in place 3 of a batch of 4: first difference in batch: score" in done.stdout
    assert "FAILED: 1 of 1 images equal alone, not in a batch" in done.stdout
