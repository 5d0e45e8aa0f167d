"""The TensorRT adapter against stand-ins that have each version's attributes and no others."""

from __future__ import annotations

import enum
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from yolov12edge.engine import BatchRange, BuildOptions, builder_available
from yolov12edge.engine.monitor import BuildMonitor
from yolov12edge.engine.onnx_file import read_network
from yolov12edge.engine.plan import build_plan
from yolov12edge.engine.tensorrt import TensorRT
from yolov12edge.errors import ExportError, UnsupportedError
from yolov12edge.runtime.cuda import Gpu

ORIN = Gpu(0, "Orin", 87, 8 << 30)
MakeOnnx = Callable[..., Path]

# What NvInfer.h and the Python bindings of each release offer, as far as a build touches it.
NETWORK_FLAGS = {
    "8.5.3": ["EXPLICIT_BATCH", "EXPLICIT_PRECISION"],
    "8.6.1": ["EXPLICIT_BATCH", "EXPLICIT_PRECISION"],
    "10.3.0": ["EXPLICIT_BATCH", "STRONGLY_TYPED"],
    "10.13.0.35": ["EXPLICIT_BATCH", "STRONGLY_TYPED"],
    "11.0.0": [],
}
BUILDER_FLAGS = {
    "8.5.3": ["FP16", "INT8", "TF32"],
    "8.6.1": ["FP16", "INT8", "TF32", "VERSION_COMPATIBLE"],
    "10.3.0": ["FP16", "INT8", "TF32", "VERSION_COMPATIBLE"],
    "10.13.0.35": ["FP16", "INT8", "TF32", "VERSION_COMPATIBLE"],
    "11.0.0": ["TF32", "VERSION_COMPATIBLE"],
}
CONFIG_FIELDS = {
    "8.5.3": {"profiling_verbosity"},
    "8.6.1": {"profiling_verbosity", "builder_optimization_level", "hardware_compatibility_level"},
    "10.3.0": {
        "profiling_verbosity",
        "builder_optimization_level",
        "hardware_compatibility_level",
        "progress_monitor",
    },
}
CONFIG_FIELDS["10.13.0.35"] = CONFIG_FIELDS["11.0.0"] = CONFIG_FIELDS["10.3.0"]
COMPATIBILITY = {"8.6.1": ["NONE", "AMPERE_PLUS"], "10.3.0": ["NONE", "AMPERE_PLUS"]}
COMPATIBILITY["10.13.0.35"] = COMPATIBILITY["11.0.0"] = [
    "NONE",
    "AMPERE_PLUS",
    "SAME_COMPUTE_CAPABILITY",
]
VERSIONS = list(NETWORK_FLAGS)


class Refusing:
    """An object that takes only the attributes that its version has."""

    allowed: frozenset[str] = frozenset()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.allowed and not name.startswith("said_"):
            raise AttributeError(name)
        object.__setattr__(self, name, value)


