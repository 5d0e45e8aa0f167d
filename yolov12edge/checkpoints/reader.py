"""From a checkpoint file to a detector."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from yolov12edge.checkpoints.archive import MAX_EXPANSION, ZIP_MAGIC
from yolov12edge.checkpoints.canonical import canonicalize
from yolov12edge.checkpoints.contents import Contents, Form, from_record, read_torch
from yolov12edge.checkpoints.flat import is_safetensors, read_safetensors, write_safetensors
from yolov12edge.checkpoints.layout import skeleton
from yolov12edge.checkpoints.text import printable
from yolov12edge.errors import CheckpointError
from yolov12edge.files import sha256_file
from yolov12edge.model import Architecture, Detector

# The number that starts every file of torch.save before its zip form (PyTorch 1.6), any protocol.
_LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_WANTED = "pass a YOLOv12 checkpoint: .pt or .safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in canonical form.

    Attributes:
        path, sha256, size: the file, the hash of its bytes, its bytes.
        form: "published" (a stripped model), "trainer" (with EMA or optimizer) or "state-dict".
        fused: batch norms had been folded into the convolutions.
        epoch: of an unfinished training, counted from 0.
        names: class names, None where the file has none that fit.
        architecture: found from the tensors.
        state: float32, keyed and ordered as `Detector.state_dict()`.
        notes: one line each, what was found or changed.
        image_size: side of the training images in pixels, where the file says it.
        license: as the file says.
        dtype: floating-point type of the tensors in the file.
    """

    path: Path
    sha256: str
    size: int
    form: Form
    fused: bool
    epoch: int | None
    names: tuple[str, ...] | None
    architecture: Architecture
    state: dict[str, Tensor]
    notes: tuple[str, ...]
    image_size: int | None
    license: str | None
    dtype: str


def load_model(path: str | Path, device: str | torch.device = "cpu") -> Detector:
    """The detector of a checkpoint file, in eval mode and float32.

    Takes published and trainer checkpoints (.pt), models and flat state dicts (.pt,
    .safetensors), fused or not. No code from the file runs.

    Raises:
        CheckpointError: the file is missing, damaged, hostile, or no whole YOLOv12 detector.

    Example:
        >>> model = load_model("yolov12n.pt")  # doctest: +SKIP
        >>> model(torch.rand(1, 3, 640, 640)).shape  # doctest: +SKIP
        torch.Size([1, 84, 8400])
    """
    return build_detector(read_checkpoint(path)).to(device)


def build_detector(checkpoint: Checkpoint) -> Detector:
    """The detector of a checkpoint that was read, in eval mode; it shares the tensors."""
    detector = skeleton(checkpoint.architecture, checkpoint.names)
    detector.load_state_dict(checkpoint.state, assign=True)
    return detector.eval()


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint file into canonical form.

    Raises:
        CheckpointError: the file is missing, damaged, hostile, or no whole YOLOv12 detector.
    """
    path = Path(path)
    try:
        size = check_file(path)
        with path.open("rb") as file:
            return _read(path, size, file)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error.message}", error.hint) from error
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}", _WANTED) from error


def save_safetensors(
    source: Detector | Checkpoint,
    path: str | Path,
    half: bool = False,
    extra: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a flat .safetensors with the published names; architecture and class names inside.

    Args:
        source: a detector or a checkpoint that was read.
        path: the file to write, atomically.
        half: store float16, except tensors that would overflow it.
        extra: what else to record, ready for JSON; `image_size` and `license` are read again.
        tensors: that are no part of the detector; their names begin with `INT8_PREFIX`.

    Returns:
        `path`.

    Raises:
        UsageError: the folder cannot be written.
    """
    path = Path(path)
    architecture = source.architecture
    state = source.state_dict() if isinstance(source, Detector) else source.state
    record: dict[str, Any] = {
        "scale": architecture.scale,
        "layout": architecture.layout,
        "num_classes": architecture.num_classes,
        "names": list(source.names) if source.names else None,
    }
    if isinstance(source, Checkpoint):
        record |= {
            "source_sha256": source.sha256,
            "image_size": source.image_size,
            "license": source.license,
        }
    record |= extra or {}
    stored = {n: _halved(t) if half else t for n, t in state.items()}
    write_safetensors(path, {**stored, **(tensors or {})}, record)
    return path


def _halved(tensor: Tensor) -> Tensor:
    half = tensor.half() if tensor.is_floating_point() else tensor
    return half if bool(torch.isfinite(half).all()) else tensor


def check_file(path: Path) -> int:
    """Bytes of a regular file that is not empty.

    Raises:
        CheckpointError: it is none.
    """
    if not path.exists():
        raise CheckpointError("no such file", _WANTED)
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise CheckpointError("is a folder", "pass the checkpoint file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError("is not a regular file", _WANTED)
    if status.st_size == 0:
        raise CheckpointError("is empty", "download or copy the file again")
    return status.st_size


def open_contents(path: Path, size: int, file: BinaryIO) -> Contents:
    """What lies in a checkpoint file of any form, sizes checked.

    Raises:
        CheckpointError: damaged, hostile, or no checkpoint.
    """
    head = file.read(64)
    if head.startswith(ZIP_MAGIC):
        contents = read_torch(file)
    elif is_safetensors(head, size):
        contents = from_record(*read_safetensors(path))
    else:
        raise _unknown_format(head)
    stored = sum(tensor.nbytes for tensor in contents.tensors.values())
    if stored > MAX_EXPANSION * size:
        raise CheckpointError(
            f"its tensors claim {stored} bytes, the file has {size}",
            "take the file from a source you trust",
        )
    return contents


def _read(path: Path, size: int, file: BinaryIO) -> Checkpoint:
    contents = open_contents(path, size, file)
    canonical = canonicalize(contents.tensors)
    names, notes = contents.names, [*contents.notes, *canonical.notes]
    if names is not None and len(names) != canonical.architecture.num_classes:
        notes.append(f"ignored {len(names)} class names for {canonical.architecture.num_classes}")
        names = None
    return Checkpoint(
        path=path,
        sha256=sha256_file(path),
        size=size,
        form=contents.form,
        fused=canonical.fused,
        epoch=contents.epoch,
        names=names,
        architecture=canonical.architecture,
        state=canonical.state,
        notes=tuple(notes),
        image_size=contents.image_size,
        license=contents.license,
        dtype=canonical.dtype,
    )


def _unknown_format(head: bytes) -> CheckpointError:
    if head[2:].startswith(_LEGACY_MAGIC):
        return CheckpointError(
            "is in the form that torch.save used before PyTorch 1.6",
            "convert it once where its classes are installed and the file is trusted: "
            "torch.save(torch.load('old.pt', weights_only=False), 'new.pt')",
        )
    if head.startswith(b"version https://git-lfs"):
        return CheckpointError("is a Git LFS pointer, not the file itself", "run: git lfs pull")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return CheckpointError("is a web page, not a checkpoint", "download the file itself")
    start = printable(head[:16].decode("latin-1"))
    return CheckpointError(f"is not a checkpoint: it starts with {start}", _WANTED)
