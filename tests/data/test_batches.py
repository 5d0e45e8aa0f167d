"""The same batches, however they are made; and images that break on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.pictures import LETTERBOX_ONLY, coco_box, write_coco, write_image, write_yolo
from yolov12edge.data.augment import Augmentation
from yolov12edge.data.batches import TrainingBatches, epoch_order
from yolov12edge.data.images import read_image
from yolov12edge.data.preview import batch_picture, save_batch_picture
from yolov12edge.data.samples import SampleSet, load_samples
from yolov12edge.errors import DataError, UsageError

STRONG = Augmentation(mixup=0.5, copy_paste=0.5, degrade=0.1)
SIZE = (64, 96)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Eleven images, two of them without objects, some with outlines."""
    root = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    labels = {}
    for number in range(11):
        rows = ["0 .2 .2 .4 .3 .3 .7"] if number % 2 else []
        for _ in range(number % 4):
            x, y, w, h = rng.uniform(0.3, 0.6, 4).round(3)
            rows.append(f"{number % 2} {x} {y} {w} {h}")
        labels[f"image{number:02d}"] = "\n".join(rows)
    return load_samples(write_yolo(root, labels))


def batches(samples, **options):
    options = {"image_size": SIZE, "batch": 4, "seed": 5, "augmentation": STRONG} | options
    return TrainingBatches(samples, options.pop("augmentation"), **options)


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one.images, other.images, rtol=0, atol=0)
        torch.testing.assert_close(one.targets, other.targets, rtol=0, atol=0)


def test_a_batch_has_the_stated_form(samples):
    batch = next(batches(samples).epoch(0))
    assert batch.images.shape == (4, 3, *SIZE)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous()
    assert batch.targets.dtype == torch.float32
    assert batch.targets.shape[1] == 6
    assert set(batch.targets[:, 0].tolist()) <= {0, 1, 2, 3}
    boxes = batch.targets[:, 2:]
    assert ((boxes[:, :2] - boxes[:, 2:] / 2) > -1e-6).all()
    assert ((boxes[:, :2] + boxes[:, 2:] / 2) < 1 + 1e-6).all()


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("cache", ["none", "ram"])
def test_threads_and_caches_change_nothing(samples, workers, cache):
    expected = list(batches(samples, cache="none").epoch(3))
    assert_same(list(batches(samples, workers=workers, cache=cache).epoch(3)), expected)


def test_the_disk_cache_changes_nothing(samples, tmp_path, monkeypatch):
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path))
    expected = list(batches(samples, cache="none").epoch(0))
    first = batches(samples, cache="disk", workers=2)
    assert str(tmp_path) in first.cache_description
    assert_same(list(first.epoch(0)), expected)
    assert len(list(tmp_path.rglob("*.npy"))) == len(samples)
    assert_same(list(batches(samples, cache="disk").epoch(0)), expected)


