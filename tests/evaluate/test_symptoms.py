"""Where an error starts, told from outputs that are broken in one known place."""

from __future__ import annotations

import numpy as np
import pytest

from yolov12edge.data import Letterbox
from yolov12edge.evaluate.symptoms import symptoms
from yolov12edge.evaluate.tensor_errors import TensorErrors

BOX = Letterbox(64, 64)
P4 = slice(64, 80)


def broken(change):
    rng = np.random.default_rng(0)
    reference = rng.uniform(1, 60, (6, 84)).astype(np.float32)
    artifact = reference.copy()
    change(artifact, rng)
    errors = TensorErrors(64, 64)
    errors.add(reference, artifact)
    return errors


def shuffle(rows, anchors=slice(None)):
    def change(artifact, rng):
        artifact[rows, anchors] = rng.permuted(artifact[rows, anchors], axis=1)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda artifact, rng: None, "agree with the reference's (boxes exactly, scores exactly)"),
        (shuffle(slice(0, 4)), "scores agree, boxes do not: look at the box decoding"),
        (shuffle(slice(0, 4), P4), "scores agree, boxes do not at P4 only"),
        (shuffle(slice(4, 6)), "boxes agree, scores do not: look at the class branch"),
        (shuffle(slice(0, 6), P4), "wrong at P4 only"),
        (shuffle(slice(0, 6)), "wrong at every level: the error starts before the head"),
    ],
)
def test_notes(change, words):
    errors = broken(change)
    (note,) = symptoms(errors.total(), errors.by_level(), BOX, BOX)
    assert words in note


def test_letterbox_first():
    errors = broken(lambda artifact, rng: None)
    other = Letterbox(64, 64, pad_value=0)
    first, second = symptoms(errors.total(), errors.by_level(), BOX, other)
    assert "pad_value 0 instead of 114" in first
    assert "image preparation" in second


def test_figures_equal_their_definitions():
    rng = np.random.default_rng(1)
    pairs = [rng.normal(size=(2, 6, 84)).astype(np.float32) for _ in range(3)]
    errors = TensorErrors(64, 64)
    for reference, artifact in pairs:
        errors.add(reference, artifact)
    first, second = (
        np.concatenate([pair[side][:4, P4].ravel() for pair in pairs]).astype(float)
        for side in (0, 1)
    )
    found = errors.by_level()["P4"]["boxes"]
    noise = ((first - second) ** 2).sum()
    assert found.sqnr_db == pytest.approx(10 * np.log10((first**2).sum() / noise))
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert found.cosine == pytest.approx(cosine)
    assert found.max_abs == pytest.approx(np.abs(first - second).max())


def test_other_anchor_counts_have_no_levels():
    errors = TensorErrors(64, 64)
    errors.add(np.ones((6, 10), np.float32), np.ones((6, 10), np.float32))
    assert errors.by_level() is None
    assert errors.total()["scores"].cosine == 1.0
    assert TensorErrors(64, 64).total() is None
