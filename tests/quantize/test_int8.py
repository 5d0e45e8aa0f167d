"""INT8 graphs: their form, judged by the lints and by NVIDIA's parser, and what they compute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from tests.models import lively_model
from yolov12edge.errors import ExportError
from yolov12edge.export import ExportOptions, export_onnx, lint_graph, probe_picture
from yolov12edge.quantize import (
    CPU,
    CPU_VNNI,
    DIALECTS,
    METHODS,
    TENSORRT,
    Dialect,
    Int8Conversion,
    Statistics,
    convert_to_fp16,
    observe,
    observed_tensors,
    plan_quantization,
    quantize_int8,
    score_corrections,
)

SIZE = 96


@dataclass(frozen=True)
class Calibrated:
    source: Path
    statistics: dict[str, Statistics]

    def convert(self, dialect: Dialect, target: Path, **options: object) -> Int8Conversion:
        plan = plan_quantization(onnx.load(self.source), dialect)
        statistics = self.statistics[dialect.name]
        return quantize_int8(self.source, target, plan, dialect, statistics, "mse", **options)  # type: ignore[arg-type]


def pictures(count: int) -> list[np.ndarray]:
    return [probe_picture(SIZE, SIZE, seed)[0] for seed in range(count)]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    source = tmp_path_factory.mktemp("int8") / "model.onnx"
    export_onnx(lively_model("n", num_classes=4), source, ExportOptions(SIZE, SIZE))
    model = onnx.load(source)
    plans = {name: plan_quantization(model, dialect) for name, dialect in DIALECTS.items()}
    statistics = {
        name: observe(model, observed_tensors(model, [plan]), iter(pictures(12)), 12)
        for name, plan in plans.items()
    }
    return Calibrated(source, statistics)


@pytest.fixture(scope="module")
def typed(calibrated: Calibrated, tmp_path_factory: pytest.TempPathFactory) -> Int8Conversion:
    """INT8 with FP16 for the rest."""
    pytest.importorskip("modelopt")
    folder = tmp_path_factory.mktemp("typed")
    twin = convert_to_fp16(calibrated.source, folder / "half.onnx", pictures(2))
    return calibrated.convert(
        TENSORRT, folder / "model.int8.onnx", twin=twin.path, kept_fp32=twin.kept
    )


def run(path: Path, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["detections"], {"images": images})[0]


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def ratio_db(expected: np.ndarray, produced: np.ndarray) -> float:
    return float(10 * np.log10((expected**2).mean() / ((expected - produced) ** 2).mean()))


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_int8_computes_what_the_float_graph_does(
    calibrated: Calibrated, tmp_path: Path, dialect: Dialect
) -> None:
    result = calibrated.convert(dialect, tmp_path / "model.int8.onnx")
    images = probe_picture(SIZE, SIZE, seed=50)
    expected, produced = run(calibrated.source, images), run(result.path, images)
    assert ratio_db(expected[:, :4], produced[:, :4]) > 35
    assert ratio_db(expected[:, 4:], produced[:, 4:]) > 20
    assert result.nodes["int8"] > 80
    findings = lint_graph(onnx.load(result.path), for_builder=dialect is TENSORRT)
    expected_of = ["saturating-products"] if dialect is CPU_VNNI else []
    assert [finding.lint for finding in findings] == expected_of


def test_two_executors_agree_on_int8(calibrated: Calibrated, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    for dialect in DIALECTS.values():
        path = calibrated.convert(dialect, tmp_path / f"{dialect.name}.onnx").path
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(str(path), "CPU", options)
        exact = run(calibrated.source, probe_picture(SIZE, SIZE, seed=51))
        for seed in (51, 52):
            images = probe_picture(SIZE, SIZE, seed)
            one, other = run(path, images), compiled([images])[0]
            between = np.abs(one - other)[:, 4:].max()
            lost = np.abs(one - exact)[:, 4:].max() if seed == 51 else None
            assert between < 0.05
            assert ratio_db(one[:, :4], other[:, :4]) > 40
            assert lost is None or between < max(2 * lost, 0.02)


def test_two_executors_agree_on_int8_with_fp16(typed: Int8Conversion) -> None:
    openvino = pytest.importorskip("openvino")
    images = probe_picture(SIZE, SIZE, seed=53)
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    other = openvino.Core().compile_model(str(typed.path), "CPU", options)([images])[0]
    one = run(typed.path, images)
    assert np.abs(one - other)[:, 4:].max() < 0.05
    assert ratio_db(one[:, :4], other[:, :4]) > 40


def test_tensorrt_form(calibrated: Calibrated, tmp_path: Path) -> None:
    model = onnx.load(calibrated.convert(TENSORRT, tmp_path / "model.int8.onnx").path)
    values = constants(model)
    assert model.opset_import[0].version == 17, "JetPack 5 reads up to 17"
    kinds = {"QuantizeLinear": 0, "DequantizeLinear": 0}
    for node in model.graph.node:
        if node.op_type in kinds:
            kinds[node.op_type] += 1
            zero = values[node.input[2]]
            assert zero.dtype == np.int8
            assert not zero.any()
            assert values[node.input[1]].dtype == np.float32
        if node.op_type == "Conv" and len(node.input) > 2:
            assert node.input[2] in values, "the bias stays a float constant"
            assert values[node.input[2]].dtype == np.float32
    weights = [name for name in values if name.endswith("weight/quantized")]
    assert kinds["DequantizeLinear"] == kinds["QuantizeLinear"] + len(weights)
    assert all(values[name].dtype == np.int8 for name in weights)
    assert all(len(values[n.replace("quantized", "scale")]) == len(values[n]) for n in weights)


def test_cpu_form(calibrated: Calibrated, tmp_path: Path) -> None:
    model = onnx.load(calibrated.convert(CPU, tmp_path / "model.int8.onnx").path)
    values = constants(model)
    quantize = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert {values[node.input[2]].dtype for node in quantize} == {np.dtype(np.uint8)}
    image = next(node for node in quantize if node.input[0] == "images")
    assert float(values[image.input[1]]) == pytest.approx(1 / 255, rel=0.02)


def test_typed_form(typed: Int8Conversion) -> None:
    model = onnx.load(typed.path)
    values = constants(model)
    assert model.opset_import[0].version == 19, "FP16 scales exist from opset 19 on"
    assert lint_graph(model, for_builder=True) == []
    scales = {
        values[node.input[1]].dtype
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    }
    assert scales == {np.dtype(np.float16)}
    assert {
        end.type.tensor_type.elem_type for end in [*model.graph.input, *model.graph.output]
    } == {TensorProto.FLOAT}
    assert typed.nodes["fp16"] > typed.nodes["int8"] > typed.nodes["fp32"]
    assert "model.21.decode/scores" in typed.kept
    assert {entry.key for entry in model.metadata_props} >= {"yolov12edge", "yolov12edge.blocks"}


@pytest.mark.parametrize("sm", [86, 120])
def test_nvidia_s_tool_chain_takes_the_typed_graph(
    typed: Int8Conversion, tmp_path: Path, sm: int
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    from yolov12edge.engine import BuildOptions, build_engine

    options = BuildOptions(compute_capabilities=(sm,), batch=None)
    engine = build_engine(typed.path, tmp_path / "engine.plan", "tensorrt_rtx", options)
    assert engine.size > 1_000_000


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_clean_graph(
    calibrated: Calibrated, tmp_path: Path, method: str
) -> None:
    plan = plan_quantization(onnx.load(calibrated.source), TENSORRT)
    target = tmp_path / "model.int8.onnx"
    statistics = calibrated.statistics["tensorrt"]
    quantize_int8(calibrated.source, target, plan, TENSORRT, statistics, method)  # type: ignore[arg-type]
    assert lint_graph(onnx.load(target), for_builder=True) == []


def test_the_same_input_gives_the_same_bytes(calibrated: Calibrated, tmp_path: Path) -> None:
    first = calibrated.convert(CPU, tmp_path / "first.onnx").path.read_bytes()
    assert first == calibrated.convert(CPU, tmp_path / "second.onnx").path.read_bytes()


def test_a_dynamic_batch_stays_dynamic(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    export_onnx(lively_model("n", num_classes=2), source, ExportOptions(64, 64, batch=None))
    model = onnx.load(source)
    plan = plan_quantization(model, TENSORRT)
    images = [probe_picture(64, 64, seed)[0] for seed in range(4)]
    statistics = observe(model, observed_tensors(model, [plan]), iter(images), 4)
    target = tmp_path / "model.int8.onnx"
    quantize_int8(source, target, plan, TENSORRT, statistics, "max")
    assert run(target, np.stack(images[:3])).shape[0] == 3


def test_statistics_of_another_graph_are_refused(calibrated: Calibrated, tmp_path: Path) -> None:
    plan = plan_quantization(onnx.load(calibrated.source), CPU)
    with pytest.raises(ExportError, match="no calibration statistics"):
        quantize_int8(
            calibrated.source,
            tmp_path / "x.onnx",
            plan,
            CPU,
            calibrated.statistics["tensorrt"],
            "max",
        )
    assert not list(tmp_path.iterdir())


def test_a_shift_of_inputs_goes_into_the_bias(calibrated: Calibrated, tmp_path: Path) -> None:
    """By what the restored weights make of it."""
    name = "model.5/conv"
    plain = onnx.load(calibrated.convert(CPU, tmp_path / "plain.onnx").path)
    nodes = {node.name: node for node in plain.graph.node}
    before, stem = constants(plain), nodes[name].input[1].removesuffix("/restored")
    scales = before[f"{stem}/scale"].reshape(-1, 1, 1, 1)
    restored = before[f"{stem}/quantized"].astype(float) * scales
    shift = np.random.default_rng(0).normal(0, 0.1, restored.shape[1])
    shifted = calibrated.convert(CPU, tmp_path / "shifted.onnx", shifts={name: shift})
    after = constants(onnx.load(shifted.path))
    changed = {key for key in before if not np.array_equal(before[key], after[key])}
    assert changed == {nodes[name].input[2]}
    difference = after[nodes[name].input[2]] - before[nodes[name].input[2]]
    expected = -(restored * shift[None, :, None, None]).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(difference, expected, rtol=1e-3, atol=1e-4)


def logits(path: Path, names: list[str], images: np.ndarray) -> list[np.ndarray]:
    model = onnx.load(path)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(names, {"images": images})


def test_corrections_are_the_mean_changes_where_scores_matter(
    calibrated: Calibrated, tmp_path: Path
) -> None:
    """Weighted by scores above 0.05, as if scores of 5 more had not changed."""
    names = [f"model.21.cv3.{level}.2/conv" for level in range(3)]
    model = onnx.load(calibrated.source)
    nodes = {node.name: node for node in model.graph.node}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    first = logits(calibrated.source, names, pictures(1)[0][None])
    for name, values in zip(names, first, strict=True):
        # Half of the scores above 0.05.
        bias = tensors[nodes[name].input[2]]
        middle = np.median(values, axis=(0, 2, 3)) - np.float32(np.log(0.05 / 0.95))
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - middle, bias.name))
    onnx.save(model, tmp_path / "model.onnx")
    lowered = Calibrated(tmp_path / "model.onnx", calibrated.statistics)
    bad = lowered.convert(CPU, tmp_path / "bad.onnx").path
    found = score_corrections(lowered.source, bad, pictures(3))
    exact, rounded = (
        [logits(path, names, image[None]) for image in pictures(3)]
        for path in (lowered.source, bad)
    )
    for level, name in enumerate(names):
        wanted = np.concatenate([one[level] for one in exact]).astype(np.float64)
        given = np.concatenate([one[level] for one in rounded])
        scores = 1 / (1 + np.exp(-wanted))
        weight = np.where(scores > 0.05, scores, 0)
        assert 0 < (weight > 0).mean() < 1
        lost = ((wanted - given) * weight).sum(axis=(0, 2, 3))
        expected = lost / (weight.sum(axis=(0, 2, 3)) + 5)
        np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=1e-5)


def test_a_shift_of_scores_is_taken_back(calibrated: Calibrated, tmp_path: Path) -> None:
    shift = np.array([0.3, -0.2, 0.1, 0.0], np.float32)
    conv = "model.21.cv3.0.2/conv"
    bad = calibrated.convert(CPU, tmp_path / "bad.onnx", corrections={conv: -shift}).path
    good = calibrated.convert(CPU, tmp_path / "good.onnx").path
    found = score_corrections(calibrated.source, bad, pictures(6))
    own = score_corrections(calibrated.source, good, pictures(6))
    assert set(found) == {f"model.21.cv3.{level}.2/conv" for level in range(3)}
    lively = np.abs(found[conv] - own[conv]) > 0
    assert lively.any()
    recovered = (found[conv] - own[conv])[:3] / shift[:3]
    assert ((recovered > 0.6) & (recovered < 1.05)).all()
