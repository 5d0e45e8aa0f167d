"""The figures of a drift report against pycocotools and plain definitions, on scattered boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.referees import as_coco, names, pycocotools_area, pycocotools_precision
from tests.evaluate.test_average_precision import random_images
from yolov12edge.data import Letterbox, Placement
from yolov12edge.evaluate import Detections, DriftReport, Gate
from yolov12edge.evaluate import meter as module
from yolov12edge.evaluate.meter import DriftMeter
from yolov12edge.evaluate.report import RuntimeVersion

SIDE, IMAGES, CLASSES, RESAMPLES, SEED = 64, 8, 3, 30, 5
WIDTH, HEIGHT = 210, 190
BOX = Letterbox(SIDE, SIDE)
JUDGES = RuntimeVersion(runtime="one", version="1"), RuntimeVersion(runtime="two", version="2")


def drifted(found: Detections, rng: np.random.Generator) -> Detections:
    """Most of the detections again, moved a little, with other scores; and three of nothing."""
    kept = rng.random(len(found)) < 0.8
    boxes = found.boxes[kept] + rng.integers(-3, 4, (int(kept.sum()), 4)).astype(np.float32)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    scores = np.clip(found.scores[kept] + rng.normal(-0.03, 0.1, int(kept.sum())), 0.01, 0.99)
    corners = rng.integers(0, 150, (3, 2))
    noise = np.concatenate([corners, corners + rng.integers(10, 60, (3, 2))], axis=1)
    return Detections(
        np.concatenate([boxes, noise]).astype(np.float32),
        np.concatenate([scores, rng.uniform(0.02, 0.4, 3)]).astype(np.float32),
        np.concatenate([found.classes[kept], rng.integers(0, CLASSES, 3)]),
    )


def cut(found: Detections) -> Detections:
    boxes = found.boxes.copy()
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, WIDTH)
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, HEIGHT)
    return Detections(boxes, found.scores, found.classes)


def confident(found: Detections) -> Detections:
    keep = found.scores > 0.25
    return Detections(found.boxes[keep], found.scores[keep], found.classes[keep])


Found = list[Detections]


@pytest.fixture(scope="module")
def sets() -> tuple[Found, Found, Found]:
    """Reference, artifact and objects of every image."""
    reference, objects = random_images(3, IMAGES, CLASSES)
    rng = np.random.default_rng(0)
    return reference, [drifted(one, rng) for one in reference], objects


@pytest.fixture(scope="module")
def outputs() -> np.ndarray:
    """(images, 2, 4 + classes, anchors): what both sides yield for equal input."""
    rng = np.random.default_rng(1)
    exact = rng.uniform(0, 60, (IMAGES, 1, 4 + CLASSES, 84))
    moved = exact + rng.normal(0, 0.1, exact.shape)
    return np.concatenate([exact, moved], axis=1).astype(np.float32)


@pytest.fixture
def report(sets: tuple[Found, Found, Found], outputs: np.ndarray) -> DriftReport:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RESAMPLES", RESAMPLES)
        meter = DriftMeter(names(CLASSES), BOX, BOX, labelled=True)
        placement = Placement(1.0, 0, 0, WIDTH, HEIGHT)
        for index, (reference, artifact, objects) in enumerate(zip(*sets, strict=True)):
            meter.add_outputs(outputs[index, 0], outputs[index, 1], outputs[index, 1])
            meter.add_detections(Path(str(index)), reference, artifact, placement, objects)
        return meter.report(Gate(), SEED, *JUDGES)


def mean(values: np.ndarray) -> float | None:
    values = values[values > -1]
    return float(values.mean()) if values.size else None


def test_average_precisions_are_those_of_pycocotools(
    report: DriftReport, sets: tuple[Found, Found, Found]
) -> None:
    """Against labels cut to the image, against the reference as they are."""
    reference, artifact, objects = sets
    found = []
    for side in (reference, artifact):
        found.append(pycocotools_precision(*as_coco(list(map(cut, side)), objects, CLASSES)))
    area = pycocotools_area(*as_coco(artifact, list(map(confident, reference)), CLASSES))
    before, after = found
    assert mean(before) != pytest.approx(mean(after), rel=0.02)
    assert report.map_reference == pytest.approx(mean(before))
    assert report.map_artifact == pytest.approx(mean(after))
    assert report.map50_reference == pytest.approx(mean(before[0]))
    assert report.map50_artifact == pytest.approx(mean(after[0]))
    assert report.self_map == pytest.approx(mean(area))
    assert report.self_map50 == pytest.approx(mean(area[0]))
    for kind, of_class in enumerate(report.per_class):
        assert of_class.name == str(kind)
        assert of_class.map_reference == pytest.approx(mean(before[:, :, kind]))
        assert of_class.map_artifact == pytest.approx(mean(after[:, :, kind]))
        assert of_class.self_map == pytest.approx(mean(area[:, kind]))
    assert report.objects == sum(map(len, objects))
    assert report.images == IMAGES


def test_the_drop_and_its_interval_are_those_of_the_drawn_images(
    report: DriftReport, sets: tuple[Found, Found, Found]
) -> None:
    reference, artifact, objects = sets

    def precision(side: Found, drawn: np.ndarray) -> float:
        chosen = [cut(side[index]) for index in drawn]
        value = mean(pycocotools_precision(*as_coco(chosen, [objects[i] for i in drawn], CLASSES)))
        assert value is not None
        return value

    def drop(drawn: np.ndarray) -> float:
        return 1 - precision(artifact, drawn) / precision(reference, drawn)

    draws = np.random.default_rng(SEED).multinomial(IMAGES, [1 / IMAGES] * IMAGES, RESAMPLES)
    drops = [drop(np.repeat(np.arange(IMAGES), times)) for times in draws]
    assert report.gate.metric == "map"
    assert report.drop == pytest.approx(drop(np.arange(IMAGES)))
    assert report.drop_interval == pytest.approx(np.quantile(drops, [0.025, 0.975]))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = float(sides.clip(0).prod())
    areas = [float((box[2:] - box[:2]).prod()) for box in (one, other)]
    return common / (sum(areas) - common)


def partners(first: Detections, second: Detections) -> list[tuple[int, int, float]]:
    """The best free partner of the same class for each, the highest score first."""
    free, found = set(range(len(second))), []
    for index in sorted(range(len(first)), key=lambda index: -first.scores[index]):
        rivals = [
            (overlap(first.boxes[index].astype(float), second.boxes[other].astype(float)), other)
            for other in free
            if first.classes[index] == second.classes[other]
        ]
        best, other = max(rivals, default=(0.0, -1), key=lambda rival: (rival[0], -rival[1]))
        if best >= 0.5:
            free.remove(other)
            found.append((index, other, best))
    return found


def test_matches_are_those_of_the_definition(
    report: DriftReport, sets: tuple[Found, Found, Found]
) -> None:
    ious, shifts, expected = [], [], {}
    for index, (reference, artifact, _) in enumerate(zip(*sets, strict=True)):
        truth, found = confident(reference), confident(artifact)
        pairs = partners(truth, found)
        ious += [iou for *_, iou in pairs]
        shifts += [artifact.scores[b] - truth.scores[a] for a, b, _ in partners(truth, artifact)]
        expected[str(index)] = (len(truth), len(pairs), len(found) - len(pairs))
    truths = sum(truth for truth, *_ in expected.values())
    assert report.detections.reference == truths
    assert report.detections.artifact == sum(len(confident(one)) for one in sets[1])
    assert report.matched == pytest.approx(len(ious) / truths)
    assert report.mean_iou == pytest.approx(np.mean(ious))
    assert report.score_shift == pytest.approx(np.mean(shifts), abs=1e-6)
    scores = np.concatenate([one.scores for one in sets[1]])
    assert report.restoring_threshold is not None
    assert (scores > report.restoring_threshold).sum() == truths
    worst = [(one.image, (one.reference, one.matched, one.extra)) for one in report.worst]
    assert all(expected[image] == counts for image, counts in worst)
    unlike = sorted((truth - matched + extra for truth, matched, extra in expected.values()))
    assert [truth - matched + extra for _, (truth, matched, extra) in worst] == unlike[:-6:-1]


def test_levels_are_compared_each_for_itself(report: DriftReport, outputs: np.ndarray) -> None:
    """64 anchors at stride 8, then 16, then 4."""
    assert report.levels is not None
    for level, anchors in (("P3", slice(0, 64)), ("P4", slice(64, 80)), ("P5", slice(80, 84))):
        for name, rows in (("boxes", slice(0, 4)), ("scores", slice(4, None))):
            errors = np.diff(outputs[:, :, rows, anchors].astype(float), axis=1)
            assert report.levels[level][name].max_abs == pytest.approx(np.abs(errors).max())


def test_resamples_without_objects_do_not_count() -> None:
    """One image of four holds the only object: a third of the resamples have none."""
    one = Detections(
        np.array([[5, 5, 40, 40]], np.float32), np.ones(1, np.float32), np.zeros(1, int)
    )
    moved = Detections(one.boxes + 4, one.scores, one.classes)
    meter = DriftMeter(("thing",), BOX, BOX, labelled=True)
    placement = Placement(1.0, 0, 0, SIDE, SIDE)
    meter.add_detections(Path("0"), one, moved, placement, one)
    for name in "123":
        meter.add_detections(Path(name), *[Detections.empty()] * 2, placement, Detections.empty())
    report = meter.report(Gate(), 0, *JUDGES)
    # 31 x 31 of two squares of 35 x 35 overlap: an IoU of 0.645, over three of ten thresholds.
    assert report.drop == pytest.approx(0.7)
    assert report.drop_interval == pytest.approx((0.7, 0.7))
