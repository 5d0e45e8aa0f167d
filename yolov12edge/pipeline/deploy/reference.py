"""What the checkpoint finds on the images that judge: made once, here, for every device."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass

import numpy as np

from yolov12edge.checkpoints import Checkpoint, build_detector, read_checkpoint
from yolov12edge.data import Letterbox
from yolov12edge.errors import DataError
from yolov12edge.evaluate import Detections
from yolov12edge.evaluate.elsewhere import Finding, find
from yolov12edge.evaluate.report import RuntimeVersion
from yolov12edge.pipeline.cache import key_of, recall, remember
from yolov12edge.pipeline.deploy.payload import Payload
from yolov12edge.pipeline.deploy.request import DeployRequest
from yolov12edge.pipeline.stages.verify import reference_path
from yolov12edge.run.folder import main_artifact
from yolov12edge.runtime.torch import TorchRunner
from yolov12edge.voice import Progress


@dataclass(frozen=True)
class Truth:
    """The reference's findings.

    Attributes:
        names: of the classes.
        letterbox: how images are fitted.
        findings: one an image.
        made_by: what ran the checkpoint.
    """

    names: tuple[str, ...]
    letterbox: Letterbox
    findings: tuple[Finding, ...]
    made_by: RuntimeVersion


class Reference:
    """Makes the truth when the first device asks for it, and remembers it for later runs."""

    def __init__(self, request: DeployRequest, payload: Payload, progress: Progress) -> None:
        self._request, self._payload, self._progress = request, payload, progress
        self._guard = threading.Lock()
        self._truth: Truth | None = None
        self._checkpoint: Checkpoint | None = None

    def check(self) -> None:
        """Read the checkpoint, before anything is done that would be in vain without it.

        Raises:
            EdgeError: it is not there, or of another model than the images.
        """
        path = reference_path(main_artifact(self._request.run), self._request.weights)
        self._checkpoint = read_checkpoint(path)
        pictures, classes = self._payload.pictures, self._checkpoint.architecture.num_classes
        names = pictures.dataset.names if pictures and pictures.dataset else ()
        if names and len(names) != classes:
            raise DataError(
                f"the data set has {len(names)} classes, the checkpoint has {classes}",
                "pass the data set that the checkpoint was trained on",
            )

    def truth(self) -> Truth:
        """What the checkpoint finds; other threads wait for the first."""
        with self._guard:
            if self._truth is None:
                self._truth = self._make()
            return self._truth

    def _make(self) -> Truth:
        pictures, manifest = self._payload.pictures, self._payload.manifest
        assert pictures is not None
        assert self._checkpoint is not None
        fitted = manifest.input.letterbox
        size = manifest.model.imgsz
        letterbox = Letterbox(*size, pad_value=fitted.pad_value, center=fitted.center)
        key = key_of(
            checkpoint=self._checkpoint.sha256,
            pictures=pictures.digest,
            letterbox=[*size, fitted.pad_value, fitted.center],
        )
        detector = build_detector(self._checkpoint)
        runner = TorchRunner(detector, *size)
        made_by = RuntimeVersion(runtime=runner.name, version=runner.version)
        known = recall("truth", key)
        if known is not None:
            findings = _unpack(known)
        else:
            findings = find(runner, letterbox, pictures.images, self._progress)
            remember("truth", key, _pack(findings))
        names = detector.names or tuple(str(n) for n in range(runner.num_classes))
        return Truth(tuple(names), letterbox, tuple(findings), made_by)


def _pack(findings: list[Finding]) -> bytes:
    found = [one.detections or Detections.empty() for one in findings]
    memory = io.BytesIO()
    np.savez(
        memory,
        counts=np.array([len(one) for one in found]),
        sizes=np.array([one.size for one in findings]),
        boxes=np.concatenate([one.boxes for one in found]),
        scores=np.concatenate([one.scores for one in found]),
        classes=np.concatenate([one.classes for one in found]),
    )
    return memory.getvalue()


def _unpack(content: bytes) -> list[Finding]:
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        ends = np.cumsum(stored["counts"])
        findings = []
        for end, count, size in zip(ends, stored["counts"], stored["sizes"], strict=True):
            part = slice(end - count, end)
            detections = Detections(
                stored["boxes"][part], stored["scores"][part], stored["classes"][part]
            )
            findings.append(Finding(detections, (int(size[0]), int(size[1]))))
    return findings
