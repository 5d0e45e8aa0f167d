"""A bundle: the C++ project that detects with a run's artifact, and proves that it does.

OUT/CMakeLists.txt, README.md, cmake/   the build
OUT/include/, src/, apps/               the runtime, generated constants included
OUT/third_party/                        libraries of others, with their licences
OUT/model/                              the artifact, the plan if there is one, the manifest
OUT/golden/                             images with the letterbox, tensor and detections that
                                        Python found; `selftest` compares with them
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolov12edge import __version__
from yolov12edge.data import Letterbox
from yolov12edge.errors import CheckpointError, UnsupportedError, UsageError
from yolov12edge.pipeline.bundle.constants import (
    model_name,
    render_constants,
)
from yolov12edge.pipeline.bundle.golden import write_goldens
from yolov12edge.pipeline.stages.goldens import choose_pictures, record
from yolov12edge.run.folder import main_artifact
from yolov12edge.run.manifest import (
    Manifest,
    changed_files,
    read_manifest,
)
from yolov12edge.run.names import (
    MANIFEST_FILE,
    PLAN_FILE,
)
from yolov12edge.run.recipe import load_recipe
from yolov12edge.runtime import open_runner
from yolov12edge.voice import Progress, no_progress

SOURCES = Path(__file__).parents[2] / "cpp"
COPIED = ("cmake", "include", "src", "apps", "third_party")
OWN_ENTRIES = ("CMakeLists.txt", "README.md", "model", "golden", *COPIED)
CONSTANTS = Path("include/yolov12edge/model_constants.hpp")


@dataclass(frozen=True)
class BundleRequest:
    """What a user asked for.

    Attributes:
        run: a folder that `export` wrote.
        out: where the bundle goes.
        images: folder of images to record goldens on.
        data: data.yaml whose val split serves instead.
        golden: how many images to record.
        runtime: what records them, "onnxruntime" or "openvino"; None for what the target uses,
            where that runs on a CPU, else ONNX Runtime.
    """

    run: Path
    out: Path
    images: Path | None = None
    data: Path | None = None
    golden: int = 4
    runtime: str | None = None


@dataclass(frozen=True)
class Bundle:
    """A written bundle.

    Attributes:
        folder: where it is.
        backend: the default of its CMake build.
        artifact: the ONNX file inside model/.
        plan: whether model/engine.plan is there.
        build_engine: the command that builds the plan on the device, where it is needed.
        golden: images recorded.
        detections: found on them above score 0.25.
        recorded_with: runtime and version that recorded them.
    """

    folder: Path
    backend: str
    artifact: str
    plan: bool
    build_engine: str | None
    golden: int
    detections: int
    recorded_with: str

    def document(self) -> dict[str, Any]:
        """What --json prints."""
        return {
            "folder": str(self.folder),
            "backend": self.backend,
            "artifact": self.artifact,
            "plan": self.plan,
            "build_engine": self.build_engine,
            "golden": {
                "images": self.golden,
                "detections": self.detections,
                "recorded_with": self.recorded_with,
            },
        }


def write_bundle(request: BundleRequest, progress: Progress = no_progress) -> Bundle:
    """Write the bundle of a run folder.

    The bundle's own entries of an earlier bundle in `out` are replaced, everything else there,
    such as a build folder, is left alone.

    Raises:
        UsageError: `run` is no run folder, or `out` holds something else.
        CheckpointError: the run's files are not what its manifest says.
        DataError: the images cannot be read.
        UnsupportedError: the runtime that should record is not installed.
    """
    manifest = read_manifest(request.run)
    problems = changed_files(request.run, manifest)
    if problems:
        name, problem = next(iter(problems.items()))
        raise CheckpointError(f"{request.run / name} is {problem}", "export the model again")
    if request.images is not None and request.data is not None:
        raise UsageError("--images and --data exclude each other", "pass one of them")
    _check_destination(request.out)
    artifact = main_artifact(request.run)
    build_engine = _build_command(manifest, artifact.name)
    with _open_recorder(artifact, manifest, request.runtime) as runner:
        recorded_with = f"{runner.name} {runner.version}"
        pictures = choose_pictures(request.images, request.data, request.golden)
        letterbox = manifest.input.letterbox
        fitted = Letterbox(
            *manifest.model.imgsz, pad_value=letterbox.pad_value, center=letterbox.center
        )
        goldens = record(runner, fitted, pictures, request.golden, progress)
        request.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".bundle-", suffix=".part", dir=request.out
        ) as text:
            stage = Path(text)
            _write_project(stage, manifest, artifact, build_engine, recorded_with)
            _write_model(stage / "model", request.run, manifest, artifact)
            write_goldens(stage / "golden", runner.name, goldens)
            _move_into_place(stage, request.out)
    return Bundle(
        folder=request.out,
        backend=manifest.target.backend,
        artifact=artifact.name,
        plan=manifest.engine is not None,
        build_engine=build_engine,
        golden=len(goldens),
        detections=sum(len(golden.predicted) for golden in goldens),
        recorded_with=recorded_with,
    )


def _check_destination(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder", "choose another folder with --out")
    taken = [name for name in OWN_ENTRIES if (out / name).exists()]
    if taken and not (out / CONSTANTS).is_file():
        raise UsageError(
            f"{out} holds {taken[0]}, but is no bundle", "choose another folder with --out"
        )


def _open_recorder(artifact: Path, manifest: Manifest, runtime: str | None) -> Any:
    """The runner that makes the recordings, as a context manager."""
    size = manifest.model.imgsz
    if runtime is None and manifest.target.backend == "openvino":
        try:
            return open_runner(artifact, "openvino", imgsz=size)
        except UnsupportedError:
            runtime = "onnxruntime"
    return open_runner(artifact, runtime or "onnxruntime", imgsz=size)


def _build_command(manifest: Manifest, artifact: str) -> str | None:
    """How to build the plan on the device; None where it is there or not needed."""
    if manifest.engine is not None:
        return None
    try:
        recipe = load_recipe(manifest.target.name)
    except UsageError:
        return None
    return recipe.build_command(
        Path("model") / artifact, Path("model") / PLAN_FILE, manifest.precision.name
    )


def _write_project(
    stage: Path, manifest: Manifest, artifact: Path, build_engine: str | None, recorded: str
) -> None:
    for name in COPIED:
        shutil.copytree(SOURCES / name, stage / name, ignore=shutil.ignore_patterns("__pycache__"))
    backend = manifest.target.backend
    cmake = (SOURCES / "CMakeLists.txt").read_text(encoding="utf-8")
    (stage / "CMakeLists.txt").write_text(cmake.replace("@BACKEND@", backend), encoding="utf-8")
    height, width = manifest.model.imgsz
    plan = "`model/engine.plan`, built where the model was exported"
    if manifest.engine is None:
        plan = "none"
        if build_engine is not None:
            plan = f"build it on the device, in this folder:\n\n    {build_engine}\n"
    words = {
        "@MODEL@": model_name(manifest),
        "@PRECISION@": manifest.precision.name,
        "@SIZE@": f"{height}x{width} (height x width)",
        "@CLASSES@": str(len(manifest.model.names)),
        "@TARGET@": manifest.target.name,
        "@BACKEND@": backend,
        "@ARTIFACT@": artifact.name,
        "@PLAN@": plan,
        "@RECORDED@": recorded,
        "@LICENSE@": manifest.source.license or "not recorded; ask who trained it",
        "@VERSION@": __version__,
    }
    readme = (SOURCES / "README.md").read_text(encoding="utf-8")
    for word, value in words.items():
        readme = readme.replace(word, value)
    (stage / "README.md").write_text(readme, encoding="utf-8")
    (stage / CONSTANTS).write_text(render_constants(manifest, artifact), encoding="ascii")


def _write_model(folder: Path, run: Path, manifest: Manifest, artifact: Path) -> None:
    folder.mkdir()
    names = [artifact.name, MANIFEST_FILE]
    if manifest.engine is not None:
        names.append(manifest.engine.file)
    for name in names:
        shutil.copyfile(run / name, folder / name)


def _move_into_place(stage: Path, out: Path) -> None:
    """The constants come last: without them nobody takes the folder for a bundle."""
    for name in sorted(OWN_ENTRIES, key=lambda name: name == CONSTANTS.parts[0]):
        old = out / name
        if old.is_dir():
            shutil.rmtree(old)
        (stage / name).replace(old)