def test_two_ranks_share_the_batches_of_one(samples):
    whole = list(batches(samples).epoch(1))
    for rank in range(2):
        part = list(batches(samples, rank=rank, world=2).epoch(1))
        for mine, full in zip(part, whole, strict=True):
            torch.testing.assert_close(mine.images, full.images[rank::2], rtol=0, atol=0)
            rows = full.targets[full.targets[:, 0] % 2 == rank].clone()
            rows[:, 0] = (rows[:, 0] - rank) / 2
            torch.testing.assert_close(mine.targets, rows, rtol=0, atol=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_can_begin_anywhere(samples, workers):
    whole = list(batches(samples).epoch(2))
    for step in (1, 2, 3):
        assert_same(list(batches(samples, workers=workers).epoch(2, first_step=step)), whole[step:])


def test_epochs_and_seeds_differ(samples):
    first = next(batches(samples).epoch(0)).images
    assert not torch.equal(first, next(batches(samples).epoch(1)).images)
    assert not torch.equal(first, next(batches(samples, seed=6).epoch(0)).images)


def test_every_image_is_seen_and_every_batch_full(samples):
    plain = batches(samples, augmentation=LETTERBOX_ONLY)
    assert plain.steps_per_epoch == 3
    seen = torch.cat([batch.images for batch in plain.epoch(0)])
    assert len(seen) == 12
    assert len({image.numpy().tobytes() for image in seen}) == 11
    torch.testing.assert_close(seen[11], seen[0])


def test_the_order_is_a_new_permutation_in_each_epoch():
    orders = [epoch_order(50, 0, epoch) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(50))
    assert not np.array_equal(orders[0], orders[1])


@pytest.mark.parametrize(
    ("count", "world", "sizes"), [(3, 1, [3]), (3, 2, [2, 2]), (1, 4, [1] * 4)]
)
def test_sets_smaller_than_a_batch_make_one(samples, count, world, sizes):
    few = SampleSet(samples.names, samples.samples[:count], ())
    for rank in range(world):
        made = batches(few, batch=8, rank=rank, world=world)
        assert [len(batch.images) for batch in made.epoch(0)] == [sizes[rank]]


def test_the_last_epochs_show_single_images(samples):
    mild = STRONG.model_copy(
        update={
            "scale": 0.0,
            "translate": 0.0,
            "degrade": 0.0,
            "hue": 0.0,
            "saturation": 0.0,
            "value": 0.0,
            "flip_lr": 0.0,
        }
    )
    plain = list(batches(samples, augmentation=LETTERBOX_ONLY).epoch(4))
    assert_same(list(batches(samples, augmentation=mild).epoch(4, mosaic=False)), plain)


def test_what_makes_no_sense_is_refused(samples):
    with pytest.raises(UsageError, match=r"batch 5 .* 2 processes"):
        batches(samples, batch=5, world=2)
    with pytest.raises(UsageError, match="no cache 'tape'"):
        batches(samples, cache="tape")
    with pytest.raises(DataError, match="empty"):
        batches(SampleSet(("a",), (), ()))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_breaks_on_the_way_is_replaced(tmp_path, workers):
    labels = {f"image{number}": "0 .5 .5 .5 .5\n" for number in range(6)}
    samples = load_samples(write_yolo(tmp_path, labels))
    broken = samples.samples[2].path
    content = broken.read_bytes()
    # Whole by its header and end, but there is no picture in between.
    middle = content.index(b"\xff\xda") + 2
    broken.write_bytes(content[:middle] + b"\xff\xd9")
    made = batches(samples, workers=workers, cache="none")
    images = [list(made.epoch(0)), list(batches(samples).epoch(0))]
    assert_same(*images)
    assert [problem.path for problem in made.problems] == [broken]
    assert broken.name in str(made.problems[0])


@pytest.mark.parametrize("workers", [0, 3])
def test_a_set_that_vanishes_stops_the_training(tmp_path, workers):
    samples = load_samples(write_yolo(tmp_path, {"a": "0 .5 .5 .5 .5\n", "b": ""}))
    for sample in samples.samples:
        sample.path.unlink()
    with pytest.raises(DataError, match=r"cannot read image .*\.jpg"):
        list(batches(samples, workers=workers).epoch(0))


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("gray.png", np.full((40, 60), 200, np.uint8)),
        ("deep.png", np.full((40, 60, 3), 200 << 8, np.uint16)),
        ("deep.tif", np.full((40, 60), 200 << 8, np.uint16)),
        ("alpha.png", np.full((40, 60, 4), 200, np.uint8)),
    ],
)
def test_other_pixel_formats_train_as_rgb(tmp_path, name, picture):
    path = tmp_path / "images" / name
    path.parent.mkdir()
    cv2.imwrite(str(path), picture)
    check_flat(tmp_path, path)


def test_cmyk_trains_as_rgb(tmp_path):
    path = tmp_path / "images/cmyk.jpg"
    path.parent.mkdir()
    Image.new("RGB", (60, 40), (200, 200, 200)).convert("CMYK").save(path, quality=95)
    check_flat(tmp_path, path)


