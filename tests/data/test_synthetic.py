"""Synthetic scenes: reproducible, exact, and varied."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from yolov12edge.data import load_dataset
from yolov12edge.data.augment import Polygons
from yolov12edge.data.samples import load_samples
from yolov12edge.data.synthetic import NAMES, make_scene, shapes, write_set
from yolov12edge.data.synthetic.__main__ import main
from yolov12edge.data.synthetic.bodies import lay
from yolov12edge.data.synthetic.scene import MIN_VISIBLE, OBJECTS, _place
from yolov12edge.errors import UsageError


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(7, index) for index in range(24)]


def test_a_scene_depends_on_seed_and_index_alone(scenes):
    for index in (11, 3):
        again = make_scene(7, index)
        np.testing.assert_array_equal(again.image, scenes[index].image)
        np.testing.assert_array_equal(again.boxes, scenes[index].boxes)
    assert not np.array_equal(make_scene(8, 3).image, scenes[3].image)


def test_scenes_are_the_same_in_another_process(scenes):
    code = (
        "import hashlib; from yolov12edge.data.synthetic import make_scene; "
        "print(hashlib.sha256(make_scene(7, 5).image.tobytes()).hexdigest())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == hashlib.sha256(scenes[5].image.tobytes()).hexdigest()


def test_boxes_enclose_their_outlines_and_lie_inside(scenes):
    for scene in scenes:
        count = len(scene.classes)
        assert count <= OBJECTS[1]
        assert len(scene.boxes) == len(scene.polygons) == len(scene.areas) == count
        assert (scene.boxes >= 0).all()
        assert (scene.boxes <= 320).all()
        assert all(scene.polygons)
        bounds = Polygons.of(scene.polygons).bounds(count, (-1, -1, 321, 321))
        np.testing.assert_allclose(bounds, scene.boxes, atol=1e-4)
        sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
        assert (scene.areas <= sides.prod(axis=1)).all()


def test_every_class_and_size_occurs(scenes):
    kinds = np.concatenate([scene.classes for scene in scenes])
    assert set(kinds.tolist()) == set(range(len(NAMES)))
    boxes = np.concatenate([scene.boxes for scene in scenes])
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert longer.min() < 40
    assert longer.max() > 100


def test_scenes_are_neither_black_nor_flat(scenes):
    means = [scene.image.mean() for scene in scenes]
    assert min(means) > 25
    assert max(means) < 235
    assert np.std(means) > 15
    assert min(scene.image.std() for scene in scenes) > 5


@pytest.mark.parametrize("seed", range(5))
def test_no_object_is_mostly_hidden(seed):
    bodies, owners = _place(320, np.random.default_rng(seed))
    for number, body in enumerate(bodies):
        visible = (owners == number).sum()
        whole = (body.cover > 127).sum()
        if body.kind >= 0:
            assert visible >= MIN_VISIBLE * whole
    # Those in front are never covered: a body only takes what no earlier one has.
    front = bodies[0]
    assert (owners == 0).sum() == sum(
        (front.cover[w[2], w[3]] > 127).sum() for w in [front.window(320)]
    )


@pytest.mark.parametrize("draw", [*shapes.CLASSES.values(), shapes.clutter])
def test_shapes_fit_their_circle_and_cover_something(draw):
    rng = np.random.default_rng(0)
    for _ in range(20):
        shape = draw(rng)
        solid = np.concatenate([ring for ring, is_solid in shape.parts if is_solid])
        assert np.hypot(*solid.T).max() < 0.75
        body = lay(shape, 0, 100.0, np.array([50.0, 50.0]), rng)
        assert 200 < (body.cover > 127).sum() < 9000


def test_other_sizes_show_the_same_kind_of_scene():
    small = make_scene(0, 0, 128)
    assert small.image.shape == (128, 128, 3)
    assert (small.boxes <= 128).all()


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_set_is_written_whole_and_reads_back(tmp_path):
    data = write_set(tmp_path / "a", 5, 3, 160, seed=2)
    write_set(tmp_path / "b", 5, 3, 160, seed=2)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    train = load_samples(data)
    assert (len(train), train.names, train.problems) == (5, NAMES, ())
    scene = make_scene(2, 4, 160)
    sample = train.samples[4]
    centres = (scene.boxes[:, :2] + scene.boxes[:, 2:]) / 320
    np.testing.assert_allclose(sample.boxes[:, :2], centres, atol=1e-6)
    np.testing.assert_array_equal(sample.classes, scene.classes)
    assert sample.polygons is not None
    image = cv2.imread(str(sample.path))[..., ::-1]
    assert np.abs(image.astype(int) - scene.image).mean() < 4
    validation = load_dataset(data, "val")
    assert len(validation.images) == 3
    first = make_scene(2, 1_000_000, 160)
    np.testing.assert_array_equal(validation.labels[0][:, 0], first.classes)


def test_the_annotations_are_coco(tmp_path):
    write_set(tmp_path / "set", 4, 1, 160)
    coco = COCO(str(tmp_path / "set/annotations/train.json"))
    assert [entry["name"] for entry in coco.loadCats(coco.getCatIds())] == list(NAMES)
    for annotation in coco.loadAnns(coco.getAnnIds()):
        x, y, w, h = annotation["bbox"]
        mask = coco.annToMask(annotation)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(seen, [x, y, x + w, y + h], atol=1)
        # Outlines have no holes, areas do.
        assert annotation["area"] <= mask.sum() * 1.1 + 10
    assert len({one["id"] for one in coco.loadAnns(coco.getAnnIds())}) == len(coco.anns)


def test_nothing_is_left_of_an_interrupted_set(tmp_path):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_set(tmp_path / "set", 3, 0, 64, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_existing_folders_are_not_touched(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="full exists"):
        write_set(tmp_path / "full", 1, 0, 64)
    assert write_set(tmp_path / "empty", 1, 0, 64).is_file()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        write_set(tmp_path / "file/set", 1, 0, 64)


def test_the_command(tmp_path, capsys):
    out = tmp_path / "set"
    assert main([str(out), "--train", "2", "--val", "1", "--size", "64", "--seed", "3"]) == 0
    assert capsys.readouterr().out.strip() == str(out / "data.yaml")
    assert len(json.loads((out / "annotations/val.json").read_text())["images"]) == 1
    assert main([str(out)]) == 2
    assert "hint: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(out), "--size", "3"])
