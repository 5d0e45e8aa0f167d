"""What a checkpoint is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from yolov12edge.checkpoints import read_checkpoint
from yolov12edge.checkpoints.contents import Form
from yolov12edge.documents import Document
from yolov12edge.model.scales import Layout, Scale

_LEARNED_EXCEPT = ("running_mean", "running_var", "num_batches_tracked")


class CheckpointInspection(Document):
    """A checkpoint of any form.

    Attributes:
        form: "published" (a stripped model), "trainer" (with EMA or optimizer) or "state-dict".
        fused: batch norms had been folded into the convolutions.
        names: class names, None where the file has none that fit.
        parameters: how many numbers are learned.
        pe_kernel, mlp_ratio, stem_groups, class_width: what differs between releases.
        dtype: floating-point type of the tensors in the file.
        epoch: of an unfinished training, counted from 0.
        image_size: side of the training images in pixels, where the file says it.
        license: as the file says.
        notes: what was found or changed, one line each.
    """

    kind: Literal["checkpoint"] = "checkpoint"
    path: str
    bytes: int
    sha256: str
    form: Form
    fused: bool
    scale: Scale
    layout: Layout
    num_classes: int
    names: list[str] | None
    parameters: int
    pe_kernel: int
    mlp_ratio: float
    stem_groups: list[int]
    class_width: int | None
    dtype: str
    epoch: int | None
    image_size: int | None
    license: str | None
    notes: list[str]


def inspect_checkpoint(path: Path) -> CheckpointInspection:
    """Read a checkpoint and say what it is; no code from the file runs.

    Raises:
        CheckpointError: the file is missing, damaged, hostile, or no whole YOLOv12 detector.
    """
    checkpoint = read_checkpoint(path)
    architecture = checkpoint.architecture
    learned = [
        tensor for name, tensor in checkpoint.state.items() if not name.endswith(_LEARNED_EXCEPT)
    ]
    return CheckpointInspection(
        path=str(checkpoint.path),
        bytes=checkpoint.size,
        sha256=checkpoint.sha256,
        form=checkpoint.form,
        fused=checkpoint.fused,
        scale=architecture.scale,
        layout=architecture.layout,
        num_classes=architecture.num_classes,
        names=list(checkpoint.names) if checkpoint.names else None,
        parameters=sum(tensor.numel() for tensor in learned),
        pe_kernel=architecture.pe_kernel,
        mlp_ratio=architecture.mlp_ratio,
        stem_groups=list(architecture.stem_groups),
        class_width=architecture.class_width,
        dtype=checkpoint.dtype,
        epoch=checkpoint.epoch,
        image_size=checkpoint.image_size,
        license=checkpoint.license,
        notes=list(checkpoint.notes),
    )
