"""Fourteen faults that build and run without a word: each is caught, and told by block or kind.

The first eight are an engine's: a stand-in for a plan computes the float graph and changes what
comes out. The others are changes of ONNX files. The table in docs/verification.md is this one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.commands import run
from tests.models import lively_model
from yolov12edge.checkpoints import save_safetensors
from yolov12edge.export import probe_picture
from yolov12edge.graph import GraphView
from yolov12edge.graph.probe import Probe
from yolov12edge.runtime import Runner, open_runner
from yolov12edge.runtime.golden import levels_of, read_golden
from yolov12edge.runtime.runner import ClosingRunner

SIDE, LARGEST = 320, 4
LEVELS = levels_of(SIDE, SIDE)
Array = np.ndarray


@dataclass(frozen=True)
class Workplace:
    """A run folder with its checkpoint and images."""

    run: Path
    weights: Path
    images: Path


@pytest.fixture(scope="module", params=["seeded", pytest.param("bccd", marks=pytest.mark.shared)])
def workplace(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Workplace:
    folder = tmp_path_factory.mktemp(request.param)
    images = folder / "images"
    images.mkdir()
    if request.param == "seeded":
        weights = save_safetensors(lively_model("n", "v1", num_classes=3), folder / "w.safetensors")
        for seed in range(4):
            picture = probe_picture(120, 150, seed)[0].transpose(1, 2, 0)[..., ::-1]
            cv2.imwrite(str(images / f"{seed}.png"), np.round(picture * 255).astype(np.uint8))
    else:
        shared = request.getfixturevalue("shared")
        weights = shared / "weights/bccd_yolo12n.pt"
        for path in sorted((shared / "data/bccd/images/val").iterdir())[:6]:
            shutil.copy(path, images)
    from yolov12edge.cli import main

    words = (
        f"export --imgsz {SIDE} --fp32 --target cpu-onnxruntime --no-bench --batch 1:2:{LARGEST}"
    )
    places = ["--weights", str(weights), "--calib", str(images), "--out", str(folder / "run")]
    with pytest.raises(SystemExit) as left:
        main([*words.split(), *places])
    assert not left.value.code
    return Workplace(folder / "run", weights, images)


class Plan(ClosingRunner):
    """Stands in for an engine: the float graph, and a fault of the GPU."""

    name, version, device, largest_batch = "tensorrt", "11.2", "stand-in", LARGEST

    def __init__(self, graph: Path, fault: Callable[[Array], Array]) -> None:
        self._runner, self._fault = open_runner(graph), fault
        self.input_shape, self.num_classes = self._runner.input_shape, self._runner.num_classes

    def __call__(self, images: Array) -> Array:
        """(B, 3, H, W) to (B, 4 + classes, A)."""
        return self._fault(self._runner(images))


Verify = Callable[[Path], str]


@pytest.fixture
def verify(workplace: Workplace, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run `yolov12edge verify` on an artifact that has to fail; yields the error line."""

    def start(artifact: Path, code: int | None = 6) -> str:
        outcome = run(
            capsys, "verify", artifact, "--weights", workplace.weights,
            "--images", workplace.images, "--quiet",
        )  # fmt: skip
        assert code in (None, outcome.code), outcome.out + outcome.err
        return " ".join((outcome.out + outcome.err).split())

    return start


def first_image_alone(outputs: Array) -> Array:
    """Above batch 1 the images after the first are read with a wrong stride."""
    outputs[1:] = outputs[1:, :, ::-1].copy()
    return outputs


def last_place_is_empty(outputs: Array) -> Array:
    if len(outputs) == LARGEST:
        outputs[-1, 4:] *= 0.001
    return outputs


def boxes_alone(outputs: Array) -> Array:
    """As in a fused sum that reads a strided view: scores are right within rounding."""
    outputs[:, :2] += 37
    outputs[:, 4:] *= 1.0001
    return outputs


def one_level(outputs: Array) -> Array:
    outputs[:, :4, LEVELS[1]] *= 1.6
    return outputs


def coarsest_level(outputs: Array) -> Array:
    """Where little is detected, and figures hardly move."""
    outputs[:, 2:4, LEVELS[2]] += 80
    return outputs


def spurious_objects(outputs: Array) -> Array:
    quiet = outputs[:, 4:, LEVELS[0]].max(axis=1).argsort(axis=1)[:, :20]
    for output, anchors in zip(outputs, quiet, strict=True):
        output[4, anchors] = 0.97
    return outputs


def nan_in_one_image(outputs: Array) -> Array:
    darkest = outputs[:, 4:].sum(axis=(1, 2)).argmin()
    outputs[darkest, :, -1] = np.nan
    return outputs


