"""Kernels of hand, and those of recorded builds."""

from __future__ import annotations

import functools
import gzip
from pathlib import Path

from yolov12edge.engine.build_log import BuildLog, read_build_log
from yolov12edge.engine.inspection_layers import EngineLayer, EngineTensor, parse_layers

LOGS = Path(__file__).parent / "logs"


def tensor(name: str, *shape: int, dtype: str | None = "fp16") -> EngineTensor:
    return EngineTensor(name=name, dtype=dtype, shape=shape or None)


def kernel(
    kind: str,
    inputs: list[EngineTensor],
    outputs: list[EngineTensor],
    constants: list[EngineTensor] | None = None,
    name: str = "kernel",
    block: str = "model.0",
) -> EngineLayer:
    return EngineLayer(
        name=name,
        kind=kind,
        role="compute",
        precision="fp16",
        nodes=(),
        block=block,
        tactic="",
        weight_bytes=0,
        activation_bytes=0,
        inputs=tuple(inputs),
        constants=tuple(constants or ()),
        outputs=tuple(outputs),
    )


@functools.cache
def read_log(name: str) -> BuildLog:
    """A recorded build log."""
    with gzip.open(LOGS / f"{name}.txt.gz", "rt") as file:
        log = read_build_log([file.read()])
    assert log.unread is None
    return log


@functools.cache
def recorded(name: str) -> list[EngineLayer]:
    """The kernels of a recorded build log."""
    return parse_layers({"Layers": list(read_log(name).layers)})[0]
