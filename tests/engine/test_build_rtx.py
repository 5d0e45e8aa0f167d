"""Real TensorRT-RTX builds, which need no GPU: its parser and builder are the judges."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from yolov12edge.engine import BatchRange, BuildOptions, build_engine, builder_available
from yolov12edge.errors import (
    CheckpointError,
    EdgeError,
    ExportError,
    UnsupportedError,
    UsageError,
)
from yolov12edge.runtime.plan_file import read_plan_header
from yolov12edge.runtime.tensorrt_rtx import load_library

pytest.importorskip("tensorrt_rtx_bindings")
AMPERE = BuildOptions(compute_capabilities=(86,))
MakeOnnx = Callable[..., Path]


@pytest.mark.parametrize(
    "kind", [{}, {"half": True}, {"quantized": True}], ids=["fp32", "fp16", "int8"]
)
def test_builds_a_raw_plan_and_tells_what_it_is(
    make_onnx: MakeOnnx, tmp_path: Path, kind: dict[str, bool]
) -> None:
    plan = tmp_path / "engine.plan"
    built = build_engine(make_onnx(**kind), plan, "tensorrt_rtx", AMPERE)
    content = plan.read_bytes()
    assert content[:4] == b"vtrt"
    assert built.sha256 == hashlib.sha256(content).hexdigest()
    assert built.size == len(content)
    assert built.version == load_library().__version__
    assert built.compute_capabilities == (86,)
    assert built.network_layers >= 10
    assert str(built.batch) == "1"


def test_fp16_halves_the_weights(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    """The types come from the graph: the parser's own network says so."""
    library = load_library()
    from yolov12edge.engine.tensorrt_rtx import TensorRTRTX
    from yolov12edge.runtime.tensorrt_log import log_of

    for half, kind in ((False, library.float32), (True, library.float16)):
        logger = log_of(library).logger
        network = library.Builder(logger).create_network(TensorRTRTX().network_flags(AMPERE))
        parser = library.OnnxParser(network, logger)
        assert parser.parse_from_file(str(make_onnx(half=half)))
        types = {
            network.get_layer(index).name: network.get_layer(index).get_output(0).dtype
            for index in range(network.num_layers)
        }
        assert types["/model.0/conv"] == kind
        assert types["/model.1/softmax"] == kind


@pytest.mark.parametrize("sms", [(75,), (80,), (86,), (89,), (120,), (121,), (86, 89, 120)])
def test_the_plan_is_for_the_capabilities_asked_for(
    make_onnx: MakeOnnx, tmp_path: Path, sms: tuple[int, ...]
) -> None:
    plan = tmp_path / "engine.plan"
    options = BuildOptions(compute_capabilities=sms)
    built = build_engine(make_onnx(half=True), plan, "tensorrt_rtx", options)
    assert built.compute_capabilities == sms
    assert read_plan_header(plan).compute_capabilities == sms


def test_every_capability_of_the_library_is_known_here() -> None:
    from yolov12edge.runtime import plan_file

    library = load_library()
    names = [name for name in library.ComputeCapability.__members__ if name.startswith("SM")]
    assert sorted(int(name[2:]) for name in names) == sorted(plan_file._RTX_CAPABILITIES)


