"""Training sets with everything in them that goes wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pycocotools.coco import COCO

from tests.data.pictures import coco_box, write_coco, write_image, write_yolo
from yolov12edge.data import images as image_limits
from yolov12edge.data import load_dataset, scan
from yolov12edge.data.problems import Problem, summarize
from yolov12edge.data.samples import load_samples
from yolov12edge.errors import DataError

GOOD = "0 .5 .5 .2 .4\n"


def problems(found):
    return [(p.path.name, p.line, p.what, p.skipped) for p in found.problems]


@pytest.mark.parametrize(
    ("line", "what", "skipped"),
    [
        ("0 nan 0.5 0.2 0.2", "a value is not finite or absurdly large", True),
        ("0 0.5 inf 0.2 0.2", "a value is not finite or absurdly large", True),
        ("nan 0.5 0.5 0.2 0.2", "a value is not finite or absurdly large", True),
        ("2 0.5 0.5 0.2 0.2", "the class is out of range", True),
        ("-1 0.5 0.5 0.2 0.2", "the class is out of range", True),
        ("0.5 0.5 0.5 0.2 0.2", "the class is out of range", True),
        ("0 1.2 0.5 0.2 0.2", "the box lies outside the image", True),
        ("0 0.5 0.5 0 0.2", "the box has no area", True),
        ("0 0.5 0.5 -0.1 0.2", "the box has no area", True),
        ("0 0.5 0.5 0.2", "not a label", True),
        ("cat 0.5 0.5 0.2 0.2", "not a label", True),
        (GOOD.strip(), "the same label stands there twice", True),
        ("1 0.95 0.5 0.2 0.2", "the box reaches beyond the image", False),
    ],
)
def test_bad_labels_are_named_and_the_rest_is_kept(tmp_path, line, what, skipped):
    found = load_samples(write_yolo(tmp_path, {"a": f"{GOOD}{line}\n1 .3 .3 .1 .1\n{GOOD}"}))
    # The last line repeats the first one, so that bad lines are never most of them.
    first = found.problems[0]
    named = next(p for p in found.problems if p.line == 2)
    assert named.path.name == "a.txt"
    assert named.what.startswith(what)
    assert named.skipped is skipped
    assert len(found.samples[0].boxes) == (2 if skipped else 3)
    assert "\n" not in str(first)


def test_boxes_partly_outside_are_cut(tmp_path):
    found = load_samples(write_yolo(tmp_path, {"a": "1 0.95 0.5 0.2 0.2\n0 0.05 0.02 0.1 0.1\n"}))
    expected = [[0.925, 0.5, 0.15, 0.2], [0.05, 0.035, 0.1, 0.07]]
    np.testing.assert_allclose(found.samples[0].boxes, expected, atol=1e-6)


def test_background_images_count_and_missing_files_are_noted(tmp_path):
    found = load_samples(write_yolo(tmp_path, {"a": GOOD, "empty": "", "missing": None}))
    assert [len(sample.boxes) for sample in found.samples] == [1, 0, 0]
    assert problems(found) == [
        ("missing.jpg", None, "no label file, taken as an image without objects", False)
    ]


def test_unreadable_images_are_skipped(tmp_path, monkeypatch):
    data = write_yolo(tmp_path, dict.fromkeys(("a", "b", "cut", "empty", "huge", "text"), GOOD))
    folder = tmp_path / "images/train"
    content = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(content[: len(content) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    write_image(folder / "huge.jpg", 200, 100)
    monkeypatch.setattr(scan, "MAX_PIXELS", 10_000)
    found = load_samples(data)
    assert [sample.path.name for sample in found.samples] == ["a.jpg", "b.jpg"]
    assert sorted(p.path.name for p in found.problems) == [
        "cut.jpg",
        "empty.jpg",
        "huge.jpg",
        "text.jpg",
    ]
    huge = next(p for p in found.problems if p.path.name == "huge.jpg")
    assert "200x100" in huge.detail
    assert image_limits.MAX_PIXELS == 100_000_000
    assert found.summary()[0].startswith("skipped 3: the image cannot be read: ")
    assert found.summary()[0].endswith(", and 2 more")


def test_images_without_a_usable_label_are_skipped(tmp_path):
    labels = {"a": GOOD, "bad": "0 nan .5 .1 .1\n", "binary": "", "b": GOOD, "text": "what\n"}
    data = write_yolo(tmp_path, labels)
    (tmp_path / "labels/train/binary.txt").write_bytes(b"\xff\xfe\x00")
    found = load_samples(data)
    assert [sample.path.name for sample in found.samples] == ["a.jpg", "b.jpg"]
    assert problems(found) == [
        ("bad.txt", 1, "a value is not finite or absurdly large", True),
        ("bad.jpg", None, "the image has labels, but none that can be used", True),
        ("binary.txt", None, "the label file cannot be read, its image is left out", True),
        ("text.txt", 1, "not a label", True),
        ("text.jpg", None, "the image has labels, but none that can be used", True),
    ]


def test_wrong_names_stop_the_training(tmp_path):
    data = write_yolo(tmp_path, {"a": "5 .5 .5 .2 .2\n6 .4 .4 .1 .1\n0 .3 .3 .1 .1\n"})
    with pytest.raises(DataError, match=r"2 of 3 labels .* unknown classes.*class 5") as caught:
        load_samples(data)
    assert caught.value.exit_code == 3
    assert "names:" in caught.value.hint


def test_pixel_coordinates_stop_the_training(tmp_path):
    data = write_yolo(tmp_path, {"a": "0 30 20 10 10\n1 12 11 8 8\n"})
    with pytest.raises(DataError, match=r"2 of 2 labels .* outside") as caught:
        load_samples(data)
    assert "not pixels" in caught.value.hint


@pytest.mark.parametrize("labels", [{"a": None, "b": None}, {"a": "", "b": ""}])
def test_sets_without_a_label_stop_the_training(tmp_path, labels):
    with pytest.raises(DataError, match="no usable label") as caught:
        load_samples(write_yolo(tmp_path, labels))
    assert str(Path("labels") / "train" / "a.txt") in caught.value.hint


def test_sets_without_a_usable_image_stop_the_training(tmp_path):
    data = write_yolo(tmp_path, {"a": GOOD})
    (tmp_path / "images/train/a.jpg").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"no usable image.*a\.jpg"):
        load_samples(data)


def test_outlines_are_kept(tmp_path):
    text = f"1 0.2 0.1 0.6 0.3 0.4 0.5\n{GOOD}"
    sample = load_samples(write_yolo(tmp_path, {"a": text})).samples[0]
    np.testing.assert_allclose(sample.boxes[0], [0.4, 0.3, 0.4, 0.4], atol=1e-6)
    np.testing.assert_allclose(sample.polygons.points, [[0.2, 0.1], [0.6, 0.3], [0.4, 0.5]])
    assert sample.polygons.owners.tolist() == [0, 0, 0]


def test_a_folder_and_its_list_file_count_once(tmp_path):
    data = write_yolo(tmp_path, {"a": GOOD, "b": GOOD})
    (tmp_path / "list.txt").write_text("images/train/b.jpg\nimages/train/b.jpg\n")
    data.write_text("train: [images/train, list.txt]\nnames: [cat]\n")
    assert len(load_samples(tmp_path)) == 2


def test_clean_sets_load_as_evaluation_loads_them(tmp_path):
    data = write_yolo(tmp_path, {"a": f"{GOOD}1 .1 .1 .2 .2\n", "b": "", "c": None})
    strict, found = load_dataset(data, "train"), load_samples(data).dataset()
    assert (strict.names, strict.images) == (found.names, found.images)
    for ours, theirs in zip(found.labels, strict.labels, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "match"), [("absent.json", "no such file"), ("folder", "holds no data.yaml")]
)
def test_wrong_paths_are_refused(tmp_path, name, match):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=match):
        load_samples(tmp_path / name)


def test_summary_counts_each_kind_once():
    listed = [Problem(Path("a.txt"), n, "odd", True) for n in (1, 2)]
    listed.append(Problem(Path("b.jpg"), None, "odd", False, "why"))
    assert summarize(listed) == [
        "skipped 2: odd: a.txt, line 1, and 1 more",
        "noted 1: odd: b.jpg (why)",
    ]


def coco_set(root, annotations, **image):
    write_image(root / "images/train/a.jpg")
    entry = {"id": 1, "file_name": "a.jpg", "width": 60, "height": 40, **image}
    return write_coco(root, [entry], annotations)


def test_coco_boxes_outlines_and_crowds(tmp_path):
    path = coco_set(
        tmp_path,
        [
            coco_box(1, [15, 10, 30, 20], 7, segmentation=[[15, 10, 45, 10, 45, 30]]),
            coco_box(1, [0, 0, 10, 10], segmentation={"counts": [3], "size": [40, 60]}),
            coco_box(1, [0, 0, 60, 40], iscrowd=1),
        ],
    )
    found = load_samples(path)
    sample = found.samples[0]
    assert (found.names, found.problems) == (("cat", "dog"), ())
    assert sample.classes.tolist() == [1, 0]
    np.testing.assert_allclose(sample.boxes[0], [0.5, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(sample.polygons.points[1], [0.75, 0.25])
    assert sample.size == (60, 40)


def test_coco_names_follow_the_yaml(tmp_path):
    coco_set(tmp_path, [coco_box(1, [15, 10, 30, 20], 7)])
    data = tmp_path / "data.yaml"
    data.write_text(
        "train: annotations/train.json\nimages: {train: images/train}\nnames: [dog, bird, cat]\n"
    )
    assert load_samples(data).samples[0].classes.tolist() == [0]
    strict = load_dataset(data, "train")
    np.testing.assert_allclose(strict.labels[0], [[0, 0.5, 0.5, 0.5, 0.5]])
    data.write_text("train: annotations/train.json\nnames: [dog, bird]\n")
    with pytest.raises(DataError, match="'cat' is not among"):
        load_samples(data)
    data.write_text("train: annotations/train.json\n")
    assert load_samples(data).names == ("cat", "dog")


@pytest.mark.parametrize(
    ("annotation", "what"),
    [
        (coco_box(1, [float("nan"), 0, 5, 5]), "a value is not finite or absurdly large"),
        (coco_box(1, [5, 5, 0, 5]), "the box has no area"),
        (coco_box(1, [100, 5, 9, 5]), "the box lies outside the image"),
        (coco_box(1, [15, 10, 30, 20]), "the same label stands there twice"),
        (coco_box(1, [5, 5, 6, 6], 99), "the class is out of range"),
        (coco_box(8, [5, 5, 6, 6]), "an annotation belongs to no image"),
        (coco_box([1], [5, 5, 6, 6]), "an annotation belongs to no image"),
        (coco_box(1, [5, 5, 6]), "an entry is malformed"),
        (coco_box(1, [5, "x", 6, 6]), "an entry is malformed"),
        ("nothing", "an entry is malformed"),
    ],
)
def test_bad_annotations_are_named_here_and_refused_in_evaluation(tmp_path, annotation, what):
    path = coco_set(
        tmp_path, [coco_box(1, [15, 10, 30, 20]), annotation, coco_box(1, [1, 1, 5, 5])]
    )
    found = load_samples(path)
    assert [(p.what, p.skipped) for p in found.problems] == [(what, True)]
    assert len(found.samples[0].boxes) == 2
    (tmp_path / "data.yaml").write_text("val: annotations/train.json\n")
    with pytest.raises(DataError, match=what):
        load_dataset(tmp_path / "data.yaml")


def test_duplicate_ids_and_missing_files_are_named(tmp_path):
    write_image(tmp_path / "images/train/a.jpg")
    write_image(tmp_path / "images/train/b.jpg", seed=1)
    images = [
        {"id": 1, "file_name": "a.jpg", "width": 60, "height": 40},
        {"id": 1, "file_name": "b.jpg", "width": 60, "height": 40},
        {"id": 2, "file_name": "gone.jpg", "width": 60, "height": 40},
        {"id": 3, "file_name": "a.jpg", "width": 60, "height": 40},
        {"file_name": "b.jpg"},
    ]
    found = load_samples(write_coco(tmp_path, images, [coco_box(1, [15, 10, 30, 20])]))
    assert [sample.path.name for sample in found.samples] == ["a.jpg"]
    assert [p.what for p in found.problems] == [
        "an image id is used twice, only the first image is taken",
        "an entry is malformed",
        "no such image file",
        "the image is listed twice",
    ]


def test_images_of_another_size_than_stated(tmp_path):
    found = load_samples(coco_set(tmp_path, [coco_box(1, [30, 20, 60, 40])], width=120, height=80))
    np.testing.assert_allclose(found.samples[0].boxes, [[0.5, 0.5, 0.5, 0.5]])
    assert "stated 120x80, is 60x40" in str(found.problems[0])
    with pytest.raises(DataError, match="another shape"):
        load_samples(coco_set(tmp_path, [coco_box(1, [30, 20, 60, 40])], width=120, height=120))
    found = load_samples(coco_set(tmp_path, [coco_box(1, [15, 10, 30, 20])], width=None))
    np.testing.assert_allclose(found.samples[0].boxes, [[0.5, 0.5, 0.5, 0.5]])


@pytest.mark.parametrize("content", ["[1, 2]", "{}", '{"images": 3}', "{", "[" * 100_000])
def test_other_json_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"a\.json") as caught:
        load_samples(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("stated", ["stored", "shown"])
def test_boxes_follow_a_turned_picture(tmp_path, suffix, orientation, stated):
    """A bright rectangle is found where the box says, whichever way the json looks at it."""
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[4:16, 8:40] = 255
    picture = Image.fromarray(stored)
    exif = picture.getexif()
    exif[0x112] = orientation
    path = tmp_path / f"images/train/a{suffix}"
    path.parent.mkdir(parents=True)
    picture.save(path, exif=exif, **({"quality": 95} if suffix == ".jpg" else {}))
    shown = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("L")) > 127
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    left, top = columns[0], rows[0]
    width, height = columns[-1] + 1 - left, rows[-1] + 1 - top
    box = [8, 4, 32, 12] if stated == "stored" and orientation >= 5 else [left, top, width, height]
    size = (60, 40) if stated == "stored" and orientation >= 5 else shown.shape[::-1]
    entry = {"id": 1, "file_name": path.name, "width": size[0], "height": size[1]}
    box = [int(side) for side in box]
    x, y, w, h = box
    outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    found = load_samples(write_coco(tmp_path, [entry], [coco_box(1, box, segmentation=outline)]))
    sample = found.samples[0]
    expected = np.array([left + width / 2, top + height / 2, width, height])
    pixels = sample.boxes[0] * np.tile(shown.shape[::-1], 2)
    np.testing.assert_allclose(pixels, expected, atol=1e-3)
    points = sample.polygons.points * shown.shape[::-1]
    np.testing.assert_allclose(points.min(axis=0), [left, top], atol=1e-3)
    np.testing.assert_allclose(points.max(axis=0), [left + width, top + height], atol=1e-3)
    assert sample.size == shown.shape[::-1]
    assert found.problems == ()


def check_sane(found):
    for sample in found.samples:
        assert len(sample.boxes) == len(sample.classes)
        assert np.isfinite(sample.boxes).all()
        assert ((sample.classes >= 0) & (sample.classes < len(found.names))).all()
        corners = sample.boxes[:, :2] - sample.boxes[:, 2:] / 2
        assert (corners > -0.02).all()
        assert (corners + sample.boxes[:, 2:] < 1.02).all()
        assert (sample.boxes[:, 2:] > 0).all()


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.sampled_from(["0", "1", "2", "-1", ".5", "0.1", "1.5", "nan", "inf", "1e300", "x"]),
            max_size=9,
        ).map(" ".join)
        | st.text(max_size=20),
        max_size=6,
    )
)
def test_any_label_text_gives_sane_samples_or_a_reason(fuzzed, lines):
    data = write_yolo(fuzzed, {"a": "\n".join(lines), "b": GOOD})
    with contextlib.suppress(DataError):
        check_sane(load_samples(data))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_coco_entry_gives_sane_samples_or_a_reason(fuzzed, data):
    write_image(fuzzed / "images/a.jpg")
    image = {"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}
    annotation = coco_box(1, [15, 10, 30, 20], segmentation=[[15, 10, 45, 10, 45, 30]])
    for entry in (image, annotation):
        for key in entry:
            if data.draw(st.integers(0, 3)) == 0:
                entry[key] = data.draw(json_values)
    extra = data.draw(json_values)
    path = write_coco(fuzzed, [image, extra], [annotation, extra, coco_box(1, [1, 1, 9, 9])])
    with contextlib.suppress(DataError):
        check_sane(load_samples(path))


@pytest.mark.shared
def test_real_sets_in_both_forms(shared):
    """COCO json with polygons, against pycocotools; and the text labels made from the same."""
    path = shared / "data/coco/annotations/instances_val2017.json"
    found = load_samples(path)
    reference = COCO(str(path))
    assert len(found) == len(reference.imgs) == 206
    order = {key: index for index, key in enumerate(sorted(reference.cats))}
    by_name = {entry["file_name"]: entry for entry in reference.imgs.values()}
    for sample in found.samples:
        entry = by_name[sample.path.name]
        listed = reference.loadAnns(reference.getAnnIds(entry["id"], iscrowd=False))
        assert sample.classes.tolist() == [order[one["category_id"]] for one in listed]
        corners = sample.boxes[:, :2] - sample.boxes[:, 2:] / 2
        boxes = np.column_stack([corners, sample.boxes[:, 2:]]) * np.tile(sample.size, 2)
        expected = np.array([one["bbox"] for one in listed]).reshape(-1, 4)
        np.testing.assert_allclose(boxes, expected, atol=0.02)
    text = load_samples(shared / "data/coco/data.yaml", "val")
    assert sum(text.counts().values()) == sum(found.counts().values()) == 1765
    assert cv2.imread(str(text.samples[0].path)).shape[1::-1] == text.samples[0].size
