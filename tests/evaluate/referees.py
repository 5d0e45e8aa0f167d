"""Average precision as others compute it: pycocotools and faster-coco-eval."""

from __future__ import annotations

import contextlib
import io

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
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dataset
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 2]


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
