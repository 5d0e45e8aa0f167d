"""Running plans: refusals on this machine, execution on stand-ins of driver and library."""

from __future__ import annotations

import ctypes
import enum
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.engine.guarded import VERSIONS, GuardedModule
from yolov12edge.errors import CheckpointError, UnsupportedError, UsageError
from yolov12edge.runtime import tensorrt, tensorrt_rtx
from yolov12edge.runtime.cuda import Driver, Gpu
from yolov12edge.runtime.cuda_stream import Stream
from yolov12edge.runtime.plan_origin import this_platform
from yolov12edge.runtime.plan_runner import PlanRunner
from yolov12edge.runtime.tensorrt_log import one_line

RTX_PLAN = (
    b"vtrt" + bytes(12) + (136).to_bytes(8, "little") + bytes([1, 7, 1, 116]) + b"vtrt"
    + (1 << 2).to_bytes(4, "little") + bytes(100)
)  # fmt: skip
PLAN = b"ftrt" + bytes(20) + bytes([10, 3, 0, 30]) + bytes(100)
ORIN = Gpu(0, "Orin", 87, 8 << 30)
CLASSES, ANCHORS, SIDE = 3, 7, 32


class Mode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class FakeEngine:
    """A plan that writes each image's mean, plus the anchor's number, to its row of the output."""

    num_io_tensors = 2

    def __init__(self, batch: int, dtype: str = "float32", stub: Any = None) -> None:
        self.batch = batch
        self.dtype = dtype
        self.stub = stub
        self.contexts: list[FakeContext] = []

    def get_tensor_name(self, index: int) -> str:
        return ("images", "detections")[index]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == "images" else Mode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return {
            "images": (self.batch, 3, SIDE, SIDE),
            "detections": (self.batch, 4 + CLASSES, ANCHORS),
        }[name]

    def get_tensor_dtype(self, name: str) -> str:
        return self.dtype if name == "images" else "float32"

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return [(batch, 3, SIDE, SIDE) for batch in (2, 2, 4)]

    def create_execution_context(self) -> FakeContext:
        self.contexts.append(FakeContext(self))
        return self.contexts[-1]