def library(version: str, *, parses: bool = True, builds: bool = True) -> Any:
    """A `tensorrt` module of `version` that records what it is told in `library.told`."""
    told = SimpleNamespace(flags=[], profile=None, network_flags=None, workspace=None, cache=None)

    class Config(Refusing):
        allowed = frozenset(CONFIG_FIELDS[version])

        def set_flag(self, flag: enum.Enum) -> None:
            told.flags.append(flag.name)

        def set_memory_pool_limit(self, pool: enum.Enum, size: int) -> None:
            told.workspace = (pool.name, size)

        def create_timing_cache(self, content: bytes) -> bytes:
            return content

        def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
            assert ignore_mismatch is False
            told.cache = cache
            return cache in (b"", b"same GPU")

        def get_timing_cache(self) -> Any:
            return SimpleNamespace(serialize=lambda: bytearray(b"measured"))

        def add_optimization_profile(self, profile: Any) -> int:
            told.profile = profile.shapes
            return 0

    class Profile:
        def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
            self.shapes = {name: shapes}

    class Builder:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def create_network(self, flags: int) -> Any:
            told.network_flags = flags
            return SimpleNamespace(num_layers=12)

        def create_builder_config(self) -> Config:
            told.config = Config()
            return told.config  # type: ignore[no-any-return]

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
            monitor = getattr(config, "progress_monitor", None)
            if monitor is not None:
                monitor.phase_start("Building", None, 2)
                assert monitor.step_complete("Building", 0) is True
                monitor.phase_finish("Building")
            if not builds:
                self.logger.log(enum.Enum("S", ["ERROR"]).ERROR, "Error Code 2: OutOfMemory (x)")
            return b"plan" if builds else None

    class Parser:
        num_errors = 1

        def __init__(self, network: Any, logger: Any) -> None:
            pass

        def parse_from_file(self, path: str) -> bool:
            return parses

        def get_error(self, index: int) -> Any:
            error = SimpleNamespace(
                code=lambda: enum.Enum("C", ["UNSUPPORTED_NODE"]).UNSUPPORTED_NODE,
                desc=lambda: "no importer registered for op",
                node=lambda: 1,
            )
            if version.startswith("1"):
                error.node_name = lambda: "/model.0/conv"
                error.node_operator = lambda: "Conv"
            return error

    class Logger:
        def __init__(self) -> None:
            pass

    module: Any = ModuleType("tensorrt")
    module.__version__ = version
    module.told = told
    module.Runtime = object
    module.ILogger = Logger
    module.Builder = Builder
    module.OnnxParser = Parser
    module.NetworkDefinitionCreationFlag = enum.IntEnum(
        "NetworkDefinitionCreationFlag", NETWORK_FLAGS[version], start=0
    )
    module.BuilderFlag = enum.IntEnum("BuilderFlag", BUILDER_FLAGS[version])
    module.MemoryPoolType = enum.Enum("MemoryPoolType", ["WORKSPACE"])
    module.ProfilingVerbosity = enum.Enum(
        "ProfilingVerbosity", ["LAYER_NAMES_ONLY", "NONE", "DETAILED"]
    )
    if version in COMPATIBILITY:
        module.HardwareCompatibilityLevel = enum.Enum("Level", COMPATIBILITY[version])
    if "progress_monitor" in CONFIG_FIELDS[version]:
        module.IProgressMonitor = Logger
    return module


def build(trt: Any, onnx_path: Path, options: BuildOptions | None = None) -> Any:
    options = options or BuildOptions()
    network = read_network(onnx_path)
    batch = network.batch_range(options.batch)
    return build_plan(TensorRT(trt, ORIN), network, batch, options, BuildMonitor("engine", None))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["fp32", "fp16", "int8"])
def test_precision_is_said_the_way_each_version_wants(
    make_onnx: MakeOnnx, version: str, kind: str
) -> None:
    trt = library(version)
    path = make_onnx(half=kind != "fp32", quantized=kind == "int8")
    assert bytes(build(trt, path).content) == b"plan"
    if version.startswith("8"):
        flags = {"fp32": [], "fp16": ["FP16"], "int8": ["FP16", "INT8"]}[kind]
        assert trt.told.network_flags == 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    else:
        flags = []
        named = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        assert trt.told.network_flags == (0 if named is None else 1 << int(named))
    assert trt.told.flags == flags


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dynamic_batch_gets_its_profile(make_onnx: MakeOnnx, version: str) -> None:
    trt = library(version)
    options = BuildOptions(batch=BatchRange(1, 2, 8), workspace=1 << 30)
    build(trt, make_onnx("batch"), options)
    assert trt.told.profile == {"images": tuple((batch, 3, 32, 32) for batch in (1, 2, 8))}
    assert trt.told.workspace == ("WORKSPACE", 1 << 30)


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_later_options_reach_the_config(make_onnx: MakeOnnx, version: str) -> None:
    trt = library(version)
    options = BuildOptions(
        optimization_level=5,
        hardware_compatibility="ampere_plus",
        version_compatible=True,
        profiling_verbosity="detailed",
    )
    build(trt, make_onnx(), options)
    assert trt.told.config.builder_optimization_level == 5
    assert trt.told.config.hardware_compatibility_level.name == "AMPERE_PLUS"
    assert trt.told.config.profiling_verbosity.name == "DETAILED"
    assert trt.told.flags == ["VERSION_COMPATIBLE"]


