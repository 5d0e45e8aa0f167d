"""bench --predict: no GPU, no runtime, a plan and the record of its build."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_inspect import fits, write_plan
from tests.commands import Outcome, fails, run
from tests.engine.kernels import read_log
from yolov12edge.engine.build_log import BuildLog
from yolov12edge.engine.record import new_record, write_record

Bench = Callable[..., Outcome]


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str]) -> Bench:
    return lambda *words: run(capsys, "bench", "--predict", *words)


def build(path: Path, log: BuildLog) -> Path:
    """A plan for SM86 with the record of a real build."""
    path.parent.mkdir(exist_ok=True)
    digest = hashlib.sha256(write_plan(path)).hexdigest()
    record = new_record("builder log", "tensorrt_rtx", "1.7.1.116", (86,), digest, log)
    write_record(path, record)
    return path


@pytest.fixture
def half(tmp_path: Path) -> Path:
    return build(tmp_path / "half.plan", read_log("n320_fp16_sm86"))


def test_a_prediction_says_that_it_is_one(predict: Bench, half: Path) -> None:
    text = fits(predict(half))
    assert "predicted, not measured: ms on GeForce RTX 3080 10GB" in text
    assert "left out: copies to the GPU" in text
    document = predict(half, "--json").document
    assert (document["schema_version"], document["kind"]) == (1, "prediction")
    assert (document["gpu"], document["predicted"]) == ("rtx-3080", True)
    (one,) = document["artifacts"]
    assert (one["sm"], one["stand_in"], one["ratio"]) == ([86], False, 1.0)
    assert one["prediction"]["predicted_ms"] > 0
    assert one["prediction"]["kernels"] == 173


def test_plans_side_by_side_on_a_gpu_that_is_named(predict: Bench, half: Path) -> None:
    byte = build(half.with_name("int8.plan"), read_log("n320_int8_sm86"))
    outcome = predict(half, byte, "--gpu", "orin-nano-super")
    text = fits(outcome)
    assert "kernels of half.plan, made for SM86, stand in for those of this GPU" in " ".join(
        text.split()
    )
    assert "assumed of Jetson Orin Nano 8GB, Super mode, not published: l2_mib" in text
    first, second = predict(half, byte, "--gpu", "orin-nano-super", "--json").document["artifacts"]
    times = [one["prediction"]["predicted_ms"] for one in (first, second)]
    assert second["ratio"] == pytest.approx(times[1] / times[0])
    swapped = predict(half, "--vs", byte, "--json").document["artifacts"]
    assert [Path(one["path"]).name for one in swapped] == ["int8.plan", "half.plan"]


def test_a_run_folder_is_its_engine(predict: Bench, tmp_path: Path) -> None:
    plan = build(tmp_path / "run" / "engine.plan", read_log("n320_fp16_sm86"))
    written = tmp_path / "predicted.json"
    document = predict(plan.parent, "--json", "--out", written).document
    assert document["artifacts"][0]["path"] == str(plan)
    document.pop("schema_version")
    kept = json.loads(written.read_text())
    kept.pop("schema_version", None)
    assert kept == document


def test_a_plan_without_a_record(predict: Bench, tmp_path: Path) -> None:
    write_plan(tmp_path / "bare.plan")
    outcome = predict(tmp_path / "bare.plan")
    fails(outcome, 7, "is not predicted: there is no record of its build, bare.plan.layers.json")


def test_a_record_in_which_nothing_was_seen(predict: Bench, tmp_path: Path) -> None:
    plan = build(tmp_path / "new.plan", BuildLog(unread="3 lines have a form that is not known"))
    fails(predict(plan), 7, "not seen: 3 lines have a form that is not known")


def test_a_record_of_another_plan(predict: Bench, half: Path) -> None:
    half.write_bytes(half.read_bytes()[:-1] + b"x")
    fails(predict(half), 7, "is of another plan")


def test_a_record_without_shapes(predict: Bench, half: Path) -> None:
    path = half.with_name(half.name + ".layers.json")
    document = json.loads(path.read_text())
    for layer in document["Layers"]:
        layer["Outputs"] = []
    path.write_text(json.dumps(document))
    fails(predict(half), 7, "is not predicted: 173 of 173 kernels do not tell their tensors")


def test_a_damaged_record(predict: Bench, half: Path) -> None:
    half.with_name(half.name + ".layers.json").write_text("{")
    fails(predict(half), 4, "is no JSON")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--gpu", "rtx-3081"], 2, "no GPU named 'rtx-3081' is known"),
        (["model.onnx"], 2, "no such file"),
    ],
)
def test_what_cannot_be_predicted(
    predict: Bench, half: Path, words: list[str], code: int, says: str
) -> None:
    fails(predict(half, *words), code, says)


def test_only_plans_are_predicted(predict: Bench, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    fails(predict(tmp_path / "model.onnx"), 2, "model.onnx is no plan")


def test_a_gpu_is_named_for_predictions_only(
    capsys: pytest.CaptureFixture[str], half: Path
) -> None:
    fails(run(capsys, "bench", half, "--gpu", "t4"), 2, "--gpu names a GPU to predict for")
