"""Engine information of every generation; where each file comes from: inspector/README.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov12edge.engine.inspection import (
    EngineInspection,
    inspect_layers,
    parse_times,
    read_engine_layers,
)
from yolov12edge.engine.inspection_layers import EngineTensor, parse_type
from yolov12edge.errors import CheckpointError, UsageError

FOLDER = Path(__file__).parent / "inspector"


def read(name: str, times: str | None = None) -> EngineInspection:
    return read_engine_layers(FOLDER / name, FOLDER / times if times else None)


def test_names_only() -> None:
    found = read("names_8.4.json")
    assert not found.detailed
    assert [end.name for end in found.ends] == ["x:0", "z:0"]
    assert [layer.role for layer in found.layers] == [
        "compute", "compute", "reformat", "compute", "compute",
    ]  # fmt: skip
    assert found.layers[0].nodes == ("Conv__25", "Relu")
    assert (found.precisions, found.weight_bytes, found.ms) == ({}, 0, None)


def test_tensorrt_8_with_standing_quantizers_and_a_profile() -> None:
    found = read("mobilenet_qat_8.json", "mobilenet_qat_8.profile.json")
    assert found.detailed
    assert found.precisions == {"int8": 2}
    assert [layer.role for layer in found.layers] == [
        "quantize", "compute", "compute", "quantize",
    ]  # fmt: skip
    assert (found.quantizers, found.reformats) == (2, 0)
    assert found.weight_bytes == 864 + 32 * 4 + 2304 + 24 * 4
    assert found.activation_bytes == (
        3 * 224 * 224 + 32 * 112 * 112 + 24 * 56 * 56 * 2 + 24 * 56 * 56
    )
    assert found.reformat_ms == pytest.approx(0.0122041 + 0.00743947)
    assert found.ms == pytest.approx(0.0122041 + 0.0107465 + 0.00864475 + 0.00743947)


def test_tensorrt_10_names_what_it_compiled() -> None:
    found = read("bert_10.json")
    assert found.precisions == {"fp16": 2}
    assert found.layers[0].nodes == (
        "/encoder/layers.0/pos_ff/output/MatMul",
        "/encoder/layers.0/pos_ff/output/Add",
    )
    assert found.layers[1].activation_bytes == 40 * 256 * 2
    assert found.attention == []


def test_the_attention_of_a_public_export_is_split() -> None:
    """Its softmax is inside __myl_MulMaxSubExpSum, between two products of their own."""
    found = read("yolo11_10.json")
    (attention,) = found.attention
    assert (attention.name, attention.fusion) == ("model.10.m.m.0.attn", "split")
    assert found.mha_kernels == 0
    assert [block.block for block in found.blocks] == ["model.10", "model.11", "model.13"]
    assert found.blocks[0].reformats == 4
    roles = {layer.name: layer.role for layer in found.layers}
    assert roles["__myl_MovSliSliTra_myl109_1"] == "reformat"
    assert roles["/model.10/Split_output_0 copy"] == "reformat"
    assert roles["/model.10/m/m.0/attn/Reshape"] == "nothing"
    assert roles["__myl_MulMaxSubExpSum_myl109_3"] == "compute"


def test_a_fused_attention_is_one_kernel() -> None:
    found = read("mha_10.json")
    (attention,) = found.attention
    assert (attention.name, attention.fusion) == ("model.6.m.0.0.attn", "fused")
    assert attention.kernels == 2
    assert (found.fused, found.mha_kernels) == (1, 1)
    (block,) = found.blocks
    assert (block.block, block.precisions, block.reformats) == ("model.6", {"fp16": 2}, 1)
    assert block.weight_bytes == 2 * (12288 + 192)


def test_tensorrt_11_tells_type_and_format_apart() -> None:
    found = read("yolo12_11.json")
    assert [(end.name, end.dtype, end.shape) for end in found.ends] == [
        ("images", "fp32", (1, 3, 640, 640)),
        ("detections", "fp32", (1, 84, 8400)),
    ]
    assert found.precisions == {"fp16": 3, "int8": 1}
    assert found.quantizers == 1
    (attention,) = found.attention
    assert (attention.fusion, attention.kernels) == ("split", 4)
    assert found.layers[1].weight_bytes == 4
    assert found.layers[0].activation_bytes == 16 * 320 * 320 * 2
    assert [block.block for block in found.blocks] == ["model.0", "model.6"]


def test_a_region_whose_inside_is_not_shown() -> None:
    """TensorRT 8 names a compiled region by its first and last node only."""
    path = "/model.6/m.0/m.0.0/attn"
    name = f"{{ForeignNode[{path}/Reshape...{path}/Add]}}"
    found = inspect_layers({"Layers": [{"Name": name, "LayerType": "Myelin"}]}, "made by hand")
    (attention,) = found.attention
    assert (attention.name, attention.fusion) == ("model.6.m.0.m.0.0.attn", "hidden")


def test_every_attention_of_a_network_is_counted() -> None:
    layers = [
        {
            "Name": f"_gemm_mha_v2_myl0_{index}" if fused else f"model.8.{index}.attn/{node}",
            "LayerType": "kgen",
            "Metadata": "".join(
                f"[ONNX Layer: model.{6 + index // 4}.m.{index % 4}.attn/{one}]"
                for one in (("scores", "weights", "mixed") if fused else (node,))
            ),
        }
        for index, fused in enumerate((True,) * 6 + (False,) * 2)
        for node in (("",) if fused else ("scores", "weights", "mixed"))
    ]
    found = inspect_layers(layers, "made by hand")
    assert [one.fusion for one in found.attention] == ["fused"] * 6 + ["split"] * 2
    assert found.fused == 6
    assert [one.kernels for one in found.attention] == [1] * 6 + [3] * 2


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("Row major linear FP32", "fp32"),
        ("Row major linear FP16 format", "fp16"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Thirty-two wide channel vectorized row major Int8 format", "int8"),
        ("Half", "fp16"),
        ("Float", "fp32"),
        ("BFloat16", "bf16"),
        ("FP8", "fp8"),
        ("Int64", "int64"),
        ("UInt8", "uint8"),
        ("Bool", "bool"),
        ("N/A due to dynamic shapes", None),
    ],
)
def test_types_in_words(text: str, dtype: str | None) -> None:
    assert parse_type(text) == dtype


def test_open_dimensions_have_no_size() -> None:
    assert EngineTensor(name="x", dtype="fp16", shape=(-1, 3, 4)).bytes is None
    assert EngineTensor(name="x", dtype="int4", shape=(3, 4)).bytes == 6


def test_equal_names_take_their_times_in_order() -> None:
    times = parse_times(
        [{"count": 2}, {"name": "a", "medianMs": 1.0, "averageMs": 9.0}, {"name": "a", "ms": 2.0}],
        "p.json",
    )
    found = inspect_layers(["a", "a", "b"], "e.json", times)
    assert [layer.ms for layer in found.layers] == [1.0, 2.0, 0.0]


@pytest.mark.parametrize("document", [{}, [], {"Layers": []}, {"Layers": [3]}, "x", None, 7])
def test_other_documents_are_refused(document: Any) -> None:
    with pytest.raises(CheckpointError) as caught:
        inspect_layers(document, "other.json")
    assert caught.value.hint


@pytest.mark.parametrize("document", [{}, [], [{"count": 3}], "x", {"profiles": []}])
def test_profiles_without_times_are_refused(document: Any) -> None:
    with pytest.raises(CheckpointError):
        parse_times(document, "p.json")


def test_files_that_are_not_there_or_no_json(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_engine_layers(tmp_path / "none.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(CheckpointError):
        read_engine_layers(broken)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["Layers", "Name", "LayerType", "Inputs", "Outputs", "Weights", "Count", "Type",
                 "Dimensions", "Format/Datatype", "Metadata", "Bindings", "I/O Tensors"]
            ),
            inner, max_size=6,
        )
    ),
    max_leaves=20,
)  # fmt: skip


@settings(deadline=None)
@given(JSON)
def test_any_json_is_read_or_refused(document: Any) -> None:
    try:
        found = inspect_layers(document, "any.json")
    except CheckpointError:
        return
    assert EngineInspection.model_validate(json.loads(found.model_dump_json())) == found
