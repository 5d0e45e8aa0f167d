"""The backends that run on a CPU, on models small enough to know every number of."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.cpp.toolchain import HERE, compile_source, run


def write_doubling_model(path: Path, batch: int | str) -> None:
    """Write a model of 32x32 images whose output (batch, 6, 21) is the input's beginning twice."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 32, 32])
    output = helper.make_tensor_value_info("detections", TensorProto.FLOAT, [batch, 6, 21])
    constants = [
        helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
        for name, values in (("zero", [0]), ("end", [6 * 21]), ("axis", [1]), ("shape", [0, 6, 21]))
    ]
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("Slice", ["flat", "zero", "end", "axis"], ["first"]),
        helper.make_node("Reshape", ["first", "shape"], ["shaped"]),
        helper.make_node("Add", ["shaped", "shaped"], ["detections"]),
    ]
    graph = helper.make_graph(nodes, "doubling", [images], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def openvino_flags(folder: Path) -> tuple[str, ...]:
    """Headers and library of the wheel."""
    openvino = Path(pytest.importorskip("openvino").__file__).parent
    (library,) = (openvino / "libs").glob("libopenvino.so.*")
    return ("-isystem", str(openvino / "include"), str(library), f"-Wl,-rpath,{library.parent}")


def onnxruntime_flags(folder: Path) -> tuple[str, ...]:
    """The library of the wheel, which has no headers; or a release archive."""
    root = os.environ.get("ONNXRUNTIME_ROOT")
    if root:
        lib = f"{root}/lib"
        return ("-isystem", f"{root}/include", f"-L{lib}", "-lonnxruntime", f"-Wl,-rpath,{lib}")
    onnxruntime = Path(pytest.importorskip("onnxruntime").__file__).parent
    libraries = [*(onnxruntime / "capi").glob("libonnxruntime.so.*")]
    if not libraries:
        pytest.skip("this wheel of onnxruntime has no library of its own")
    link = folder / "libonnxruntime.so.1"
    link.symlink_to(libraries[0])
    return ("-isystem", str(HERE / "stubs"), str(link), f"-Wl,-rpath,{folder}")


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test program on one of the runtimes."""
    folder = tmp_path_factory.mktemp(request.param)
    flags = openvino_flags if request.param == "openvino" else onnxruntime_flags
    # The library comes before what needs it.
    words = (
        "-O1",
        "-Wl,--no-as-needed",
        f"-DYOLOV12EDGE_BACKEND_{request.param.upper()}",
        *flags(folder),
    )
    return compile_source("g++", HERE / "backend_test.cpp", folder / "test", *words)


@pytest.mark.parametrize(("batch", "kind"), [(3, "fixed"), ("n", "open")])
def test_a_partial_batch_computes_what_is_asked_for(
    batch: int | str, kind: str, program: Path, tmp_path: Path
) -> None:
    write_doubling_model(tmp_path / "model.onnx", batch)
    assert b"all passed" in run(program, tmp_path, "4", kind).stdout


def test_an_open_batch_of_one(program: Path, tmp_path: Path) -> None:
    write_doubling_model(tmp_path / "model.onnx", "n")
    assert b"all passed" in run(program, tmp_path, "1", "open").stdout
