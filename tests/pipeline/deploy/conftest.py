"""Runs to deploy, devices on the loopback, and programs that stand in for slow ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.commands import Outcome, run
from tests.cpp.test_bundle import made_once
from tests.cpp.toolchain import HERE, tool
from tests.sshd import NAME, Device, program, running_device
from yolov12edge.cli import main
from yolov12edge.data.synthetic import make_scene
from yolov12edge.files import sha256_file
from yolov12edge.pipeline.bundle.job import Bundle, BundleRequest
from yolov12edge.pipeline.deploy import payload
from yolov12edge.remote import connection

WEIGHTS = Path(__file__).resolve().parents[3] / "docs/demo/workshop-n.safetensors"
SIZE = 160
FILES = "its files"
# Without optimization it compiles in less time; what it computes is the same.
QUICK = {"CMAKE_BUILD_TYPE": "Quick", "CXXFLAGS": "-O0", "OMP_NUM_THREADS": "1"}
Deploy = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PAUSES", (0.1, 0.2, 0.2))


def command(*words: object) -> None:
    """Run a command that has to succeed."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert not left.value.code


def make(folder: Path) -> None:
    """Pictures, a run in INT8 for OpenVINO, and that run deployed for real to `bccd 1`."""
    pictures, run_folder = folder / "pictures", folder / "run"
    pictures.mkdir()
    for index in range(12):
        scene = make_scene(7, index, 192)
        cv2.imwrite(str(pictures / f"{index:02d}.png"), scene.image[..., ::-1])
    words = ["--weights", WEIGHTS, "--imgsz", SIZE, "--int8", "--calib-method", "max"]
    words += ["--calib", pictures, "--target", "cpu-openvino", "--no-verify", "--no-bench"]
    command("export", *words, "--quiet", "--out", run_folder)
    shutil.copytree(run_folder, folder / "deployed")
    with running_device(folder / "first", environment=QUICK, root=folder / FILES) as device:
        first = Box(device, pictures, openvino_library())
        command("deploy", folder / "deployed", *first.words("--keep", "--quiet"), "--json")


def openvino_library() -> str:
    """OpenVINO's wheel has what an archive has."""
    return str(Path(pytest.importorskip("openvino").__file__).parent)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make` makes, once for all processes that share the tests."""
    openvino_library()
    for name in ("cmake", "g++", "make"):
        tool(name)
    for name in ("sshd", "ssh", "ssh-keygen"):
        program(name)
    return made_once(tmp_path_factory, "deploy", make)


@pytest.fixture(scope="session")
def exported(made: Path) -> Path:
    """A run in INT8 for OpenVINO, with the float file that INT8 has to beat."""
    return made / "run"


@pytest.fixture(scope="session")
def deployed(made: Path) -> Path:
    """That run after it was deployed for real."""
    return made / "deployed"


@pytest.fixture
def run_folder(exported: Path, tmp_path: Path) -> Path:
    """A copy of that run, for a test to change."""
    return Path(shutil.copytree(exported, tmp_path / "run"))


def retarget(folder: Path, name: str, backend: str, precision: str = "int8") -> None:
    """Make a run one for another target, the files being the same."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    document["target"] |= {"name": name, "backend": backend}
    document["precision"]["name"] = precision
    if precision == "fp32":
        (folder / "model.int8.onnx").unlink()
        del document["files"]["model.int8.onnx"]
    path.write_text(json.dumps(document))


def add_fp16(folder: Path) -> None:
    """A float file under the name of the FP16 one, for plans that only stand in."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    shutil.copy(folder / "model.onnx", folder / "model.fp16.onnx")
    document["files"]["model.fp16.onnx"] = sha256_file(folder / "model.fp16.onnx")
    path.write_text(json.dumps(document))


@dataclass(frozen=True)
class Box:
    """A device and how to deploy to it."""

    device: Device
    pictures: Path
    library: str

    def words(self, *more: object, folder: str | None = "bccd 1") -> list[str]:
        """Words after `deploy RUN`."""
        place = f":{self.device.root / folder}" if folder else ""
        words = ["--to", f"{NAME}{place}", "--ssh-config", self.device.config]
        words += ["--library", self.library, "--seconds", "0.2", "--min-matched", "0.8"]
        words += ["--max-drop", "0.2", "--images", self.pictures, *more]
        return [str(word) for word in words]

    def quick_words(self, folder: str, *more: object) -> list[str]:
        """Words of a deploy that neither judges nor times."""
        words = self.words("--no-bench", *more, folder=folder)
        at = words.index("--images")
        return [*words[:at], *words[at + 2 :]]

    def there(self, folder: str = "bccd 1") -> Path:
        """What a deploy left."""
        return self.device.root / folder


@pytest.fixture(scope="session")
def box(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A device with everything that it needs, and with what the first deploy left."""
    folder = tmp_path_factory.mktemp("box") / "device"
    with running_device(folder, environment=QUICK, root=made / FILES) as device:
        yield Box(device, made / "pictures", openvino_library())


CMAKE = """#!/bin/sh
# Stands in for cmake: what was compiled before is copied to its place.
case $1 in
--version) echo 'cmake version 3.25.1' ;;
--build) mkdir -p "$2" && cp '{programs}/selftest' '{programs}/evaluate' '{programs}/bench' "$2/"
    echo '[100%] Built target bench' ;;
esac
"""


@pytest.fixture(scope="session")
def quick_box(deployed: Path, box: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A device whose cmake copies the programs that `box` compiled for the same model."""
    folder = tmp_path_factory.mktemp("quick") / "device"
    with running_device(folder, environment=QUICK) as device:
        script(device.bin / "cmake", CMAKE.format(programs=box.there() / "build"))
        yield Box(device, box.pictures, box.library)


@pytest.fixture
def known_bundle(deployed: Path, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle of the run is at hand; it is not recorded again for every test."""

    def copied(request: BundleRequest, progress: object) -> Bundle:
        shutil.copytree(box.there() / "bundle", request.out)
        return Bundle(request.out, "openvino", "model.int8.onnx", False, None, 4, 4, "openvino")

    monkeypatch.setattr(payload, "write_bundle", copied)


def script(path: Path, text: str) -> None:
    """Write a program."""
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def deploy(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """`yolov12edge deploy` in this process, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def start(*words: object) -> Outcome:
        return run(capsys, "deploy", *words)

    return start


def onnxruntime_root(folder: Path) -> str:
    """ONNX Runtime as an archive of it: headers of the stubs, the library of the wheel."""
    root = os.environ.get("ONNXRUNTIME_ROOT")
    if root:
        return root
    wheel = Path(pytest.importorskip("onnxruntime").__file__).parent
    libraries = [*(wheel / "capi").glob("libonnxruntime.so.*")]
    if not libraries:
        pytest.skip("this wheel of onnxruntime has no library of its own")
    (folder / "include").mkdir(parents=True)
    (folder / "lib").mkdir()
    shutil.copy(HERE / "stubs/onnxruntime_c_api.h", folder / "include")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "lib" / name).symlink_to(libraries[0])
    (folder / "VERSION_NUMBER").write_text(libraries[0].name.split(".so.")[1])
    return str(folder)


def read(path: Path) -> Any:
    """A JSON document."""
    return json.loads(path.read_text())


def alive(number: int) -> bool:
    """Whether a process runs."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True)
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")
