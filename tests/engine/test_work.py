"""How much kernels work out, by hand."""

from __future__ import annotations

import pytest

from tests.engine.kernels import kernel, recorded, tensor
from yolov12edge.engine.work import NOTHING, NotTold, runs, work_of


def test_a_convolution_multiplies_each_weight_at_each_position() -> None:
    work = work_of(
        kernel(
            "runtime_fusion",
            [tensor("x", 1, 32, 80, 80)],
            [tensor("y", 1, 64, 40, 40)],
            [tensor("bias", 1, 64, 1, 1), tensor("weights", 64, 32, 3, 3)],
        )
    )
    assert work.multiply_adds == 64 * 32 * 9 * 40 * 40
    assert (work.unit, work.dtype) == ("tensor cores", "fp16")
    assert (work.rows, work.columns, work.groups) == (1600, 64, 1)


def test_constants_as_large_as_maps_are_no_weights() -> None:
    """Boxes are scaled by strides and moved by anchors in the kernel of the last convolution."""
    work = work_of(
        kernel(
            "runtime_fusion",
            [tensor("x", 1, 16, 8400, 1)],
            [tensor("y", 1, 1, 8400, 1)],
            [tensor("anchors", 1, 1, 8400, 1), tensor("weights", 1, 16, 1, 1)],
        )
    )
    assert work.multiply_adds == 16 * 8400


def test_a_depthwise_convolution_is_left_to_the_cuda_cores() -> None:
    layer = kernel(
        "correlation",
        [tensor("x", 1, 64, 20, 20)],
        [tensor("y", 1, 64, 20, 20)],
        [tensor("weights", 64, 1, 5, 5)],
    )
    work = work_of(layer)
    assert (work.multiply_adds, work.unit) == (64 * 25 * 400, "cuda cores")


def test_a_1x1_convolution_as_a_product() -> None:
    layer = kernel(
        "runtime_fusion",
        [tensor("x", 2, 384, 400)],
        [tensor("y", 2, 256, 400)],
        [tensor("bias", 1, 256, 1), tensor("weights", 1, 256, 384)],
    )
    work = work_of(layer)
    assert work.multiply_adds == 2 * 256 * 384 * 400
    assert (work.rows, work.columns) == (800, 256)


@pytest.mark.parametrize(
    ("kind", "name", "grows"),
    [
        ("deconv", "model.11.cv1/grown_U239_myl0_86", 2),
        ("runtime_fusion", "__myl_DecoSilu_myl0", 1),
    ],
)
def test_a_transposed_convolution_sweeps_its_input(kind: str, name: str, grows: int) -> None:
    layer = kernel(
        kind,
        [tensor("x", 1, 256, 20, 20)],
        [tensor("y", 1, 64, 20 * grows, 20 * grows)],
        [tensor("weights", 256, 64, grows, grows)],
        name=name,
    )
    work = work_of(layer)
    assert work.multiply_adds == 256 * 64 * grows**2 * 400
    assert (work.rows, work.columns, work.groups) == (400, 64 * grows**2, 1)


@pytest.mark.parametrize("second", [(8, 32, 400), (8, 400, 32)])
def test_a_product_of_two_activations(second: tuple[int, ...]) -> None:
    layer = kernel(
        "gemm",
        [tensor("q", 8, 400, 32), tensor("k", *second)],
        [tensor("scores", 8, 400, 400)],
        [tensor("scale", 1, 1, 1, 1)],
    )
    assert work_of(layer).multiply_adds == 8 * 400 * 400 * 32


def test_fused_attention_is_two_products() -> None:
    layer = kernel(
        "kgen",
        [tensor("q", 8, 400, 32), tensor("k", 8, 32, 400), tensor("v", 8, 400, 32)],
        [tensor("y", 8, 400, 32)],
        name="_gemm_mha_v2_myl0_24",
    )
    assert work_of(layer).multiply_adds == 2 * (8 * 400 * 400 * 32)


@pytest.mark.parametrize("kind", ["kgen", "runtime_function", "maxpool", "Reformat"])
def test_what_moves_data_multiplies_nothing(kind: str) -> None:
    assert work_of(kernel(kind, [tensor("x", 4)], [tensor("y", 4)])) == NOTHING


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (kernel("kgen", [tensor("x")], [tensor("y", 4)]), "do not tell their tensors"),
        (kernel("kgen", [tensor("x", -1, 4)], [tensor("y", 4)]), "an open side"),
        (kernel("kgen", [tensor("x", 4, dtype=None)], [tensor("y", 4)]), "do not tell"),
        (kernel("kgen", [], []), "do not tell their tensors"),
        (kernel("sorting", [tensor("x", 4)], [tensor("y", 4)]), "not known (sorting)"),
        (
            kernel("correlation", [tensor("x", 1, 8, 4, 4)], [tensor("y", 1, 8, 4, 4)]),
            "weights that are not told",
        ),
        (
            kernel("gemm", [tensor("a", 3, 5), tensor("b", 7, 4)], [tensor("y", 3, 4)]),
            "shapes that are not known",
        ),
        (
            kernel("kgen", [tensor("q", 4)], [tensor("y", 4)], name="_gemm_mha_v2_myl0_1"),
            "shapes that are not known",
        ),
    ],
)
def test_a_kernel_that_does_not_say_enough(layer: object, says: str) -> None:
    with pytest.raises(NotTold) as caught:
        work_of(layer)  # type: ignore[arg-type]
    assert says in str(caught.value)


def test_a_whole_network_does_what_was_published() -> None:
    """YOLOv12n turbo: 6.0 GFLOPs at 640 px in its convolutions, a quarter at 320."""
    works = [(layer, work_of(layer)) for layer in recorded("n320_fp16_sm86") if runs(layer)]
    convolutions = sum(work.multiply_adds for layer, work in works if not layer.fused_attention)
    attention = sum(work.multiply_adds for layer, work in works if layer.fused_attention)
    assert 2 * convolutions == pytest.approx(6.0e9 / 4, rel=0.03)
    # 4 blocks of 8 areas and heads and 4 of 4 heads, 100 tokens of 32 channels.
    assert attention == 2 * 4 * (8 + 4) * 100 * 100 * 32
