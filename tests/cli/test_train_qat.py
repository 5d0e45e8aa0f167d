"""`yolov12edge train --qat` and `--teacher`, from the command line to what `export` makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.commands import Outcome, fails, run
from tests.models import lively_model
from tests.voices import Told
from yolov12edge import load_model
from yolov12edge.checkpoints import read_checkpoint, save_safetensors
from yolov12edge.checkpoints.flat import INT8_PREFIX, read_safetensors
from yolov12edge.data import Letterbox
from yolov12edge.data.synthetic.write import write_set
from yolov12edge.errors import CheckpointError
from yolov12edge.export import export_onnx
from yolov12edge.graph import load_graph
from yolov12edge.pipeline.images.sources import calibration_images
from yolov12edge.pipeline.stages.fp16 import fp16_step
from yolov12edge.pipeline.stages.int8 import Int8Step, learned_step, quantize_step, rules_of
from yolov12edge.pipeline.stages.options import graph_options
from yolov12edge.pipeline.training import QatRequest, train_qat
from yolov12edge.pipeline.training.qat import images as qat_images
from yolov12edge.pipeline.training.qat import job, loop
from yolov12edge.pipeline.training.qat.history import QatRow, read_rows
from yolov12edge.quantize.qat import read_stored
from yolov12edge.run.recipe import load_recipe
from yolov12edge.voice import no_progress

DEMO = Path(__file__).parents[2] / "docs/demo/workshop-n.safetensors"
SIDE = 128
CLASSES = 5
QUICK = ("--qat", "--epochs", "2", "--batch", "4", "--target", "cpu-openvino")
EXPORT = ("--int8", "--target", "cpu-openvino", "--no-verify", "--no-bench", "--no-build")


@pytest.fixture(scope="module", autouse=True)
def few_are_enough() -> Iterator[None]:
    """So that tests can teach with two dozen pictures.

    Three of them judge, by luck: calibration is made out to be twice as bad as it is. That learning
    gains is for tests/quantize/test_qat_student.py and benchmarks/qat.py to show.
    """
    measure = loop.QatLoop.measure_start

    def doubled(self: loop.QatLoop, hooks: loop.QatHooks) -> QatRow:
        row = measure(self, hooks)
        self.start = self.position.best = 2 * row.error
        return replace(row, error=self.start)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(qat_images, "LEAST_IMAGES", 16)
        patch.setattr(loop.QatLoop, "measure_start", doubled)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "set"
    write_set(folder, 24, 2, SIDE, seed=7)
    return folder / "data.yaml"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's detector, which sees something: what INT8 costs one at random is noise."""
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    return save_safetensors(load_model(DEMO), path, extra={"image_size": SIDE})


