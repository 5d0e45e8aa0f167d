"""The TensorRT backend compiles for every version and works, on a fake library and a fake GPU.

NVIDIA's headers are not ours to ship, so `stubs/` declares what the backend uses. Three things
keep the stubs true: the attribute lists of NVIDIA's own bindings, `api_facts.cpp`, which compiles
against the stubs and against the real headers, and the real headers themselves where they are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.cpp.toolchain import (
    CPP,
    HERE,
    RTX,
    SANITIZED,
    STRICT,
    STUBS,
    compile_source,
    run,
    stub_flags,
    tool,
)
from tests.engine.guarded import VERSIONS, read_api

ALL_VERSIONS = (*VERSIONS, RTX)
EVERYTHING = '#include "yolov12edge/open.hpp"\n#include "yolov12edge/async.hpp"\n'

# Methods of the stubs and what the Python bindings call them.
METHODS = {
    "ILogger": {"log": "log"},
    "IRuntime": {
        "deserializeCudaEngine": "deserialize_cuda_engine",
        "setEngineHostCodeAllowed": "engine_host_code_allowed",
    },
    "ICudaEngine": {
        "getNbIOTensors": "num_io_tensors",
        "getIOTensorName": "get_tensor_name",
        "getTensorIOMode": "get_tensor_mode",
        "getTensorDataType": "get_tensor_dtype",
        "getTensorShape": "get_tensor_shape",
        "getProfileShape": "get_tensor_profile_shape",
        "createExecutionContext": "create_execution_context",
    },
    "IExecutionContext": {
        "setInputShape": "set_input_shape",
        "getTensorShape": "get_tensor_shape",
        "setTensorAddress": "set_tensor_address",
        "enqueueV3": "execute_async_v3",
    },
}
# Enumerations that Python has no need of: it returns a profile as a tuple.
ONLY_IN_CPP = {"OptProfileSelector", "Severity"}


def declarations(version: str) -> str:
    """The stub of NvInfer.h as a compiler sees it."""
    header = STUBS / "NvInfer.h"
    return run(tool("g++"), "-E", "-P", *stub_flags(version), "-xc++", header).stdout.decode()


def methods_of(text: str, kind: str) -> set[str]:
    (body,) = re.findall(rf"^class {kind} \{{(.*?)^\}};", text, re.DOTALL | re.MULTILINE)
    return set(re.findall(r"virtual\s[^;]*?(\w+)\([^;]*= 0;", body))


def enums_of(text: str) -> dict[str, dict[str, int]]:
    found = re.findall(r"enum class (\w+) : std::int32_t \{([^}]*)\}", text)
    return {
        name: {key: int(value) for key, value in re.findall(r"k(\w+) = (\d+)", members)}
        for name, members in found
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_stub_has_what_the_bindings_of_its_version_have(version: str) -> None:
    api, text = read_api(version), declarations(version)
    for kind, names in METHODS.items():
        entry = api["classes"][kind.removeprefix("I") if kind == "IRuntime" else kind]
        known = {*entry["methods"], *entry["properties"]}
        there = {method for method, python in names.items() if python in known}
        assert methods_of(text, kind) == there, kind
    enums = {name: values for name, values in enums_of(text).items() if name not in ONLY_IN_CPP}
    assert enums.keys() <= set(api["names"])
    assert ("ExecutionContextAllocationStrategy" in api["names"]) == (
        "ExecutionContextAllocationStrategy" in enums
    )
    for name in ("DataType", "TensorIOMode"):
        for member, value in enums[name].items():
            assert api["enums"][name][member] in (value, None), f"{name}.{member}"


def test_stub_has_what_the_bindings_of_tensorrt_rtx_have() -> None:
    bindings = pytest.importorskip("tensorrt_rtx_bindings")
    text = declarations(RTX)
    for kind, names in METHODS.items():
        known = dir(getattr(bindings, "Runtime" if kind == "IRuntime" else kind))
        there = {method for method, python in names.items() if python in known}
        assert methods_of(text, kind) == there, kind
    for name in ("DataType", "TensorIOMode"):
        for member, value in enums_of(text)[name].items():
            assert int(getattr(getattr(bindings, name), member)) == value, f"{name}.{member}"


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_backend_compiles(version: str, compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "use.cpp"
    source.write_text(EVERYTHING)
    words = (tool(compiler), "-std=c++17", *STRICT, "-fsyntax-only", f"-I{CPP / 'include'}")
    preprocess = () if version == "8.5.3" else ("-DYOLOV12EDGE_CUDA_PREPROCESS",)
    run(*words, *stub_flags(version), *preprocess, source)
    run(*words, *stub_flags(version), HERE / "api_facts.cpp")


@pytest.mark.parametrize("version", ["8.5.3", "11.4.0.106", RTX])
def test_backend_works_on_the_fake(version: str, tmp_path: Path) -> None:
    flags = (*SANITIZED, *stub_flags(version), "-DYOLOV12EDGE_CUDA_PREPROCESS")
    sources = (HERE / "tensorrt_test.cpp", HERE / "fake_gpu.cpp")
    program = compile_source("g++", sources[0], tmp_path / "test", *flags, str(sources[1]))
    assert b"all passed" in run(program, cwd=tmp_path).stdout


def _cuda() -> Path:
    for place in (
        os.environ.get("CUDA_HOME"),
        "/usr/local/cuda",
        *Path("/usr/local").glob("cuda-*"),
    ):
        if place and (Path(place) / "include" / "cuda_runtime_api.h").is_file():
            return Path(place)
    pytest.skip("no CUDA headers here")


@pytest.mark.parametrize("backend", ["TENSORRT", "TENSORRT_RTX"])
def test_backend_compiles_against_the_real_headers(backend: str, tmp_path: Path) -> None:
    root = os.environ.get("TENSORRT_ROOT")
    if not root:
        pytest.skip("TENSORRT_ROOT is not set")
    source = tmp_path / "use.cpp"
    source.write_text(EVERYTHING)
    headers = ("-isystem", Path(root) / "include", "-isystem", _cuda() / "include")
    words = (tool("g++"), "-std=c++17", *STRICT, "-fsyntax-only", f"-I{CPP / 'include'}", *headers)
    run(*words, f"-DYOLOV12EDGE_BACKEND_{backend}", "-DYOLOV12EDGE_CUDA_PREPROCESS", source)
    run(*words, HERE / "api_facts.cpp")
