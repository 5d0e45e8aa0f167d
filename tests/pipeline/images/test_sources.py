"""Where calibration images come from, and which of them are taken."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.samples import write_data, write_pictures
from yolov12edge.data import Letterbox
from yolov12edge.errors import DataError
from yolov12edge.pipeline.images.sources import (
    calibration_images,
    train_images,
    verification_images,
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "images", 6)


def test_a_folder_a_data_yaml_and_a_list_give_the_same_images(images: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data.yaml", images)
    listed = tmp_path / "calib.txt"
    lines = [f"images/{path.name}" for path in sorted(images.iterdir())]
    listed.write_text("# six pictures\n\n" + "\n".join(lines) + "\n")
    found = [calibration_images(source, None, 0) for source in (images, data, listed)]
    for each in [*found, train_images(data, None, 0)]:
        assert sorted(path.name for path in each.files) == sorted(p.name for p in images.iterdir())
        assert each.digest() == found[0].digest()


def test_the_sample_is_the_seed_s(images: Path) -> None:
    def sample(limit: int | None, seed: int) -> list[str]:
        found = calibration_images(images, limit, seed)
        return [path.name for path in found.files]

    assert sample(3, 1) == sample(3, 1)
    assert sample(3, 1) == sample(None, 1)[:3]
    assert len({tuple(sample(None, seed)) for seed in range(8)}) > 1


def test_equal_images_count_once(images: Path) -> None:
    shutil.copy(images / "0.png", images / "copy.png")
    found = calibration_images(images, None, 0)
    assert len(found) == 6
    assert found.duplicates == 1
    contents = [path.read_bytes() for path in found.files]
    assert list(found.hashes) == [hashlib.sha256(content).hexdigest() for content in contents]


def test_the_digest_is_of_the_set(images: Path) -> None:
    one, other = (calibration_images(images, None, seed) for seed in (0, 5))
    assert one.files != other.files
    assert one.digest() == other.digest()
    picture = cv2.imread(str(images / "0.png"))
    picture[0, 0] ^= 1
    cv2.imwrite(str(images / "0.png"), picture)
    changed = calibration_images(images, None, 0)
    assert changed.digest() != one.digest()


def test_an_array_is_taken_as_it_is(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (4, 32, 64, 3), dtype=np.uint8)
    np.savez_compressed(tmp_path / "calib.npz", images=pictures)
    found = calibration_images(tmp_path / "calib.npz", None, 0)
    tensors = found.tensors(Letterbox(32, 64), 4)
    expected = {(picture.astype(np.float32) / 255).tobytes() for picture in pictures}
    assert {tensor.transpose(1, 2, 0).tobytes() for tensor in tensors} == expected
    with pytest.raises(DataError, match="32x64"):
        found.tensors(Letterbox(64, 64), 4)
    assert verification_images(None, found) is None


def test_pictures_are_letterboxed_as_the_model_wants_them(images: Path) -> None:
    """A 96 x 64 picture in 64 x 64: OpenCV's 64 x 43 of it between gray bars."""
    found = calibration_images(images, 1, 0)
    (tensor,) = found.tensors(Letterbox(64, 64), 1)
    picture = cv2.cvtColor(cv2.imread(str(found.files[0])), cv2.COLOR_BGR2RGB)
    small = cv2.resize(picture, (64, 43), interpolation=cv2.INTER_LINEAR)
    assert tensor.shape == (3, 64, 64)
    np.testing.assert_allclose(tensor[:, 10:53], small.transpose(2, 0, 1) / 255, atol=1e-6)
    np.testing.assert_allclose(tensor[:, :10], 114 / 255, atol=1e-6)
    np.testing.assert_allclose(tensor[:, 53:], 114 / 255, atol=1e-6)


def test_what_judges(images: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data.yaml", images, boxes="1 0.5 0.5 0.25 0.25\n")
    calibration = calibration_images(images, 2, 0)
    labelled = verification_images(data, calibration)
    assert labelled is not None
    assert labelled.labels is not None
    assert len(labelled.images) == 6
    unlabelled = verification_images(None, calibration)
    assert unlabelled is not None
    assert unlabelled.labels is None
    assert calibration is not None
    assert set(unlabelled.images) == set(calibration.files)
    assert verification_images(None, None) is None


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "image.png").touch()
    (tmp_path / "empty.txt").touch()
    (tmp_path / "wrong.txt").write_text("nowhere.png\n")
    for name, message in (
        ("empty", "no images in"),
        ("nothing", "no such file"),
        ("image.png", "cannot take calibration images"),
        ("empty.txt", "no images in"),
        ("wrong.txt", "nowhere.png"),
        ("nothing.npz", "nothing.npz"),
    ):
        with pytest.raises(DataError, match=message):
            calibration_images(tmp_path / name, None, 0)
