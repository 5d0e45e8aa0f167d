"""`yolov12edge predict` from the command line to files and exit codes."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from tests.runtime.patch_model import document, save
from yolov12edge.cli import main


@pytest.fixture
def files(tmp_path):
    model = save(tmp_path / "m.onnx", metadata=document())
    picture = tmp_path / "pictures" / "a.png"
    picture.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(picture), noise)
    return model, picture


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["predict", *map(str, arguments)])
    return left.value.code or 0, capsys.readouterr()


def test_json_is_the_only_thing_on_stdout(files, capsys, tmp_path):
    model, picture = files
    out = tmp_path / "out"
    arguments = (picture, "--weights", model, "--conf", "0.05", "--out", out, "--json")
    code, printed = run(capsys, *arguments)
    result = json.loads(printed.out)
    assert code == 0
    assert result["schema_version"] == 1
    assert result["judge"]["runtime"] == "onnxruntime"
    (one,) = result["results"]
    assert (one["image"], one["width"], one["height"]) == (str(picture), 64, 64)
    assert one["detections"]
    assert {found["name"] for found in one["detections"]} <= {"cat", "dog"}
    assert all(found["score"] > 0.05 for found in one["detections"])
    assert json.loads((out / "predictions.json").read_text())["results"] == result["results"]
    assert (out / "a.png").is_file()


def test_people_get_a_line_an_image(files, capsys):
    model, picture = files
    code, printed = run(capsys, picture.parent, "-w", model, "--conf", "1", "--quiet")
    assert code == 0
    assert printed.out.split() == [f"{picture}:", "nothing"]
    assert printed.err == ""


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda model, picture: picture.unlink(), 3, "no such file"),
        (lambda model, picture: picture.write_bytes(b"x"), 3, "a.png"),
        (lambda model, picture: model.unlink(), 2, "no such file"),
        (lambda model, picture: model.write_bytes(b""), 4, "is empty"),
        (lambda model, picture: model.write_text("text"), 4, "cannot load"),
    ],
)
def test_bad_input_gives_one_line_and_leaves_nothing(files, capsys, tmp_path, change, code, words):
    model, picture = files
    change(model, picture)
    found, printed = run(capsys, picture, "--weights", model, "--out", tmp_path / "out")
    assert found == code
    assert printed.out == ""
    error, hint = printed.err.strip().splitlines()
    assert error.startswith("error: ")
    assert words in error
    assert hint.startswith("hint: ")
    assert not (tmp_path / "out").exists()


def test_unwritable_output(files, capsys, tmp_path):
    model, picture = files
    (tmp_path / "file").write_text("in the way")
    code, printed = run(capsys, picture, "-w", model, "--out", tmp_path / "file" / "out")
    assert code == 2
    assert "cannot write" in printed.err
