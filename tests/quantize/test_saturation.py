"""Pairs of products in 16 bits: a model of `vpmaddubsw`, and real runtimes without VNNI."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.skips import NO_X86
from yolov12edge.graph.saturation import (
    HIGHEST,
    LOWEST,
    Headroom,
    int8_convolutions,
    measure_headroom,
)
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.limits import limit_bits, limit_pairs
from yolov12edge.quantize.weights import quantize_weight

SHAPES = st.sampled_from([(4, 16, 3, 3), (3, 3, 3, 3), (5, 7, 1, 1), (4, 2, 3, 3), (6, 1, 7, 7)])
WHOLE = SHAPES.flatmap(
    lambda shape: arrays.arrays(np.int8, shape, elements=st.integers(-127, 127), fill=st.nothing())
)


def worst_sums(values: NDArray[np.int8]) -> tuple[int, int]:
    """Extremes of two products that `vpmaddubsw` adds, pair by pair, written out as it works."""
    highest = lowest = 0
    outputs, inputs, *kernel = values.shape
    across: list[list[int]] = [[] for _ in range(outputs)]
    for position in np.ndindex(*kernel):
        for output in range(outputs):
            here = [int(values[(output, channel, *position)]) for channel in range(inputs)]
            across[output] += here
            filled = [*here, 0]
            for first, second in zip(filled[0::2], filled[1::2], strict=False):
                sums = [a * first + b * second for a in (0, 255) for b in (0, 255)]
                highest, lowest = max(highest, *sums), min(lowest, *sums)
    for row in across:
        for first, second in zip(row[0::2], [*row, 0][1::2], strict=False):
            sums = [a * first + b * second for a in (0, 255) for b in (0, 255)]
            highest, lowest = max(highest, *sums), min(lowest, *sums)
    return highest, lowest


@given(WHOLE)
@settings(max_examples=60, deadline=None)
def test_headroom_is_what_the_instruction_could_add(values: NDArray[np.int8]) -> None:
    found = measure_headroom(values)
    assert (found.highest, found.lowest) == worst_sums(values)
    assert (found.saturating > 0) == (found.highest > HIGHEST or found.lowest < LOWEST)
    assert (found.used > 1) == (found.saturating > 0)


@given(WHOLE)
@settings(max_examples=60, deadline=None)
def test_limited_weights_never_pass_16_bits(values: NDArray[np.int8]) -> None:
    for limit in (limit_pairs, limit_bits):
        limited = limit(values.astype(np.float64))
        assert np.array_equal(limited, np.rint(limited))
        assert (np.sign(limited) * np.sign(values) >= 0).all()
        assert (np.abs(limited) <= np.abs(values)).all()
        assert measure_headroom(limited.astype(np.int8)).saturating == 0


@given(arrays.arrays(np.int8, (1, 2), elements=st.integers(-127, 127)))
@settings(max_examples=200, deadline=None)
def test_no_allowed_pair_is_nearer(pair: NDArray[np.int8]) -> None:
    found = limit_pairs(pair.astype(np.float64))
    grid = np.stack(np.meshgrid(np.arange(-127, 128), np.arange(-127, 128)), -1).reshape(-1, 2)
    fits = np.where(grid.prod(axis=1) > 0, np.abs(grid.sum(axis=1)), 0) <= 128
    nearest = ((grid[fits] - pair) ** 2).sum(axis=1).min()
    assert ((found - pair) ** 2).sum() == nearest


@given(SHAPES, st.integers(0, 2**32 - 1), st.floats(0, 8))
@settings(max_examples=40, deadline=None)
def test_weights_of_any_spread_never_pass_16_bits(
    shape: tuple[int, ...], seed: int, tail: float
) -> None:
    """The default rules, from even weights to a few that are far larger than the rest."""
    random = np.random.default_rng(seed)
    weight = (np.abs(random.normal(0, 1, shape)) ** (1 + tail)).astype(np.float32)
    weight *= random.choice([-1, 1], shape)
    quantized = quantize_weight(weight, False, limit_pairs)
    assert measure_headroom(quantized.values).saturating == 0


def test_pairs_lose_less_than_seven_bits() -> None:
    weight = np.random.default_rng(0).normal(0, 1, (32, 64, 3, 3)).astype(np.float32)

    def error(limit: object) -> float:
        restored = quantize_weight(weight, False, limit).restored  # type: ignore[arg-type]
        return float(((restored - weight) ** 2).mean())

    free, pairs, bits = error(None), error(limit_pairs), error(limit_bits)
    assert free <= pairs < 0.6 * bits


def test_a_margin_is_left() -> None:
    quantized = quantize_weight(
        np.random.default_rng(1).normal(0, 1, (8, 16, 3, 3)).astype(np.float32), False, limit_pairs
    )
    assert 0.9 < measure_headroom(quantized.values).used <= 32640 / 32767
    assert measure_headroom(np.zeros((2, 2, 1, 1), np.int8)) == Headroom(0, 0, 0)


X86 = ("x86_64", "AMD64")
# One Q/DQ convolution a case, in a runtime that is kept from using VNNI.
CHILD = """
import json, sys
import numpy as np
folder, runtime = sys.argv[1:]
found = {}
for name in json.load(open(f"{folder}/names.json")):
    image = np.load(f"{folder}/{name}.npy")
    if runtime == "onnxruntime":
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            f"{folder}/{name}.onnx", options, providers=["CPUExecutionProvider"])
        output = session.run(None, {"x": image})[0]
    else:
        import openvino
        model = openvino.Core().compile_model(f"{folder}/{name}.onnx", "CPU")
        output = model(image)[0]
    found[name] = np.asarray(output).tolist()
