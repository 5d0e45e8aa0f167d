"""The names of all files of a run folder, what endings say, and what runs a plan."""

from __future__ import annotations

from typing import Literal, get_args

MANIFEST_FILE = "manifest.json"
FP32_FILE = "model.onnx"
FP16_FILE = "model.fp16.onnx"
INT8_FILE = "model.int8.onnx"
CALIBRATION_FILE = "calibration.json"
PLAN_FILE = "engine.plan"
# Built for a comparison only; never left in a run folder.
FP16_PLAN_FILE = "engine.fp16.plan"
GOLDEN_FILE = "golden.npz"
DRIFT_FILE = "drift.json"
BENCH_FILE = "bench.json"
REPORT_FILE = "report.html"
# What `deploy` brings back from each device, in a folder of the device's name.
DEVICES_FOLDER = "devices"
DEVICE_FILE = "device.json"

# What stands beside a plan, by what its name is continued with: engine.plan.json describes a plan
# that has no run folder, engine.plan.layers.json is what its builder made of the network, and
# engine.plan.times.json comes from the device (docs/bench.md).
SIDECAR_SUFFIX = ".json"
LAYERS_SUFFIX = ".layers.json"
TIMES_SUFFIX = ".times.json"

# The ONNX file of each precision.
ONNX_FILES = {"fp32": FP32_FILE, "fp16": FP16_FILE, "int8": INT8_FILE}
# What stands for a folder, the most processed file first. The plan is not among them: it runs only
# where its GPU is.
ARTIFACT_PREFERENCE = (INT8_FILE, FP16_FILE, FP32_FILE)
# What a new run in the same folder replaces or removes; anything else is the user's.
OWN_FILES = (
    MANIFEST_FILE,
    *ONNX_FILES.values(),
    CALIBRATION_FILE,
    PLAN_FILE,
    PLAN_FILE + SIDECAR_SUFFIX,
    PLAN_FILE + LAYERS_SUFFIX,
    GOLDEN_FILE,
    DRIFT_FILE,
    BENCH_FILE,
    REPORT_FILE,
)

# The libraries that an engine is built for; elsewhere the ONNX file runs as it is.
PlanBackend = Literal["tensorrt", "tensorrt_rtx"]
PLAN_BACKENDS: tuple[PlanBackend, ...] = get_args(PlanBackend)

ONNX_SUFFIXES = (".onnx",)
PLAN_SUFFIXES = (".plan", ".engine")
TORCH_SUFFIXES = (".pt", ".pth", ".safetensors")
