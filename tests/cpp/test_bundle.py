"""A bundle compiles, proves itself, detects what Python detects, and says what is wrong with it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import yolov12edge.cli
from tests.cpp.toolchain import (
    CPP,
    HERE,
    RTX,
    STRICT,
    STUBS,
    compile_source,
    run,
    skip_without_openvino,
    stub_flags,
    tool,
)
from yolov12edge.bench.report import Latency
from yolov12edge.cli import bundle
from yolov12edge.data import load_dataset, read_image, to_batch
from yolov12edge.data.synthetic import NAMES, make_scene
from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.evaluate import Detections, Thresholds, non_max_suppression
from yolov12edge.pipeline.bundle.constants import render_constants
from yolov12edge.pipeline.bundle.job import CONSTANTS, BundleRequest, write_bundle
from yolov12edge.run.manifest import EngineSection, read_manifest
from yolov12edge.runtime import open_artifact

DEMO_WEIGHTS = Path(__file__).resolve().parents[2] / "docs/demo/workshop-n.safetensors"
PREDICT = (0.25, False)
EVALUATE = (0.001, True)


@dataclass(frozen=True)
class Project:
    """A run folder, the bundle made of it and pictures to try it on."""

    run: Path
    folder: Path
    pictures: Path


def export(weights: Path, out: Path, size: int) -> Path:
    words = ["export", "--weights", weights, "--imgsz", size, "--fp32", "--target", "cpu-openvino"]
    words += ["--no-verify", "--no-bench", "--quiet", "--out", out]
    with pytest.raises(SystemExit) as left:
        yolov12edge.cli.main([str(word) for word in words])
    assert not left.value.code
    return out


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills once, also where several processes share the tests."""
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    folder = (factory.getbasetemp().parent if parallel else factory.getbasetemp()) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.with_suffix(".made").exists():
            folder.mkdir()
            make(folder)
            folder.with_suffix(".made").touch()
    return folder


def make_project(folder: Path) -> None:
    pictures = folder / "pictures"
    pictures.mkdir()
    for index in range(24):
        scene = make_scene(7, index, 320)
        cv2.imwrite(str(pictures / f"{index:02d}.png"), scene.image[..., ::-1])
    run_folder = export(DEMO_WEIGHTS, folder / "run", 320)
    written = write_bundle(BundleRequest(run_folder, folder / "deploy", images=pictures, golden=3))
    assert (written.golden, written.backend) == (3, "openvino")
    assert written.recorded_with.startswith("openvino ")
    assert written.detections > 0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A bundle of the detector of `make demo`, and scenes like those."""
    pytest.importorskip("openvino")
    folder = made_once(tmp_path_factory, "bundle", make_project)
    return Project(folder / "run", folder / "deploy", folder / "pictures")


def compile_bundle(folder: Path, build: Path, compiler: str = "g++", *options: str) -> Path:
    run(
        *(tool("cmake"), "-S", folder, "-B", build, f"-DOpenVINO_DIR={skip_without_openvino()}"),
        *(f"-DCMAKE_CXX_COMPILER={tool(compiler)}", f"-DCMAKE_CXX_FLAGS={' '.join(STRICT)}"),
        *options,
    )
    run(tool("cmake"), "--build", build, "--parallel", "2")
    return build


@pytest.fixture(scope="module")
def build(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle compiled with g++."""

    def make(folder: Path) -> None:
        prefix = f"-DCMAKE_INSTALL_PREFIX={folder / 'installed'}"
        compile_bundle(project.folder, folder, "g++", prefix)

    return made_once(tmp_path_factory, "build", make)


def test_self_test_passes(build: Path) -> None:
    assert b"PASSED: 3 of 3 images equal" in run(build / "selftest").stdout


def test_clang_compiles_it_too(project: Project, tmp_path: Path) -> None:
    debug = "-DCMAKE_BUILD_TYPE=Debug"
    compiled = compile_bundle(project.folder, tmp_path / "build", "clang++", debug)
    assert b"PASSED: 3 of 3 images equal" in run(compiled / "selftest").stdout


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt_rtx"])
def test_bundle_compiles_and_links_with_tensorrt(
    backend: str, project: Project, tmp_path: Path
) -> None:
    """All of it, found by CMake in a folder as NVIDIA's, with the fake as the library."""
    version = RTX if backend == "tensorrt_rtx" else "10.13.0"
    library = {"tensorrt": "nvinfer", "tensorrt_rtx": "tensorrt_rtx"}[backend]
    root = tmp_path / "tensorrt"
    (root / "lib").mkdir(parents=True)
    shutil.copytree(STUBS, root / "include")
    fake = (root / "lib" / f"lib{library}.so", HERE / "fake_gpu.cpp", *stub_flags(version))
    run(tool("g++"), "-std=c++17", "-shared", "-fPIC", "-o", *fake)
    shutil.copy(fake[0], root / "lib" / "libcudart.so")
    words = (f"-DTENSORRT_ROOT={root}", f"-DCUDAToolkit_ROOT={root}")
    numbers = [word for word in stub_flags(version) if word.startswith("-DSTUB")]
    flags = f"-DCMAKE_CXX_FLAGS={' '.join([*STRICT, *numbers])}"
    configure = (tool("cmake"), "-S", project.folder, "-B", tmp_path / "build", *words, flags)
    run(*configure, f"-DYOLOV12EDGE_BACKEND={backend}", "-DCMAKE_BUILD_TYPE=Debug")
    run(tool("cmake"), "--build", tmp_path / "build", "--parallel", "2")
    done = subprocess.run([tmp_path / "build" / "selftest"], capture_output=True, text=True)
    assert done.returncode == 12
    assert "engine.plan" in done.stderr


