"""A checkpoint, whole or a part of one, as the start of a training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from yolov12edge.checkpoints.canonical import canonicalize_partial
from yolov12edge.checkpoints.layout import Shapes, find_architecture, skeleton, strip_prefix
from yolov12edge.checkpoints.reader import check_file, open_contents
from yolov12edge.checkpoints.tensors import LazyTensor
from yolov12edge.errors import CheckpointError
from yolov12edge.files import sha256_file
from yolov12edge.model import LAYOUTS, SCALES, Architecture, Detector, published_architecture

# Published heads have at most 384; a file that says more must not decide what memory is taken.
MAX_CLASS_WIDTH = 4096
_PE_BIAS = ".attn.pe.conv.bias"
_HINT = "pass a YOLOv12 checkpoint or a part of one, or train from scratch without --weights"


@dataclass(frozen=True)
class InitialWeights:
    """A file that a detector can start from.

    Attributes:
        path, sha256: the file and the hash of its bytes.
        architecture: the one that its tensors are of; `num_classes` is a guess in partial files.
        tensors: under the names of the file.
        names: class names, None where the file has none.
        license: as the file says.
    """

    path: Path
    sha256: str
    architecture: Architecture
    tensors: dict[str, LazyTensor]
    names: tuple[str, ...] | None
    license: str | None


@dataclass(frozen=True)
class Fit:
    """How much of a detector came from a file.

    Attributes:
        taken: tensors of the file that went in.
        total: tensors that a whole file of its form has.
        stored: tensors in the file.
        layers: layers of the detector that got nothing.
    """

    taken: int
    total: int
    stored: int
    layers: tuple[int, ...]


def read_initial(path: str | Path) -> InitialWeights:
    """Open a checkpoint of any form, or a part of one, to train from.

    Raises:
        CheckpointError: the file is missing, damaged, hostile, or of no YOLOv12.
    """
    path = Path(path)
    try:
        size = check_file(path)
        with path.open("rb") as file:
            contents = open_contents(path, size, file)
            architecture = _architecture({name: t.shape for name, t in contents.tensors.items()})
            tensors = {name: _held(tensor) for name, tensor in contents.tensors.items()}
        return InitialWeights(
            path, sha256_file(path), architecture, tensors, contents.names, contents.license
        )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error.message}", error.hint) from error
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}", _HINT) from error


def for_classes(architecture: Architecture, num_classes: int) -> Architecture:
    """The architecture with a head for `num_classes`, as published unless that is what it has."""
    if num_classes == architecture.num_classes:
        return architecture
    return replace(architecture, num_classes=num_classes, class_width=None)


def initialise(detector: Detector, initial: InitialWeights) -> Fit:
    """Copy what fits into a detector; the rest of it stays as it is.

    Raises:
        CheckpointError: nothing fits, or the values cannot be weights.
    """
    state = detector.state_dict()
    tensors = initial.tensors
    try:
        found = canonicalize_partial(tensors, {name: tuple(t.shape) for name, t in state.items()})
    except CheckpointError as error:
        raise CheckpointError(f"{initial.path}: {error.message}", error.hint) from error
    if not found.state:
        raise CheckpointError(
            f"{initial.path}: none of its {len(tensors)} tensors fits a YOLOv12", _HINT
        )
    with torch.no_grad():
        for name, values in found.state.items():
            state[name].copy_(values)
    # The paper's release has a bias before the norm of each position convolution.
    biased = any(name.endswith(_PE_BIAS) for name in tensors)
    extra = sum(name.endswith(".attn.pe.conv.weight") for name in state) if biased else 0
    reached = {int(name.split(".")[1]) for name in found.state}
    layers = sorted({int(name.split(".")[1]) for name in state} - reached)
    taken = len(found.state) + len(found.absorbed)
    return Fit(taken, len(state) + extra, len(tensors), tuple(layers))


def _held(tensor: LazyTensor) -> LazyTensor:
    """The same with its values in memory, so that the file can be closed."""
    values = tensor.load()
    return replace(tensor, load=lambda: values)


def _architecture(shapes: Shapes) -> Architecture:
    """The architecture of a whole file, else the published one that most of the tensors fit."""
    if not shapes:
        raise CheckpointError("holds no tensors", _HINT)
    prefix = strip_prefix(shapes)
    named = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
    try:
        exact = find_architecture(named)
    except CheckpointError:
        exact = None
    if exact is not None and (exact.class_width or 0) > MAX_CLASS_WIDTH:
        exact = replace(exact, class_width=None)
    if exact is not None and _fitting(exact, named) >= 0.9 * len(named):
        return exact
    # The default layout first: where a part fits both, it wins.
    candidates = [
        published_architecture(scale, layout) for layout in reversed(LAYOUTS) for scale in SCALES
    ]
    best = max(candidates, key=lambda candidate: _fitting(candidate, named))
    if _fitting(best, named) == 0:
        raise CheckpointError(f"none of its {len(shapes)} tensors is a YOLOv12's", _HINT)
    return best


def _fitting(architecture: Architecture, shapes: Shapes) -> int:
    wanted = skeleton(architecture).state_dict()
    return sum(
        name in wanted and tuple(wanted[name].shape) == shape for name, shape in shapes.items()
    )
