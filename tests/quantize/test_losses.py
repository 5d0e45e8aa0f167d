"""What INT8 costs in each convolution, against what it really does to scores and boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.models import lively_model
from tests.quantize.small_networks import small_images, small_network
from yolov12edge.errors import ExportError
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.fakequant import Replay
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize import (
    CPU,
    TENSORRT,
    ConvLoss,
    barred_convolutions,
    costly_convolutions,
    find_rounding,
    measure_losses,
    observe,
    observed_tensors,
    plan_quantization,
)
from yolov12edge.quantize.losses import HeadProjection, rounded_values
from yolov12edge.quantize.rules import FloatBudget
from yolov12edge.thresholds import BOX_WEIGHT, LEAST_SCORE

EVERYTHING = [replace(dialect, keep=(), equalize=()) for dialect in (CPU, TENSORRT)]
IMAGES = small_images(16, 5)


@pytest.mark.parametrize("dialect", EVERYTHING, ids=lambda dialect: dialect.name)
def test_losses_are_the_errors_that_they_predict(dialect: object) -> None:
    """One convolution at a time is rounded, and the squared error of the head is summed."""
    model = small_network(4, 8, 2, joined=False)
    plan = plan_quantization(model, dialect)  # type: ignore[arg-type]
    statistics = observe(model, observed_tensors(model, [plan]), iter(IMAGES), len(IMAGES))
    rounding = find_rounding(model, plan, dialect, statistics, "mse")  # type: ignore[arg-type]
    losses = measure_losses(model, plan, rounding, iter(IMAGES), projections=64)
    replay = Replay(model)
    stack = torch.from_numpy(np.stack(IMAGES))
    exact = replay.run(replay.view.nodes, {"images": stack})
    for name, loss in losses.items():
        node = replay.view.by_name[name]

        def read(one, index, value, name=name):  # type: ignore[no-untyped-def]
            if one.name != name or index != 0:
                return value
            return rounded_values(value, rounding, rounding.reads[name])

        conv = rounding.convolutions[name]
        produced = replay.run(
            replay.view.nodes,
            {"images": stack},
            read=read,
            constants={
                node.input[1]: torch.from_numpy(conv.weight.restored).float(),
                node.input[2]: torch.from_numpy(conv.bias),
            },
        )
        measured = head_error(exact, produced)
        assert loss.both == pytest.approx(measured, rel=0.5), name


def head_error(exact: dict[str, torch.Tensor], produced: dict[str, torch.Tensor]) -> float:
    """Squared error of scores and distances where a score counts, for each image."""
    scores = torch.sigmoid(exact["model.9.cv3.0.2"])
    best = scores.amax(dim=1, keepdim=True)
    counts = best >= best.amax(dim=(1, 2, 3), keepdim=True).clamp(max=LEAST_SCORE)
    change = (torch.sigmoid(produced["model.9.cv3.0.2"]) - scores) * counts

    def distances(boxes: torch.Tensor) -> torch.Tensor:
        bins = boxes.reshape(len(boxes), 4, 16, *boxes.shape[2:]).softmax(dim=2)
        return (bins * torch.arange(16.0).reshape(1, 1, 16, 1, 1)).sum(dim=2)

    name = "model.9.cv2.0.2"
    moved = (distances(produced[name]) - distances(exact[name])) * counts
    moved = BOX_WEIGHT * moved * best.sqrt()
    return float(((change**2).sum() + (moved**2).sum()) / len(scores))


def test_where_nothing_is_seen_the_likeliest_place_counts() -> None:
    model = small_network(4, 8, 1, joined=False)
    replay = Replay(model)
    replay.constants["model.9.cv3.0.2.bias"].fill_(-12)
    x = torch.from_numpy(np.stack(IMAGES[:2])).requires_grad_()
    values = replay.run(replay.view.nodes, {"images": x})
    HeadProjection(replay.view)(values, torch.Generator().manual_seed(0)).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert (x.grad.flatten(1).abs().amax(dim=1) > 0).all()


def test_a_graph_without_a_head_is_refused() -> None:
    model = small_network(4, 8, 1, joined=False)
    for node in model.graph.node:
        node.name = node.name.replace("cv3", "other").replace("cv2", "another")
    with pytest.raises(ExportError, match="no detection head"):
        HeadProjection(Replay(model).view)


def budget(convolutions: int = 9, work: float = 1.0) -> FloatBudget:
    return FloatBudget(frozenset(), convolutions, work)


LOSSES = {
    "small": ConvLoss(0, 0, both=4.0, work=0.01),
    "large": ConvLoss(0, 0, both=5.0, work=0.5),
    "none": ConvLoss(0, 0, both=0.0, work=0.1),
    "some": ConvLoss(0, 0, both=1.0, work=0.05),
}


def test_the_most_costly_for_their_work_stay_float() -> None:
    assert list(costly_convolutions(LOSSES, budget())) == ["small", "some", "large"]
    assert list(costly_convolutions(LOSSES, budget(convolutions=1))) == ["small"]
    assert list(costly_convolutions(LOSSES, budget(work=0.3))) == ["small", "some"]
    assert costly_convolutions(LOSSES, budget(convolutions=0)) == {}
    assert list(costly_convolutions(LOSSES, budget(), {"small"})) == ["some", "large"]
    reason = costly_convolutions(LOSSES, budget())["small"]
    assert reason.startswith("costly: ")
    assert "40.0%" in reason
    assert "1.0% of the work" in reason


def test_nothing_is_costly_where_nothing_is_lost() -> None:
    quiet = {name: replace(loss, both=0.0) for name, loss in LOSSES.items()}
    assert costly_convolutions(quiet, budget()) == {}


def test_a_cpu_never_reads_enlarged_maps_in_float(tmp_path: Path) -> None:
    """OpenVINO does not compile that with SSE4.2 alone."""
    path = tmp_path / "model.onnx"
    export_onnx(lively_model("n", "turbo", num_classes=2), path, ExportOptions(64, 64))
    assert CPU.budget is not None
    barred = barred_convolutions(GraphView(onnx.load(path)), CPU.budget)
    assert barred == {"model.11.cv1/conv", "model.14.cv1/conv"}