def python_detections(
    model: Path, picture: Path, settings: tuple[float, bool], artifact: Any
) -> Detections:
    letterboxed, placement = artifact.letterbox(read_image(picture))
    output = artifact.runner(to_batch([letterboxed]))[0]
    confidence, multi_label = settings
    thresholds = Thresholds(confidence, multi_label=multi_label)
    return non_max_suppression(output, thresholds).to_image(placement)


def assert_equal_to_python(build: Path, model: Path, pictures: list[Path]) -> int:
    """Compare both kinds of decoding on every picture; returns the detections compared."""
    compared = 0
    artifact = open_artifact(model, "openvino", threads=1)
    for settings, flags in ((PREDICT, []), (EVALUATE, ["--evaluate"])):
        done = run(build / "detect", "--threads", "1", *flags, *pictures)
        found = json.loads(done.stdout)["pictures"]
        assert [entry["file"] for entry in found] == [str(picture) for picture in pictures]
        for picture, entry in zip(pictures, found, strict=True):
            expected = python_detections(model, picture, settings, artifact)
            detections = entry["detections"]
            assert [d["class"] for d in detections] == expected.classes.tolist(), picture
            boxes = np.array([d["box"] for d in detections]).reshape(-1, 4)
            scores = np.array([d["score"] for d in detections])
            np.testing.assert_allclose(boxes, expected.boxes, rtol=0, atol=1e-3)
            np.testing.assert_allclose(scores, expected.scores, rtol=0, atol=1e-6)
            compared += len(expected)
    return compared


def test_detects_what_python_detects(project: Project, build: Path) -> None:
    pictures = sorted(project.pictures.glob("*.png"))
    assert assert_equal_to_python(build, project.folder / "model/model.onnx", pictures) > 100


@pytest.mark.shared
@pytest.mark.slow
def test_real_detector_on_sixty_real_images(shared: Path, tmp_path: Path) -> None:
    data = shared / "data/bccd/data.yaml"
    run_folder = export(shared / "weights/bccd_yolo12n.pt", tmp_path / "run", 320)
    written = write_bundle(BundleRequest(run_folder, tmp_path / "deploy", data=data))
    compiled = compile_bundle(written.folder, tmp_path / "build", "g++", "-DYOLOV12EDGE_CAPI=OFF")
    assert b"PASSED: 4 of 4 images equal" in run(compiled / "selftest").stdout
    pictures = []
    for file in load_dataset(data, "val").images[:60]:
        pictures.append(tmp_path / f"{file.stem}.png")
        cv2.imwrite(str(pictures[-1]), read_image(file)[..., ::-1])
    model = written.folder / "model/model.onnx"
    assert assert_equal_to_python(compiled, model, pictures) > 1000


def test_annotated_picture_is_a_png(project: Project, build: Path, tmp_path: Path) -> None:
    picture = project.pictures / "00.png"
    run(build / "detect", "--out", tmp_path, picture)
    before, after = cv2.imread(str(picture)), cv2.imread(str(tmp_path / "00.png"))
    assert after.shape == before.shape
    changed = (after != before).any(axis=2).mean()
    assert 0 < changed < 0.9


def test_bench_reports_in_the_terms_of_python(project: Project, build: Path) -> None:
    report = json.loads(run(build / "bench", "--runs", "30", "--threads", "1").stdout)
    latency = report["latency_ms"]
    assert set(latency) == {*Latency.model_fields, "undisturbed"}
    artifact = open_artifact(project.folder / "model/model.onnx", "openvino", threads=1)
    assert report["input_shape"] == list(artifact.runner.input_shape)
    assert report["throughput"] == pytest.approx(1e3 / latency["p50"], rel=1e-3)
    assert latency["n"] == 30
    order = ("min", "undisturbed", "p50", "p90", "p95", "p99", "max")
    assert sorted(latency[name] for name in order) == [latency[name] for name in order]
    assert latency["min"] > 0
    assert set(report["stages_ms"]) == {"preprocess", "infer", "postprocess"}


