"""What an artifact says about itself: class names and how to prepare images for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolov12edge.data.letterbox import Letterbox
from yolov12edge.errors import CheckpointError

METADATA_KEY = "yolov12edge"
# JSON list of [module path, tensor name]: what each block of the network yields.
BLOCKS_KEY = "yolov12edge.blocks"
MAX_MANIFEST_BYTES = 16_000_000


@dataclass(frozen=True)
class ArtifactInfo:
    """What an exported artifact carries.

    Attributes:
        names: class names, by class index, if it carries them.
        letterbox: how images are to be fitted to its input.
    """

    names: tuple[str, ...] | None
    letterbox: Letterbox


def artifact_info(path: Path) -> ArtifactInfo | None:
    """Read what an .onnx file, or the manifest.json beside a plan, says about the model.

    Returns:
        None where nothing is said: a file that another tool exported.

    Raises:
        CheckpointError: the file or its metadata is damaged.
    """
    path = Path(path)
    if path.suffix.lower() == ".onnx":
        text = _onnx_metadata(path)
        return parse_metadata(text) if text else None
    manifest = path.parent / "manifest.json"
    if not manifest.is_file() or manifest.stat().st_size > MAX_MANIFEST_BYTES:
        return None
    return parse_metadata(manifest.read_text(encoding="utf-8", errors="replace"))


def parse_metadata(text: str) -> ArtifactInfo:
    """Read the JSON that an export stores under `METADATA_KEY`, or a run folder's manifest.

    Raises:
        CheckpointError: the text is not such a document.
    """
    try:
        document: Any = json.loads(text)
        model, letterbox = document["model"], document["input"]["letterbox"]
        height, width = (int(side) for side in model["imgsz"])
        pad_value = int(letterbox["pad_value"])
        if not (0 < height < 1 << 16 and 0 < width < 1 << 16 and 0 <= pad_value <= 255):
            raise ValueError("image size or pad value out of range")
        names = model.get("names")
        return ArtifactInfo(
            names=tuple(str(name) for name in names) if names else None,
            letterbox=Letterbox(height, width, pad_value, center=bool(letterbox["center"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            "the artifact's yolov12edge metadata is damaged", "export the artifact again"
        ) from error


def _onnx_metadata(path: Path) -> str | None:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError as error:
        raise CheckpointError(f"{path} is not an ONNX file", "export it again") from error
    return next((entry.value for entry in model.metadata_props if entry.key == METADATA_KEY), None)
