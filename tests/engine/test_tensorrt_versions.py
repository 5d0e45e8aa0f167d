"""The TensorRT adapter against stand-ins that have each version's attributes and no others."""

from __future__ import annotations

import dataclasses
import enum
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from tests.engine.guarded import VERSIONS, GuardedModule, read_api
from yolov12edge.engine import BatchRange, BuildOptions, builder_available
from yolov12edge.engine.monitor import BuildMonitor
from yolov12edge.engine.onnx_file import float32_nodes, read_network
from yolov12edge.engine.plan import build_plan
from yolov12edge.engine.tensorrt import TensorRT
from yolov12edge.errors import EdgeError, ExportError, UnsupportedError, UsageError
from yolov12edge.runtime.cuda import Gpu
from yolov12edge.voice import no_progress

ORIN = Gpu(0, "Orin NX (nvgpu)", 87, 8 << 30)
MakeOnnx = Callable[..., Path]
WITH_LEVELS = VERSIONS[1:]
WEAK = tuple(version for version in VERSIONS if version.startswith("8"))
NO_DLA_FLAGS = tuple(version for version in VERSIONS if version.startswith("11"))


class Severity(enum.Enum):
    ERROR = 1
    VERBOSE = 4


class FakeConfig:
    """Records what it is told."""

    def __init__(self, told: SimpleNamespace) -> None:
        self.told = told

    def set_flag(self, flag: enum.IntEnum) -> None:
        self.told.flags.append(flag.name)

    def set_memory_pool_limit(self, pool: enum.IntEnum, size: int) -> None:
        self.told.workspace = (pool.name, size)

    def set_tactic_sources(self, mask: int) -> bool:
        self.told.tactics = mask
        return True

    def create_timing_cache(self, content: bytes) -> bytes:
        return content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        self.told.cache = cache
        return cache in (b"", b"same GPU")

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: bytearray(b"measured"))

    def add_optimization_profile(self, profile: Any) -> int:
        return 0

    def can_run_on_DLA(self, layer: Any) -> bool:
        assert self.default_device_type.name == "DLA"  # type: ignore[attr-defined]
        return layer.type.name != "SOFTMAX"


class FakeProfile:
    def __init__(self, told: SimpleNamespace) -> None:
        self.told = told

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        self.told.profile = {name: shapes}


class FakeLayer:
    """A layer named and typed like an ONNX node."""

    num_outputs = 1

    def __init__(self, name: str, kind: enum.IntEnum) -> None:
        self.name = name
        self.type = kind
        self.types: list[Any] = []

    def set_output_type(self, index: int, kind: Any) -> None:
        self.types.append((index, kind))


class FakeNetwork:
    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers
        self.num_layers = len(layers)

    def get_layer(self, index: int) -> Any:
        return self.layers[index]


LAYERS = {
    "Conv": "CONVOLUTION", "MatMul": "MATRIX_MULTIPLY", "Softmax": "SOFTMAX",
    "Transpose": "SHUFFLE", "Reshape": "SHUFFLE", "Split": "SLICE", "Cast": "IDENTITY",
    "QuantizeLinear": "QUANTIZE", "DequantizeLinear": "DEQUANTIZE", "Sigmoid": "ACTIVATION",
    "Mul": "ELEMENTWISE", "Exp": "UNARY", "Log": "UNARY",
}  # fmt: skip


