"""The exporter's own graphs through TensorRT-RTX: its parser and builder have to take all of them.

One test a scale, so that each graph is made once: precision x batch x architectures.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import pytest

from tests.models import lively_model
from yolov12edge.engine import BatchRange, BuildOptions, EngineBuild, build_engine
from yolov12edge.engine.onnx_file import float32_nodes
from yolov12edge.errors import ExportError
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.quantize import (
    TENSORRT,
    convert_to_fp16,
    observe,
    observed_tensors,
    plan_quantization,
    quantize_int8,
)
from yolov12edge.runtime.plan_file import read_plan_header

pytest.importorskip("tensorrt_rtx_bindings")

SIZE = 128
ARCHITECTURES = ((86,), (86, 89, 120))
RANGE = BatchRange(1, 2, 4)


@dataclass(frozen=True)
class Graphs:
    """A detector's ONNX files with a dynamic batch, by precision."""

    fp32: Path
    fp16: Path
    int8: Path

    def get(self, precision: str, *, dynamic: bool) -> Path:
        """One of them; its batch set to 1 unless it is to stay dynamic."""
        path: Path = getattr(self, precision)
        if dynamic:
            return path
        model = onnx.load(path)
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        fixed = path.with_name(f"{precision}-fixed.onnx")
        onnx.save(model, fixed)
        return fixed


def make_graphs(scale: str, folder: Path) -> Graphs:
    pytest.importorskip("modelopt")
    pictures = [probe_picture(SIZE, SIZE, seed)[0] for seed in range(2)]
    fp32 = folder / "model.onnx"
    export_onnx(lively_model(scale, num_classes=4), fp32, ExportOptions(SIZE, SIZE, batch=None))
    half = convert_to_fp16(fp32, folder / "model.fp16.onnx", pictures)
    model = onnx.load(fp32)
    plan = plan_quantization(model, TENSORRT)
    statistics = observe(model, observed_tensors(model, [plan]), iter(pictures), len(pictures))
    int8 = quantize_int8(
        fp32,
        folder / "model.int8.onnx",
        plan,
        TENSORRT,
        statistics,
        "max",
        twin=half.path,
        kept_fp32=half.kept,
    )
    return Graphs(fp32, half.path, int8.path)


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["n", "s"])
def test_every_precision_batch_and_list_of_architectures_builds(scale: str, tmp_path: Path) -> None:
    graphs = make_graphs(scale, tmp_path)
    sizes: dict[tuple[str, bool, int], int] = {}
    for precision, dynamic, sms in itertools.product(
        ("fp32", "fp16", "int8"), (False, True), ARCHITECTURES
    ):
        options = BuildOptions(compute_capabilities=sms, batch=RANGE if dynamic else None)
        plan = tmp_path / "engine.plan"
        built = build_engine(graphs.get(precision, dynamic=dynamic), plan, "tensorrt_rtx", options)
        header = read_plan_header(plan)
        case = f"{scale} {precision} {built.batch} {sms}"
        assert built.compute_capabilities == header.compute_capabilities == sms, case
        assert str(built.batch) == ("1:2:4" if dynamic else "1"), case
        assert all("scales to fp32" in text for text in built.warnings), (case, built.warnings)
        assert precision == "int8" or not built.warnings, case
        assert built.optimization_level is None, case
        sizes[precision, dynamic, len(sms)] = built.size
    for dynamic, count in itertools.product((False, True), (1, 3)):
        assert sizes["fp16", dynamic, count] < sizes["fp32", dynamic, count]
    check_types(graphs)


def check_types(graphs: Graphs) -> None:
    """The parser's own network has every Q/DQ pair, and computes in the types of the graph."""
    library, layers = parse(graphs.int8)
    kinds = Counter(layer.kind for layer in layers)
    operators = Counter(node.op_type for node in onnx.load(graphs.int8).graph.node)
    assert kinds[library.LayerType.QUANTIZE] == operators["QuantizeLinear"] > 20
    assert kinds[library.LayerType.DEQUANTIZE] == operators["DequantizeLinear"]
    for path in (graphs.fp16, graphs.fp32):
        heavy = (library.LayerType.CONVOLUTION, library.LayerType.MATRIX_MULTIPLY)
        _, layers = parse(path)
        products = {layer.name: layer.output for layer in layers if layer.kind in heavy}
        full = {name for name, output in products.items() if output == library.float32}
        assert full == float32_nodes(path) & products.keys()
        assert set(products.values()) <= {library.float32, library.float16}
        assert (full == products.keys()) is (path == graphs.fp32)


class Layer(NamedTuple):
    """What outlives the network: name, type, type of the first output."""

    name: str
    kind: Any
    output: Any


def parse(path: Path) -> tuple[Any, list[Layer]]:
    from yolov12edge.engine.tensorrt_rtx import TensorRTRTX
    from yolov12edge.runtime.tensorrt_log import log_of

    api = TensorRTRTX()
    library = api.library
    logger = log_of(library).logger
    builder = library.Builder(logger)
    network = builder.create_network(api.network_flags(BuildOptions()))
    parser = library.OnnxParser(network, logger)
    assert parser.parse_from_file(str(path))
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return library, [Layer(layer.name, layer.type, layer.get_output(0).dtype) for layer in layers]


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("yolo") / "model.onnx"
    export_onnx(lively_model("n", num_classes=4), path, ExportOptions(SIZE, SIZE))
    return path


def test_the_exporters_static_graph_for_every_architecture_of_the_library(
    fp32: Path, tmp_path: Path
) -> None:
    from yolov12edge.engine.tensorrt_rtx import TensorRTRTX

    every = tuple(sm for sm in TensorRTRTX().capabilities() if sm != 75)
    built = build(fp32, tmp_path, *every)
    assert built.compute_capabilities == every
    assert len(every) >= 5


def test_turing_takes_fp16_only(fp32: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="FP32 GEMM"):
        build(fp32, tmp_path, 75)
    pytest.importorskip("modelopt")
    half = convert_to_fp16(fp32, tmp_path / "half.onnx", [probe_picture(SIZE, SIZE, 0)[0]])
    assert build(half.path, tmp_path, 75).compute_capabilities == (75,)


def build(path: Path, folder: Path, *sms: int) -> EngineBuild:
    options = BuildOptions(compute_capabilities=sms)
    return build_engine(path, folder / "engine.plan", "tensorrt_rtx", options)
