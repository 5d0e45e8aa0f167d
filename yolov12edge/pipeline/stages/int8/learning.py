"""Rounding that is learned from the calibration images."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from yolov12edge.graph import GraphView
from yolov12edge.pipeline.stages.artifacts import OnnxArtifact
from yolov12edge.pipeline.stages.int8.effort import Effort
from yolov12edge.pipeline.stages.int8.measurement import Measurement
from yolov12edge.pipeline.stages.int8.measurements import RoundingShifts, Writer
from yolov12edge.quantize import ConvLoss, Method, Rounding, find_rounding, losses_by_layer
from yolov12edge.quantize.qdq import half_of
from yolov12edge.quantize.reconstruction import (
    LearnSettings,
    Reconstruction,
    UnitResult,
    bytes_an_image,
    from_bytes,
    reconstruct,
    to_bytes,
)
from yolov12edge.run.manifest import LayerLoss, LearningSection
from yolov12edge.voice import Progress

# With fewer images nothing is learned: too few would be left to judge by.
LEAST_IMAGES = 16
# What the values of all images may take at one place of the graph.
MEMORY = 2 << 30
_SECONDS_BETWEEN_SAVES = 20.0


class LearnedRounding(Measurement[Reconstruction]):
    """How every convolution rounds; a run that was interrupted goes on with the next one."""

    kind, label = "rounding", "learning to round"

    def __init__(
        self,
        shifts: RoundingShifts,
        writer: Writer,
        method: Method,
        effort: Effort,
        twin: OnnxArtifact | None,
    ) -> None:
        problem, images = shifts.problem, shifts.ranges.images
        within = MEMORY // bytes_an_image(GraphView(problem.model), problem.plan)
        count = min(len(images), max(LEAST_IMAGES, min(effort.images, within)))
        super().__init__(problem, images.part(0, count))
        self._shifts = shifts
        self.ranges = shifts.ranges
        self._writer = writer
        self._method = method
        self.effort = effort.name
        self._settings = LearnSettings(iterations=effort.iterations)
        self._is_half = half_of(twin.path if twin else None)

    def depends_on(self) -> dict[str, Any]:
        """The rounding that it starts from, how it learns, and where scales are FP16."""
        edges = [edge for edges in self.problem.plan.edges.values() for edge in edges]
        return {
            "shifts": self._shifts.key,
            "method": self._method,
            "settings": asdict(self._settings),
            "half": sorted(edge for edge in edges if self._is_half(*edge)),
        }

    def start(self) -> Rounding:
        """Everything to the nearest."""
        problem = self.problem
        return find_rounding(
            problem.model,
            problem.plan,
            problem.dialect,
            self._shifts.statistics,
            self._method,
            shifts=self._writer.shifts[self._method],
            is_half=self._is_half,
        )

    def measure(self, progress: Progress) -> Reconstruction:
        """Learn one convolution after the other."""
        problem, saved = self.problem, time.monotonic()

        def save(unfinished: Reconstruction) -> None:
            nonlocal saved
            if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                self.save(unfinished)
                saved = time.monotonic()

        return reconstruct(
            problem.model,
            problem.plan,
            problem.dialect,
            self.start(),
            self.images.stream(problem.letterbox),
            self._settings,
            is_half=self._is_half,
            begun=self.begun(),
            save=save,
            progress=progress,
        )

    def encode(self, value: Reconstruction) -> bytes:
        """An .npz."""
        return to_bytes(value)

    def decode(self, content: bytes) -> Reconstruction:
        """The rounding of this plan."""
        found = from_bytes(content)
        if set(found.rounding.convolutions) != set(self.problem.plan.convolutions):
            raise ValueError("a rounding of another plan")
        return found


@dataclass(frozen=True)
class Learning:
    """What came of learning.

    Attributes:
        effort: normal or thorough.
        results: of every convolution.
        images: that taught it, or judged.
        before: what INT8 costs in the convolutions that rules would make INT8, to the nearest.
        after: what it costs in those that are INT8, as they are written.
    """

    effort: str
    results: dict[str, UnitResult]
    images: int
    before: dict[str, ConvLoss]
    after: dict[str, ConvLoss]

    @property
    def withdrawn(self) -> int:
        """Convolutions that got worse and stay as they were."""
        return sum(not result.kept for result in self.results.values())

    def section(self) -> LearningSection:
        """What the manifest says of it."""
        layers = {
            name: losses_by_layer(one) for name, one in (("b", self.before), ("a", self.after))
        }
        total = sum(map(sum, layers["b"].values())) or 1.0
        losses = {}
        for layer in dict.fromkeys([*layers["b"], *layers["a"]]):
            (ab, wb), (aa, wa) = (layers[when].get(layer, (0.0, 0.0)) for when in "ba")
            losses[layer] = LayerLoss(
                activations_before=ab / total,
                weights_before=wb / total,
                activations_after=aa / total,
                weights_after=wa / total,
            )
        return LearningSection(
            effort=self.effort,
            convolutions=len(self.results),
            withdrawn=self.withdrawn,
            images=self.images,
            losses=losses,
        )

    def text(self) -> str:
        """One line for people."""
        share = sum(one.both for one in self.after.values()) / (
            sum(one.both for one in self.before.values()) or 1.0
        )
        return (
            f"learned on {self.images} images in {len(self.results)} convolutions, "
            f"{self.withdrawn} got worse and stay as they were; INT8 costs {share:.2f} times what "
            "it costs by rules alone"
        )
