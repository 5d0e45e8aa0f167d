"""Builders that get one block wrong: building parts by halves finds it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from tests.commands import run
from tests.models import lively_model
from tests.samples import write_data, write_pictures, write_weights
from yolov12edge.evaluate.blocks import block_tensors
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.graph import GraphView, load_graph
from yolov12edge.graph.cut import cut_after
from yolov12edge.pipeline.stages import bisect as stage
from yolov12edge.pipeline.stages.bisect import BuildPart, bisect
from yolov12edge.runtime import Runner, open_runner
from yolov12edge.runtime.golden_gate import Answers
from yolov12edge.runtime.runner import ClosingRunner

SIDE = 64


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export_onnx(lively_model("n", "v1", num_classes=2), path, ExportOptions(SIDE, SIDE, batch=None))
    return path


def images(runner: Runner) -> Answers:
    pictures = np.concatenate([probe_picture(SIDE, SIDE, seed) for seed in range(2)])
    alone = np.concatenate([runner(one[None]) for one in pictures])
    return Answers(alone, 2, (1, 0), runner(pictures[::-1]))


def tensor_of(path: Path, block: str) -> str:
    return block_tensors(GraphView(load_graph(path)), path).names[block]


def miscompiling(tensor: str, least: int = 0) -> BuildPart:
    """A builder that spoils a tensor, in parts of at least so many nodes."""

    def build(part: Path) -> Runner:
        model = onnx.load(part)
        maker = next((n for n in model.graph.node if tensor in n.output), None)
        if maker is not None and len(model.graph.node) >= least:
            place = list(maker.output).index(tensor)
            maker.output[place] = "right"
            # Detectors of random weights hide what is small, and a softmax what all bins share.
            channels = GraphView(model).shape(tensor)[1]
            error = np.where(np.arange(channels) % 3, 1000, -1000).astype("f")[:, None, None]
            model.graph.initializer.append(numpy_helper.from_array(error, "error"))
            wrong = onnx.helper.make_node("Add", ["right", "error"], [tensor], "wrong")
            model.graph.node.insert(list(model.graph.node).index(maker) + 1, wrong)
            onnx.save(model, part)
        return open_runner(part)

    return build


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_the_first_wrong_block_is_named_in_few_builds(graph: Path, data: st.DataObject) -> None:
    tensors = block_tensors(GraphView(load_graph(graph)), graph).names
    block = data.draw(st.sampled_from(list(tensors)[:-1]))
    found = bisect(graph, images, miscompiling(tensors[block]))
    assert found.block is not None
    assert tensors[found.block] == tensors[block]
    assert not found.whole
    assert found.builds <= math.log2(len(tensors)) + 5
    assert f"the engine goes wrong in {found.block}: " in found.text
    assert f"({found.builds} builds)" in found.text


@pytest.mark.parametrize("branch", ["cv2", "cv3"])
@pytest.mark.parametrize("level", range(3))
def test_one_branch_of_the_head_is_named_at_any_level(graph: Path, branch: str, level: int) -> None:
    block = f"model.21.{branch}.{level}"
    found = bisect(graph, images, miscompiling(tensor_of(graph, block)))
    assert found.block == block, found.text


class Crowded(ClosingRunner):
    """Right for one image, wrong for the second of two."""

    name, version, device = "tensorrt", "11.1", "stand-in"

    def __init__(self, part: Path) -> None:
        self._runner = open_runner(part)
        self._wrong = "model.8.cv1/conv" in {node.name for node in onnx.load(part).graph.node}
        self.input_shape, self.num_classes = self._runner.input_shape, self._runner.num_classes

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        outputs = self._runner(pictures)
        if self._wrong:
            outputs[1:] *= 1.5
        return outputs


def test_a_fault_in_a_batch_is_followed_in_a_batch(graph: Path) -> None:
    found = bisect(graph, images, Crowded)
    # The first part that holds the convolution is that of the block's first half.
    assert found.block is not None
    assert found.block.startswith("model.8.m.0.0")


def test_a_fault_of_the_whole_alone_is_said_to_be_one(graph: Path) -> None:
    nodes = len(load_graph(graph).graph.node)
    build = miscompiling(tensor_of(graph, "model.4"), least=nodes)
    found = bisect(graph, images, build)
    assert found.whole
    assert found.text.startswith("only the whole engine is wrong (")
    assert "parts up to model.21.cv3.2 are right" in found.text


def test_a_builder_that_is_right_now_is_said_to_be(graph: Path) -> None:
    found = bisect(graph, images, open_runner)
    assert found.block is None
    assert found.text.startswith("the same graph, built again, is right (1 build)")


def test_openvino_as_the_builder_agrees_with_onnx_runtime(graph: Path) -> None:
    pytest.importorskip("openvino")
    found = bisect(graph, images, lambda part: open_runner(part, "openvino"))
    assert found.block is None, found.text


def test_tensorrt_rtx_builds_the_parts(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    from yolov12edge.engine import BuildOptions, build_engine

    path = tmp_path / "model.onnx"
    export_onnx(lively_model("n", "v1", num_classes=2), path, ExportOptions(SIDE, SIDE))
    view = GraphView(load_graph(path))
    tensors = list(block_tensors(view, path).names.items())
    for block, tensor in [*tensors[::9], tensors[-1]]:
        part = tmp_path / f"{block}.onnx"
        onnx.save(cut_after(view, tensor), part)
        onnx.checker.check_model(onnx.load(part), full_check=True)
        built = build_engine(
            part,
            tmp_path / f"{block}.plan",
            "tensorrt_rtx",
            BuildOptions(compute_capabilities=(86,), optimization_level=0),
        )
        assert built.size > 0, block


def test_every_part_yields_its_block(graph: Path) -> None:
    view = GraphView(load_graph(graph))
    picture = probe_picture(SIDE, SIDE)
    tensors = block_tensors(view, graph).names
    for block in ("model.0", "model.2.m.0", "model.8.m.0.0.attn"):
        tensor = tensors[block]
        part = cut_after(view, tensor)
        assert len(part.graph.node) < len(view.nodes)
        assert {one.name for one in part.graph.initializer} < {"part/shape", *view.initializers}
        onnx.save(part, graph.with_name("part.onnx"))
        found = open_runner(graph.with_name("part.onnx"))(picture)
        assert found.shape[:2] == (1, view.shape(tensor)[1])


@pytest.fixture
def failed_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A run folder whose engine, a stand-in, gets model.4 wrong; so does the builder of parts."""
    weights = write_weights(tmp_path / "weights.safetensors")
    data = write_data(tmp_path / "data.yaml", write_pictures(tmp_path / "images"))
    exported = run(
        capsys, "export", "--weights", weights, "--imgsz", SIDE, "--fp32", "--target",
        "tensorrt-local", "--no-build", "--no-verify", "--no-bench", "--data", data,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert exported.code == 0, exported.err
    folder = tmp_path / "run"
    (folder / "engine.plan").write_bytes(b"ftrt")
    build = miscompiling(tensor_of(folder / "model.onnx", "model.4"))
    (tmp_path / "whole.onnx").write_bytes((folder / "model.onnx").read_bytes())
    monkeypatch.setattr(
        "yolov12edge.runtime.open.open_runner",
        lambda path, *options: build(tmp_path / "whole.onnx"),
    )
    monkeypatch.setattr(stage, "part_builder", lambda *arguments: build)
    return folder / "engine.plan"


def verify(plan: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    folder = plan.parent.parent
    outcome = run(capsys, "verify", plan, "--images", folder / "images", *more)
    assert outcome.code == 6, outcome.err
    return " ".join((outcome.out + outcome.err).split())


def test_verify_names_the_block_of_a_plan_that_fails(
    failed_plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = verify(failed_plan, capsys)
    assert "the engine goes wrong in model.4: " in said.partition("error: ")[2]
    assert "model.3 before it is right" in said


def test_verify_leaves_it_out_where_asked(
    failed_plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "goes wrong in" not in verify(failed_plan, capsys, "--no-bisect")


def test_verify_says_why_it_could_not_look(
    failed_plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (failed_plan.parent / "golden.npz").unlink()
    assert "where it goes wrong was not looked for" in verify(failed_plan, capsys)