@pytest.mark.parametrize("size", ["640x480abc", "99999999999x1", "0x5", "640", "x", ""])
def test_bench_refuses_a_frame_of_no_size(size: str, build: Path) -> None:
    done = subprocess.run([build / "bench", "--frame", size], capture_output=True)
    assert done.returncode == 2


def test_c_interface(project: Project, build: Path) -> None:
    # In a process of its own: two copies of OpenVINO in one are not what an application has.
    script = Path(__file__).with_name("call_capi.py")
    words = [build / "libyolov12edge_c.so", project.folder / "model", project.pictures / "00.png"]
    done = subprocess.run(
        [sys.executable, str(script), *map(str, words)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    model = project.folder / "model/model.onnx"
    artifact = open_artifact(model, "openvino", threads=1)
    expected = python_detections(model, project.pictures / "00.png", PREDICT, artifact)
    assert answer["count"] == len(expected)
    np.testing.assert_allclose(answer["boxes"], expected.boxes, atol=1e-3)
    assert answer["names"] == list(read_manifest(project.run).model.names)
    assert answer["errors"] == ["file not found", "invalid argument", "invalid argument"]
    assert answer["versions"] == [yolov12edge.__version__, 1]


def declared_functions() -> list[str]:
    header = (CPP / "include/yolov12edge/capi.h").read_text()
    return sorted(re.findall(r"YOLOV12EDGE_API [^(]*?(yolov12edge_\w+)\(", header))


def exported(library: Path) -> list[str]:
    symbols = run(tool("nm"), "-D", "--defined-only", library).stdout.decode().splitlines()
    return sorted(line.split()[-1] for line in symbols)


def test_the_c_library_exports_its_functions_and_no_others(build: Path) -> None:
    assert len(declared_functions()) == 10
    own = [name for name in exported(build / "libyolov12edge_c.so") if "yolov12edge" in name]
    assert own == declared_functions()


def test_c_interface_compiled_in_exports_nothing(tmp_path: Path) -> None:
    flags = ("-shared", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-iquote")
    replay = (str(Path(__file__).parent / "replay"), "-DYOLOV12EDGE_STATIC")
    library = compile_source("g++", CPP / "src/capi.cpp", tmp_path / "app.so", *flags, *replay)
    assert not [name for name in exported(library) if "yolov12edge" in name]


def test_installed_package_is_found(build: Path, tmp_path: Path) -> None:
    run(tool("cmake"), "--install", build)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(app CXX)\n"
        "find_package(yolov12edge REQUIRED)\nadd_executable(app app.cpp)\n"
        "target_link_libraries(app PRIVATE yolov12edge::yolov12edge)\n"
    )
    (tmp_path / "app.cpp").write_text(
        "#include <yolov12edge/letterbox.hpp>\n#include <yolov12edge/model_constants.hpp>\n"
        "int main() { return yolov12edge::kClasses - yolov12edge::model_info().classes(); }\n"
    )
    run(
        *(tool("cmake"), "-S", tmp_path, "-B", tmp_path / "build"),
        *(
            f"-DCMAKE_PREFIX_PATH={build / 'installed'}",
            f"-DOpenVINO_DIR={skip_without_openvino()}",
        ),
    )
    run(tool("cmake"), "--build", tmp_path / "build")
    run(tmp_path / "build" / "app")


Damage = Callable[[Path], None]


def _cut(folder: Path) -> None:
    model = folder / "model/model.onnx"
    model.write_bytes(model.read_bytes()[:-1000])


def _empty(folder: Path) -> None:
    (folder / "model/model.onnx").write_bytes(b"")


def _flip(folder: Path) -> None:
    model = folder / "model/model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)


def _remove(folder: Path) -> None:
    (folder / "model/model.onnx").unlink()


@pytest.mark.parametrize(
    ("damage", "code", "message"),
    [
        (_cut, 13, "cut short"),
        (_empty, 13, "is empty"),
        (_flip, 14, "the SHA-256 differs"),
        (_remove, 12, "cannot open"),
    ],
)
def test_damaged_model_is_refused(
    damage: Damage, code: int, message: str, project: Project, build: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "deploy"
    shutil.copytree(project.folder, folder)
    damage(folder)
    for program in ("selftest", "detect", "bench"):
        words = [str(build / program), "--bundle", str(folder)]
        words += [str(project.pictures / "00.png")] if program == "detect" else []
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert message in done.stderr


def _change(path: Path, position: int, kind: type) -> None:
    values = np.fromfile(path, kind)
    values[position] += 3
    values.tofile(path)


@pytest.mark.parametrize(
    ("name", "kind", "stage"),
    [("letterbox", np.uint8, "preprocess"), ("predict", np.float32, "decode")],
)
def test_self_test_says_where_a_difference_starts(
    name: str, kind: type, stage: str, project: Project, build: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "deploy"
    shutil.copytree(project.folder, folder)
    _change(folder / f"golden/02.{name}", 2, kind)
    done = subprocess.run(
        [str(build / "selftest"), "--bundle", str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"02: first difference in {stage}: " in done.stdout
    assert "FAILED: 2 of 3 images equal" in done.stdout


def test_self_test_sees_a_wrong_tensor(project: Project, build: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deploy"
    shutil.copytree(project.folder, folder)
    path = folder / "golden/01.output"
    output = np.fromfile(path, np.float32).reshape(4 + len(NAMES), -1)
    output[4:, output[4:].max(axis=0).argmax()] -= 0.01
    output.tofile(path)
    done = subprocess.run(
        [str(build / "selftest"), "--bundle", str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "01: first difference in tensor: " in done.stdout


@pytest.mark.parametrize(
    "names", [["plain"], ['"quoted" \\ ??/', "Fußgänger\n", "自転車 🚲"]], ids=["plain", "odd"]
)
def test_any_class_name_survives(names: list[str], project: Project, tmp_path: Path) -> None:
    manifest = read_manifest(project.run)
    model = manifest.model.model_copy(update={"names": names})
    manifest = manifest.model_copy(update={"model": model})
    header = tmp_path / "yolov12edge" / CONSTANTS.name
    header.parent.mkdir()
    header.write_text(render_constants(manifest, project.run / "model.onnx"), encoding="ascii")
    source = tmp_path / "names.cpp"
    source.write_text(
        "#include <cstdio>\n#include <yolov12edge/model_constants.hpp>\n"
        "int main() { for (const auto& n : yolov12edge::model_info().class_names) "
        'std::printf("%s%c", n.c_str(), 0); }\n'
    )
    program = compile_source("g++", source, tmp_path / "names", f"-I{tmp_path}")
    assert run(program).stdout.decode().split("\0")[:-1] == names


def test_constants_tell_where_a_plan_loads(project: Project, tmp_path: Path) -> None:
    facts = {"hardware_compatibility": "ampere_plus", "version_compatible": True}
    engine = EngineSection.model_validate(
        {"file": "engine.plan", "sha256": "ab", "bytes": 3, "backend": "tensorrt", "sm": [86, 89]}
        | {"version": "10.3.0", "platform": "linux-x86_64"}
        | facts
    )
    manifest = read_manifest(project.run).model_copy(update={"engine": engine})
    header = tmp_path / "yolov12edge" / CONSTANTS.name
    header.parent.mkdir()
    header.write_text(render_constants(manifest, project.run / "model.onnx"), encoding="ascii")
    source = tmp_path / "origin.cpp"
    source.write_text(
        "#include <cstdio>\n#include <yolov12edge/model_constants.hpp>\n"
        "int main() { const auto o = yolov12edge::model_info().plan_origin; "
        'std::printf("%s %s %zu %d %s %d %s", o.backend.c_str(), o.version.c_str(), '
        "o.compute_capabilities.size(), o.compute_capabilities[1], "
        "o.hardware_compatibility.c_str(), o.version_compatible, o.platform.c_str()); }\n"
    )
    program = compile_source("g++", source, tmp_path / "origin", f"-I{tmp_path}")
    assert run(program).stdout == b"tensorrt 10.3.0 2 89 ampere_plus 1 linux-x86_64"


def test_a_new_bundle_replaces_the_old_and_leaves_the_rest(
    project: Project, tmp_path: Path
) -> None:
    out = tmp_path / "deploy"
    request = BundleRequest(project.run, out, images=project.pictures, golden=2)
    write_bundle(request)
    (out / "build").mkdir()
    (out / "build" / "kept").write_text("mine")
    (out / "golden" / "99.png").write_bytes(b"old")
    write_bundle(request)
    assert (out / "build" / "kept").read_text() == "mine"
    assert not (out / "golden" / "99.png").exists()
    assert not list(out.glob(".bundle-*"))


def test_command_prints_one_document(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle.command(project.run, tmp_path / "deploy", golden=1, json=True)
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["backend"] == "openvino"
    assert document["golden"]["images"] == 1
    assert "golden images are drawn ones" in printed.err


def test_a_foreign_folder_is_left_alone(project: Project, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    with pytest.raises(UsageError, match="is no bundle"):
        write_bundle(BundleRequest(project.run, tmp_path, images=project.pictures))
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_a_changed_run_is_refused(project: Project, tmp_path: Path) -> None:
    changed = tmp_path / "run"
    shutil.copytree(project.run, changed)
    with (changed / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CheckpointError, match="is changed"):
        write_bundle(BundleRequest(changed, tmp_path / "deploy", images=project.pictures))
    assert not (tmp_path / "deploy").exists()
