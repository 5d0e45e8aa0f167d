"""Predictions on images, folders and videos."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from tests.samples import centred
from yolov12edge.data import Letterbox
from yolov12edge.errors import DataError, UsageError
from yolov12edge.pipeline.predict import RESULTS_NAME, find_sources, predict
from yolov12edge.runtime import Artifact
from yolov12edge.thresholds import Thresholds


class BrightSpot:
    """Finds the bounding box of the white pixels, as class 1 with score 0.8."""

    name, version, device = "spot", "1", "here"
    input_shape, num_classes = (1, 3, 64, 64), 2

    def __call__(self, images):
        output = np.zeros((len(images), 6, 3), np.float32)
        for index, image in enumerate(images):
            rows, columns = np.nonzero(image.min(axis=0) > 0.9)
            if len(rows):
                box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                output[index, :4, 0] = centred(np.array(box, np.float32))
                output[index, 5, 0] = 0.8
        return output

    def close(self):
        pass


ARTIFACT = Artifact(BrightSpot(), Letterbox(64, 64), ("cat", "dog"))


def spot(width=128, height=96, left=32):
    image = np.zeros((height, width, 3), np.uint8)
    image[16:48, left : left + 32] = 255
    return image


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    (root / "sub").mkdir(parents=True)
    cv2.imwrite(str(root / "a.png"), spot())
    cv2.imwrite(str(root / "sub/b.jpg"), spot(left=64))
    cv2.imwrite(str(root / "dark.png"), np.zeros((50, 50, 3), np.uint8))
    return root


def test_folder_to_data_and_pictures(folder, tmp_path):
    out = tmp_path / "out"
    results = predict(ARTIFACT, find_sources([folder]), Thresholds(), out)
    by_name = {result["image"].rpartition("/")[2]: result for result in results}
    first = by_name["a.png"]
    assert (first["width"], first["height"]) == (128, 96)
    (found,) = first["detections"]
    assert (found["class"], found["name"], found["score"]) == (1, "dog", 0.8)
    np.testing.assert_allclose(found["box"], [32, 16, 64, 48], atol=2)
    np.testing.assert_allclose(by_name["b.jpg"]["detections"][0]["box"], [64, 16, 96, 48], atol=2)
    assert by_name["dark.png"]["detections"] == []
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert written == ["a.png", "dark.png", RESULTS_NAME, "sub/b.jpg"]
    document = json.loads((out / RESULTS_NAME).read_text())
    assert document == {"schema_version": 1, "results": results}
    assert cv2.imread(str(out / "a.png")).shape[0] >= 320


def test_nothing_is_written_without_out(folder, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    predict(ARTIFACT, find_sources([folder / "a.png"]), Thresholds())
    assert sorted(tmp_path.rglob("*")) == before


def test_confidence_decides(folder):
    (result,) = predict(ARTIFACT, find_sources([folder / "a.png"]), Thresholds(confidence=0.9))
    assert result["detections"] == []


def test_names_are_numbers_where_the_artifact_has_none(folder):
    nameless = Artifact(BrightSpot(), Letterbox(64, 64), None)
    (result,) = predict(nameless, find_sources([folder / "a.png"]), Thresholds())
    assert result["detections"][0]["name"] == "1"


def test_video(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (384, 320))
    for left in (0, 64, 128):
        writer.write(spot(384, 320, left))
    writer.release()
    out, calls = tmp_path / "out", []
    (result,) = predict(
        ARTIFACT, find_sources([path]), Thresholds(), out, lambda *call: calls.append(call)
    )
    assert (result["width"], result["height"], result["fps"]) == (384, 320, 10)
    lefts = [frame[0]["box"][0] for frame in result["frames"]]
    np.testing.assert_allclose(lefts, [0, 64, 128], atol=8)
    assert calls[-1] == ("clip.avi", 3, 3)
    annotated = cv2.VideoCapture(str(out / "clip.mp4"))
    assert annotated.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert sorted(file.name for file in out.iterdir()) == ["clip.mp4", RESULTS_NAME]


def test_broken_video_leaves_nothing(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video at all" * 100)
    with pytest.raises(DataError, match=r"cannot read video .*broken\.mp4"):
        predict(ARTIFACT, find_sources([path]), Thresholds(), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_bad_sources(folder, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        find_sources([tmp_path / "absent.jpg"])
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="no image or video"):
        find_sources([tmp_path / "notes.txt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        find_sources([tmp_path / "empty"])
    with pytest.raises(UsageError, match=r"2 of the files are called a\.png"):
        find_sources([folder, folder / "a.png"])


def test_sources_are_never_overwritten(folder):
    before = (folder / "a.png").read_bytes()
    with pytest.raises(UsageError, match="would overwrite"):
        predict(ARTIFACT, find_sources([folder / "a.png"]), Thresholds(), folder)
    assert (folder / "a.png").read_bytes() == before


def test_an_unreadable_image_is_named(folder):
    (folder / "b.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"b\.png"):
        predict(ARTIFACT, find_sources([folder]), Thresholds())