def test_a_dynamic_batch_gets_a_profile(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    options = BuildOptions(compute_capabilities=(86,), batch=BatchRange(1, 2, 4))
    built = build_engine(make_onnx("batch"), tmp_path / "a.plan", "tensorrt_rtx", options)
    assert str(built.batch) == "1:2:4"
    fixed = build_engine(make_onnx(), tmp_path / "b.plan", "tensorrt_rtx", AMPERE)
    assert built.sha256 != fixed.sha256


def test_progress_rises_to_the_end(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    build_engine(
        make_onnx(), tmp_path / "a.plan", "tensorrt_rtx", AMPERE, lambda *step: seen.append(step)
    )
    percents = [done for _, done, _ in seen]
    assert percents == sorted(set(percents))
    assert (percents[0], percents[-1]) == (0, 100)
    assert len(percents) > 10
    assert {(label, total) for label, _, total in seen} == {("engine", 100)}


def test_parser_errors_name_the_node_and_what_to_do(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        build_engine(make_onnx(alien=True), tmp_path / "a.plan", "tensorrt_rtx", AMPERE)
    assert "node /model.9/frob (Frobnicate): Plugin not found" in caught.value.message
    assert "Frobnicate is no operator of TensorRT-RTX" in caught.value.hint
    assert "\n" not in caught.value.message
    assert not (tmp_path / "a.plan").exists()


def test_builder_errors_are_one_line(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    options = BuildOptions(compute_capabilities=(86,), workspace=1)
    with pytest.raises(ExportError) as caught:
        build_engine(make_onnx(), tmp_path / "a.plan", "tensorrt_rtx", options)
    assert "cannot build" in caught.value.message
    assert "\n" not in caught.value.message
    assert "--workspace" in caught.value.hint


def test_turing_takes_no_fp32_attention(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    """Why the turing recipe allows FP16 only."""
    turing = BuildOptions(compute_capabilities=(75,))
    with pytest.raises(ExportError, match=r"/model\.1/qk.*FP32 GEMM is not supported") as caught:
        build_engine(make_onnx(), tmp_path / "a.plan", "tensorrt_rtx", turing)
    assert "--fp16" in caught.value.hint


def test_ctrl_c_stops_the_build_and_leaves_nothing(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    steps: list[int] = []

    def interrupt(label: str, done: int, total: int) -> None:
        steps.append(done)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build_engine(make_onnx(), tmp_path / "a.plan", "tensorrt_rtx", AMPERE, interrupt)
    assert steps[-1] < 100
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_error_of_the_progress_callback_comes_through(
    make_onnx: MakeOnnx, tmp_path: Path
) -> None:
    def broken(label: str, done: int, total: int) -> None:
        raise RuntimeError("no terminal")

    with pytest.raises(RuntimeError, match="no terminal"):
        build_engine(make_onnx(), tmp_path / "a.plan", "tensorrt_rtx", AMPERE, broken)
    assert not (tmp_path / "a.plan").exists()


@pytest.mark.parametrize(
    ("batch", "asked", "says"),
    [
        ("batch", None, "dynamic batch"),
        (1, BatchRange(1, 4, 8), "fixed batch of 1"),
        (2, BatchRange(1, 1, 1), "fixed batch of 2"),
    ],
)
def test_batches_that_do_not_fit_the_graph(
    make_onnx: MakeOnnx, tmp_path: Path, batch: int | str, asked: BatchRange | None, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        build_engine(
            make_onnx(batch), tmp_path / "a.plan", "tensorrt_rtx", BuildOptions(batch=asked)
        )
    assert "--batch" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (BuildOptions(compute_capabilities=(87,)), UnsupportedError),
        (BuildOptions(timing_cache=Path("timing.cache")), UsageError),
        (BuildOptions(hardware_compatibility="ampere_plus"), UsageError),
    ],
)
def test_options_that_this_library_lacks(
    make_onnx: MakeOnnx, tmp_path: Path, options: BuildOptions, error: type[EdgeError]
) -> None:
    with pytest.raises(error) as caught:
        build_engine(make_onnx(), tmp_path / "a.plan", "tensorrt_rtx", options)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", CheckpointError), (b"not a model", CheckpointError), (None, UsageError)],
)
def test_files_that_are_no_onnx(
    tmp_path: Path, content: bytes | None, error: type[EdgeError]
) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error):
        build_engine(path, tmp_path / "a.plan", "tensorrt_rtx")


def test_a_dynamic_image_size_is_refused(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        build_engine(make_onnx(side="size"), tmp_path / "a.plan", "tensorrt_rtx")
    assert "--imgsz" in caught.value.hint


def test_a_cut_plan_is_seen_before_any_library_loads_it(
    make_onnx: MakeOnnx, tmp_path: Path
) -> None:
    plan = tmp_path / "a.plan"
    built = build_engine(make_onnx(), plan, "tensorrt_rtx", AMPERE)
    rng = np.random.default_rng(1)
    for size in (*rng.integers(64, built.size, 5), built.size - 1):
        plan.write_bytes(plan.read_bytes()[:size])
        with pytest.raises(CheckpointError, match="cut short"):
            read_plan_header(plan)


def test_builders_say_whether_they_work_here() -> None:
    assert builder_available("tensorrt_rtx") == (
        True,
        f"TensorRT-RTX {load_library().__version__} builds without a GPU",
    )
    assert builder_available("tensorrt_rtx", (86, 120), "1.7")[0] is True
    assert builder_available("tensorrt_rtx", (86, 87)) == (
        False,
        f"TensorRT-RTX {load_library().__version__} cannot build for SM87",
    )
    assert builder_available("tensorrt_rtx", (86,), "1.71")[0] is False
    assert builder_available("openvino")[0] is False
    with pytest.raises(UsageError, match="unknown backend"):
        builder_available("tensorflow")
