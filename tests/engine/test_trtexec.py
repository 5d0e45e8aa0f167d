"""What trtexec is told, version by version, and what its failures mean in a line."""

from __future__ import annotations

import pytest

from yolov12edge.engine.trtexec import build_words, failure
from yolov12edge.run.recipe import BuildChoice, Precision


def words(version: str, precision: Precision, **more: object) -> list[str]:
    given = {"choice": BuildChoice(), "timing_cache": "t", "layers": "l"} | more
    return build_words("/usr/bin/trtexec", version, "m.onnx", "e.plan", precision, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "precision", "expected"),
    [
        ("8.5.2", "fp32", ["--buildOnly"]),
        ("8.5.2", "fp16", ["--fp16", "--buildOnly"]),
        ("8.6.2", "int8", ["--fp16", "--int8", "--buildOnly"]),
        ("10.3.0", "int8", ["--stronglyTyped", "--skipInference"]),
        ("11.4.1", "fp16", ["--stronglyTyped", "--skipInference"]),
    ],
)
def test_each_version_is_told_in_its_words(
    version: str, precision: Precision, expected: list[str]
) -> None:
    told = words(version, precision)
    assert told[:6] == [
        "/usr/bin/trtexec",
        "--onnx=m.onnx",
        "--saveEngine=e.plan",
        "--timingCacheFile=t",
        "--profilingVerbosity=detailed",
        "--exportLayerInfo=l",
    ]
    assert told[6:] == expected


def test_what_a_recipe_wants_beyond_the_defaults() -> None:
    choice = BuildChoice(workspace_mib=512, optimization_level=4)
    assert words("10.3", "fp16", choice=choice)[6:8] == [
        "--memPoolSize=workspace:512",
        "--builderOptimizationLevel=4",
    ]
    assert "--builderOptimizationLevel=4" not in words("8.5.2", "fp16", choice=choice)


def test_an_open_batch_has_its_shapes() -> None:
    shapes = ("images", [(1, 3, 64, 96), (1, 3, 64, 96), (4, 3, 64, 96)])
    told = words("10.3", "fp16", shapes=shapes)
    assert "--minShapes=images:1x3x64x96" in told
    assert "--maxShapes=images:4x3x64x96" in told


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        (
            "[05/27/2023-16:01:36] [E] Error[1]: [defaultAllocator.cpp::allocate::19] Error Code 1:"
            " Cuda Runtime (out of memory)",
            "Error Code 1: Cuda Runtime (out of memory)",
            "swap",
        ),
        (
            "[01/01/2024-00:00:00] [E] [TRT] ModelImporter.cpp:768: While parsing node number 3 "
            "[GridSample]: No importer registered for op: GridSample",
            "No importer registered for op: GridSample",
            "lacks the operator",
        ),
        (
            "[01/01/2024-00:00:00] [E] Error[10]: [optimizer.cpp::computeCosts::3869] Error Code "
            "10: Internal Error (Could not find any implementation for node model.0.)",
            "Could not find any implementation for node model.0",
            "--workspace",
        ),
        (
            "[01/01/2024-00:00:00] [E] Error[6]: CUDA initialization failure with error: 35",
            "CUDA initialization failure with error: 35",
            "nvidia-smi",
        ),
        ("[01/01/2024-00:00:00] [E] Unknown option: --stronglyTyped", "Unknown option", "another"),
        ("[01/01/2024-00:00:00] [E] something new", "something new", "trtexec.log"),
        ("Killed", "memory is short", "swap"),
    ],
)
def test_a_failure_is_one_line_and_one_of_what_to_do(line: str, message: str, hint: str) -> None:
    log = ["&&&& RUNNING TensorRT.trtexec", "[01/01/2024-00:00:00] [I] [TRT] fine", line]
    error = failure([*log, "&&&& FAILED TensorRT.trtexec"], 1, "orin", "a/model.onnx")
    assert error.message.startswith("trtexec on orin cannot build model.onnx: ")
    assert message in error.message
    assert "\n" not in error.message
    assert hint in error.hint


def test_a_build_that_the_system_killed() -> None:
    assert "killed" in failure(["working"], 137, "orin", "model.onnx").message
    assert "exit code 3" in failure([], 3, "orin", "model.onnx").message
