from __future__ import annotations

import io

import pytest
from rich.console import Console

from yolov12edge.bench import Settings, describe_environment
from yolov12edge.bench.render import render_bench
from yolov12edge.bench.report import BenchReport, Memory, Ratio, Stages, Throughput, Timing
from yolov12edge.bench.state import MachineState
from yolov12edge.bench.statistics import summarize


def report(*doubts: str, quiet: int | None = None) -> BenchReport:
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
            precision="fp32",
            transfers=True,
            cuda_graph=False,
            wait="block",
            latency_ms=summarize([1234.56, 1240.0]),
            quiet_calls=quiet,
            throughput=0.8,
            window=Throughput(
                streams=1,
                seconds=1.0,
                images=17,
                images_per_second=17.0,
                watts=12.34,
                joules_per_image=0.726,
                images_per_joule=1.38,
                sensor="tegrastats VDD_IN",
            ),
            stages_ms=Stages(decode=None, letterbox=1.5, copies=0.5, infer=1234.56, nms=12.3),
            memory=Memory(file=10_000_000, loaded=None),
        )
        for name in names
    )
    return BenchReport(
        created="2026-11-22T00:00:00+00:00",
        settings=Settings(),
        rounds=2,
        pictures="noise from seed 0",
        artifacts=timings,
        ratios=(Ratio(name=names[1], baseline=names[0], ratio=0.5, low=0.4, high=0.6, rounds=9),),
        int8=(),
        verdict="fastest: a-rather-long-name.int8.onnx, 2.00 times as fast as model.onnx",
        throttled=("RTX 3080: power cap",),
        before=MachineState(),
        after=MachineState(),
        environment=describe_environment(),
        doubts=doubts,
    )


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_loses_no_figure(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    console.print(render_bench(report()))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(len(line) for line in text.splitlines()) <= width
    for figure in ("1234.56", "1237.28", "1239.46", "12.30", "10.0 MB", "0.50", "1248.86"):
        assert figure in text
    assert "…" not in text
    assert "2.00 times as fast" in text
    assert "throttled: RTX 3080: power cap" in text
    assert "with transfers, no CUDA graph, blocking wait" in text
    assert "12.34" in text
    assert "power: tegrastats VDD_IN" in text


def shown(found: BenchReport) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(render_bench(found))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_doubts_are_shown() -> None:
    assert "the machine was busy" in shown(report("the machine was busy"))


def test_how_often_the_cores_were_left_alone_is_shown_where_somebody_looked() -> None:
    assert "the cores were left alone in 50% of the calls" in shown(report(quiet=1))
    assert "left alone" not in shown(report())
