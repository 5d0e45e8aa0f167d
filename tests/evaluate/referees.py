"""Average precision as others compute it: pycocotools and faster-coco-eval."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest


def names(num_classes):
    return [str(kind) for kind in range(num_classes)]


def as_coco(detections, truth, num_classes):
    def boxes(image):
        return [[*map(float, (a, b, c - a, d - b))] for a, b, c, d in image.boxes.astype(float)]

    images = [{"id": index + 1} for index in range(len(truth))]
    categories = [{"id": index + 1, "name": str(index)} for index in range(num_classes)]
    annotations, results = [], []
    for index, (found, objects) in enumerate(zip(detections, truth, strict=True)):
        for box, kind in zip(boxes(objects), objects.classes, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": int(kind) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
        for box, kind, score in zip(boxes(found), found.classes, found.scores, strict=True):
            results.append(
                {
                    "image_id": index + 1,
                    "category_id": int(kind) + 1,
                    "bbox": box,
                    "score": float(score),
                }
            )
    return {"images": images, "categories": categories, "annotations": annotations}, results


def pycocotools_precision(dataset, results):
    return _pycocotools(dataset, results).eval["precision"][:, :, :, 0, 2]


def pycocotools_area(dataset, results):
    """(threshold, class) area under the monotonous precision-recall curve, from its matches."""
    evaluation = _pycocotools(dataset, results)
    images, kinds = evaluation.params.imgIds, evaluation.params.catIds
    ranges = len(evaluation.params.areaRng)
    areas = np.full((10, len(kinds)), -1.0)
    for column in range(len(kinds)):
        start = column * ranges * len(images)
        parts = [part for part in evaluation.evalImgs[start : start + len(images)] if part]
        objects = sum(len(part["gtIds"]) for part in parts)
        if not objects:
            continue
        scores = np.concatenate([part["dtScores"] for part in parts])
        matches = np.concatenate([part["dtMatches"] for part in parts], axis=1) > 0
        matches = matches[:, np.argsort(-scores, kind="mergesort")]
        for row, hits in enumerate(matches):
            precisions = [hits[: end + 1].mean() for end in range(len(hits))]
            steps = [max(precisions[at:]) for at in np.flatnonzero(hits)]
            areas[row, column] = sum(steps) / objects
    return areas


def _pycocotools(dataset, results):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dataset
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def faster_precision(dataset, results):
    from faster_coco_eval import COCO, COCOeval_faster

    coco = COCO(dataset)
    evaluation = COCOeval_faster(coco, coco.loadRes(results), "bbox", print_function=print)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 2]


def assert_same(found, precision, num_classes):
    """`found` against a referee's (threshold, recall, class) precisions."""

    def mean(values):
        values = values[values > -1]
        return values.mean() if values.size else None

    assert found.map == pytest.approx(mean(precision), abs=1e-12)
    assert found.map50 == pytest.approx(mean(precision[0]), abs=1e-12)
    for kind in range(num_classes):
        assert found.per_class[str(kind)] == pytest.approx(mean(precision[:, :, kind]), abs=1e-12)
