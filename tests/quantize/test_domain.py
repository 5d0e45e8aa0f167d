"""Whether two sets of images look alike to a model."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, variance

import numpy as np
import onnx
import pytest

from yolov12edge.checkpoints import load_model
from yolov12edge.data import Letterbox, load_dataset, read_image, to_batch
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.quantize import ALIEN, describe_images, domain_gap


def test_two_draws_of_one_distribution_are_about_one_apart() -> None:
    random = np.random.default_rng(0)
    gaps = [
        domain_gap(random.normal(5, 2, (16, 200)), random.normal(5, 2, (24, 200)))
        for _ in range(20)
    ]
    assert 0.9 < np.mean(gaps) < 1.2
    assert max(gaps) < ALIEN


def test_a_shift_of_the_mean_is_seen() -> None:
    random = np.random.default_rng(1)
    here = random.normal(5, 1, (16, 200))
    assert domain_gap(here, random.normal(7, 1, (16, 200))) > ALIEN
    assert domain_gap(np.ones((4, 3)), np.ones((5, 3))) == 0


def test_the_gap_is_the_root_mean_square_of_welch_s_t() -> None:
    random = np.random.default_rng(2)
    here, there = random.normal(5, 2, (4, 9)), random.normal(6, 1, (7, 9))
    here[:, 0] = there[:, 0] = 3.0
    squares = [
        (fmean(one) - fmean(other)) ** 2 / (variance(one) / 4 + variance(other) / 7)
        for one, other in zip(here.T[1:].tolist(), there.T[1:].tolist(), strict=True)
    ]
    assert domain_gap(here, there) == pytest.approx(fmean(squares) ** 0.5)


@pytest.mark.shared
def test_blood_cells_are_not_street_scenes(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    detector = load_model(shared / "weights/bccd_yolo12n.pt")
    export_onnx(detector, path, ExportOptions(320, 320))
    model, letterbox = onnx.load(path), Letterbox(320, 320)

    def described(data: str, split: str) -> np.ndarray:
        files = load_dataset(shared / "data" / data / "data.yaml", split).images
        order = np.random.default_rng(0).permutation(len(files))[:16]
        return describe_images(
            model, (to_batch([letterbox(read_image(files[i]))[0]])[0] for i in order)
        )

    cells = described("bccd", "train")
    assert domain_gap(cells, described("bccd", "val")) < ALIEN
    assert domain_gap(cells, described("coco", "val")) > ALIEN
