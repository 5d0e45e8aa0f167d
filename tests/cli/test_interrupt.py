"""Ctrl-C: a real signal to a real process in the middle of its work."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Outcome, run, snapshot
from tests.samples import write_data, write_pictures, write_weights
from yolov12edge.interrupts import (
    interrupted,
    interrupts_held,
    interrupts_remembered,
    raise_if_interrupted,
)

# Says on stderr that the work has begun, then works on until somebody stops it.
_SLOW = """
import sys, time
import {module} as module
real = module.{function}
def slow(*arguments, **options):
    print("at work", file=sys.stderr, flush=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        result = real(*arguments, **options)
    return result
module.{function} = slow
from yolov12edge.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What is pressed here is not remembered by the tests that follow in this process."""
    yield
    with interrupts_remembered():
        assert not interrupted()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    write_weights(folder / "weights.safetensors")
    write_data(folder / "data.yaml", write_pictures(folder / "images"))
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A run folder of an earlier run, with a file of its owner's own."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("manifest.json", "model.onnx", "model.fp16.onnx", "engine.plan", "notes.txt"):
        (folder / name).write_text(f"old {name}")
    return folder


def interrupt(module: str, function: str, words: list[object], scratch: Path) -> Outcome:
    """Start a command whose `function` takes long, and press Ctrl-C once it is at work."""
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW.format(module=module, function=function), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A cache of its own: what another test left there is not worked out again.
        env=os.environ
        | {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "TMPDIR": str(scratch),
            "YOLOV12EDGE_CACHE": str(scratch.with_name("cache")),
        },
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line == "at work\n":
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            break
    out, rest = process.communicate(timeout=60)
    return Outcome(process.returncode, out, said + rest)


def check(outcome: Outcome) -> None:
    # Python ends by the signal itself if the exception once passed through C; a shell says 130.
    assert outcome.code in (130, -signal.SIGINT), outcome.err
    assert "at work" in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.err.splitlines()[-2:] == [
        "error: interrupted",
        "hint:  nothing was left half-written",
    ]
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("module", "function"),
    [("export.conversion", "export_onnx"), ("stages.verify", "verify_artifacts")],
)
def test_export(good: Path, old: Path, tmp_path: Path, module: str, function: str) -> None:
    before = snapshot(old)
    new = tmp_path / "new/deep"
    words = [
        *("export", "--weights", good / "weights.safetensors", "--imgsz", "64", "--fp32"),
        *("--target", "cpu-onnxruntime", "--data", good / "data.yaml", "--no-bench"),
        *("--out", new if function == "export_onnx" else old),
    ]
    check(interrupt(f"yolov12edge.pipeline.{module}", function, words, tmp_path / "scratch"))
    assert snapshot(old) == before
    assert not new.parent.exists()


@pytest.fixture
def onnx(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    outcome = run(
        capsys, "export", "--weights", good / "weights.safetensors", "--imgsz", "64", "--fp32",
        "--target", "cpu-onnxruntime", "--no-bench", "--out", tmp_path / "onnx", "--no-verify",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return tmp_path / "onnx/model.onnx"


def test_quantize(good: Path, old: Path, onnx: Path, tmp_path: Path) -> None:
    pytest.importorskip("modelopt.onnx")
    before = snapshot(old)
    words = ["quantize", onnx, "--calib", good / "images", "--out", old / "model.fp16.onnx"]
    module, function = "modelopt.onnx.autocast", "convert_to_mixed_precision"
    check(interrupt(module, function, words, tmp_path / "scratch"))
    assert snapshot(old) == before
    left = [path.name for path in (tmp_path / "scratch").iterdir()]
    assert not [name for name in left if name.startswith("yolov12edge-")]


def test_build(old: Path, onnx: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    before = snapshot(old)
    words = ["build", onnx, "--target", "rtx-ada", "--out", old / "engine.plan"]
    check(interrupt("yolov12edge.engine.build", "build_plan", words, tmp_path / "scratch"))
    assert snapshot(old) == before


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_swallowed_interrupt_is_not_lost() -> None:
    with interrupts_remembered():
        assert not interrupted()
        with contextlib.suppress(BaseException):
            press()
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()
    with interrupts_remembered():
        assert not interrupted()
        raise_if_interrupted()


def test_a_library_that_makes_another_error_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def library() -> tuple[str, ...]:
        try:
            press()
        except BaseException:
            raise ImportError("something else") from None
        return ()

    monkeypatch.setattr("yolov12edge.run.recipe.list_recipes", library)
    outcome = run(capsys, "targets", "--json")
    assert outcome.code == 130
    assert outcome.document["error"]["message"] == "interrupted"


def test_held_interrupts_strike_after_the_block() -> None:
    done = []
    before = signal.getsignal(signal.SIGINT)  # a process started in the background ignores it
    with pytest.raises(KeyboardInterrupt), interrupts_remembered():  # noqa: PT012
        with interrupts_held():
            press()
            done.append("whole")
        done.append("never")
    assert done == ["whole"]
    assert signal.getsignal(signal.SIGINT) is before