def library(
    version: str,
    *,
    parses: bool = True,
    fails_at: tuple[int | None, ...] = (),
    says: str = "assert",
    lists: str = "",
) -> Any:
    """A `tensorrt` module of `version` that records what it is told in `library.told`.

    Args:
        parses: whether the parser takes the file.
        fails_at: optimization levels at which a build fails; None is the default level.
        says: the error it then logs.
        lists: what it tells of kernels before.
    """
    module: Any = GuardedModule(version)
    guard = module.guard
    told = SimpleNamespace(flags=[], levels=[], layers=[])
    vars(module)["told"] = told
    nodes: list[Any] = []

    class Builder:
        num_DLA_cores = 2

        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def create_network(self, flags: int) -> Any:
            told.network_flags = flags
            return guard("INetworkDefinition", FakeNetwork(nodes))

        def create_builder_config(self) -> Any:
            told.flags.clear()
            told.config = FakeConfig(told)
            return guard("IBuilderConfig", told.config)

        def create_optimization_profile(self) -> Any:
            return guard("IOptimizationProfile", FakeProfile(told))

        def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
            monitor = getattr(told.config, "progress_monitor", None)
            if monitor is not None:
                monitor.phase_start("Building", None, 2)
                assert monitor.step_complete("Building", 0) is True
                monitor.phase_finish("Building")
            level = getattr(told.config, "builder_optimization_level", None)
            told.levels.append(level)
            if level in fails_at:
                self.logger.log(Severity.VERBOSE, lists)
                self.logger.log(Severity.ERROR, f"Error Code 2: {says}")
                return None
            return b"plan"

    class Parser:
        num_errors = 1

        def __init__(self, network: Any, logger: Any) -> None:
            self.network = network

        def parse_from_file(self, path: str) -> bool:
            for node in onnx.load(path).graph.node:
                layer = FakeLayer(node.name, module.LayerType[LAYERS[node.op_type]])
                told.layers.append(layer)
                nodes.append(guard("ILayer", layer))
            object.__getattribute__(self.network, "_inner").num_layers = len(nodes)
            return parses

        def get_error(self, index: int) -> Any:
            return guard(
                "ParserError",
                SimpleNamespace(
                    code=lambda: module.ErrorCode["UNSUPPORTED_NODE"],
                    desc=lambda: "no importer registered for op",
                    node=lambda: 1,
                    node_name=lambda: "/model.0/conv",
                    node_operator=lambda: "Conv",
                ),
            )

    class Logger:
        def __init__(self) -> None:
            pass

    if "ErrorCode" not in vars(module):
        codes = enum.IntEnum("ErrorCode", ["UNSUPPORTED_NODE"])
        vars(module)["ErrorCode"] = codes
    module.ILogger = Logger
    module.Builder = lambda logger: guard("Builder", Builder(logger))
    module.OnnxParser = lambda network, logger: guard("OnnxParser", Parser(network, logger))
    if "IProgressMonitor" in module.api["names"]:
        module.IProgressMonitor = Logger
    return module


