"""Which target this machine serves best, when none is named."""

from __future__ import annotations

import importlib.util

import torch

from yolov12edge.engine import builder_available

RTX_TARGETS = {
    75: "turing",
    80: "rtx-ampere",
    86: "rtx-ampere",
    89: "rtx-ada",
    120: "rtx-blackwell",
}


def default_target() -> tuple[str, str]:
    """The best target that this machine can build and run: its name, and why in one line."""
    built, why = builder_available("tensorrt")
    if built:
        return "tensorrt-local", why
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        name = RTX_TARGETS.get(10 * major + minor)
        built, why = builder_available("tensorrt_rtx")
        if name and built:
            return name, f"{torch.cuda.get_device_name()}, {why}"
    if importlib.util.find_spec("openvino"):
        return "cpu-openvino", "no GPU builder here, and OpenVINO is installed"
    return "cpu-onnxruntime", "no GPU builder and no OpenVINO here"
