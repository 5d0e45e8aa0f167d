"""Builders of TensorRT and TensorRT-RTX plans, and what is inside a plan."""

from __future__ import annotations

from yolov12edge.engine.build import build_engine, builder_available
from yolov12edge.engine.options import (
    BatchRange,
    BuildOptions,
    EngineBuild,
    HardwareCompatibility,
    ProfilingVerbosity,
)

__all__ = [
    "BatchRange",
    "BuildOptions",
    "EngineBuild",
    "HardwareCompatibility",
    "ProfilingVerbosity",
    "build_engine",
    "builder_available",
]