@pytest.mark.parametrize(
    ("version", "options"),
    [
        ("8.5.3", BuildOptions(optimization_level=3)),
        ("8.5.3", BuildOptions(version_compatible=True)),
        ("8.5.3", BuildOptions(hardware_compatibility="ampere_plus")),
        ("10.3.0", BuildOptions(hardware_compatibility="same_compute_capability")),
        ("10.3.0", BuildOptions(compute_capabilities=(72,))),
    ],
)
def test_what_a_version_or_gpu_cannot_do_is_said(
    make_onnx: MakeOnnx, version: str, options: BuildOptions
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        build(library(version), make_onnx(), options)
    assert caught.value.hint


@pytest.mark.parametrize("version", VERSIONS)
def test_parser_errors_name_the_node_in_every_version(make_onnx: MakeOnnx, version: str) -> None:
    with pytest.raises(ExportError, match=r"node /model\.0/conv \(Conv\): no importer"):
        build(library(version, parses=False), make_onnx())


def test_running_out_of_memory_is_said(make_onnx: MakeOnnx) -> None:
    with pytest.raises(ExportError, match="OutOfMemory") as caught:
        build(library("10.3.0", builds=False), make_onnx())
    assert "--workspace" in caught.value.hint


@pytest.mark.parametrize(
    ("before", "used"), [(None, b""), (b"same GPU", b"same GPU"), (b"other GPU", b"")]
)
def test_the_timing_cache_is_read_replaced_where_refused_and_written(
    make_onnx: MakeOnnx, tmp_path: Path, before: bytes | None, used: bytes
) -> None:
    cache = tmp_path / "timing.cache"
    if before is not None:
        cache.write_bytes(before)
    trt = library("10.3.0")
    build(trt, make_onnx(), BuildOptions(timing_cache=cache))
    assert trt.told.cache == used
    assert cache.read_bytes() == b"measured"


def test_the_stand_ins_lists_agree_with_the_type_stubs() -> None:
    """tensorrt-stubs 10.13 is generated from the real bindings."""
    stubs = importlib.util.find_spec("tensorrt_bindings")
    if stubs is None or not stubs.submodule_search_locations:
        pytest.skip("tensorrt-stubs is not installed")
    text = (Path(stubs.submodule_search_locations[0]) / "tensorrt.pyi").read_text()

    def members(name: str) -> str:
        found = re.search(rf"^class {name}\b.*?(?=^class )", text, re.MULTILINE | re.DOTALL)
        assert found, name
        return found.group()

    version = "10.13.0.35"
    for name, wanted in [
        ("NetworkDefinitionCreationFlag", NETWORK_FLAGS[version]),
        ("BuilderFlag", BUILDER_FLAGS[version]),
        ("HardwareCompatibilityLevel", COMPATIBILITY[version]),
        ("IBuilderConfig", [*CONFIG_FIELDS[version], "set_memory_pool_limit", "set_timing_cache"]),
        ("OnnxParser", ["parse_from_file", "get_error", "num_errors"]),
        ("ParserError", ["node_name", "node_operator", "desc", "code"]),
        ("IProgressMonitor", ["phase_start", "step_complete", "phase_finish"]),
        ("Builder", ["build_serialized_network", "create_optimization_profile"]),
        ("IExecutionContext", ["set_input_shape", "set_tensor_address", "execute_async_v3"]),
        ("ICudaEngine", ["get_tensor_profile_shape", "get_tensor_mode", "num_io_tensors"]),
    ]:
        body = members(name)
        missing = [member for member in wanted if not re.search(rf"\b{member}\b", body)]
        assert not missing, (name, missing)


def test_without_a_gpu_the_builder_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from yolov12edge.runtime.cuda import find_gpus

    if find_gpus():
        pytest.skip("this machine has a GPU")
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", library("10.3.0"))
    available, reason = builder_available("tensorrt")
    assert not available
    assert "NVIDIA driver" in reason
