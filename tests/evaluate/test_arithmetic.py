"""INT8 in OpenVINO, on this processor and on lesser ones, against what the file says."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from tests.models import lively_model
from tests.skips import NO_LESSER
from yolov12edge.data import Dataset
from yolov12edge.evaluate import Gate, arithmetic
from yolov12edge.evaluate.arithmetic import compare_arithmetic, has_int8_products
from yolov12edge.evaluate.blocks import block_tensors
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.graph import GraphView, load_graph
from yolov12edge.graph.cut import cut_at
from yolov12edge.graph.saturation import int8_convolutions
from yolov12edge.model import Detector
from yolov12edge.pipeline.stages.arithmetic import products_section
from yolov12edge.pipeline.stages.verify import Subject, verify_artifacts
from yolov12edge.processor import EXACT_LEVELS, LEVELS, Processor, processor
from yolov12edge.quantize import (
    CPU,
    CPU_VNNI,
    TENSORRT,
    Dialect,
    observe,
    observed_tensors,
    plan_quantization,
    quantize_int8,
)
from yolov12edge.runtime.lesser import GraphProcess, lesser_levels

pytest.importorskip("openvino")
SIZE = 64
Quantize = Callable[[Dialect], Path]
HERE = lesser_levels(processor())


@pytest.fixture(scope="module")
def detector() -> Detector:
    return lively_model("n", num_classes=3)


@pytest.fixture(scope="module")
def quantize(tmp_path_factory: pytest.TempPathFactory, detector: Detector) -> Quantize:
    folder = tmp_path_factory.mktemp("arithmetic")
    source = folder / "model.onnx"
    export_onnx(detector, source, ExportOptions(SIZE, SIZE, variant="rows"))
    model = onnx.load(source)

    def make(dialect: Dialect) -> Path:
        path = folder / f"{dialect.name}.onnx"
        if not path.is_file():
            plan = plan_quantization(model, dialect)
            tensors = observed_tensors(model, [plan])
            statistics = observe(model, tensors, iter(bright(4)[:, 0]), 4)
            quantize_int8(source, path, plan, dialect, statistics, "percentile")
        return path

    return make


def bright(count: int) -> np.ndarray:
    """(count, 1, 3, H, W): black and white, where neighbouring products are largest."""
    pictures = np.concatenate([probe_picture(SIZE, SIZE, seed) for seed in range(count)])
    return (pictures > 0.4).astype(np.float32)[:, None]


def test_lesser_levels_are_what_a_processor_has_and_does_not_use() -> None:
    vnni = frozenset({"sse4_2", "avx", "avx2", "avx512bw", "avx512_vnni"})
    assert lesser_levels(Processor("", "x86_64", vnni)) == ("sse4.2", "avx2", "avx512")
    assert lesser_levels(Processor("", "x86_64", vnni - {"avx512_vnni"})) == ("sse4.2", "avx2")
    assert lesser_levels(Processor("", "x86_64", frozenset({"sse4_2", "avx2"}))) == ("sse4.2",)
    assert lesser_levels(Processor("", "aarch64", frozenset({"asimd"}))) == ()


@pytest.mark.skipif(not HERE, reason=NO_LESSER)
def test_the_default_is_exact_everywhere_and_full_range_is_not(
    detector: Detector, quantize: Quantize
) -> None:
    levels = HERE[-1:]
    safe = compare_arithmetic(detector, quantize(CPU), bright(4), "openvino", levels)
    assert [one.name for one in safe] == [processor().int8_level, *levels]
    assert all(one.passed for one in safe), safe
    assert all(one.exact_db - one.runtime_db < 1 for one in safe)
    assert all(one.alone is not None and abs(one.alone.lost_db) < 0.1 for one in safe), safe
    assert {one.alone.images for one in safe if one.alone} == {4}
    native, *lesser = compare_arithmetic(
        detector, quantize(CPU_VNNI), bright(4), "openvino", levels
    )
    assert native.passed is not processor().adds_pairs_in_16_bits
    for one in lesser:
        assert not one.passed
        assert one.block == "model.0"
        assert one.exact_db - one.runtime_db > 3


def test_blocks_by_themselves_multiply_what_the_network_multiplies(quantize: Quantize) -> None:
    view = GraphView(onnx.shape_inference.infer_shapes(load_graph(quantize(CPU))))
    tensors = block_tensors(view, quantize(CPU))
    blocks = GraphView(cut_at(view, tensors.distinct).model)
    multiplied = [one.node.name for one in int8_convolutions(view)]
    assert [one.node.name for one in int8_convolutions(blocks)] == multiplied
    assert len(blocks.inputs) > 30


@pytest.mark.skipif(not HERE, reason=NO_LESSER)
@pytest.mark.parametrize(
    ("convolution", "block", "tolerance"),
    [
        ("model.6.cv2", "model.6", arithmetic.BLOCK_TOLERANCE_DB),
        # By what the whole network loses, too.
        ("model.21.cv2.0.1", "model.21.cv2.0", math.inf),
    ],
)
def test_the_one_block_that_saturates_is_named(
    tmp_path: Path,
    detector: Detector,
    quantize: Quantize,
    monkeypatch: pytest.MonkeyPatch,
    convolution: str,
    block: str,
    tolerance: float,
) -> None:
    monkeypatch.setattr(arithmetic, "BLOCK_TOLERANCE_DB", tolerance)
    model, full = onnx.load(quantize(CPU)), GraphView(onnx.load(quantize(CPU_VNNI)))
    for tensor in model.graph.initializer:
        if tensor.name.startswith((f"{convolution}.weight/", f"{convolution}.bias")):
            tensor.CopyFrom(full.initializers[tensor.name])
    path = tmp_path / "one.onnx"
    onnx.save(model, path)
    native, lesser = compare_arithmetic(detector, path, bright(2), "openvino", HERE[-1:])
    assert native.passed is not processor().adds_pairs_in_16_bits
    assert not lesser.passed
    assert lesser.alone is not None
    assert lesser.block == lesser.alone.block == block
    assert min(lesser.alone.lost_db, lesser.exact_db - lesser.runtime_db) > 3


def test_a_fixed_batch_is_followed_image_by_image(tmp_path: Path, detector: Detector) -> None:
    source, path = tmp_path / "model.onnx", tmp_path / "two.onnx"
    export_onnx(detector, source, ExportOptions(SIZE, SIZE, variant="rows", batch=2))
    model = onnx.load(source)
    plan = plan_quantization(model, CPU)
    statistics = observe(model, observed_tensors(model, [plan]), iter(bright(2)[:, 0]), 2)
    quantize_int8(source, path, plan, CPU, statistics, "max")
    (found,) = compare_arithmetic(detector, path, bright(2), "openvino")
    assert (found.images, found.passed) == (2, True)


def test_onnxruntime_is_followed_on_this_processor(detector: Detector, quantize: Quantize) -> None:
    (found,) = compare_arithmetic(detector, quantize(CPU), bright(2), "onnxruntime", memory=0)
    assert found.alone is not None
    assert (found.alone.images, abs(found.alone.lost_db) < 0.001) == (1, True)
    assert (found.name, found.images, found.passed) == (processor().int8_level, 2, True)


def test_only_files_for_cpus_have_products_to_look_at(quantize: Quantize) -> None:
    assert has_int8_products(quantize(CPU))
    assert not has_int8_products(quantize(TENSORRT))
    assert products_section(quantize(TENSORRT)) is None


def test_the_manifest_says_where_a_file_is_right(quantize: Quantize) -> None:
    safe, full = products_section(quantize(CPU)), products_section(quantize(CPU_VNNI))
    assert safe is not None
    assert full is not None
    assert safe.largest <= 32640 < safe.limit == 32767 < full.largest
    assert safe.right_on == list(LEVELS)
    assert full.right_on == list(EXACT_LEVELS)
    assert "avx2" in safe.right_on
    assert "avx2" not in full.right_on


@pytest.mark.skipif(not HERE, reason=NO_LESSER)
def test_the_gate_names_the_instruction_sets(
    tmp_path: Path, detector: Detector, quantize: Quantize
) -> None:
    files = []
    for index, image in enumerate(bright(2)):
        files.append(tmp_path / f"{index}.png")
        cv2.imwrite(str(files[-1]), (image[0, ::-1].transpose(1, 2, 0) * 255).astype(np.uint8))
    judges = Dataset((), files, None)
    path = quantize(CPU_VNNI)
    loose = Gate(max_drop=1, min_matched=0)
    report = verify_artifacts(detector, [Subject(path, "openvino")], judges, loose)[path.name]
    assert not report.gate.passed
    assert report.gate.reasons[0].startswith("openvino computes INT8 wrong on ")
    assert HERE[0] in report.gate.reasons[0]
    assert "model.0" in report.gate.reasons[0]
    assert len(report.notes) == 1
    assert "saturate at 16 bits" in report.notes[0]
    assert len(report.instruction_sets) == 1 + len(HERE)
    asked = Subject(path, "openvino", vnni_only=True)
    report = verify_artifacts(detector, [asked], judges, loose)[path.name]
    assert [one.name for one in report.instruction_sets] == [processor().int8_level]


def test_a_process_that_cannot_load_says_so(tmp_path: Path) -> None:
    from yolov12edge.errors import CheckpointError

    (tmp_path / "broken.onnx").write_bytes(b"\x00" * 64)
    process = GraphProcess(tmp_path / "broken.onnx")
    with pytest.raises(CheckpointError, match=r"cannot run broken.onnx in a process of its own"):
        process(np.zeros((1, 3, SIZE, SIZE), np.float32))
    process.close()