def check_flat(root, path):
    entry = {"id": 1, "file_name": path.name, "width": 60, "height": 40}
    samples = load_samples(write_coco(root, [entry], [coco_box(1, [15, 10, 30, 20])]))
    made = batches(samples, augmentation=LETTERBOX_ONLY, image_size=(60, 60))
    (batch,) = made.epoch(0)
    assert samples.problems == ()
    np.testing.assert_allclose(batch.images[0, :, 10:50].float(), 200, atol=6)
    np.testing.assert_allclose(batch.images[0, :, :10], 114)
    np.testing.assert_allclose(batch.targets[0], [0, 0, 0.5, 0.5, 0.5, 20 / 60], atol=1e-6)


def test_a_turned_picture_trains_upright(tmp_path):
    """Bright where the box is, though the file stores it lying."""
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[4:16, 8:40] = 255
    picture = Image.fromarray(stored)
    exif = picture.getexif()
    exif[0x112] = 6
    path = tmp_path / "images/a.png"
    path.parent.mkdir()
    picture.save(path, exif=exif)
    entry = {"id": 1, "file_name": "a.png", "width": 60, "height": 40}
    samples = load_samples(write_coco(tmp_path, [entry], [coco_box(1, [8, 4, 32, 12])]))
    (batch,) = batches(samples, augmentation=LETTERBOX_ONLY, image_size=(60, 60)).epoch(0)
    bright = batch.images[0, 0].numpy() > 127
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    box = batch.targets[0, 2:].numpy() * 60
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose([*box[:2] - box[2:] / 2, *box[:2] + box[2:] / 2], seen, atol=1e-4)
    assert read_image(path).shape == (60, 40, 3)


def test_a_picture_of_a_batch_is_saved(samples, tmp_path):
    batch = next(batches(samples).epoch(0))
    save_batch_picture(batch, samples.names, tmp_path / "batch.png")
    saved = cv2.imread(str(tmp_path / "batch.png"))[..., ::-1]
    np.testing.assert_array_equal(saved, batch_picture(batch, samples.names))
    # Two by two pictures, each enlarged fivefold until its labels can be read.
    assert saved.shape == (2 * 5 * 64 + 4, 2 * 5 * 96 + 4, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["batch.png"]
    assert batch.images.max() <= 255


# A shell starts its background jobs with SIGINT ignored; so may whoever starts these tests.
_ENDLESS = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from yolov12edge.data.augment import Augmentation
from yolov12edge.data.batches import TrainingBatches
from yolov12edge.data.samples import load_samples
samples = load_samples(Path(sys.argv[1]))
made = TrainingBatches(samples, Augmentation(), image_size=(64, 64), batch=4, seed=0, workers=3)
print("ready", flush=True)
epoch = 0
while True:
    for batch in made.epoch(epoch):
        pass
    epoch += 1
"""


def test_ctrl_c_ends_the_threads(tmp_path):
    for number in range(6):
        write_image(tmp_path / f"images/{number}.jpg", seed=number)
    data = write_yolo(tmp_path, {"a": "0 .5 .5 .5 .5\n", "b": ""})
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert "KeyboardInterrupt" in errors
    assert process.returncode != 0


@pytest.mark.parametrize("moment", ["submit", "shutdown", "__del__"])
def test_ctrl_c_inside_the_pool_waits_and_is_not_lost(samples, monkeypatch, moment):
    finished = []

    def interrupted(self, *arguments, **options):
        signal.raise_signal(signal.SIGINT)
        finished.append(moment)
        inherited = getattr(super(Pool, self), moment, None)
        return inherited(*arguments, **options) if inherited else None

    Pool = type("Pool", (ThreadPoolExecutor,), {moment: interrupted})
    monkeypatch.setattr("yolov12edge.data.batches.ThreadPoolExecutor", Pool)
    made = batches(samples, workers=2)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in made.epoch(0):
                pass
    finally:
        signal.signal(signal.SIGINT, handler)
    assert finished, "the interrupt struck inside the pool"
