"""What an ONNX file says about itself: model, input, output."""

from __future__ import annotations

import json

from yolov12edge.model import STRIDES, Detector
from yolov12edge.run.manifest import InputSection, LetterboxSection, ModelSection, OutputSection
from yolov12edge.runtime.metadata import METADATA_KEY

PAD_VALUE = 114


def describe_artifact(
    detector: Detector, height: int, width: int, batch: int | None
) -> tuple[ModelSection, InputSection, OutputSection]:
    """Sections `model`, `input` and `output` of the manifest and of the ONNX metadata.

    Args:
        batch: fixed batch size, or None for a symbolic one (written as -1).
    """
    architecture = detector.architecture
    anchors = sum((height // stride) * (width // stride) for stride in STRIDES)
    rows = -1 if batch is None else batch
    return (
        ModelSection(
            scale=architecture.scale,
            layout=architecture.layout,
            num_classes=architecture.num_classes,
            names=list(detector.names),
            imgsz=(height, width),
            strides=list(STRIDES),
            parameters=detector.num_parameters,
        ),
        InputSection(
            name="images",
            shape=[rows, 3, height, width],
            dtype="float32",
            color="RGB",
            scale=1 / 255,
            letterbox=LetterboxSection(pad_value=PAD_VALUE, center=True, stride=STRIDES[-1]),
        ),
        OutputSection(
            name="detections",
            shape=[rows, 4 + architecture.num_classes, anchors],
            dtype="float32",
            layout="cxcywh+scores",
        ),
    )


def metadata_props(
    model: ModelSection, inputs: InputSection, outputs: OutputSection
) -> dict[str, str]:
    """The ONNX `metadata_props` of an artifact."""
    sections = {"model": model, "input": inputs, "output": outputs}
    document = {name: section.model_dump(mode="json") for name, section in sections.items()}
    return {METADATA_KEY: json.dumps({"schema_version": 1} | document, ensure_ascii=False)}
