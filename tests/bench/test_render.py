from __future__ import annotations

import io

import pytest
from rich.console import Console

from yolov12edge.bench.environment import describe_environment
from yolov12edge.bench.render import render_bench
from yolov12edge.bench.report import BenchReport, Memory, Stages, Timing
from yolov12edge.bench.statistics import paired_ratio, summarize


def report(load: float = 0.0) -> BenchReport:
    names = ["runs/[/bccd]/model.onnx", "runs/bccd/a-rather-long-name.int8.onnx"]
    timings = tuple(
        Timing(
            name=name,
            sha256=None,
            runtime="onnxruntime",
            version="1.31.1",
            device="CPU",
            input_shape=(1, 3, 640, 640),
            warmup=9,
            latency_ms=summarize([1234.56, 1240.0]),
            throughput=0.8,
            stages_ms=Stages(preprocess=None, infer=1234.56, postprocess=12.3),
            memory=Memory(file=10_000_000, loaded=None),
        )
        for name in names
    )
    return BenchReport(
        created="2026-11-22T00:00:00+00:00",
        batch=1,
        rounds=2,
        seed=0,
        pictures="noise from seed 0",
        artifacts=timings,
        ratios=(paired_ratio(names[1], names[0], [1.0], [2.0], 0),),
        verdict="fastest: a-rather-long-name.int8.onnx, 2.00 times as fast as model.onnx",
        environment=describe_environment(2).model_copy(update={"load_average": load}),
    )


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_loses_no_figure(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    console.print(render_bench(report()))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(len(line) for line in text.splitlines()) <= width
    for figure in ("1234.56", "1237.28", "1239.46", "12.30", "10.0 MB", "0.50"):
        assert figure in text
    assert "…" not in text
    assert "2.00 times as fast" in text


def test_a_busy_machine_is_pointed_out() -> None:
    for load, said in ((0.0, False), (1000.0, True)):
        console = Console(file=io.StringIO(), width=80)
        console.print(render_bench(report(load)))
        assert ("was busy" in console.file.getvalue()) is said  # type: ignore[attr-defined]
