"""The program that detects for a judge on another machine, around a device that replays files."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cpp.test_selftest import SIDE, Output, recorded_output
from tests.cpp.toolchain import CPP, HERE, compile_with_png, tool
from yolov12edge.data import Letterbox
from yolov12edge.errors import DataError
from yolov12edge.evaluate import Detections, non_max_suppression
from yolov12edge.pipeline.deploy.findings import read_findings, split_runtime
from yolov12edge.thresholds import COUNTED

NAMES = ("00001.png", "00002.png", "00003.png")
SIZES = ((200, 256), (300, 100), (64, 64))
REPLAY = ("-iquote", str(HERE / "replay"), '-DYOLOV12EDGE_BUNDLE_DIR="."')


@dataclass(frozen=True)
class Evaluate:
    """The compiled program, with what runs it."""

    words: tuple[str, ...]

    def __call__(self, folder: Path, output: Output) -> subprocess.CompletedProcess[str]:
        """Detect on the pictures of a folder; its model computes `output`."""
        (folder / "model").mkdir(exist_ok=True)
        for name in ("first", "again"):
            (folder / f"model/{name}.output").write_bytes(output.astype("<f4").tobytes())
        (folder / "model/precision").write_text("fp32")
        words = [*self.words, "--bundle", str(folder), "--list", str(folder / "list.txt")]
        words += ["--out", str(folder / "found.jsonl")]
        return subprocess.run(words, capture_output=True, text=True)


@pytest.fixture(scope="module", params=["this", "aarch64"])
def evaluate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Evaluate:
    """Compiled for this machine, and for aarch64, which qemu plays."""
    source = CPP / "apps/evaluate.cpp"
    target = tmp_path_factory.mktemp("evaluate") / "evaluate"
    if request.param == "this":
        compile_with_png("g++", source, target, "-O0", *REPLAY)
        return Evaluate((str(target),))
    emulator = tool("qemu-aarch64")
    compile_with_png("aarch64-linux-gnu-g++", source, target, "-O1", "-static", *REPLAY)
    return Evaluate((emulator, str(target)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of several sizes and their list."""
    rng = np.random.default_rng(1)
    for name, (height, width) in zip(NAMES, SIZES, strict=True):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        cv2.imwrite(str(tmp_path / name), pixels)
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in NAMES))
    return tmp_path


def expected(output: Output, height: int, width: int) -> Detections:
    _, placement = Letterbox(SIDE, SIDE)(np.zeros((height, width, 3), np.uint8))
    return non_max_suppression(output, COUNTED).to_image(placement, clip=False)


def test_it_finds_what_python_finds(evaluate: Evaluate, folder: Path) -> None:
    output = recorded_output()
    done = evaluate(folder, output)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "3 of 3"
    runtime, findings = read_findings(folder / "found.jsonl", NAMES, 3)
    assert split_runtime(runtime, "openvino") == ("openvino", "of unknown version")
    for (height, width), finding in zip(SIZES, findings, strict=True):
        assert finding.size == (width, height)
        assert finding.detections is not None
        wanted = expected(output, height, width)
        np.testing.assert_allclose(finding.detections.boxes, wanted.boxes, rtol=1e-6, atol=1e-4)
        np.testing.assert_array_equal(finding.detections.scores, wanted.scores)
        np.testing.assert_array_equal(finding.detections.classes, wanted.classes)


def test_it_goes_on_after_the_last_whole_line(evaluate: Evaluate, folder: Path) -> None:
    output = recorded_output()
    assert evaluate(folder, output).returncode == 0
    whole = (folder / "found.jsonl").read_bytes()
    first, second, *_ = whole.splitlines(keepends=True)
    (folder / "found.jsonl").write_bytes(first + second + b'{"picture": "000')
    done = evaluate(folder, output)
    assert done.stdout.splitlines() == ["2 of 3", "3 of 3"]
    assert (folder / "found.jsonl").read_bytes() == whole
    # What another runtime found is not gone on with.
    (folder / "found.jsonl").write_bytes(b'{"schema_version": 1, "runtime": "old"}\n' + second)
    assert len(evaluate(folder, output).stdout.splitlines()) == 3
    assert (folder / "found.jsonl").read_bytes() == whole


def test_numbers_that_are_none_are_told_of(evaluate: Evaluate, folder: Path) -> None:
    output = recorded_output()
    output[5, 7] = np.nan
    assert evaluate(folder, output).returncode == 0
    _, findings = read_findings(folder / "found.jsonl", NAMES, 3)
    assert [finding.detections for finding in findings] == [None] * 3


def test_a_picture_that_is_missing(evaluate: Evaluate, folder: Path) -> None:
    (folder / NAMES[1]).unlink()
    done = evaluate(folder, recorded_output())
    assert done.returncode == 12
    assert NAMES[1] in done.stderr


def test_a_disk_that_is_full(evaluate: Evaluate, folder: Path) -> None:
    evaluate(folder, recorded_output())
    words = [*evaluate.words, "--bundle", folder, "--list", folder / "list.txt"]
    done = subprocess.run([*map(str, words), "--out", "/dev/full"], capture_output=True, text=True)
    assert done.returncode == 12
    assert "is the disk full?" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[1]",
        '{"picture": "00002.png", "size": [1, 1], "detections": []}',
        '{"picture": "00001.png", "size": [1], "detections": []}',
        '{"picture": "00001.png", "size": [1, 1]}',
        '{"picture": "00001.png", "size": [1, 1], "detections": [[3, 0.5, 0, 0, 1, 1]]}',
        '{"picture": "00001.png", "size": [1, 1], "detections": [[0.5, 0.5, 0, 0, 1, 1]]}',
        '{"picture": "00001.png", "size": [1, 1], "detections": [[0, 1.5, 0, 0, 1, 1]]}',
        '{"picture": "00001.png", "size": [1, 1], "detections": [[0, 0.5, 0, 0, NaN, 1]]}',
        '{"picture": "00001.png", "size": [1, 1], "detections": [[0, 0.5, 0, 0, 1]]}',
        "[" * 100000,
    ],
)
def test_what_makes_no_sense_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    path.write_text('{"schema_version": 1, "runtime": "x"}\n' + line + "\n")
    with pytest.raises(DataError, match="detections cannot be read"):
        read_findings(path, NAMES[:1], 3)