class FakeContext:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.shape: tuple[int, ...] = ()
        self.address: dict[str, int] = {}
        self.batches: list[int] = []

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return 2 <= shape[0] <= 4 if self.engine.batch < 0 else shape[0] == self.engine.batch

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self.shape[0], *self.engine.get_tensor_shape(name)[1:])

    def set_tensor_address(self, name: str, address: int) -> None:
        self.address[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 0x7F0000002000
        self.batches.append(self.shape[0])
        if self.engine.stub is None or not self.engine.stub.stub_is_capturing():
            self.compute()
        return True

    def compute(self) -> None:
        images, output = (self.view(name) for name in ("images", "detections"))
        unit = 255 if images.dtype == np.uint8 else 1
        means = images.astype(np.float64).mean(axis=(1, 2, 3)) / unit
        output[:] = means[:, None, None] + np.arange(ANCHORS)

    def view(self, name: str) -> np.ndarray[Any, Any]:
        shape = self.get_tensor_shape(name)
        dtype = np.dtype(self.engine.get_tensor_dtype(name))
        size = int(np.prod(shape)) * dtype.itemsize
        block = (ctypes.c_char * size).from_address(self.address[name])
        return np.ndarray(shape, dtype, buffer=block)


class Logger:
    def __init__(self) -> None:
        pass


def fake_library(engine: FakeEngine | None, version: str = "10.3.0") -> ModuleType:
    class Runtime:
        engine_host_code_allowed = False

        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> FakeEngine | None:
            if engine is None:
                error = enum.Enum("Severity", ["ERROR"]).ERROR  # type: ignore[attr-defined]
                self.logger.log(error, "IRuntime::x: Error Code 1: Serialization (bad tag)")
            return engine

    library: Any = ModuleType("tensorrt")
    library.__version__ = version
    library.ILogger = Logger
    library.Runtime = Runtime
    library.TensorIOMode = Mode
    library.nptype = lambda name: np.dtype(name).type
    return library  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The driver's ABI over host memory, compiled from driver_stub.c."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("cuda") / "libcuda_stub.so"
    source = Path(__file__).with_name("driver_stub.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return ctypes.CDLL(str(library))


@pytest.fixture
def api(stub: Any) -> Iterator[Driver]:
    """The stand-in driver; everything made on it has to be freed."""
    yield Driver(stub)
    assert stub.stub_alive() == 0


@pytest.fixture
def stream(api: Driver) -> Iterator[Stream]:
    with Stream(api=api) as stream:
        yield stream


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "engine.plan"
    path.write_bytes(PLAN)
    return path


def images(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(7).random((count, 3, SIDE, SIDE), np.float32)


def expected(inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    rows = inputs.mean(axis=(1, 2, 3))[:, None, None] + np.arange(ANCHORS)
    return np.broadcast_to(rows, (len(inputs), 4 + CLASSES, ANCHORS)).astype(np.float32)


def test_driver_describes_the_gpu(stub: Any) -> None:
    driver = Driver(stub)
    assert driver.version() == "12.6"
    assert driver.gpus() == (Gpu(0, "Orin (stub)", 87, 8 << 30),)


def test_driver_errors_are_named(stream: Stream) -> None:
    with pytest.raises(UnsupportedError, match="cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY"):
        stream.allocate(9 << 30)


def test_copies_through_the_device_keep_every_byte(stream: Stream) -> None:
    host = stream.pinned((3, 5), np.float16)
    host[:] = np.arange(15).reshape(3, 5)
    address = stream.allocate(host.nbytes)
    back = stream.pinned((3, 5), np.float16)
    stream.upload(address, host)
    stream.download(back, address)
    stream.synchronize()
    assert (back == np.arange(15).reshape(3, 5)).all()


@pytest.mark.parametrize(
    ("batch", "count", "batches"),
    [
        (1, 3, [1, 1, 1]),
        (4, 3, [4]),
        (4, 6, [4, 4]),
        (-1, 1, [2]),
        (-1, 3, [3]),
        (-1, 9, [4, 4, 4]),
    ],
)
def test_batches_are_split_and_filled_up(
    plan: Path, api: Driver, batch: int, count: int, batches: list[int]
) -> None:
    engine = FakeEngine(batch)
    runner = PlanRunner.open("tensorrt", fake_library(engine), plan, ORIN, api)
    assert runner.input_shape == (batch if batch > 0 else None, 3, SIDE, SIDE)
    assert runner.num_classes == CLASSES
    inputs = images(count)
    np.testing.assert_allclose(runner(inputs), expected(inputs), rtol=1e-6)
    assert engine.contexts[0].batches == batches
    runner.close()


def guarded_library(version: str, engine: FakeEngine) -> Any:
    """The fake library behind the attribute lists of one TensorRT version."""
    library: Any = GuardedModule(version)
    guard = library.guard

    class GuardedEngine(FakeEngine):
        def get_tensor_mode(self, name: str) -> Any:
            return library.TensorIOMode["INPUT" if name == "images" else "OUTPUT"]

        def create_execution_context(self) -> Any:
            return guard("IExecutionContext", super().create_execution_context())

    class Runtime:
        engine_host_code_allowed = False

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            made = GuardedEngine(engine.batch)
            made.contexts = engine.contexts
            return guard("ICudaEngine", made)

    library.ILogger = Logger
    library.Runtime = lambda logger: guard("Runtime", Runtime())
    library.nptype = lambda name: np.dtype(name).type
    return library


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("compatible", [False, True])
def test_only_what_a_version_has_is_used(
    plan: Path, api: Driver, version: str, compatible: bool
) -> None:
    numbers = [int(part) for part in version.split(".")][:4]
    header = bytes([*numbers, *[0] * (4 - len(numbers))])
    content = b"ftrt" + bytes(20) + header + bytes(100)
    plan.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    manifest(plan, sha256=sha256, version_compatible=compatible, dla={"core": 0})
    library = guarded_library(version, FakeEngine(-1))
    with PlanRunner.open("tensorrt", library, plan, ORIN, api, cuda_graph=False) as runner:
        inputs = images(3)
        np.testing.assert_allclose(runner(inputs), expected(inputs), rtol=1e-6)
        extra = runner.engine.context()
        np.testing.assert_allclose(extra(inputs[:2]), expected(inputs[:2]), rtol=1e-6)


def test_other_image_sizes_are_refused(plan: Path, api: Driver) -> None:
    library = fake_library(FakeEngine(1))
    with (
        PlanRunner.open("tensorrt", library, plan, ORIN, api) as runner,
        pytest.raises(UsageError, match="32, 32"),
    ):
        runner(np.zeros((1, 3, 64, 64), np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("given", [np.float32, np.uint8])
def test_float_and_uint8_images_reach_plans_of_either_type(
    plan: Path, api: Driver, dtype: str, given: type
) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (2, 3, SIDE, SIDE), np.uint8)
    inputs = pixels if given is np.uint8 else (pixels / 255).astype(np.float32)
    library = fake_library(FakeEngine(2, dtype))
    with PlanRunner.open("tensorrt", library, plan, ORIN, api) as runner:
        np.testing.assert_allclose(runner(inputs), expected(pixels / 255), atol=1e-3)


def test_a_cuda_graph_is_captured_once_a_batch_size_and_replayed(
    plan: Path, api: Driver, stub: Any
) -> None:
    engine = FakeEngine(-1, stub=stub)
    captures, launches = stub.stub_captures(), stub.stub_launches()
    replay = ctypes.CFUNCTYPE(None)(lambda: engine.contexts[0].compute())
    stub.stub_on_replay(replay)
    library = fake_library(engine)
    with PlanRunner.open("tensorrt", library, plan, ORIN, api, cuda_graph=True) as runner:
        for count in (2, 2, 3, 2, 3):
            inputs = images(count)
            np.testing.assert_allclose(runner(inputs), expected(inputs), rtol=1e-6)
    assert stub.stub_captures() - captures == 2
    assert stub.stub_launches() - launches == 3
    assert engine.contexts[0].batches == [2, 2, 3, 3]


def test_what_cannot_be_captured_runs_without_a_graph(plan: Path, api: Driver, stub: Any) -> None:
    engine = FakeEngine(1, stub=stub)
    library = fake_library(engine)
    with PlanRunner.open("tensorrt", library, plan, ORIN, api, cuda_graph=True) as runner:
        executes = FakeContext.execute_async_v3
        engine.contexts[0].execute_async_v3 = lambda stream: (  # type: ignore[method-assign]
            not stub.stub_is_capturing() and executes(engine.contexts[0], stream)
        )
        for _ in range(3):
            inputs = images(1)
            np.testing.assert_allclose(runner(inputs), expected(inputs), rtol=1e-6)
        assert runner.context.note is not None
        assert "could not run" in runner.context.note


def test_contexts_of_one_engine_share_it_and_nothing_else(plan: Path, api: Driver) -> None:
    engine = FakeEngine(1)
    with PlanRunner.open("tensorrt", fake_library(engine), plan, ORIN, api) as runner:
        others = [runner.engine.context(wait=wait) for wait in ("spin", "block")]
        contexts = [runner.context, *others]
        inputs = [images(1) + index for index in range(3)]
        for context, each in zip(contexts, inputs, strict=True):
            context.stream.make_current()
            context.stage(each)
            context.upload()
        for context in contexts:
            context.enqueue()
            context.download()
        for context, each in zip(contexts, inputs, strict=True):
            context.wait()
            np.testing.assert_allclose(context.result(1), expected(each), rtol=1e-6)
        addresses = {address for made in engine.contexts for address in made.address.values()}
        assert len(addresses) == 6


def test_events_measure_the_stream(stream: Stream) -> None:
    first, last = stream.event(), stream.event()
    stream.record(first)
    stream.record(last)
    for wait in ("spin", "block", "auto"):
        stream.synchronize(wait)
    assert stream.elapsed(first, last) == 1
    assert stream.memory() == (5 << 30, 8 << 30)


def test_a_plan_the_library_rejects_says_why_and_frees_the_gpu(plan: Path, api: Driver) -> None:
    with pytest.raises(UnsupportedError, match=r"Serialization \(bad tag\)"):
        PlanRunner.open("tensorrt", fake_library(None), plan, ORIN, api)


def test_a_plan_of_something_else_is_refused_and_frees_the_gpu(plan: Path, api: Driver) -> None:
    class Classifier(FakeEngine):
        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return (1, 3, SIDE, SIDE) if name == "images" else (1, 1000)

    class Text(FakeEngine):
        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return (1, 128)

    for engine, says in ((Classifier(1), "its output"), (Text(1), "its inputs are")):
        with pytest.raises(CheckpointError, match=says):
            PlanRunner.open("tensorrt", fake_library(engine), plan, ORIN, api)


def test_rtx_keeps_the_kernels_it_compiled(
    tmp_path: Path, api: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "engine.plan"
    path.write_bytes(RTX_PLAN)
    known: list[bytes] = []

    class Cache:
        def deserialize(self, content: bytes) -> bool:
            known.append(content)
            return True

        def serialize(self) -> bytes:
            return b"compiled"

    class Config:
        def create_runtime_cache(self) -> Cache:
            return Cache()

        def set_runtime_cache(self, cache: Cache) -> bool:
            self.cache = cache
            return True

    class RtxEngine(FakeEngine):
        def create_runtime_config(self) -> Config:
            return Config()

        def create_execution_context(self, config: Any = None) -> FakeContext:
            assert isinstance(config.cache, Cache)
            return super().create_execution_context()

    for seen in ([], [b"compiled"]):
        library = fake_library(RtxEngine(1), "1.7.1.116")
        with PlanRunner.open("tensorrt_rtx", library, path, Gpu(0, "RTX", 86, 8 << 30), api):
            pass
        assert known == seen


@pytest.mark.parametrize("version", ["10.13.0.35", "8.6.1", "10.3.1"])
def test_another_library_version_is_refused(plan: Path, version: str) -> None:
    with pytest.raises(UnsupportedError, match=r"was built by TensorRT 10\.3\.0\.30") as caught:
        PlanRunner.open("tensorrt", fake_library(FakeEngine(1), version), plan, ORIN)
    assert version in caught.value.message


def manifest(plan: Path, **engine: object) -> None:
    entry = {"file": plan.name, "sha256": hashlib.sha256(PLAN).hexdigest()} | engine
    (plan.parent / "manifest.json").write_text(json.dumps({"engine": entry}))


def test_another_gpu_is_refused_by_the_manifest(plan: Path) -> None:
    manifest(plan, sm=[86, 89])
    with pytest.raises(UnsupportedError, match=r"SM86, SM89; this GPU \(Orin\) is SM87"):
        PlanRunner.open("tensorrt", fake_library(FakeEngine(1)), plan, ORIN)


def test_hardware_and_version_compatible_plans_pass(plan: Path, api: Driver) -> None:
    manifest(plan, sm=[86], hardware_compatibility="ampere_plus", version_compatible=True)
    library = fake_library(FakeEngine(1), "11.0.0")
    with PlanRunner.open("tensorrt", library, plan, ORIN, api) as runner:
        assert runner.version == "11.0.0"
        assert runner.engine._runtime.engine_host_code_allowed is True
    with pytest.raises(UnsupportedError, match="load in later versions, from 8 in 10"):
        PlanRunner.open("tensorrt", fake_library(FakeEngine(1), "8.6.1"), plan, ORIN)


def test_ampere_plus_goes_back_to_ampere_only(plan: Path) -> None:
    manifest(plan, sm=[86], hardware_compatibility="ampere_plus")
    turing = Gpu(0, "T4", 75, 16 << 30)
    with pytest.raises(UnsupportedError, match=r"was built for SM80 and later; .* is SM75"):
        PlanRunner.open("tensorrt", fake_library(FakeEngine(1)), plan, turing)
    manifest(plan, sm=[86], hardware_compatibility="same_compute_capability")
    with pytest.raises(UnsupportedError, match="was built for SM86"):
        PlanRunner.open("tensorrt", fake_library(FakeEngine(1)), plan, ORIN)


def test_a_plan_for_a_dla_core_gets_it(plan: Path, api: Driver) -> None:
    manifest(plan, dla={"core": 1})
    with PlanRunner.open("tensorrt", fake_library(FakeEngine(1)), plan, ORIN, api) as runner:
        assert runner.engine._runtime.DLA_core == 1
        assert not runner.engine._runtime.engine_host_code_allowed


def test_a_plan_of_another_system_is_refused_before_the_library_is_loaded(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "load_library", lambda: pytest.fail("the library was loaded"))
    manifest(plan, platform="windows-amd64")
    with pytest.raises(UnsupportedError, match="was built on windows-amd64; this machine is"):
        tensorrt.open_tensorrt(plan)
    manifest(plan, platform=this_platform(), sha256="0" * 64)
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        tensorrt.open_tensorrt(plan)


def test_unusual_plans_are_remarked_on(
    plan: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tensorrt, "load_library", lambda: fake_library(FakeEngine(1), "8.6.1"))
    text = json.dumps({"names": {"0": "cat"}}).encode()
    plan.write_bytes(len(text).to_bytes(4, "little") + text + PLAN)
    with pytest.raises(UnsupportedError, match="was built by"):
        tensorrt.open_tensorrt(plan)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "Ultralytics prefix" in said[0]
    assert "no manifest.json describes" in said[1]
    caplog.clear()
    plan.write_bytes(PLAN)
    manifest(plan)
    with pytest.raises(UnsupportedError, match="was built by"):
        tensorrt.open_tensorrt(plan)
    assert caplog.records == []


def test_a_plan_that_is_not_the_manifests_is_refused(plan: Path) -> None:
    manifest(plan)
    plan.write_bytes(PLAN[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        PlanRunner.open("tensorrt", fake_library(FakeEngine(1)), plan, ORIN)


def test_a_manifest_about_another_file_is_not_asked(plan: Path, api: Driver) -> None:
    manifest(plan, file="other.plan", sha256="0", sm=[86])
    PlanRunner.open("tensorrt", fake_library(FakeEngine(1)), plan, ORIN, api).close()


def test_a_sidecar_stands_in_for_a_manifest_and_comes_first(plan: Path) -> None:
    manifest(plan, sm=[86])
    entry = {"file": plan.name, "sha256": hashlib.sha256(PLAN).hexdigest(), "sm": [72]}
    plan.with_name("engine.plan.json").write_text(json.dumps({"engine": entry}))
    with pytest.raises(UnsupportedError, match="was built for SM72"):
        PlanRunner.open("tensorrt", fake_library(FakeEngine(1)), plan, ORIN)


def test_the_other_backends_plan_is_refused(plan: Path) -> None:
    with pytest.raises(UnsupportedError, match="is a TensorRT plan") as caught:
        tensorrt_rtx.open_tensorrt_rtx(plan)
    assert caught.value.hint == "open it with --runtime tensorrt"


def test_type_stubs_alone_are_not_tensorrt(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", ModuleType("tensorrt"))
    with pytest.raises(UnsupportedError, match="not installed"):
        tensorrt.open_tensorrt(plan)


@pytest.mark.parametrize("version", ["8.4.1", "7.1.3", "12.0.0"])
def test_unknown_tensorrt_versions_are_refused(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    library = fake_library(None, version)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", library)
    with pytest.raises(UnsupportedError, match=f"{version} is not supported"):
        tensorrt.load_library()


@pytest.mark.usefixtures("without_gpu")
def test_without_a_gpu_one_line_says_so(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake_library(FakeEngine(1))
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", library)
    with pytest.raises(UnsupportedError) as caught:
        tensorrt.open_tensorrt(plan)
    assert "NVIDIA" in caught.value.message
    assert "\n" not in caught.value.message


def test_library_messages_become_one_line() -> None:
    said = (
        "IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error (Network has dynamic or "
        "shape inputs,\nbut no profile. In validate at /_src/optimizer/api/network.cpp:4023)"
    )
    assert one_line(said) == (
        "API Usage Error (Network has dynamic or shape inputs, but no profile.)"
    )
