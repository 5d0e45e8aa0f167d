"""Names that runtimes really give: TensorRT 8 and 10, OpenVINO, ONNX Runtime."""

from __future__ import annotations

import pytest

from yolov12edge.runtime.layer_names import (
    NOWHERE,
    attention_of,
    block_of,
    block_order,
    myelin_region,
    nodes_of,
)

PAIR = ("/model.13/m.0/cv2/conv/Conv", "/model.13/m.0/cv1/conv/Conv")


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("model.0/conv + model.0/silu", ("model.0/conv", "model.0/silu")),
        ("PWN(PWN(/model.9/act/Sigmoid), PWN(/model.9/act/Mul))",
         ("/model.9/act/Sigmoid", "/model.9/act/Mul")),
        (" || ".join(PAIR), PAIR),
        ("Reformatting CopyNode for Input Tensor 0 to /model.9/m/MaxPool", ("/model.9/m/MaxPool",)),
        ("{ForeignNode[/model.6/attn/Split.../model.6/attn/Add]}",
         ("/model.6/attn/Split", "/model.6/attn/Add")),
        ("/model.10/Split_output_0 copy", ("/model.10/Split_output_0",)),
        ("", ()),
    ],
)  # fmt: skip
def test_nodes(name: str, nodes: tuple[str, ...]) -> None:
    assert nodes_of(name) == nodes


def test_metadata_is_exact_whatever_stands_between() -> None:
    for between in ("", "\x1e", "\x1f"):
        metadata = f"[ONNX Layer: model.6/a]{between}[ONNX Layer: model.6/b]"
        assert nodes_of("__myl_AddMul_myl0_3", metadata) == ("model.6/a", "model.6/b")


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("model.21.cv2.0.2/conv", "model.21"),
        ("/model.2/m.0/cv1/conv/Conv", "model.2"),
        ("/model_10/m/m_0/attn/MatMul_myl109_2", "model.10"),
        ("images_abcd_acdb_model.0/conv/WithoutBiases", "model.0"),
        ("model.6.m.0.0.attn/scores/MatmulTransposeFusion/_kernel_time", "model.6"),
        ("remodel.3/conv", NOWHERE),
        ("images", NOWHERE),
    ],
)
def test_blocks(name: str, block: str) -> None:
    assert block_of([name]) == block


def test_a_layer_over_two_blocks_belongs_to_the_larger_part() -> None:
    assert block_of(["model.5/silu", "model.6.cv1/conv", "model.6.cv1/silu"]) == "model.6"


@pytest.mark.parametrize(
    ("node", "path"),
    [
        ("model.6.m.0.0.attn/scores", "model.6.m.0.0.attn"),
        ("model.6.m.0.0.attn.qkv/conv", "model.6.m.0.0.attn"),
        ("/model.6/m.0/m.0.0/attn/Softmax", "model.6.m.0.m.0.0.attn"),
        ("/model_10/m/m_0/attn/MatMul_myl109_2", "model.10.m.m.0.attn"),
        ("model.6.m.0.0.mlp.0/conv", None),
        ("model.6.attnx/conv", None),
    ],
)
def test_attention(node: str, path: str | None) -> None:
    assert attention_of(node) == path


def test_regions_and_order() -> None:
    assert myelin_region("__myl_Add_myl109_6") == "109"
    assert myelin_region("model.6/conv") is None
    blocks = ["model.10", NOWHERE, "model.2"]
    assert sorted(blocks, key=block_order) == ["model.2", "model.10", NOWHERE]
