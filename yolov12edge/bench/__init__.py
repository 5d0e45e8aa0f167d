"""Timing: percentiles, stages, environment, several artifacts in turn."""

from __future__ import annotations

from yolov12edge.bench.contender import Contender
from yolov12edge.bench.environment import Environment, describe_environment
from yolov12edge.bench.measure import measure
from yolov12edge.bench.profile import Profile, summarize_layers
from yolov12edge.bench.report import BenchReport
from yolov12edge.bench.settings import Settings, like_trtexec

__all__ = [
    "BenchReport",
    "Contender",
    "Environment",
    "Profile",
    "Settings",
    "describe_environment",
    "like_trtexec",
    "measure",
    "summarize_layers",
]
