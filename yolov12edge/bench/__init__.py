"""Timing: percentiles, stages, environment, several artifacts interleaved."""

from __future__ import annotations

from yolov12edge.bench.environment import Environment, describe_environment
from yolov12edge.bench.measure import Contender, measure
from yolov12edge.bench.report import BenchReport

__all__ = ["BenchReport", "Contender", "Environment", "describe_environment", "measure"]
