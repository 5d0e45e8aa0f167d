"""Which GPU is predicted for, and engines that were just built."""

from __future__ import annotations

from pathlib import Path

from tests.engine.kernels import read_log
from yolov12edge.engine import BatchRange, BuildOptions, EngineBuild
from yolov12edge.engine.prediction import NotPredicted, Prediction, predict_time
from yolov12edge.engine.record import BuildRecord, new_record
from yolov12edge.pipeline.stages.prediction import gpu_for, predict_build
from yolov12edge.run.gpus import load_gpu
from yolov12edge.run.recipe import load_recipe


def engine(record: BuildRecord | None) -> EngineBuild:
    return EngineBuild(
        path=Path("engine.plan"),
        backend="tensorrt_rtx",
        version="1.7.1.116",
        compute_capabilities=(86,),
        sha256="0",
        size=1,
        seconds=1.0,
        network_layers=1,
        batch=BatchRange(1, 1, 1),
        options=BuildOptions(),
        optimization_level=None,
        gpu=None,
        dla=None,
        warnings=(),
        record=record,
    )


def test_the_first_gpu_of_the_target_else_of_the_architecture() -> None:
    chosen = gpu_for(load_recipe("orin-nano"), (86,))
    assert chosen is not None
    assert chosen.name == "orin-nano-8gb"
    local = gpu_for(load_recipe("tensorrt-local"), (89, 86))
    assert local is not None
    assert local.name == "rtx-3080"
    assert gpu_for(None) is None
    assert gpu_for(None, (61,)) is None


def test_an_engine_that_was_just_built() -> None:
    record = new_record(
        "builder log", "tensorrt_rtx", "1.7.1.116", (86,), "0", read_log("n320_fp16_sm86")
    )
    found = predict_build(engine(record), load_recipe("rtx-ampere"))
    assert isinstance(found, Prediction)
    inspection = record.inspect(Path("engine.plan"))
    assert inspection is not None
    assert found == predict_time(inspection.layers, load_gpu("rtx-3080"))


def test_an_engine_of_which_nothing_is_told() -> None:
    found = predict_build(engine(None), load_recipe("rtx-ampere"))
    assert isinstance(found, NotPredicted)
    assert "nothing tells" in found.reason