def same(outputs: Array) -> Array:
    return outputs


PLAN_FAULTS = [
    (first_image_alone, f"results change in a batch of {LARGEST}"),
    (last_place_is_empty, f"results change in a batch of {LARGEST}: other results than alone in 1"),
    (boxes_alone, "boxes are wrong where scores are right by 37 px, at every level"),
    (one_level, "at level stride 16 (8 and 32 right)"),
    (coarsest_level, "at level stride 32 (8 and 16 right)"),
    (spurious_objects, "objects that the checkpoint does not see"),
    (nan_in_one_image, "NaN or infinity"),
]


@pytest.fixture
def plan(workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a plan with a fault, in a folder of its own."""

    def make(fault: Callable[[Array], Array], change: Callable[[Any], None] | None = None) -> Path:
        folder = shutil.copytree(workplace.run, tmp_path / "run")
        (folder / "engine.plan").write_bytes(b"ftrt")
        document = json.loads((folder / "manifest.json").read_text())
        if change is not None:
            change(document)
        (folder / "manifest.json").write_text(json.dumps(document))

        def opened(path: Path, *options: Any) -> Runner:
            return Plan(folder / "model.onnx", fault)

        monkeypatch.setattr("yolov12edge.runtime.open.open_runner", opened)
        return folder / "engine.plan"

    return make


def test_a_healthy_plan_passes(plan: Any, verify: Any) -> None:
    assert "PASSED" in verify(plan(same), 0)


@pytest.mark.parametrize(("fault", "kind"), PLAN_FAULTS)
def test_a_fault_of_an_engine_is_told_by_its_kind(
    plan: Any, verify: Verify, fault: Callable[[Array], Array], kind: str
) -> None:
    assert kind in verify(plan(fault))


def test_another_letterbox_in_the_manifest_is_told(plan: Any, verify: Verify) -> None:
    """The eighth: the engine is right, and every picture lies elsewhere than it should."""

    def shift(document: Any) -> None:
        document["input"]["letterbox"]["center"] = False

    assert "the letterbox gives other pixels than the checkpoint's" in verify(plan(same, shift))


def change_weight(model: onnx.ModelProto, name: str, change: Callable[[Array], Array]) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    value = change(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))


def residual_of_the_other_half(model: onnx.ModelProto, _image: Array) -> None:
    """The sum of a bottleneck reads the wrong half of the map: a strided view, taken wrong."""
    view = GraphView(model)
    add = next(n for n in model.graph.node if n.op_type == "Add" and n.name.startswith("model.2.m"))
    halves = next(n for n in model.graph.node if n.op_type == "Split" and "model.2/" in n.name)
    mine = next(i for i, name in enumerate(add.input) if name in halves.output)
    add.input[mine] = next(name for name in halves.output if name != add.input[mine])
    assert view.producer(add.input[1 - mine])


def silu_lost(model: onnx.ModelProto, _image: Array) -> None:
    """A convolution loses its activation: its sigmoid becomes one half."""
    sigmoid = next(
        n for n in model.graph.node if n.op_type == "Sigmoid" and n.name.startswith("model.5/")
    )
    reader = next(n for n in model.graph.node if sigmoid.output[0] in n.input)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "half"))
    reader.input[list(reader.input).index(sigmoid.output[0])] = "half"


def heads_swapped(model: onnx.ModelProto, _image: Array) -> None:
    for name in ("weight", "bias"):
        change_weight(
            model,
            f"model.6.m.0.1.attn.qkv.{name}",
            lambda rows: rows[[*range(64), *range(96, 128), *range(64, 96), *range(128, 192)]],
        )


def anchors_at_corners(model: onnx.ModelProto, _image: Array) -> None:
    change_weight(
        model, "model.21.decode.anchors", lambda rows: rows - np.array([[16], [16], [0], [0]], "f")
    )


def channels_lost(model: onnx.ModelProto, _image: Array) -> None:
    """A tile of a convolution's output is never written."""

    def clear(weight: Array) -> Array:
        weight[:8] = 0
        return weight

    change_weight(model, "model.3.weight", clear)


def eight_bits(model: onnx.ModelProto, image: Array, *, saturating: bool) -> int:
    """Compute one 1x1 convolution as a CPU does in INT8; yields how many pairs overflow.

    Activations of 8 bits without sign times weights with one: without VNNI two products of
    neighbouring channels are added in 16 bits, which stop at 32767, before the sum in 32 bits.
    """
    conv = next(n for n in model.graph.node if n.name == "model.6.cv2/conv")
    weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    weight, bias = weights[conv.input[1]], weights[conv.input[2]]
    values = Probe(model, [conv.input[0]], optimize=False)(image)[conv.input[0]]
    # SiLU ends at -0.28; the range is chosen for the bulk, so that full scale is frequent.
    low, high = float(values.min()), float(np.quantile(values, 0.985))
    step, (outputs, channels), sides = (high - low) / 255, weight.shape[:2], values.shape[2:]
    zero = np.uint8(round(-low / step))
    steps = np.abs(weight).reshape(outputs, -1).max(axis=1) / 127
    codes = np.round(weight / steps[:, None, None, None])
    paired = codes.reshape(outputs, channels // 2, 2).transpose(1, 0, 2)
    pairs = channels // 2
    constants = {
        "step": np.float32(step),
        "zero": zero,
        "codes": paired.reshape(pairs * outputs, 2, 1, 1).astype("f"),
        "lowest": np.float32(-32768 if saturating else -1e9),
        "highest": np.float32(32767 if saturating else 1e9),
        "apart": np.array([0, pairs, outputs, sides[0] * sides[1]], np.int64),
        "whole": np.array([0, outputs, *sides], np.int64),
        "axis": np.array([1], np.int64),
        "steps": (step * steps).astype("f").reshape(1, outputs, 1, 1),
        # The zero point's share, taken back after the sum.
        "offset": (bias - step * steps * float(zero) * codes.sum(axis=(1, 2, 3)))
        .astype("f")
        .reshape(1, outputs, 1, 1),
    }
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), f"cpu/{name}")
        for name, value in constants.items()
    )
    nodes = [
        helper.make_node("QuantizeLinear", [conv.input[0], "cpu/step", "cpu/zero"], ["cpu/q"]),
        helper.make_node("Cast", ["cpu/q"], ["cpu/x"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["cpu/x", "cpu/codes"], ["cpu/pairs"], group=pairs),
        helper.make_node("Clip", ["cpu/pairs", "cpu/lowest", "cpu/highest"], ["cpu/clipped"]),
        helper.make_node("Reshape", ["cpu/clipped", "cpu/apart"], ["cpu/cut"]),
        helper.make_node("ReduceSum", ["cpu/cut", "cpu/axis"], ["cpu/sum"], keepdims=0),
        helper.make_node("Reshape", ["cpu/sum", "cpu/whole"], ["cpu/map"]),
        helper.make_node("Mul", ["cpu/map", "cpu/steps"], ["cpu/scaled"]),
        helper.make_node("Add", ["cpu/scaled", "cpu/offset"], [conv.output[0]]),
    ]
    rest = list(model.graph.node)
    place = rest.index(conv)
    rest[place : place + 1] = nodes
    del model.graph.node[:]
    model.graph.node.extend(rest)
    sums = Probe(model, ["cpu/pairs"], optimize=False)(image)["cpu/pairs"]
    return int((sums > 32767).sum() + (sums < -32768).sum())


def another_cpu(model: onnx.ModelProto, image: Array) -> None:
    assert eight_bits(model, image, saturating=True) > 0


ONNX_FAULTS = [
    (residual_of_the_other_half, "the error starts in model.2.m.0"),
    (silu_lost, "the error starts in model.5:"),
    (heads_swapped, "the error starts in model.6.m.0.1.attn"),
    (anchors_at_corners, "the error starts in model.21, box decoding"),
    (channels_lost, "the error starts in model.3:"),
    (another_cpu, "the error starts in model.6:"),
]


def altered(workplace: Workplace, folder: Path, change: Callable[[Any, Array], Any]) -> Path:
    shutil.copytree(workplace.run, folder)
    model = onnx.load(folder / "model.onnx")
    change(model, read_golden(folder / "golden.npz").batch[0])
    onnx.save(model, folder / "model.int8.onnx")
    return folder / "model.int8.onnx"


@pytest.mark.parametrize(("fault", "block"), ONNX_FAULTS)
def test_a_fault_of_a_file_is_told_by_its_block(
    workplace: Workplace,
    verify: Verify,
    tmp_path: Path,
    fault: Callable[[onnx.ModelProto, Array], None],
    block: str,
) -> None:
    assert block in verify(altered(workplace, tmp_path / "run", fault))


def test_the_same_eight_bits_summed_exactly_are_no_fault(
    workplace: Workplace, verify: Any, tmp_path: Path
) -> None:
    def exact(model: onnx.ModelProto, image: Array) -> None:
        eight_bits(model, image, saturating=False)

    said = verify(altered(workplace, tmp_path / "run", exact), None)
    assert "the error starts in" not in said
    assert "on the golden images" not in said


def test_there_are_fourteen() -> None:
    assert len(PLAN_FAULTS) + 1 + len(ONNX_FAULTS) == 14