@pytest.fixture(scope="module")
def graph(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """The float graph that the rounding of `taught` is of."""
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    options = graph_options(load_recipe("cpu-openvino"), "int8", (SIDE, SIDE))
    export_onnx(load_model(weights), path, options)
    return load_graph(path)


def teach(capsys: pytest.CaptureFixture[str], data: Path, weights: Path, *more: object) -> Outcome:
    return run(capsys, "train", *QUICK, "--data", data, "--weights", weights, *more)


@pytest.fixture
def taught(
    data: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory, capsys: Any
) -> Path:
    """The folder of a run, made once."""
    folder = tmp_path_factory.getbasetemp() / "taught"
    if not folder.exists():
        outcome = teach(capsys, data, weights, "--out", folder)
        assert outcome.code == 0, outcome.err
    return folder


def exported(capsys: pytest.CaptureFixture[str], weights: Path, data: Path, out: Path) -> Outcome:
    return run(capsys, "export", *EXPORT, "--weights", weights, "--data", data, "--out", out)


def int8_bytes(folder: Path) -> bytes:
    return (folder / "model.int8.onnx").read_bytes()


def test_a_run_that_beats_calibration_is_taken_by_export(
    taught: Path, data: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sorted(path.name for path in taught.iterdir()) == [
        "args.json", "best.safetensors", "log.txt", "results.csv", "state.safetensors",
    ]  # fmt: skip
    rows = read_rows(taught / "results.csv", 2)
    assert rows[-1].error < rows[0].error
    log = (taught / "log.txt").read_text()
    assert "21 labelled to learn, 3 held back" in log
    assert "times the error of calibration" in log

    best = taught / "best.safetensors"
    own, kept = load_model(weights), load_model(best)
    image = torch.rand(1, 3, SIDE, SIDE)
    with torch.inference_mode():
        assert torch.equal(own(image), kept(image))
    assert "INT8 rounding" in read_checkpoint(best).notes[0]

    outcome = exported(capsys, best, data, tmp_path / "learned")
    assert outcome.code == 0, outcome.err
    assert "learned for cpu-openvino by train --qat" in outcome.err
    manifest = json.loads((tmp_path / "learned/manifest.json").read_text())
    assert manifest["calibration"]["learning"]["effort"] == "qat"
    plain = exported(capsys, weights, data, tmp_path / "plain")
    assert plain.code == 0, plain.err
    assert int8_bytes(tmp_path / "learned") != int8_bytes(tmp_path / "plain")


@pytest.mark.parametrize("target", ["cpu-openvino", "agx-orin"])
def test_too_few_images_end_as_calibration_does(
    target: str, data: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the same bytes, from the file of the run on one side, by `quantize` on the other."""
    monkeypatch.setattr(qat_images, "LEAST_IMAGES", 64)
    request = QatRequest(data=data, weights=weights, target=target)
    told = Told()
    outcome = train_qat(request, tmp_path / "run", told, no_progress)
    assert outcome.document()["withdrawn"] is True
    assert outcome.rows == []
    assert "too few to learn from" in told.said[-1]
    recipe, letterbox = load_recipe(target), Letterbox(SIDE, SIDE)
    source, rules = tmp_path / "model.onnx", rules_of(recipe)
    export_onnx(load_model(weights), source, graph_options(recipe, "int8", (SIDE, SIDE)))
    images = calibration_images(data, None, 0)
    twin = None
    if recipe.strongly_typed:
        half = tmp_path / "half.onnx"
        twin = fp16_step(source, half, images, letterbox, voice=told, progress=no_progress)
    plain, learned = tmp_path / "plain.onnx", tmp_path / "learned.onnx"
    quantize_step(
        source, plain, rules, images, letterbox, effort="quick", twin=twin, progress=no_progress
    )
    stored = read_stored(outcome.folder.best)
    assert stored is not None
    step = learned_step(source, learned, rules, stored, letterbox, twin)
    assert isinstance(step, Int8Step)
    assert "withdrawn" in step.learning.text()
    assert learned.read_bytes() == plain.read_bytes()


def test_what_is_worse_than_calibration_is_withdrawn(
    data: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    outcome = teach(capsys, data, weights, "--lr", "5", "--epochs", "1", "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["withdrawn"] is True
    assert outcome.document["error"] == outcome.document["error_ptq"]
    assert "no epoch was better than calibration" in outcome.err


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    taught: Path,
    data: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    steps = 0
    real = loop.QatLoop._step

    def counted(self: loop.QatLoop, batch: Any) -> None:
        nonlocal steps
        real(self, batch)
        steps += 1

    def stopping() -> bool:
        return steps == 8

    monkeypatch.setattr(loop.QatLoop, "_step", counted)

    class Noted:
        def __enter__(self) -> Any:
            return stopping

        def __exit__(self, *error: object) -> None:
            return None

    with monkeypatch.context() as patch:
        patch.setattr(job, "interrupts_noted", Noted)
        fails(teach(capsys, data, weights, "--out", out), 130, "interrupted after step 8 of 12")
    fails(
        run(capsys, "train", "--resume", out, "--epochs", "3"),
        2,
        "a resumed run keeps its settings",
    )
    outcome = run(capsys, "train", "--resume", out, "--workers", "1")
    assert outcome.code == 0, outcome.err
    assert "resumed after epoch 1, step 2" in outcome.err
    first, second = (read_safetensors(folder / "best.safetensors") for folder in (taught, out))
    assert first[1] == second[1]
    assert first[0].keys() == second[0].keys()
    for name, tensor in first[0].items():
        assert torch.equal(tensor.load(), second[0][name].load()), name


def test_images_without_labels_teach_too(
    data: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    outcome = teach(
        capsys, data.parent / "images/train", weights, "--epochs", "1", "--out", out, "--json"
    )
    assert outcome.code == 0, outcome.err
    assert "21 unlabelled to learn, 3 held back" in outcome.err
    assert outcome.document["updates"] == 6


def test_a_rounding_for_something_else_is_left_aside(
    taught: Path, data: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = taught / "best.safetensors"
    words = ("--weights", best, "--calib", data.parent / "images/train", "--calib-images", "9")
    outcome = run(
        capsys, "export", *EXPORT, *words, "--calib-method", "mse", "--out", tmp_path / "asked"
    )
    assert outcome.code == 0, outcome.err
    why = "the rounding in best.safetensors is left aside, --calib-method was asked for"
    assert outcome.err.count(f"{why}: INT8 is calibrated anew") == 1

    stored = read_stored(best)
    assert stored is not None
    source = tmp_path / "model.onnx"
    other = lively_model("n", num_classes=CLASSES, seed=1)
    for detector, target, side, reason in (
        (load_model(weights), "cpu-openvino", 96, "it was learned at 128x128, not 96x96"),
        (load_model(weights), "agx-orin", SIDE, "whose INT8 follows other rules"),
        (other, "cpu-openvino", SIDE, "it was learned on another graph"),
    ):
        recipe = load_recipe(target)
        export_onnx(detector, source, graph_options(recipe, "int8", (side, side)))
        found = stored.unfit(load_graph(source), rules_of(recipe), side, side)
        assert reason in str(found)


def damaged(source: Path, target: Path, change: Any) -> Path:
    """A copy whose tensors and record were changed."""
    with safe_open(source, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    record = json.loads(metadata["yolov12edge"])
    change(tensors, record)
    save_file(tensors, target, {**metadata, "yolov12edge": json.dumps(record)})
    return target


def read(path: Path, graph: onnx.ModelProto) -> None:
    """Read the rounding in a file as `export` does."""
    stored = read_stored(path)
    assert stored is not None
    stored.read(graph, rules_of(load_recipe("cpu-openvino")))


def _set(name: str, value: Any) -> Any:
    def change(tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
        stored = tensors[INT8_PREFIX + name]
        tensors[INT8_PREFIX + name] = value(stored)

    return change


def _record(name: str, value: Any) -> Any:
    def change(tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
        record["int8"][name] = value

    return change


def _add(name: str, values: torch.Tensor) -> Any:
    def change(tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
        tensors[f"{INT8_PREFIX}{name}"] = values

    return change


def _drop(tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
    del tensors[f"{INT8_PREFIX}bias.model.1/conv"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, "lacks 'bias.model.1/conv'"),
        (_set("scales", lambda x: x * float("nan")), "'scales' that is not finite"),
        (_set("scales", lambda x: -x), "'scales' that are too small"),
        (_set("scales", lambda x: x[:-1].clone()), "'scales' of another shape"),
        (_set("zeros", lambda x: x + 300), "zero points beyond the rules"),
        (_set("values.model.1/conv", lambda x: torch.full_like(x, -128)), "beyond the rules"),
        (_set("values.model.1/conv", lambda x: torch.full_like(x, 127)), "beyond the rules"),
        (_set("values.model.1/conv", lambda x: x.float()), "another shape or type"),
        (_set("bias.model.1/conv", lambda x: x.double()), "another shape or type"),
        (_record("plan", "0" * 64), "of another plan"),
        (_record("height", "tall"), "record of its INT8 rounding is damaged: 'height'"),
        (_add("gain.no\x1b[2Jwhere", torch.ones(3)), "which is of no graph"),
        (_set("gain.model.1/silu", lambda x: x * 0), "gains of model.1/silu that are too small"),
        (_set("gain.model.1/silu", lambda x: x[:-1].clone()), "cannot be evened out by"),
        (_add("gain.model.2.cv1/silu", torch.ones(3)), "cannot be evened out by"),
        (_record("target", "a\x1b[2Jb"), "record of its INT8 rounding is damaged: 'target'"),
        (_record("surprise", 1), "record of its INT8 rounding is damaged: 'surprise'"),
    ],
)
def test_a_damaged_rounding(
    change: Any, message: str, taught: Path, graph: onnx.ModelProto, tmp_path: Path
) -> None:
    best = damaged(taught / "best.safetensors", tmp_path / "best.safetensors", change)
    with pytest.raises(CheckpointError) as error:
        read(best, graph)
    assert message in error.value.message
    assert error.value.message.isprintable()
    assert error.value.hint
    assert load_model(best) is not None


def test_export_refuses_a_damaged_rounding(
    taught: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = damaged(taught / "best.safetensors", tmp_path / "best.safetensors", _drop)
    fails(exported(capsys, best, data, tmp_path / "out"), 4, "lacks 'bias.model.1/conv'")
    assert not (tmp_path / "out").exists()


def test_what_makes_no_sense_is_refused(
    data: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(run(capsys, "train", "--qat", "--data", data), 2, "--qat teaches a trained checkpoint")
    fails(run(capsys, "train", "--qat", "--weights", weights), 2, "train needs images")
    fails(teach(capsys, data, weights, "--mosaic", "1"), 2, "--mosaic means nothing with --qat")
    fails(teach(capsys, data, weights, "--target", "cpu-onnxruntim"), 2, "cpu-onnxruntim")
    fails(teach(capsys, tmp_path / "none", weights), 3, "none")
    fails(run(capsys, "train", "--data", data, "--target", "agx-orin"), 2, "--target is for --qat")
    other = tmp_path / "other.safetensors"
    save_safetensors(lively_model("n", num_classes=4), other)
    fails(teach(capsys, data, other), 3, "the checkpoint 0, 1, 2, 3")
    fails(teach(capsys, data, weights, "--teacher", other), 4, "the teacher knows 4 classes")
    plain = ("train", "--data", data, "--epochs", "1", "--imgsz", SIDE)
    fails(run(capsys, *plain, "--teacher", other), 4, "the teacher knows 4 classes")


def test_a_larger_teacher_teaches_both_ways(
    data: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = tmp_path / "teacher.safetensors"
    model = lively_model("s", num_classes=CLASSES, seed=3)
    model.names = load_model(weights).names
    save_safetensors(model, teacher)
    out = tmp_path / "qat"
    outcome = teach(capsys, data, weights, "--teacher", teacher, "--epochs", "1", "--out", out)
    assert outcome.code == 0, outcome.err
    assert read_rows(out / "results.csv", 1)[1].features == 0
    made = []
    for name, more in (("alone", ()), ("told", ("--teacher", teacher))):
        folder = tmp_path / name
        words = ("--epochs", "1", "--batch", "8", "--imgsz", SIDE, "--scale", "n", "--out", folder)
        done = run(capsys, "train", "--data", data, *words, *more)
        assert done.code == 0, done.err
        made.append(load_model(folder / "last.safetensors").state_dict())
    assert any(not torch.equal(made[0][name], made[1][name]) for name in made[0])
    request = json.loads((tmp_path / "told/args.json").read_text())["request"]
    assert Path(request["teacher"]).is_absolute()
    assert np.isfinite(float(made[1]["model.0.conv.weight"].sum()))
