"""Which target this machine serves best, when none is named."""

from __future__ import annotations

import importlib.util

from yolov12edge.engine import builder_available
from yolov12edge.runtime.cuda import find_gpus

RTX_TARGETS = {75: "turing", 86: "rtx-ampere", 89: "rtx-ada", 120: "rtx-blackwell"}


def default_target() -> tuple[str, str]:
    """The best target that this machine can build and run: its name, and why in one line."""
    built, why = builder_available("tensorrt")
    if built:
        return "tensorrt-local", why
    for gpu in find_gpus():
        name = RTX_TARGETS.get(gpu.compute_capability)
        built, why = builder_available("tensorrt_rtx", (gpu.compute_capability,))
        if name and built:
            return name, f"{gpu.name}, {why}"
    if importlib.util.find_spec("openvino"):
        return "cpu-openvino", "no GPU builder here, and OpenVINO is installed"
    return "cpu-onnxruntime", "no GPU builder and no OpenVINO here"
