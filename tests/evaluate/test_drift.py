"""Drift between two detectors whose outputs are written down here."""

from __future__ import annotations

import io
import json
import tracemalloc

import cv2
import numpy as np
import pytest
from rich.console import Console

from tests.samples import centred
from yolov12edge.data import Dataset, Letterbox
from yolov12edge.errors import CheckpointError, DataError, UsageError
from yolov12edge.evaluate import DriftReport, Gate, measure_drift, render_drift

SIDE = 64
ANCHORS = 8 * 8 + 4 * 4 + 2 * 2


class ScriptedRunner:
    """Gives the outputs it was made with, one an image, in order."""

    name, version, device = "scripted", "1.2.3", "nowhere"

    def __init__(self, outputs, side=SIDE, batch=None):
        self.outputs = list(outputs)
        self.input_shape = (batch, 3, side, side)
        self.num_classes = self.outputs[0].shape[0] - 4 if self.outputs else 2
        self.seen = 0

    def __call__(self, images):
        assert images.dtype == np.float32
        assert images.shape[1:] == self.input_shape[1:]
        part = self.outputs[self.seen % len(self.outputs) :][: len(images)]
        self.seen += len(images)
        return np.stack(part)

    def close(self):
        pass


def output(boxes=(), scores=(), kinds=(), num_classes=2):
    """A (4 + classes, ANCHORS) output with these xyxy boxes and nothing else."""
    decoded = np.zeros((4 + num_classes, ANCHORS), np.float32)
    decoded[2:4] = 4
    for anchor, (box, score, kind) in enumerate(zip(boxes, scores, kinds, strict=True)):
        decoded[:4, anchor] = centred(np.array(box, np.float32))
        decoded[4 + kind, anchor] = score
    return decoded


def scene(seed, num_classes=2):
    """Three objects far apart, of any class."""
    rng = np.random.default_rng(seed)
    corners = np.array([[2, 2], [30, 4], [8, 34]]) + rng.integers(0, 6, (3, 2))
    boxes = np.concatenate([corners, corners + rng.integers(10, 20, (3, 2))], axis=1)
    return boxes, rng.uniform(0.4, 0.9, 3), rng.integers(0, num_classes, 3)


@pytest.fixture
def images(tmp_path):
    paths = []
    for index in range(6):
        path = tmp_path / f"{index}.png"
        cv2.imwrite(str(path), np.full((SIDE, SIDE, 3), 40 * index, np.uint8))
        paths.append(path)
    return paths


@pytest.fixture
def scenes():
    return [scene(seed) for seed in range(6)]


@pytest.fixture
def dataset(images, scenes):
    """The scenes' own boxes as labels, so that the reference is right everywhere."""
    labels = tuple(
        np.concatenate([kinds[:, None], centred(boxes.astype(float)) / SIDE], axis=1).astype(
            np.float32
        )
        for boxes, _, kinds in scenes
    )
    return Dataset(("cat", "dog"), tuple(images), labels)


def runner(scenes, change=lambda boxes, scores, kinds: (boxes, scores, kinds), **options):
    return ScriptedRunner([output(*change(*one)) for one in scenes], **options)


def test_the_same_outputs_lose_nothing(images, scenes, dataset):
    report = measure_drift(runner(scenes), runner(scenes), images, dataset)
    assert (report.map_reference, report.map_artifact) == (1.0, 1.0)
    assert (report.self_map, report.matched, report.mean_iou) == (1.0, 1.0, 1.0)
    assert (report.drop, report.drop_interval, report.score_shift) == (0.0, (0.0, 0.0), 0.0)
    assert report.tensors["boxes"].max_abs == 0
    assert report.tensors["scores"].sqnr_db is None
    assert report.gate.metric == "map"
    assert report.gate.passed
    assert (report.images, report.objects, report.worst, report.notes) == (6, 18, [], [])


def test_both_sides_go_through_the_nms_of_the_evaluation(images):
    """Multi-label, IoU 0.7: of boxes that overlap by 0.6, 0.8 and of two classes at one anchor."""
    boxes = [[0, 0, 20, 20], [0, 5, 20, 25], [30, 0, 50, 18], [30, 2, 50, 20], [0, 40, 20, 60]]
    decoded = output(boxes, [0.9, 0.8, 0.7, 0.6, 0.5], [0, 0, 1, 1, 0])
    decoded[5, 4] = 0.4
    both = ScriptedRunner([decoded]), ScriptedRunner([decoded])
    report = measure_drift(*both, images[:1])
    assert report.detections.model_dump() == {"reference": 5, "artifact": 5}
    assert (report.matched, report.self_map) == (1.0, 1.0)


def test_without_labels_the_reference_is_the_truth(images, scenes):
    # One of three objects lost in every image.
    two = runner(scenes, lambda boxes, scores, kinds: (boxes[:2], scores[:2], kinds[:2]))
    report = measure_drift(runner(scenes), two, images)
    assert report.gate.metric == "self_map"
    assert (report.map_reference, report.map_artifact, report.objects) == (None, None, None)
    assert report.matched == pytest.approx(2 / 3)
    assert report.detections.model_dump() == {"reference": 18, "artifact": 12}
    assert report.drop == pytest.approx(1 - report.self_map)
    assert report.drop_interval[0] <= report.drop <= report.drop_interval[1]
    assert not report.gate.passed
    assert len(report.gate.reasons) == 2
    assert [one.matched for one in report.worst] == [2] * 5
    assert [one.image for one in report.worst] == [str(path) for path in images[:5]]


