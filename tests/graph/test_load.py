"""A file that is no ONNX graph is said to be none, and no file beside it is opened."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from tests.graph.graphs import float_graph
from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.graph import load as loading
from yolov12edge.graph import load_graph
from yolov12edge.graph.load import detach_external

OPENED: list[str] = []


def listen(event: str, words: tuple[object, ...]) -> None:
    if event == "open":
        OPENED.append(str(words[0]))


@pytest.fixture(scope="module")
def watched() -> list[str]:
    """Names of the files that Python opens from here on; a hook stays to the end."""
    sys.addaudithook(listen)
    return OPENED


def test_what_was_written_is_read(tmp_path: Path) -> None:
    model = float_graph()
    onnx.save(model, tmp_path / "model.onnx")
    assert load_graph(tmp_path / "model.onnx") == model


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"no model at all", "is not an ONNX file"),
        (float_graph().SerializeToString()[:60], "is not an ONNX file"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "holds no ONNX graph"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_graph(path)


def test_nothing_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_graph(tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="is a folder"):
        load_graph(tmp_path)


def test_a_file_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(float_graph(), tmp_path / "model.onnx")
    monkeypatch.setattr(loading, "MAX_ONNX_BYTES", 100)
    with pytest.raises(CheckpointError, match="larger than an ONNX file can be"):
        load_graph(tmp_path / "model.onnx")


def test_external_data_is_never_opened(tmp_path: Path, watched: list[str]) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    model = float_graph()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "secret"
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    watched.clear()
    with pytest.raises(CheckpointError, match="keeps 1 constants in other files"):
        load_graph(path)
    found = load_graph(path, weights=False)
    assert str(path) in watched
    assert str(secret) not in watched
    assert detach_external(found) == {"w"}
    assert [value.name for value in found.graph.input] == ["x", "w"]
    assert not found.graph.initializer
