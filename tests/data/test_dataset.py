"""data.yaml data sets and their labels."""

from __future__ import annotations

import numpy as np
import pytest

from yolov12edge.data import load_dataset
from yolov12edge.data.dataset import label_path, read_labels
from yolov12edge.errors import DataError


@pytest.fixture
def root(tmp_path):
    for name in (
        "images/train/a.jpg",
        "images/train/b.png",
        "images/val/c.jpg",
        "images/more/d.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    for name, text in (("train/a", "0 .5 .5 .2 .4\n\n1 0.1 0.1 0.2 0.2\n"), ("val/c", "")):
        path = tmp_path / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def write(root, text, name="data.yaml"):
    path = root / name
    path.write_text(text)
    return path


def names_of(dataset):
    return [path.name for path in dataset.images]


def test_folder_split_with_background_image(root):
    dataset = load_dataset(write(root, "train: images/train\nnames: [cat, dog]\n"), "train")
    assert dataset.names == ("cat", "dog")
    assert names_of(dataset) == ["a.jpg", "b.png"]
    expected = np.array([[0, 0.5, 0.5, 0.2, 0.4], [1, 0.1, 0.1, 0.2, 0.2]], np.float32)
    np.testing.assert_array_equal(dataset.labels[0], expected)
    assert dataset.labels[1].shape == (0, 5)


def test_list_file_and_list_of_folders_and_base_path(root):
    (root / "lists").mkdir()
    (root / "lists/train.txt").write_text("./../images/train/b.png\n\n../images/val/c.jpg\n")
    (root / "yaml").mkdir()
    text = "path: ..\ntrain: [lists/train.txt, images/more]\nnames: {1: dog, 0: cat}\n"
    dataset = load_dataset(write(root, text, "yaml/data.yaml"), "train")
    assert names_of(dataset) == ["b.png", "c.jpg", "d.jpg"]
    assert dataset.names == ("cat", "dog")


def test_split_without_any_label_file(root):
    assert load_dataset(write(root, "val: images/more\nnames: [cat]\n")).labels is None


def test_empty_label_files_are_labels(root):
    dataset = load_dataset(write(root, "val: images/val\nnames: [cat]\n"))
    assert [len(labels) for labels in dataset.labels] == [0]


def test_outlines_become_boxes(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0 0.2 0.1 0.6 0.3 0.4 0.5\n")
    np.testing.assert_allclose(read_labels(path, 1), [[0, 0.4, 0.3, 0.4, 0.4]], rtol=1e-6)


def test_label_path_replaces_the_last_images_folder(tmp_path):
    image = tmp_path / "images" / "images" / "x" / "a.b.jpg"
    assert label_path(image) == tmp_path / "images" / "labels" / "x" / "a.b.txt"
    assert label_path(tmp_path / "a.jpg") == tmp_path / "a.txt"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.2", "4 values"),
        ("0 0.5 0.5 0.2 0.2 0.9", "6 values"),
        ("cat 0.5 0.5 0.2 0.2", "not a number"),
        ("0.5 0.5 0.5 0.2 0.2", "whole number"),
        ("nan 0.5 0.5 0.2 0.2", "whole number"),
        ("2 0.5 0.5 0.2 0.2", "not one of the 2 classes"),
        ("-1 0.5 0.5 0.2 0.2", "not one of the 2 classes"),
        ("0 320 240 100 50", "above 1"),
        ("0 nan 0.5 0.2 0.2", "not finite"),
        ("0 -0.1 0.5 0.2 0.2", "negative"),
        ("0 0.5 0.5 0 0.2", "no area"),
    ],
)
def test_bad_labels_name_file_and_line(tmp_path, line, reason):
    path = tmp_path / "broken.txt"
    path.write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(DataError, match=rf"broken\.txt, line 2: .*{reason}"):
        read_labels(path, 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not describe"),
        ("- a\n- b\n", "does not describe"),
        ("names: [cat]\ntrain: [unclosed\n", "line 3: not valid YAML"),
        ("names: !!python/object/apply:os.system [ls]\n", "not valid YAML"),
        ("val: images/val\n", "names"),
        ("val: images/val\nnames: {0: cat, 2: dog}\n", "names"),
        ("val: images/val\nnames: cat\n", "names"),
        ("val: images/val\nnames: [cat]\nnc: 2\n", "nc is 2"),
        ("train: images/train\nnames: [cat]\n", "no 'val' split"),
        ("val: images/absent\nnames: [cat]\n", "does not exist"),
        ("val: [3]\nnames: [cat]\n", "not a folder"),
        ("val: list.txt\nnames: [cat]\n", r"list\.txt, line 2: gone\.jpg"),
        ("val: blank.txt\nnames: [cat]\n", "lists no images"),
    ],
)
def test_bad_yaml_says_what_is_wrong(root, text, reason):
    (root / "list.txt").write_text("images/val/c.jpg\ngone.jpg\n")
    (root / "blank.txt").write_text("\n")
    with pytest.raises(DataError, match=reason) as caught:
        load_dataset(write(root, text))
    assert caught.value.hint


def test_missing_and_binary_yaml(tmp_path):
    with pytest.raises(DataError, match="absent"):
        load_dataset(tmp_path / "absent.yaml")
    with pytest.raises(DataError, match="cannot read"):
        load_dataset(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="not a text file"):
        load_dataset(tmp_path / "binary.yaml")


@pytest.mark.shared
def test_real_sets(shared):
    bccd = load_dataset(shared / "data/bccd/data.yaml", "val")
    assert bccd.names == ("RBC", "WBC", "Platelets")
    assert (len(bccd.images), sum(map(len, bccd.labels))) == (87, 1137)
    coco = load_dataset(shared / "data/coco/data.yaml", "val")
    # 1786 annotations of which 21 are crowds, which have no YOLO label.
    assert (len(coco.images), len(coco.names), sum(map(len, coco.labels))) == (206, 80, 1765)