def test_a_split_without_labels_and_pictures_without_objects(images, scenes, dataset):
    unlabelled = Dataset(dataset.names, dataset.images, None)
    report = measure_drift(runner(scenes), runner(scenes), images, unlabelled)
    assert (report.map_reference, report.gate.metric) == (None, "self_map")
    background = Dataset(dataset.names, dataset.images, (np.zeros((0, 5), np.float32),) * 6)
    report = measure_drift(runner(scenes), runner(scenes), images, background)
    assert (report.objects, report.map_reference, report.gate.metric) == (0, None, "self_map")
    assert report.gate.passed


def test_lower_scores_give_the_shift_and_the_threshold_that_restores(images, scenes):
    lower = runner(scenes, lambda boxes, scores, kinds: (boxes, scores * 0.3, kinds))
    report = measure_drift(runner(scenes), lower, images)
    scores = np.sort(np.concatenate([one[1] for one in scenes]).astype(np.float32))
    assert report.score_shift == pytest.approx(-0.7 * scores.mean(), abs=1e-6)
    assert report.matched == pytest.approx((scores * 0.3 > 0.25).mean())
    assert (scores * np.float32(0.3) > report.restoring_threshold).all()
    assert report.restoring_threshold > 0.001


def test_moved_boxes_lower_the_mean_iou(images, scenes):
    moved = runner(
        scenes, lambda boxes, scores, kinds: (boxes + np.array([1, 0, 1, 0]), scores, kinds)
    )
    report = measure_drift(runner(scenes), moved, images)
    widths = np.concatenate([one[0][:, 2] - one[0][:, 0] for one in scenes])
    assert report.mean_iou == pytest.approx(((widths - 1) / (widths + 1)).mean(), abs=1e-5)
    assert report.matched == 1.0
    assert report.tensors["boxes"].max_abs == 1.0
    assert report.tensors["scores"].sqnr_db is None


def test_other_classes_do_not_match(images, scenes):
    swapped = runner(scenes, lambda boxes, scores, kinds: (boxes, scores, 1 - kinds))
    report = measure_drift(runner(scenes), swapped, images)
    assert (report.matched, report.self_map, report.mean_iou) == (0.0, 0.0, None)
    assert report.worst[0].extra == 3


def test_nan_fails_with_a_plain_reason(images, scenes):
    outputs = [output(*one) for one in scenes]
    outputs[2] = np.full_like(outputs[2], np.nan)
    report = measure_drift(runner(scenes), ScriptedRunner(outputs), images)
    assert report.nonfinite_images == 1
    assert not report.gate.passed
    assert report.gate.reasons[0] == "NaN or infinity in the output of 1 of 6 images"
    assert report.tensors["boxes"].max_abs == 0


def test_nan_everywhere_still_gives_a_report(images, scenes):
    nan = ScriptedRunner([np.full_like(output(), np.nan)])
    report = measure_drift(runner(scenes), nan, images)
    assert (report.nonfinite_images, report.tensors, report.matched) == (6, None, 0.0)
    assert not report.gate.passed
    assert DriftReport.model_validate_json(report.to_json()) == report


def test_a_reference_that_finds_nothing_fails_with_a_plain_reason(images, scenes):
    report = measure_drift(ScriptedRunner([output()]), runner(scenes), images)
    assert (report.matched, report.drop, report.drop_interval, report.self_map) == (None,) * 4
    assert "the reference finds nothing above 0.25 in 6 images" in report.gate.reasons[0]
    assert len(report.gate.reasons) == 1
    assert DriftReport.model_validate_json(report.to_json()) == report


def test_an_artifact_that_finds_nothing_fails_with_a_plain_reason(images, scenes, dataset):
    report = measure_drift(runner(scenes), ScriptedRunner([output()]), images, dataset)
    assert (report.map_artifact, report.matched, report.drop) == (0.0, 0.0, 1.0)
    assert "the artifact finds nothing above 0.25 in 6 images" in report.gate.reasons


def test_one_image(images, scenes, dataset):
    report = measure_drift(runner(scenes), runner(scenes), images[:1], dataset)
    assert (report.images, report.drop, report.drop_interval) == (1, 0.0, (0.0, 0.0))
    assert report.gate.passed


def test_static_batches_see_every_image(images, scenes, dataset):
    reference, artifact = runner(scenes), runner(scenes, batch=4)
    calls = []
    report = measure_drift(
        reference, artifact, images, dataset, progress=lambda *call: calls.append(call)
    )
    assert (reference.seen, artifact.seen) == (6, 6)
    assert report.map_artifact == 1.0
    assert [call[1:] for call in calls] == [(4, 6), (6, 6)]


