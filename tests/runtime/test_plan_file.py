from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.runtime.plan_file import read_plan, read_plan_header, strip_prefix

# The header that trtexec --getPlanVersionOnly reads, with the version of JetPack 6.1.
TENSORRT_10_3 = b"ftrt" + bytes(20) + bytes([10, 3, 0, 30]) + bytes(100)
TENSORRT_8_5 = b"ptrt" + bytes(4) + bytes([232, 0, 0, 0]) + bytes(100)


def ultralytics_prefix(metadata: dict[str, object]) -> bytes:
    text = json.dumps(metadata).encode()
    return struct.pack("<i", len(text)) + text


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_tensorrt_plans_tell_their_version(tmp_path: Path) -> None:
    ten = read_plan_header(write(tmp_path / "a.plan", TENSORRT_10_3))
    eight = read_plan_header(write(tmp_path / "b.plan", TENSORRT_8_5))
    assert (ten.backend, ten.version, ten.compute_capabilities) == ("tensorrt", "10.3.0.30", ())
    assert (eight.backend, eight.version) == ("tensorrt", "8.5")


def test_an_unknown_serialization_claims_no_version(tmp_path: Path) -> None:
    later = TENSORRT_10_3[:4] + b"\x01\0\0\0" + TENSORRT_10_3[8:]
    assert read_plan_header(write(tmp_path / "a.plan", later)).version is None


def test_an_ultralytics_prefix_is_found_and_stripped(tmp_path: Path) -> None:
    prefix = ultralytics_prefix({"names": {"0": "cat"}, "batch": 1})
    engine = write(tmp_path / "yolo12n.engine", prefix + TENSORRT_10_3)
    header, plan = read_plan(engine)
    assert header.metadata["names"] == {"0": "cat"}
    assert header.offset == len(prefix)
    assert plan == TENSORRT_10_3
    strip_prefix(engine, tmp_path / "raw.plan")
    assert (tmp_path / "raw.plan").read_bytes() == TENSORRT_10_3
    assert read_plan_header(tmp_path / "raw.plan").offset == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(200), "not a TensorRT"),
        (b"vtrt", "not a TensorRT"),
        (struct.pack("<I", 0xFFFFFFFF) + bytes(64), "not a TensorRT"),
        (struct.pack("<I", 6) + b"[1, 2]" + TENSORRT_10_3, "not a TensorRT"),
        (struct.pack("<I", 100_000) + b"[" * 100_000 + TENSORRT_10_3, "not a TensorRT"),
    ],
)
def test_other_bytes_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        read_plan_header(write(tmp_path / "x.plan", content))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_plan_header(tmp_path / "x.plan")
    with pytest.raises(UsageError, match="is a folder"):
        read_plan_header(tmp_path)


@given(content=st.binary(max_size=300), tag=st.sampled_from([b"", b"ftrt", b"ptrt", b"vtrt"]))
def test_any_bytes_are_identified_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, tag: bytes
) -> None:
    path = write(tmp_path_factory.mktemp("any") / "x.plan", tag + content)
    try:
        header = read_plan_header(path)
    except CheckpointError:
        return
    assert header.offset + header.size == len(tag + content)
    assert header.backend == ("tensorrt_rtx" if b"vtrt" in tag + content[:260] else "tensorrt")
