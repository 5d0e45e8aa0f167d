"""The graph that learns in torch against its INT8 file in ONNX Runtime, nothing fused."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.models import lively_model
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.quantize import (
    CPU,
    TENSORRT,
    Dialect,
    QuantizationPlan,
    Rounding,
    equalize,
    find_rounding,
    observe,
    observed_tensors,
    plan_quantization,
    write_rounding,
)
from yolov12edge.quantize.qat import QatRates, Student
from yolov12edge.quantize.qdq import IsHalf, never_half
from yolov12edge.train.distillation import feature_loss

SIDE = 96
RATES = QatRates()
IMAGES = [probe_picture(SIDE, SIDE, seed)[0] for seed in range(2)]


class Case(NamedTuple):
    """A graph and its rounding to the nearest."""

    model: onnx.ModelProto
    plan: QuantizationPlan
    dialect: Dialect
    rounding: Rounding
    corrections: dict[str, np.ndarray]

    def student(self, is_half: IsHalf = never_half) -> Student:
        return Student(
            self.model, self.plan, self.dialect, self.rounding, self.corrections, is_half
        )


@pytest.fixture(scope="module", params=[TENSORRT, CPU], ids=lambda dialect: str(dialect.name))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    dialect: Dialect = request.param
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    variant = "packed" if dialect.symmetric else "rows"
    export_onnx(lively_model("n", num_classes=4), path, ExportOptions(SIDE, SIDE, variant=variant))
    exported = onnx.load(path)
    model = equalize(exported, plan_quantization(exported, dialect), dialect, IMAGES)
    plan = plan_quantization(model, dialect)
    statistics = observe(model, observed_tensors(model, [plan]), IMAGES, len(IMAGES))
    rounding = find_rounding(model, plan, dialect, statistics, "mse")
    logits = [n.name for n in model.graph.node if n.name.endswith(".2/conv") and ".cv3." in n.name]
    corrections = {name: np.full(4, 0.01 * at, np.float32) for at, name in enumerate(logits, 1)}
    return Case(model, plan, dialect, rounding, corrections)


def taught(
    case: Case,
    updates: int = 3,
    is_half: IsHalf = never_half,
    rate: float = 0.05,
    losses: list[float] | None = None,
) -> Student:
    """A student after a few updates, all of whose numbers have moved."""
    student = case.student(is_half)
    groups = [{**group, "lr": rate * group["share"]} for group in student.parameter_groups(RATES)]
    optimizer = torch.optim.Adam(groups, eps=1e-15)
    images = torch.from_numpy(np.stack(IMAGES))
    with torch.no_grad():
        wanted = student.levels(student.exact(images))
    for _ in range(updates):
        loss = feature_loss(student.levels(student(images)), wanted)
        if losses is not None:
            losses.append(loss.item())
        optimizer.zero_grad()
        (loss * 1e3).backward()
        optimizer.step()
        student.constrain()
    return student


def test_it_begins_as_the_rounding_to_the_nearest(case: Case) -> None:
    student = case.student()
    assert student.rounding().digest() == case.rounding.digest()
    for name, change in student.learned_corrections().items():
        assert np.array_equal(change, case.corrections[name])


def computed(model: onnx.ModelProto, image: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """Tensors of a graph as ONNX Runtime computes them, nothing fused."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    opened.graph.output.extend(
        onnx.ValueInfoProto(name=name)
        for name in names
        if name not in {output.name for output in model.graph.output}
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found = session.run(names, {model.graph.input[0].name: image[None]})
    return dict(zip(names, found, strict=True))


def test_every_block_computes_what_the_file_says(case: Case, tmp_path: Path) -> None:
    """Fed with the same values every Q/DQ pair yields the same bits, every node the same numbers.

    Node by node with what ONNX Runtime computed in front of it, so that no difference travels;
    sums are added in another order.
    """
    student = taught(case)
    path = tmp_path / "int8.onnx"
    write_rounding(
        case.model, path, case.plan, student.rounding(), corrections=student.learned_corrections()
    )
    view = student.replay.view
    names = [output for node in view.nodes for output in node.output]
    pairs = {f"{tensor}/restored": tensor for tensor in case.plan.tensors}
    values = computed(onnx.load(path), IMAGES[0], [*names, *pairs])
    values[view.inputs[0].name] = IMAGES[0][None]
    for restored, tensor in pairs.items():
        ours = student.quantized(tensor, torch.from_numpy(values[tensor]))
        assert np.array_equal(ours.detach().numpy(), values[restored]), tensor
    fed = {name: torch.from_numpy(value) for name, value in values.items()}
    for node in view.nodes:
        found = student.run([node], dict(fed))
        for name in node.output:
            expected, ours = values[name], found[name].detach().numpy()
            assert ours.shape == expected.shape, name
            size = max(1.0, float(np.abs(expected).max()))
            assert np.abs(ours - expected).max() <= 2e-5 * size, name
    # In the network as a whole, values that such sums put beyond a border travel.
    whole = student(fed[view.inputs[0].name])
    for name in ("model.14.cv2/silu", "model.20.cv2/silu"):
        error = np.mean((whole[name].detach().numpy() - values[name]) ** 2)
        assert error < 1e-3 * np.mean(values[name] ** 2), name


def test_everything_learns(case: Case) -> None:
    student, start = taught(case), case.rounding
    now = student.rounding()
    changed = [t for t in start.steps if now.steps[t].scale != start.steps[t].scale]
    assert len(changed) > 0.9 * len(start.steps)
    moved = [
        name
        for name, conv in start.convolutions.items()
        if not np.array_equal(conv.weight.values, now.convolutions[name].weight.values)
    ]
    assert len(moved) > 0.9 * len(start.convolutions)
    assert all(
        not np.array_equal(conv.bias, now.convolutions[name].bias)
        for name, conv in start.convolutions.items()
    )
    limit = case.dialect.weights
    for conv in now.convolutions.values():
        codes = conv.weight.values.astype(np.float64)
        assert np.abs(codes).max() <= 127
        assert limit is None or np.array_equal(limit.limit(codes), codes)


def test_learning_brings_it_nearer_to_the_float_graph(case: Case) -> None:
    losses: list[float] = []
    taught(case, updates=10, rate=0.002, losses=losses)
    assert losses[-1] < 0.95 * losses[0]


def test_tensors_that_share_a_step_go_on_sharing_it(case: Case) -> None:
    steps = taught(case).rounding().steps
    for group in case.plan.groups:
        assert len({(steps[tensor].scale, int(steps[tensor].zero)) for tensor in group}) == 1


def test_scales_are_numbers_that_the_graph_can_store(case: Case) -> None:
    student = taught(case, is_half=lambda node, index: True)
    for tensor, step in student.rounding().steps.items():
        assert step.scale == float(np.float16(step.scale)), tensor
