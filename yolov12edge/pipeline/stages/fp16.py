"""The FP16 stage: convert once, remember the file."""

from __future__ import annotations

import json
from pathlib import Path

from yolov12edge.data import Letterbox
from yolov12edge.files import sha256_file, write_bytes
from yolov12edge.pipeline.cache import key_of, recall, remember
from yolov12edge.pipeline.images.sources import CalibrationImages
from yolov12edge.pipeline.stages.artifacts import OnnxArtifact
from yolov12edge.quantize import Fp16Conversion, convert_to_fp16
from yolov12edge.run.manifest import CalibrationSection
from yolov12edge.run.names import FP16_FILE
from yolov12edge.voice import Progress, Voice

FP16_IMAGES = 8


def fp16_step(
    source: Path,
    target: Path,
    calibration: CalibrationImages,
    letterbox: Letterbox,
    *,
    fresh: bool = False,
    voice: Voice,
    progress: Progress,
) -> OnnxArtifact:
    """Write the FP16 form of a float32 file, decided on the first images.

    Args:
        source: float32 ONNX of this package.
        target: where the FP16 file goes.
        letterbox: how the model takes images.
        fresh: convert anew, whatever the cache holds.

    Raises:
        EdgeError: as `convert_to_fp16`.
    """
    images = calibration.part(0, FP16_IMAGES)
    size = [letterbox.height, letterbox.width]
    key = key_of(graph=sha256_file(source), images=list(images.hashes), size=size)
    known = None if fresh else recall("fp16", key)
    if known is not None:
        header, _, content = known.partition(b"\n")
        write_bytes(target, content)
        conversion = Fp16Conversion(target, **json.loads(header))
    else:
        progress("converting to FP16", 0, 1)
        conversion = convert_to_fp16(source, target, list(images.stream(letterbox)))
        facts = {"nodes": conversion.nodes, "kept": conversion.kept, "images": conversion.images}
        remember("fp16", key, json.dumps(facts).encode() + b"\n" + target.read_bytes())
        progress("converting to FP16", 1, 1)
    voice.info(
        f"{FP16_FILE}: {conversion.nodes['fp16']} nodes in FP16, {conversion.nodes['fp32']} kept "
        f"in FP32, decided on {conversion.images} images"
        + (" (taken from the cache)" if known else "")
    )
    decided = CalibrationSection(
        images=conversion.images,
        sha256=calibration.digest(),
        method="autocast-range",
        seed=calibration.seed,
    )
    return OnnxArtifact(target, "fp16", conversion.nodes, conversion.kept, decided)
