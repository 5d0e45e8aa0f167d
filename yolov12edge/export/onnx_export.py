"""Detector to ONNX file: rewrite, write, lint, and prove the file against the detector."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from yolov12edge.errors import ExportError, UsageError
from yolov12edge.export.emit import emit_model
from yolov12edge.export.lints import Finding, lint_graph
from yolov12edge.export.metadata import describe_artifact, metadata_props
from yolov12edge.export.modules import AttentionVariant
from yolov12edge.export.rewrite import PLAIN, StepProof, rewrite
from yolov12edge.files import write_bytes
from yolov12edge.graph.builder import OPSETS
from yolov12edge.graph.view import GraphView
from yolov12edge.model import Detector
from yolov12edge.run.form import SWISH_OPSET, GraphForm
from yolov12edge.run.manifest import InputSection, ModelSection, OutputSection
from yolov12edge.runtime import open_runner

SCORE_TOLERANCE = 1e-4
BOX_TOLERANCE = 0.01
# At 4096 an attention matrix at stride 32 has 16384 x 16384 entries, and it grows with side**4.
MAX_SIDE = 4096


@dataclass(frozen=True)
class ExportOptions:
    """What the ONNX graph should be.

    Attributes:
        height: input rows, a multiple of 32.
        width: input columns, a multiple of 32.
        batch: fixed batch size, or None for a symbolic one.
        opset: 13 to 24.
        variant: tensor layout of attention.
        swap_attention: False leaves the softmax scale where the release has it.
        form: of the other parts of the graph.
        tensorrt: version of the TensorRT that will build it, as `lint_graph` takes it.
    """

    height: int
    width: int
    batch: int | None = 1
    opset: int = 17
    variant: AttentionVariant = "packed"
    swap_attention: bool = True
    form: GraphForm = PLAIN
    tensorrt: str | None = None

    def __post_init__(self) -> None:
        if self.height % 32 or self.width % 32 or min(self.height, self.width) < 32:
            side = max(self.height, self.width, 32) // 32 * 32
            raise UsageError(
                f"image size {self.height}x{self.width} is not a multiple of 32",
                f"use a multiple of 32 for both sides, for example {side} or {side + 32}",
            )
        if max(self.height, self.width) > MAX_SIDE:
            raise UsageError(
                f"image size {self.height}x{self.width} is beyond {MAX_SIDE} pixels a side",
                "export for a smaller size, and cut larger pictures into tiles",
            )
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"batch is {self.batch}", "use a batch of at least 1")
        if self.opset not in OPSETS:
            raise UsageError(
                f"opset {self.opset} is not supported", f"use {OPSETS[0]} to {OPSETS[-1]}"
            )
        if self.form.activation == "swish" and self.opset < SWISH_OPSET:
            raise UsageError(
                f"Swish is there from opset {SWISH_OPSET} on, asked for is {self.opset}",
                "raise the opset, or take activation sigmoid-mul or tanh",
            )


@dataclass(frozen=True)
class Parity:
    """Largest differences between a detector and its ONNX file in ONNX Runtime, both in float32.

    Attributes:
        box_error: of a box coordinate, pixels.
        score_error: of a score.
        images: how many were compared.
    """

    box_error: float
    score_error: float
    images: int


@dataclass(frozen=True)
class OnnxExport:
    """An exported file and how it was proved.

    Attributes:
        path: the file.
        model, input, output: as the manifest and the file's metadata say it.
        proofs: one a rewrite step.
        statistics: nodes in all and by operator.
        findings: what the lints say; warnings only, errors are raised.
    """

    path: Path
    model: ModelSection
    input: InputSection
    output: OutputSection
    proofs: tuple[StepProof, ...]
    statistics: dict[str, int]
    findings: tuple[Finding, ...]


def export_onnx(detector: Detector, path: Path, options: ExportOptions) -> OnnxExport:
    """Rewrite a detector and write it as ONNX, with every rewrite step proved.

    Raises:
        ExportError: a rewrite step moved the numbers, or a lint found an error.
        UsageError: the file cannot be written.
    """
    model, proofs = rewrite(detector, options.variant, options.swap_attention, options.form)
    sections = describe_artifact(detector, options.height, options.width, options.batch)
    graph = emit_model(
        model,
        options.height,
        options.width,
        options.batch,
        options.opset,
        metadata_props(*sections),
    )
    findings = lint_graph(graph, tensorrt=options.tensorrt)
    refuse_errors(findings)
    write_bytes(path, graph.SerializeToString(deterministic=True))
    return OnnxExport(path, *sections, proofs, graph_statistics(graph), tuple(findings))


def refuse_errors(findings: list[Finding]) -> None:
    """Raise the first lint error, if there is one."""
    for finding in findings:
        if finding.severity == "error":
            raise ExportError(
                f"{finding.lint}: {finding.message}",
                "no engine builder would take this graph: check the checkpoint with inspect",
            )


def graph_statistics(model: onnx.ModelProto) -> dict[str, int]:
    """Number of nodes, in all and by operator, most frequent first."""
    operators = GraphView(model).operators
    return {"nodes": sum(operators.values())} | dict(operators.most_common())


def check_parity(
    detector: Detector, path: Path, images: NDArray[np.float32] | None = None
) -> Parity:
    """Compare a detector in torch with its ONNX file in ONNX Runtime.

    Args:
        images: (B, 3, H, W) RGB in 0..1 at the file's size; a drawn picture where absent.

    Raises:
        ExportError: boxes differ by more than 0.01 px or scores by more than 1e-4.
    """
    with contextlib.closing(open_runner(path, runtime="onnxruntime")) as runner:
        _, _, height, width = runner.input_shape
        if images is None:
            images = probe_picture(height, width)
        produced = runner(images)
    with torch.inference_mode():
        expected = detector.eval()(torch.from_numpy(images)).numpy()
    difference = np.abs(produced - expected)
    parity = Parity(
        box_error=float(difference[:, :4].max()),
        score_error=float(difference[:, 4:].max()),
        images=len(images),
    )
    if not (parity.box_error <= BOX_TOLERANCE and parity.score_error <= SCORE_TOLERANCE):
        raise ExportError(
            f"{path.name} differs from the checkpoint: boxes by {parity.box_error:.3g} px, "
            f"scores by {parity.score_error:.3g}",
            "run `yolov12edge verify` on it with --weights to see where the difference starts",
        )
    return parity


def probe_picture(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """(1, 3, H, W) in 0..1: smooth colour fields with discs, so that all layers get a signal."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    picture = np.empty((3, height, width), dtype=np.float32)
    for channel in picture:
        waves = random.uniform(1, 6, 2) * 2 * np.pi
        channel[:] = 0.5 + 0.25 * np.sin(waves[0] * rows / height + waves[1] * columns / width)
    for _ in range(12):
        centre = random.uniform(0, [height, width])
        radius = random.uniform(0.03, 0.25) * min(height, width)
        disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
        picture[:, disc] = random.uniform(0, 1, (3, 1))
    picture += random.normal(0, 0.02, picture.shape)
    return np.clip(picture, 0, 1)[None].astype(np.float32)
