"""Scaled images, and where they are kept."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import numpy as np
import pytest

from tests.data.pictures import write_image
from yolov12edge.data import Letterbox, read_image, resized
from yolov12edge.data.resized import ResizedImages, free_memory
from yolov12edge.data.samples import Sample

SIZE = (64, 96)
SHAPES = [(300, 100), (40, 30), (96, 64), (20, 200), (97, 65)]


@pytest.fixture
def samples(tmp_path):
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    return [
        Sample(write_image(tmp_path / f"{n}.png", *shape, n), *none, None, shape)
        for n, shape in enumerate(SHAPES)
    ]


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that are read."""
    names = []

    def read(path):
        names.append(path.name)
        return read_image(path)

    monkeypatch.setattr(resized, "read_image", read)
    return names


def test_images_are_scaled_as_the_letterbox_scales_them(samples):
    images = ResizedImages(samples, SIZE, "none")
    for number, sample in enumerate(samples):
        boxed, placement = Letterbox(*SIZE, center=False)(read_image(sample.path))
        image = images(number)
        height, width = image.shape[:2]
        np.testing.assert_array_equal(boxed[:height, :width], image)
        assert (boxed[height:] == 114).all()
        assert (boxed[:, width:] == 114).all()
        assert placement.width == sample.size[0]
        assert not image.flags.writeable


def test_memory_keeps_all_and_reads_each_once(samples, reads):
    images = ResizedImages(samples, SIZE, "ram")
    assert images.description.startswith("images cached in memory, ")
    first = [images(n) for n in range(5)]
    assert all(images(n) is first[n] for n in range(5))
    assert len(reads) == 5


def test_automatic_is_memory_only_where_it_fits(samples, reads, monkeypatch):
    monkeypatch.setattr(resized, "free_memory", lambda: 50_000)
    images = ResizedImages(samples, SIZE, "auto")
    assert images.description.startswith("no image cache: it would take ")
    for _ in range(2):
        images(0)
    assert len(reads) == 2
    monkeypatch.setattr(resized, "free_memory", lambda: 500_000)
    assert "in memory" in ResizedImages(samples, SIZE, "auto").description
    assert "no image" in ResizedImages(samples, SIZE, "auto", processes=8).description


def test_recent_images_are_kept_within_a_limit(samples, reads, monkeypatch):
    images = ResizedImages(samples, SIZE, "none", recent=2)
    for number in (0, 1, 0, 2, 0, 1):
        images(number)
    assert reads == ["0.png", "1.png", "2.png", "1.png"]
    reads.clear()
    monkeypatch.setattr(resized, "free_memory", lambda: 0)
    images = ResizedImages(samples, SIZE, "none", recent=2)
    images(0), images(0)
    assert len(reads) == 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_disk_keeps_images_between_runs(samples, reads, folder):
    first = [ResizedImages(samples, SIZE, "disk")(n) for n in range(5)]
    reads.clear()
    images = ResizedImages(samples, SIZE, "disk")
    for number in range(5):
        np.testing.assert_array_equal(images(number), first[number])
    assert reads == []
    write_image(samples[1].path, 50, 50, 9)
    assert images(1).shape == (64, 64, 3)
    assert ResizedImages(samples, (32, 32), "disk")(0).shape == (11, 32, 3)


@pytest.mark.parametrize("damage", ["empty", "text", "other", "pickle"])
def test_damaged_files_on_disk_are_made_again(samples, folder, damage):
    images = ResizedImages(samples, SIZE, "disk")
    expected = images(0).copy()
    (file,) = folder.rglob("*.npy")
    if damage == "other":
        np.save(file, np.zeros((200, 200, 3), np.uint8))
    elif damage == "pickle":
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        file.write_bytes(b"" if damage == "empty" else b"nonsense")
    np.testing.assert_array_equal(images(0), expected)
    np.testing.assert_array_equal(np.load(file), expected)


def test_a_disk_without_room_is_not_filled(samples, folder, monkeypatch):
    monkeypatch.setattr(resized.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    images = ResizedImages(samples, SIZE, "disk")
    assert "would take" in images.description
    images(0)
    assert list(folder.rglob("*.npy")) == []


def test_a_disk_that_fills_up_costs_only_time(samples, folder, monkeypatch):
    def full(stream, image):
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    images = ResizedImages(samples, SIZE, "disk")
    monkeypatch.setattr(resized.np, "save", full)
    assert images(0).shape == (32, 96, 3)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_cache_folder_that_is_a_file(samples, folder):
    folder.write_text("a file")
    images = ResizedImages(samples, SIZE, "disk")
    assert "cannot write" in images.description
    assert images(0).shape == (32, 96, 3)


def test_free_memory_is_plausible():
    assert 0 < free_memory() < 1 << 50