print(json.dumps(found))
"""
# The output is requantized to steps of this size; half the range of what 144 products can reach.
STEP = 2000.0
CASES = [(16, 3), (16, 1), (3, 3)]


def convolution(weight: NDArray[np.int8]) -> onnx.ModelProto:
    """Q -> DQ -> Conv -> Q -> DQ, with scales of one, zero point 0."""
    outputs, inputs, side, _ = weight.shape
    constants = {
        "one": np.float32(1),
        "zero": np.uint8(0),
        "w": weight,
        "ones": np.ones(outputs, np.float32),
        "zeros": np.zeros(outputs, np.int8),
        "bias": np.zeros(outputs, np.float32),
        "step": np.float32(STEP),
        "middle": np.uint8(128),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "one", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ones", "zeros"], ["wd"], axis=0),
        helper.make_node("Conv", ["d", "wd", "bias"], ["y0"], pads=[side // 2] * 4),
        helper.make_node("QuantizeLinear", ["y0", "step", "middle"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "step", "middle"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, inputs, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, outputs, 8, 8])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def exact(weight: NDArray[np.int8], image: NDArray[np.float32]) -> NDArray[np.float64]:
    """The convolution in whole numbers, requantized."""
    side = weight.shape[2] // 2
    padded = np.pad(image[0].astype(np.int64), [(0, 0), (side, side), (side, side)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(1, 2))
    sums = np.einsum("oikl,ihwkl->ohw", weight.astype(np.int64), windows)
    return np.asarray((np.clip(np.rint(sums / STEP), -128, 127) * STEP)[None], np.float64)


def differences(folder: Path, runtime: str, *, command: list[str], **env: str) -> dict[str, float]:
    """Steps by which a runtime without VNNI is off, by case."""
    truth = {}
    random = np.random.default_rng(0)
    for inputs, side in CASES:
        whole = random.integers(-127, 128, (8, inputs, side, side)).astype(np.int8)
        image = random.choice([0, 255], (1, inputs, 8, 8)).astype(np.float32)
        limited = limit_pairs(whole.astype(np.float64)).astype(np.int8)
        for kind, weight in (("full", whole), ("limited", limited)):
            name = f"{kind}-{inputs}-{side}"
            onnx.save(convolution(weight), folder / f"{name}.onnx")
            np.save(folder / f"{name}.npy", image)
            truth[name] = exact(weight, image)
    (folder / "names.json").write_text(json.dumps(list(truth)))
    done = subprocess.run(
        [*command, sys.executable, "-c", CHILD, str(folder), runtime],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found = json.loads(done.stdout)
    return {
        name: float(np.abs(np.asarray(found[name]) - expected).max() / STEP)
        for name, expected in truth.items()
    }


def judge(off: dict[str, float]) -> None:
    """A step more or less is rounding; saturation is many."""
    for inputs, side in CASES:
        assert off[f"full-{inputs}-{side}"] > 2, "what could saturate did not: nothing was tested"
        assert off[f"limited-{inputs}-{side}"] <= 1


@pytest.mark.skipif(platform.machine() not in X86, reason=NO_X86)
@pytest.mark.parametrize("level", ["SSE41", "AVX2", "AVX512_CORE"])
def test_openvino_without_vnni(tmp_path: Path, level: str) -> None:
    pytest.importorskip("openvino")
    judge(differences(tmp_path, "openvino", command=[], ONEDNN_MAX_CPU_ISA=level))


@pytest.fixture
def haswell() -> list[str]:
    """What runs a program on an emulated processor with AVX2 and without VNNI."""
    emulator = shutil.which("qemu-x86_64")
    if platform.machine() not in X86:
        pytest.skip(NO_X86)
    if emulator is None:
        pytest.skip("qemu-x86_64 is not installed")
    return [emulator, "-cpu", "Haswell"]


@pytest.mark.slow
def test_onnxruntime_on_a_haswell(tmp_path: Path, haswell: list[str]) -> None:
    judge(differences(tmp_path, "onnxruntime", command=haswell))


@pytest.mark.slow
def test_a_haswell_computes_what_is_played(tmp_path: Path, haswell: list[str]) -> None:
    """OpenVINO kept to AVX2 is off where and as far as it is on a processor without VNNI."""
    pytest.importorskip("openvino")
    emulated = differences(tmp_path, "openvino", command=haswell)
    played = differences(tmp_path, "openvino", command=[], ONEDNN_MAX_CPU_ISA="AVX2")
    judge(emulated)
    assert emulated == pytest.approx(played, abs=1)


def test_what_cpus_run_as_u8_by_s8_is_found() -> None:
    weight = np.full((2, 4, 1, 1), 127, np.int8)
    (found,) = int8_convolutions(GraphView(convolution(weight)))
    assert found.headroom == Headroom(127 * 2 * 255, 0, 2)
    limited = limit_pairs(weight.astype(np.float64)).astype(np.int8)
    (found,) = int8_convolutions(GraphView(convolution(limited)))
    assert found.headroom == Headroom(128 * 255, 0, 0)
