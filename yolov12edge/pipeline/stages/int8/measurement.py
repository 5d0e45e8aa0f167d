"""A measurement: something that INT8 has to know, that images tell, and that is found out once."""

from __future__ import annotations

import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from yolov12edge.data import Letterbox
from yolov12edge.pipeline.cache import forget, key_of, recall, remember
from yolov12edge.pipeline.images.sources import CalibrationImages
from yolov12edge.quantize import Dialect, QuantizationPlan
from yolov12edge.voice import Progress

Value = TypeVar("Value")
# What reading a value back may raise: an entry of another form counts as absent.
_UNREADABLE = (ValueError, KeyError, TypeError, OSError, RecursionError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Problem:
    """The graph that is to become INT8, and what of it does.

    Attributes:
        source: float32 ONNX of this package.
        sha256: of that file.
        model: its content.
        plan: which of its tensors become INT8.
        dialect: the rules that the plan was made by.
        letterbox: how the model takes images.
    """

    source: Path
    sha256: str
    model: onnx.ModelProto
    plan: QuantizationPlan
    dialect: Dialect
    letterbox: Letterbox

    def parts(self) -> dict[str, Any]:
        """What results on the whole plan depend on, for their key."""
        return {
            "rules": self.dialect.name,
            "weights": None if self.dialect.weights is None else self.dialect.weights.name,
            "edges": sorted(self.plan.edges.items()),
            "groups": self.plan.groups,
            "convolutions": self.plan.convolutions,
        }


class Measurement(ABC, Generic[Value]):
    """One measurement on some of the calibration images; what it found is kept in the cache.

    Args:
        problem: what is to become INT8.
        images: the images it looks at.

    Attributes:
        kind: names its entries in the cache.
        label: what progress calls it.
        remembered: whether `find` took the value from the cache.
    """

    kind: ClassVar[str]
    label: ClassVar[str]

    def __init__(self, problem: Problem, images: CalibrationImages) -> None:
        self.problem = problem
        self.images = images
        self.remembered = False

    @abstractmethod
    def depends_on(self) -> dict[str, Any]:
        """What the result depends on besides graph, images and letterbox; JSON."""

    @abstractmethod
    def measure(self, progress: Progress) -> Value:
        """Look at the images."""

    @abstractmethod
    def encode(self, value: Value) -> bytes:
        """The form in which the cache keeps a value."""

    @abstractmethod
    def decode(self, content: bytes) -> Value:
        """What `encode` wrote; raises what it likes where it is something else."""

    @cached_property
    def key(self) -> str:
        """Names everything that the result depends on."""
        return key_of(
            graph=self.problem.sha256,
            images=list(self.images.hashes),
            letterbox=asdict(self.problem.letterbox),
            **self.depends_on(),
        )

    def find(self, progress: Progress, fresh: bool = False) -> Value:
        """What an earlier run found; else what the images tell now.

        Args:
            fresh: measure anew, whatever the cache holds.
        """
        found = None if fresh else self._read(self.kind)
        self.remembered = found is not None
        if found is None:
            found = self.measure(lambda _label, done, total: progress(self.label, done, total))
            remember(self.kind, self.key, self.encode(found))
            forget(self._unfinished, self.key)
        return found

    def begun(self) -> Value | None:
        """What an interrupted run left unfinished."""
        return self._read(self._unfinished)

    def save(self, unfinished: Value) -> None:
        """Keep what is known so far, so that an interrupted run can go on."""
        remember(self._unfinished, self.key, self.encode(unfinished))

    def stream(self, progress: Progress) -> Iterator[NDArray[np.float32]]:
        """The images as tensors, counted."""
        for index, image in enumerate(self.images.stream(self.problem.letterbox)):
            yield image
            progress(self.label, index + 1, len(self.images))

    @property
    def _unfinished(self) -> str:
        return f"{self.kind}-unfinished"

    def _read(self, kind: str) -> Value | None:
        content = recall(kind, self.key)
        if content is None:
            return None
        try:
            return self.decode(content)
        except _UNREADABLE:
            return None


class JsonMeasurement(Measurement[Value]):
    """A measurement whose value is kept as JSON."""

    @abstractmethod
    def plain(self, value: Value) -> Any:
        """The value as JSON takes it."""

    @abstractmethod
    def restored(self, document: Any) -> Value:
        """The value that `plain` made a document of."""

    def encode(self, value: Value) -> bytes:
        """The document as text."""
        return json.dumps(self.plain(value)).encode()

    def decode(self, content: bytes) -> Value:
        """The value behind a text."""
        return self.restored(json.loads(content))
