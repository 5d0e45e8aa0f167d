"""What an artifact says about itself: class names and how to prepare images for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from yolov12edge.data.letterbox import Letterbox
from yolov12edge.errors import CheckpointError
from yolov12edge.run.facts import ModelFacts, model_facts

METADATA_KEY = "yolov12edge"
# JSON list of [module path, tensor name]: what each block of the network yields.
BLOCKS_KEY = "yolov12edge.blocks"


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
    try:
        facts = _onnx_facts(path) if path.suffix.lower() == ".onnx" else model_facts(path.parent)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            "the artifact's yolov12edge metadata is damaged", "export the artifact again"
        ) from error
    if facts is None:
        return None
    return ArtifactInfo(
        facts.names, Letterbox(*facts.imgsz, pad_value=facts.pad_value, center=facts.center)
    )


def _onnx_facts(path: Path) -> ModelFacts | None:
    text = _onnx_metadata(path)
    return ModelFacts.parse(json.loads(text)) if text else None


def _onnx_metadata(path: Path) -> str | None:
    from yolov12edge.graph import GraphView, load_graph

    return GraphView(load_graph(path, weights=False)).metadata.get(METADATA_KEY)
