"""What goes to a device: the bundle, a float model that INT8 has to beat, pictures to judge on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from yolov12edge.data import Dataset, find_images, load_dataset, read_image
from yolov12edge.errors import DataError
from yolov12edge.files import write_bytes, write_json
from yolov12edge.pipeline.bundle.job import BundleRequest, write_bundle
from yolov12edge.pipeline.deploy.request import DeployRequest
from yolov12edge.pipeline.images.sources import evenly
from yolov12edge.remote.files import Outgoing, digest_of
from yolov12edge.run.folder import RunFolder
from yolov12edge.run.manifest import Manifest, read_manifest
from yolov12edge.run.names import MANIFEST_FILE, ONNX_FILES, PLAN_FILE
from yolov12edge.run.recipe import Precision
from yolov12edge.voice import Progress

# The folders of a deploy on the device.
BUNDLE, RIVAL, JUDGE, BUILD, OUT = "bundle", "rival", "judge", "build", "out"
LIST = "list.txt"
TIMING_CACHE = "timing.cache"
# All that a deploy makes in its folder there.
OWN_ENTRIES = (BUNDLE, RIVAL, JUDGE, BUILD, OUT, "incoming", TIMING_CACHE, ".deploy")
# What the programs are compiled from; the model is not among it, but its constants are.
_SOURCES = ("CMakeLists.txt", "cmake/", "include/", "src/", "apps/", "third_party/")
# The float precision that INT8 has to beat, by who runs it.
_RIVALS: dict[str, tuple[Precision, ...]] = {
    "tensorrt": ("fp16", "fp32"),
    "tensorrt_rtx": (),
    "openvino": ("fp32",),
    "onnxruntime": ("fp32",),
}


@dataclass(frozen=True)
class Model:
    """A model of the payload.

    Attributes:
        folder: that it lies in on the device.
        onnx: name of its file.
        sha256: of that file.
        precision: what it computes in.
        built: its plan comes along.
    """

    folder: str
    onnx: str
    sha256: str
    size: int
    precision: Precision
    built: bool

    @property
    def path(self) -> str:
        """The ONNX file, on the device."""
        return f"{self.folder}/{self.onnx}"

    @property
    def plan(self) -> str:
        """The plan, on the device."""
        return f"{self.folder}/{PLAN_FILE}"


@dataclass(frozen=True)
class Pictures:
    """Images to judge on.

    Attributes:
        images: here, in order.
        dataset: their labels; None without.
        spread_over: how many the set has; None if these are all.
        files: PNGs and their list, to send.
        digest: of all of them.
    """

    images: tuple[Path, ...]
    dataset: Dataset | None
    spread_over: int | None
    files: tuple[Outgoing, ...]
    digest: str


@dataclass(frozen=True)
class Payload:
    """Everything that is sent, the same for every device.

    Attributes:
        manifest: of the run.
        model: what was asked for.
        rival: what it is timed against; None unless it is INT8.
        files: of the bundle and the rival.
        sources: digest of what the programs are compiled from.
        pictures: to judge on; None without any.
    """

    manifest: Manifest
    model: Model
    rival: Model | None
    files: tuple[Outgoing, ...]
    sources: str
    pictures: Pictures | None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        pictures = self.pictures.files if self.pictures else ()
        return sum(one.size for one in (*self.files, *pictures))


def gather(request: DeployRequest, folder: Path, progress: Progress) -> Payload:
    """Write the bundle and the pictures into a folder here, and list what is to be sent.

    Raises:
        EdgeError: as `write_bundle`; or the images cannot be read.
    """
    run, manifest = RunFolder(request.run), read_manifest(request.run)
    bundle = folder / BUNDLE
    write_bundle(BundleRequest(request.run, bundle, request.images, request.data), progress)
    # What earlier deploys found is nothing to the device, and would be another file each time.
    document = _described(manifest, precision=manifest.precision.name)
    write_json(bundle / "model" / MANIFEST_FILE, document.model_dump(mode="json"))
    files = [
        Outgoing.of(path, f"{BUNDLE}/{path.relative_to(bundle).as_posix()}")
        for path in sorted(bundle.rglob("*"))
        if path.is_file()
    ]
    sources = [
        f"{one.sha256} {one.path}"
        for one in files
        if one.path.removeprefix(f"{BUNDLE}/").startswith(_SOURCES)
    ]
    precision = manifest.precision.name
    model = _model(files, f"{BUNDLE}/model", precision, manifest.engine is not None)
    rival = None
    for other in _RIVALS[manifest.target.backend] if precision == "int8" else ():
        if run.onnx(other).is_file():
            added = _write_rival(run, manifest, other, folder / RIVAL)
            files += added
            rival = _model(added, RIVAL, other, False)
            break
    pictures = _gather_pictures(request, folder / JUDGE, progress)
    return Payload(manifest, model, rival, tuple(files), digest_of(sources), pictures)


def _model(files: Sequence[Outgoing], folder: str, precision: Precision, built: bool) -> Model:
    name = ONNX_FILES[precision]
    (found,) = (one for one in files if one.path == f"{folder}/{name}")
    return Model(folder, name, found.sha256, found.size, precision, built)


def _write_rival(
    run: RunFolder, manifest: Manifest, precision: Precision, folder: Path
) -> list[Outgoing]:
    """A model folder with a manifest of its own, which the C++ programs read at run time."""
    described = _described(manifest, precision).model_copy(update={"engine": None})
    write_json(folder / MANIFEST_FILE, described.model_dump(mode="json"))
    onnx = run.onnx(precision)
    return [
        Outgoing.of(onnx, f"{RIVAL}/{onnx.name}"),
        Outgoing.of(folder / MANIFEST_FILE, f"{RIVAL}/{MANIFEST_FILE}"),
    ]


def _described(manifest: Manifest, precision: Precision) -> Manifest:
    """The manifest of a model folder on a device."""
    files = {name: one for name, one in manifest.files.items() if "/" not in name}
    named = manifest.precision.model_copy(update={"name": precision})
    return manifest.model_copy(update={"precision": named, "files": files, "devices": {}})


def _gather_pictures(request: DeployRequest, folder: Path, progress: Progress) -> Pictures | None:
    """PNGs of the images, as they are decoded here: the programs there read no JPEG."""
    if request.data is not None:
        dataset = load_dataset(request.data, "val")
    elif request.images is not None:
        dataset = Dataset((), tuple(find_images(request.images)), None)
    else:
        return None
    total = len(dataset.images)
    if not total:
        raise DataError("no images to judge on", "give a folder or a data.yaml with images")
    most = request.most_images or total
    chosen = evenly(total, most)
    images = tuple(dataset.images[index] for index in chosen)
    files = []
    for number, image in enumerate(images):
        path = folder / f"{number + 1:05d}.png"
        # Little compression: what takes long on a slow processor here is not sent much sooner.
        options = [cv2.IMWRITE_PNG_COMPRESSION, 3]
        encoded = cv2.imencode(".png", read_image(image)[..., ::-1], options)[1]
        write_bytes(path, encoded.tobytes())
        files.append(Outgoing.of(path, f"{JUDGE}/{path.name}"))
        progress("pictures for the device", number + 1, len(images))
    write_bytes(folder / LIST, "".join(f"{one.file.name}\n" for one in files).encode())
    files.append(Outgoing.of(folder / LIST, f"{JUDGE}/{LIST}"))
    labelled = None
    if dataset.labels is not None:
        labels = tuple(dataset.labels[index] for index in chosen)
        labelled = Dataset(dataset.names, images, labels)
    return Pictures(
        images,
        labelled,
        total if len(images) < total else None,
        tuple(files),
        digest_of([one.sha256 for one in files]),
    )
