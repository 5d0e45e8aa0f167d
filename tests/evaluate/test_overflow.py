"""FP16 values that overflow are found by name, where ONNX Runtime's CPU kernels would hide them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from yolov12edge.evaluate import overflow as module
from yolov12edge.evaluate.overflow import first_overflow

IMAGE = np.full((1, 3, 4, 4), 0.5, np.float32)


def save(path: Path, *factors: float) -> Path:
    """An image times each factor, in FP16, between casts; `model.N` multiplies by the Nth."""
    nodes = [helper.make_node("Cast", ["images"], ["t0"], "to_half", to=TensorProto.FLOAT16)]
    constants = []
    for index, factor in enumerate(factors):
        half = np.float16(factor)
        constants.append(helper.make_tensor(f"factor{index}", TensorProto.FLOAT16, [], [half]))
        inputs = [f"m{index}", f"factor{index}"]
        nodes += [
            helper.make_node(
                "Transpose", [f"t{index}"], inputs[:1], f"move.{index}", perm=[0, 2, 3, 1]
            ),
            helper.make_node("Mul", inputs, [f"t{index + 1}"], f"model.{index}"),
        ]
    last = f"t{len(factors)}"
    nodes.append(helper.make_node("Cast", [last], ["out"], "to_single", to=TensorProto.FLOAT))
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("budget", [512 << 20, 96, 1])
@pytest.mark.parametrize(
    ("factors", "name"),
    [
        ((2, 60000, 1), None),
        ((2, 60000, 2, 1 / 60000), "model.2"),
        ((60000, 60000, 1 / 60000), "model.1"),
        ((), None),
    ],
)
def test_the_first_product_beyond_65504_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    factors: tuple[float, ...],
    name: str,
    budget: int,
) -> None:
    """Though the values come back into range behind it, and however few tensors fit at once."""
    monkeypatch.setattr(module, "BUDGET", budget)
    assert first_overflow(save(tmp_path / "half.onnx", *factors), IMAGE) == name


def test_no_run_holds_more_than_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bytes an element; a tensor beyond the budget goes alone."""
    monkeypatch.setattr(module, "BUDGET", 100)
    sizes = {"a": 20, "b": 30, "c": 10, "d": 200, "e": 25, "f": 25, "g": 1}
    parts = list(module._parts([(f"node {name}", name) for name in sizes], sizes))
    assert [[name for _, name in part] for part in parts] == [
        ["a", "b"],
        ["c"],
        ["d"],
        ["e", "f"],
        ["g"],
    ]