def test_the_seed_decides_the_interval(images, scenes, dataset):
    def drop(seed):
        worse = ScriptedRunner(
            [output(*one) if i % 2 else output() for i, one in enumerate(scenes)]
        )
        report = measure_drift(runner(scenes), worse, images, dataset, seed=seed)
        return report.drop, report.drop_interval

    assert drop(0) == drop(0)
    assert drop(0)[0] == drop(1)[0]
    assert drop(0)[1] != drop(1)[1]
    low, high = drop(0)[1]
    assert low < drop(0)[0] < high


def test_wrong_letterbox_is_named(images, scenes):
    shifted = Letterbox(SIDE, SIDE, pad_value=0, center=False)
    artifact = runner([one for one in scenes for _ in range(2)])
    report = measure_drift(runner(scenes), artifact, images, artifact_letterbox=shifted)
    assert artifact.seen == 12
    # The scripted artifact gives every image's output twice: own input, then the reference's.
    assert report.matched == 1.0
    assert report.tensors["scores"].max_abs == 0
    failing = measure_drift(
        runner(scenes), ScriptedRunner([output()]), images, artifact_letterbox=shifted
    )
    assert "pad_value 0 instead of 114, center False instead of True" in failing.notes[0]


def test_another_input_size_is_compared_by_detections_only(images, scenes):
    def grow(boxes, scores, kinds):
        return boxes * 2, scores, kinds

    report = measure_drift(runner(scenes), runner(scenes, grow, side=2 * SIDE), images)
    assert (report.matched, report.tensors, report.levels) == (1.0, None, None)


def test_boxes_beyond_the_image_still_match(images, scenes):
    # A wide picture leaves padding above and below, where these boxes lie.
    for path in images:
        cv2.imwrite(str(path), np.zeros((16, SIDE, 3), np.uint8))
    outside = [([[4, 2, 20, 18], [40, 50, 60, 62]], [0.9, 0.8], [0, 1])] * 6
    report = measure_drift(runner(outside), runner(outside), images)
    assert (report.matched, report.self_map, report.mean_iou) == (1.0, 1.0, 1.0)


def test_gates(images, scenes, dataset):
    def two():
        return runner(scenes, lambda boxes, scores, kinds: (boxes[:2], scores[:2], kinds[:2]))

    lenient = Gate(max_drop=0.6, min_matched=0.6)
    assert measure_drift(runner(scenes), two(), images, dataset, gate=lenient).gate.passed
    forced = measure_drift(runner(scenes), two(), images, dataset, gate=Gate(metric="self_map"))
    assert forced.gate.metric == "self_map"
    with pytest.raises(UsageError, match="needs labels") as caught:
        measure_drift(runner(scenes), two(), images, gate=Gate(metric="map"))
    assert "--data" in caught.value.hint


def test_bad_calls(images, scenes, dataset, tmp_path):
    with pytest.raises(DataError, match="no images"):
        measure_drift(runner(scenes), runner(scenes), [])
    with pytest.raises(DataError, match="not in the data set"):
        measure_drift(runner(scenes), runner(scenes), [tmp_path / "x.png"], dataset)
    with pytest.raises(CheckpointError, match="3 classes"):
        measure_drift(runner(scenes), ScriptedRunner([output(num_classes=3)]), images)
    wrong = Dataset(("cat",), dataset.images, dataset.labels)
    with pytest.raises(DataError, match="1 classes"):
        measure_drift(runner(scenes), runner(scenes), images, wrong)
    images[3].write_bytes(b"broken")
    with pytest.raises(DataError, match=images[3].name):
        measure_drift(runner(scenes), runner(scenes), images)


def test_json_has_the_fields_of_the_contract(images, scenes, dataset):
    text = measure_drift(runner(scenes), runner(scenes), images, dataset).to_json()
    document = json.loads(text)
    assert text == json.dumps(document, indent=2) + "\n"
    assert document["schema_version"] == 1
    fields = (
        "images map_reference map_artifact self_map drop drop_interval matched mean_iou "
        "score_shift tensors worst gate judge"
    )
    for field in fields.split():
        assert field in document
    assert set(document["gate"]) >= {"metric", "max_drop", "min_matched", "passed"}
    assert set(document["tensors"]["boxes"]) == {"sqnr_db", "cosine", "max_abs"}
    assert document["judge"] == {"runtime": "scripted", "version": "1.2.3", "device": None}


@pytest.mark.parametrize("fails", [False, True])
def test_the_terminal_text_fits_80_columns(images, scenes, dataset, fails):
    artifact = ScriptedRunner([output()]) if fails else runner(scenes)
    report = measure_drift(runner(scenes), artifact, images, dataset)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_drift(report))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert ("FAILED" if fails else "PASSED") in text
    assert "mAP50-95" in text


def test_memory_does_not_grow_with_the_images(tmp_path):
    path = tmp_path / "one.png"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))

    def peak(count):
        fresh = ScriptedRunner([np.zeros((84, 8400), np.float32)], side=640)
        tracemalloc.start()
        try:
            measure_drift(fresh, fresh, [path] * count)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    assert peak(12) < peak(4) + 1_000_000
