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

from yolov12edge.errors import CheckpointError, UnsupportedError, UsageError
from yolov12edge.runtime import tensorrt, tensorrt_rtx
from yolov12edge.runtime.cuda import Driver, Gpu, Stream, find_gpus
from yolov12edge.runtime.plan_runner import PlanRunner
from yolov12edge.runtime.tensorrt_log import one_line

PLAN = b"ftrt" + bytes(20) + bytes([10, 3, 0, 30]) + bytes(100)
ORIN = Gpu(0, "Orin", 87, 8 << 30)
CLASSES, ANCHORS, SIDE = 3, 7, 32


class Mode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class FakeEngine:
    """A plan that writes each image's mean, plus the anchor's number, to its row of the output."""

    num_io_tensors = 2

    def __init__(self, batch: int) -> None:
        self.batch = batch

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
        return "float32"

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return [(batch, 3, SIDE, SIDE) for batch in (2, 2, 4)]

    def create_execution_context(self) -> FakeContext:
        return FakeContext(self)


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
        images, output = (
            np.ndarray(
                self.get_tensor_shape(name),
                np.float32,
                buffer=(ctypes.c_char * self.bytes_of(name)).from_address(self.address[name]),
            )
            for name in ("images", "detections")
        )
        output[:] = images.mean(axis=(1, 2, 3))[:, None, None] + np.arange(ANCHORS)
        return True

    def bytes_of(self, name: str) -> int:
        return int(np.prod(self.get_tensor_shape(name))) * 4


class Logger:
    def __init__(self) -> None:
        pass


def fake_library(engine: FakeEngine | None, version: str = "10.3.0") -> ModuleType:
    class Runtime:
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
        pytest.skip("no C compiler to build the stand-in CUDA driver")
    library = tmp_path_factory.mktemp("cuda") / "libcuda_stub.so"
    source = Path(__file__).with_name("driver_stub.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return ctypes.CDLL(str(library))


@pytest.fixture
def stream(stub: Any) -> Iterator[Stream]:
    with Stream(api=Driver(stub)) as stream:
        yield stream
    assert stub.stub_alive() == 0


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
    plan: Path, stream: Stream, batch: int, count: int, batches: list[int]
) -> None:
    runner = PlanRunner("tensorrt", fake_library(FakeEngine(batch)), plan, stream=stream, gpu=ORIN)
    assert runner.input_shape == (batch if batch > 0 else None, 3, SIDE, SIDE)
    assert runner.num_classes == CLASSES
    inputs = images(count)
    np.testing.assert_allclose(runner(inputs), expected(inputs), rtol=1e-6)
    assert runner._context.batches == batches


def test_other_image_sizes_are_refused(plan: Path, stream: Stream) -> None:
    runner = PlanRunner("tensorrt", fake_library(FakeEngine(1)), plan, stream=stream, gpu=ORIN)
    with pytest.raises(UsageError, match="32, 32"):
        runner(np.zeros((1, 3, 64, 64), np.float32))


def test_a_plan_the_library_rejects_says_why_and_frees_the_gpu(plan: Path, stub: Any) -> None:
    with pytest.raises(UnsupportedError, match=r"Serialization \(bad tag\)"):
        PlanRunner("tensorrt", fake_library(None), plan, stream=Stream(api=Driver(stub)), gpu=ORIN)
    assert stub.stub_alive() == 0


@pytest.mark.parametrize("version", ["10.13.0.35", "8.6.1", "10.3.1"])
def test_another_library_version_is_refused(plan: Path, version: str) -> None:
    with pytest.raises(UnsupportedError, match=r"was built by TensorRT 10\.3\.0\.30") as caught:
        PlanRunner("tensorrt", fake_library(FakeEngine(1), version), plan, gpu=ORIN)
    assert version in caught.value.message


def manifest(plan: Path, **engine: object) -> None:
    entry = {"file": plan.name, "sha256": hashlib.sha256(PLAN).hexdigest()} | engine
    (plan.parent / "manifest.json").write_text(json.dumps({"engine": entry}))


def test_another_gpu_is_refused_by_the_manifest(plan: Path) -> None:
    manifest(plan, sm=[86, 89])
    with pytest.raises(UnsupportedError, match=r"SM86, SM89; this GPU \(Orin\) is SM87"):
        PlanRunner("tensorrt", fake_library(FakeEngine(1)), plan, gpu=ORIN)


def test_hardware_and_version_compatible_plans_pass(plan: Path, stream: Stream) -> None:
    manifest(plan, sm=[86], hardware_compatibility="ampere_plus", version_compatible=True)
    library = fake_library(FakeEngine(1), "11.0.0")
    assert PlanRunner("tensorrt", library, plan, stream=stream, gpu=ORIN).version == "11.0.0"


def test_a_plan_that_is_not_the_manifests_is_refused(plan: Path) -> None:
    manifest(plan)
    plan.write_bytes(PLAN[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        PlanRunner("tensorrt", fake_library(FakeEngine(1)), plan, gpu=ORIN)


def test_a_manifest_about_another_file_is_not_asked(plan: Path, stream: Stream) -> None:
    manifest(plan, file="other.plan", sha256="0", sm=[86])
    PlanRunner("tensorrt", fake_library(FakeEngine(1)), plan, stream=stream, gpu=ORIN)


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


@pytest.mark.skipif(bool(find_gpus()), reason="this machine has a GPU")
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
