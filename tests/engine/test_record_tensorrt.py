"""What TensorRT leaves beside a plan: what its log says, else what its engine inspector does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.engine.guarded import VERSIONS
from tests.engine.test_tensorrt_versions import ORIN, library
from tests.engine.test_tensorrt_versions import build as build_with
from yolov12edge.engine import build, build_engine, plan
from yolov12edge.engine.build_log import BuildLog
from yolov12edge.engine.tensorrt import TensorRT
from yolov12edge.runtime.plan_file import PlanHeader

MakeOnnx = Callable[..., Path]
INSPECTOR = Path(__file__).parent / "inspector"


def tell(trt: Any, monkeypatch: pytest.MonkeyPatch, told: str | None) -> None:
    """Build with `trt` on an Orin, where its inspector tells `told`; None: no plan loads."""
    inspector = SimpleNamespace(get_engine_information=lambda kind: told)
    engine = SimpleNamespace(
        create_engine_inspector=lambda: trt.guard("EngineInspector", inspector)
    )
    runtime = SimpleNamespace(
        deserialize_cuda_engine=lambda content: (
            None if told is None else trt.guard("ICudaEngine", engine)
        )
    )
    trt.Runtime = lambda logger: trt.guard("Runtime", runtime)
    header = PlanHeader("tensorrt", trt.__version__, (), 0, 4, None)
    monkeypatch.setattr(build, "read_plan_header", lambda path: header)
    api = TensorRT(trt, ORIN, lambda gpu: (6 << 30, 8 << 30))
    monkeypatch.setattr(build, "_builder_api", lambda backend: api)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_engine_inspector_is_asked_where_the_log_says_nothing(
    make_onnx: MakeOnnx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    tell(library(version), monkeypatch, (INSPECTOR / "mha_10.json").read_text())
    built = build_engine(make_onnx(), tmp_path / "engine.plan", "tensorrt")
    document = json.loads((tmp_path / "engine.plan.layers.json").read_text())
    assert (document["seen_in"], document["backend"]) == ("engine inspector", "tensorrt")
    assert (document["sm"], document["plan_sha256"]) == ([87], built.sha256)
    assert built.fusion.text == "attention: 1 of 1 fused (SM87)"


def test_what_a_failed_attempt_listed_is_forgotten(make_onnx: MakeOnnx) -> None:
    """The list is of the level that built, which here says nothing."""
    trt = library("10.3.0", fails_at=(None,), says="assert", lists="Layers:\nName: a, LayerType: ")
    made, said = build_with(trt, make_onnx())
    assert made.level == 4
    assert made.log == BuildLog()
    assert len(said) == 1


def test_a_log_of_the_known_form_is_taken(
    make_onnx: MakeOnnx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(library("10.3.0"), monkeypatch, None)
    layers = tuple(json.loads((INSPECTOR / "mha_10.json").read_text())["Layers"])
    monkeypatch.setattr(plan, "read_build_log", lambda said: BuildLog(layers))
    built = build_engine(make_onnx(), tmp_path / "engine.plan", "tensorrt")
    assert built.record is not None
    assert built.record.seen_in == "builder log"
    assert built.fusion.verdict == "fused"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (None, "the engine inspector cannot be asked: "),
        ("no JSON", "the engine inspector cannot be asked: "),
        ("[]", "the engine inspector cannot be asked: "),
        ('{"Layers": []}', "the builder said nothing about kernels"),
        ('{"Layers": ["a", "b"]}', "its layers are names only"),
        ('{"Layers": [{"Name": "a", "LayerType": "gemm"}]}', "no attention block is named"),
        ('{"Layers": [7]}', "the record holds no kernels"),
    ],
)
def test_what_the_inspector_does_not_tell_is_not_seen(
    make_onnx: MakeOnnx,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: str | None,
    says: str,
) -> None:
    tell(library("10.3.0"), monkeypatch, told)
    built = build_engine(make_onnx(), tmp_path / "engine.plan", "tensorrt")
    assert built.fusion.verdict == "not seen"
    assert says in built.fusion.text