def build(
    trt: Any, onnx_path: Path, options: BuildOptions | None = None, **more: Any
) -> tuple[Any, list[str]]:
    """Build; the plan, and what was said."""
    options = options or BuildOptions()
    network = read_network(onnx_path)
    said: list[str] = []
    voice = SimpleNamespace(info=said.append, warn=said.append)
    api = TensorRT(trt, ORIN, lambda gpu: (6 << 30, 8 << 30))
    monitor = BuildMonitor("engine", no_progress)
    batch = network.batch_range(options.batch)
    return build_plan(api, network, batch, options, monitor, voice), said


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["fp32", "fp16", "int8", "int8+fp16"])
def test_precision_is_said_the_way_each_version_wants(
    make_onnx: MakeOnnx, version: str, kind: str
) -> None:
    trt = library(version)
    path = make_onnx(half="fp16" in kind, quantized="int8" in kind)
    plan, said = build(trt, path)
    assert bytes(plan.content) == b"plan"
    assert said == []
    flags = trt.NetworkDefinitionCreationFlag
    if version.startswith("8"):
        expected = {
            "fp32": set(),
            "fp16": {"FP16", "OBEY_PRECISION_CONSTRAINTS"},
            "int8": {"FP16", "INT8"},
            "int8+fp16": {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"},
        }[kind]
        assert trt.told.network_flags == 1 << int(flags.EXPLICIT_BATCH)
        assert set(trt.told.flags) == expected
    elif version.startswith("10"):
        assert trt.told.network_flags == 1 << int(flags.STRONGLY_TYPED)
        assert trt.told.flags == []
    else:
        assert trt.told.network_flags == 0
        assert trt.told.flags == []


def mixed(path: Path) -> Path:
    """FP16 convolution and SiLU, then Exp and Log in FP32, as AutoCast leaves what overflows."""
    half, full = TensorProto.FLOAT16, TensorProto.FLOAT
    weights = helper.make_tensor("w", half, [4, 3, 1, 1], [0.1] * 12)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["x"], "in", to=half),
            helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
            helper.make_node("Sigmoid", ["c"], ["s"], "sigmoid"),
            helper.make_node("Cast", ["s"], ["f"], "up", to=full),
            helper.make_node("Exp", ["f"], ["e"], "exp"),
            helper.make_node("Log", ["e"], ["l"], "log"),
            helper.make_node("Transpose", ["l"], ["detections"], "turn", perm=[0, 2, 3, 1]),
        ],
        "mixed",
        [helper.make_tensor_value_info("images", full, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("detections", full, None)],
        [weights],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_graph_keeps_in_float32_stays_there(tmp_path: Path, version: str) -> None:
    path = mixed(tmp_path / "model.onnx")
    assert float32_nodes(path) == {"exp", "log", "turn"}
    trt = library(version)
    build(trt, path)
    pinned = {layer.name: layer.types for layer in trt.told.layers if layer.types}
    if version in WEAK:
        assert pinned == {name: [(0, trt.DataType.FLOAT)] for name in ("exp", "log")}
        assert all(
            layer.precision == trt.DataType.FLOAT for layer in trt.told.layers if layer.types
        )
    else:
        assert pinned == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dynamic_batch_gets_its_profile(make_onnx: MakeOnnx, version: str) -> None:
    trt = library(version)
    options = BuildOptions(batch=BatchRange(1, 2, 8), workspace=1 << 30)
    build(trt, make_onnx("batch"), options)
    assert trt.told.profile == {"images": tuple((batch, 3, 32, 32) for batch in (1, 2, 8))}
    assert trt.told.workspace == ("WORKSPACE", 1 << 30)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_option_of_a_version_reaches_the_config(
    make_onnx: MakeOnnx, tmp_path: Path, version: str
) -> None:
    trt = library(version)
    options = BuildOptions(
        tactic_sources=("jit_convolutions", "edge-mask-convolutions"),
        profiling_verbosity="none",
        timing_cache=tmp_path,
    )
    if version in WITH_LEVELS:
        options = dataclasses.replace(
            options,
            optimization_level=5,
            hardware_compatibility="ampere_plus",
            version_compatible=True,
        )
    plan, _ = build(trt, make_onnx(), options)
    sources = trt.TacticSource
    assert trt.told.tactics == (1 << sources.JIT_CONVOLUTIONS | 1 << sources.EDGE_MASK_CONVOLUTIONS)
    assert trt.told.config.profiling_verbosity.name == "NONE"
    assert [path.name for path in tmp_path.glob("*.cache")] == [
        f"tensorrt-{version}-orin-nx-nvgpu-sm87.cache"
    ]
    if version in WITH_LEVELS:
        assert trt.told.config.builder_optimization_level == plan.level == 5
        assert trt.told.config.hardware_compatibility_level.name == "AMPERE_PLUS"
        assert trt.told.flags == ["VERSION_COMPATIBLE"]
    assert hasattr(trt.told.config, "progress_monitor") is not version.startswith("8")


@pytest.mark.parametrize(
    ("version", "options", "says"),
    [
        ("8.5.3", BuildOptions(optimization_level=3), "came with 8.6"),
        ("8.5.3", BuildOptions(version_compatible=True), "came with 8.6"),
        ("8.5.3", BuildOptions(hardware_compatibility="ampere_plus"), "came with 8.6"),
        ("10.3.0", BuildOptions(hardware_compatibility="same_compute_capability"), "ampere_plus"),
        ("10.3.0", BuildOptions(compute_capabilities=(72,)), "on the target itself"),
        ("11.0.0.114", BuildOptions(tactic_sources=("cudnn",)), "it has: edge_mask_convolutions"),
        ("10.3.0", BuildOptions(workspace=9 << 30), "smaller --workspace"),
    ],
)
def test_what_a_version_or_gpu_cannot_do_is_said(
    make_onnx: MakeOnnx, version: str, options: BuildOptions, says: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        build(library(version), make_onnx(), options)
    assert says in caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("version", VERSIONS)
def test_parser_errors_name_the_node_in_every_version(make_onnx: MakeOnnx, version: str) -> None:
    with pytest.raises(ExportError, match=r"node /model\.0/conv \(Conv\): no importer"):
        build(library(version, parses=False), make_onnx())


@pytest.mark.parametrize("version", WITH_LEVELS)
def test_a_failed_level_is_followed_by_others_with_a_message_each(
    make_onnx: MakeOnnx, version: str
) -> None:
    trt = library(version, fails_at=(None, 4))
    plan, said = build(trt, make_onnx())
    assert trt.told.levels == [None, 4, 5]
    assert plan.level == 5
    assert [text.split("optimization level ")[1] for text in said] == [
        "3 (the default): assert; trying level 4",
        "4: assert; trying level 5",
    ]
    trt = library(version, fails_at=(2, 3, 4, 5))
    with pytest.raises(ExportError, match="assert"):
        build(trt, make_onnx(), BuildOptions(optimization_level=2))
    assert trt.told.levels == [2, 3, 4, 5]
    trt = library(version, fails_at=(2, 3))
    with pytest.raises(ExportError):
        build(trt, make_onnx(), BuildOptions(optimization_level=2, retry=False))
    assert trt.told.levels == [2]


def test_8_5_has_no_levels_to_try(make_onnx: MakeOnnx) -> None:
    trt = library("8.5.3", fails_at=(None,))
    with pytest.raises(ExportError, match="assert"):
        build(trt, make_onnx())
    assert trt.told.levels == [None]


@pytest.mark.parametrize("version", VERSIONS)
def test_running_out_of_memory_is_said_at_once(make_onnx: MakeOnnx, version: str) -> None:
    trt = library(version, fails_at=(None,), says="OutOfMemory (no tactic fits the workspace)")
    with pytest.raises(ExportError, match="OutOfMemory") as caught:
        build(trt, make_onnx(), BuildOptions(workspace=1 << 20))
    assert caught.value.hint == "pass a larger --workspace than 1 MiB, or none"
    assert trt.told.levels == [None]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dla_is_told_and_its_coverage_shown(make_onnx: MakeOnnx, version: str) -> None:
    trt = library(version)
    plan, said = build(trt, make_onnx(half=True), BuildOptions(dla_core=1))
    assert trt.told.config.default_device_type.name == "DLA"
    assert trt.told.config.DLA_core == 1
    flags = {"GPU_FALLBACK"}
    if version not in NO_DLA_FLAGS:
        flags |= {"FP16", "OBEY_PRECISION_CONSTRAINTS"}
    assert set(trt.told.flags) == flags
    assert plan.dla.fallback == ("/model.1/softmax",)
    assert plan.dla.on_gpu == {"SOFTMAX": 1}
    assert said == [plan.dla.table()]
    lines = said[0].splitlines()
    assert lines[0].split() == ["layer", "DLA", "GPU"]
    assert lines[-1].split()[:3] == ["all", str(sum(plan.dla.on_dla.values())), "1"]


@pytest.mark.parametrize(
    ("options", "kind", "error", "says"),
    [
        (BuildOptions(dla_core=2), {"half": True}, UnsupportedError, "finds 2 DLA cores"),
        (BuildOptions(dla_core=0), {}, UsageError, "this graph is FP32"),
        (
            BuildOptions(dla_core=0, batch=BatchRange(1, 2, 4)),
            {"half": True, "batch": "batch"},
            UsageError,
            "one fixed batch",
        ),
        (
            BuildOptions(dla_core=0, dla_min_coverage=0.99),
            {"half": True},
            ExportError,
            "of the layers, less than the 99% asked",
        ),
    ],
)
def test_a_dla_that_cannot_is_refused(
    make_onnx: MakeOnnx,
    options: BuildOptions,
    kind: dict[str, Any],
    error: type[EdgeError],
    says: str,
) -> None:
    trt = library("10.3.0")
    with pytest.raises(error, match=says):
        build(trt, make_onnx(**kind), options)
    assert trt.told.levels == []


@pytest.mark.parametrize(
    ("before", "used"), [(None, b""), (b"same GPU", b"same GPU"), (b"other GPU", b"")]
)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_timing_cache_is_read_replaced_where_refused_and_written(
    make_onnx: MakeOnnx, tmp_path: Path, before: bytes | None, used: bytes, version: str
) -> None:
    cache = tmp_path / "timing.cache"
    if before is not None:
        cache.write_bytes(before)
    trt = library(version)
    build(trt, make_onnx(), BuildOptions(timing_cache=cache))
    assert trt.told.cache == used
    assert cache.read_bytes() == b"measured"


def test_the_lists_tell_the_generations_apart() -> None:
    """What NVIDIA's migration guides say was added and removed, in the lists."""
    flags = {version: read_api(version)["enums"]["BuilderFlag"] for version in VERSIONS}
    config = {version: read_api(version)["classes"]["IBuilderConfig"] for version in VERSIONS}
    for version in VERSIONS:
        assert ("FP16" in flags[version]) is not version.startswith("11")
        assert ("VERSION_COMPATIBLE" in flags[version]) is (version != "8.5.3")
        assert ("progress_monitor" in config[version]["properties"]) is not version.startswith("8")
        assert ("max_workspace_size" in config[version]["properties"]) is version.startswith("8")


def test_the_lists_agree_with_the_type_stubs() -> None:
    """tensorrt-stubs 10.13 were generated from the same bindings by someone else."""
    stubs = importlib.util.find_spec("tensorrt_bindings")
    if stubs is None or not stubs.submodule_search_locations:
        pytest.skip("tensorrt-stubs is not installed")
    text = (Path(stubs.submodule_search_locations[0]) / "tensorrt.pyi").read_text()
    bodies = dict(re.findall(r"^class (\w+)[^\n]*\n((?:[ ]{4}.*\n|\n)*)", text, re.MULTILINE))
    api = read_api("10.13.0.35")
    for name, entry in api["classes"].items():
        body = bodies[name]
        found = set(re.findall(r"^    def ([a-zA-Z]\w*)\(", body, re.MULTILINE))
        found |= set(re.findall(r"^    ([a-zA-Z]\w*):", body, re.MULTILINE))
        listed = {*entry["methods"], *entry["properties"]}
        assert listed - found <= WRITE_ONLY, name
        assert all(extra.isupper() for extra in found - listed), name
    for name, members in api["enums"].items():
        values = re.findall(r"^    ([A-Z]\w*): typing\.ClassVar", bodies[name], re.MULTILINE)
        assert set(members) == set(values), name


# Properties without a getter are not in the stubs.
WRITE_ONLY = {"gpu_allocator", "device_memory"}


def test_a_stand_in_refuses_what_its_version_lacks(make_onnx: MakeOnnx) -> None:
    """The tests above prove something only if using a wrong attribute fails."""

    class TooNew(TensorRT):
        has_levels = True

        def check_options(self, options: BuildOptions, network: Any) -> None:
            pass

    trt = library("8.5.3")
    network = read_network(make_onnx())
    api = TooNew(trt, ORIN, lambda gpu: (6 << 30, 8 << 30))
    options = BuildOptions(optimization_level=4)
    batch = network.batch_range(None)
    with pytest.raises(AttributeError, match=r"IBuilderConfig of 8\.5\.3 has no builder_optim"):
        build_plan(api, network, batch, options, BuildMonitor("engine", no_progress))


@pytest.mark.usefixtures("without_gpu")
def test_without_a_gpu_the_builder_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    trt = library("10.3.0")
    trt.Runtime = object
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", trt)
    available, reason = builder_available("tensorrt")
    assert not available
    assert "NVIDIA driver" in reason
