"""The objects of one picture while it is augmented: boxes, classes and, where known, outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Polygons:
    """Outlines of objects as closed rings, all in three flat arrays.

    Attributes:
        points: (m, 2) float32 x, y.
        rings: (m,) int32, the ring of each point; ascending, the points of a ring in order.
        owners: (m,) int32, the object of each point; ascending.
    """

    points: Float32Array
    rings: NDArray[np.int32]
    owners: NDArray[np.int32]

    @classmethod
    def empty(cls) -> Polygons:
        """No outline."""
        return cls(np.zeros((0, 2), np.float32), np.zeros(0, np.int32), np.zeros(0, np.int32))

    @classmethod
    def of(cls, objects: Sequence[Sequence[NDArray[np.floating]]]) -> Polygons:
        """From a list of (k, 2) rings for each object; an object may have none."""
        rings = [(owner, ring) for owner, parts in enumerate(objects) for ring in parts]
        if not rings:
            return cls.empty()
        lengths = [len(ring) for _, ring in rings]
        return cls(
            np.concatenate([ring for _, ring in rings]).astype(np.float32),
            np.repeat(np.arange(len(rings), dtype=np.int32), lengths),
            np.repeat(np.array([owner for owner, _ in rings], dtype=np.int32), lengths),
        )

    def __len__(self) -> int:
        return len(self.points)

    def moved(self, points: NDArray[np.floating]) -> Polygons:
        """The same rings with other coordinates."""
        return Polygons(points.astype(np.float32, copy=False), self.rings, self.owners)

    def of_objects(self, keep: NDArray[np.bool_]) -> Polygons:
        """The outlines of the objects in the (n,) mask `keep`, whose numbers close up."""
        if not len(self):
            return self
        chosen = keep[self.owners]
        numbers = (np.cumsum(keep) - 1).astype(np.int32)
        return Polygons(self.points[chosen], self.rings[chosen], numbers[self.owners[chosen]])

    def bounds(self, count: int, window: Sequence[float]) -> NDArray[np.float64]:
        """Boxes of the parts of `count` objects that lie inside a rectangle.

        The extremes of an outline cut by a rectangle lie on its edges, which are clipped as Liang
        and Barsky do (ACM TOG 3, 1984), or in corners of the rectangle that it encloses.

        Args:
            count: number of objects, n.
            window: left, top, right, bottom.

        Returns:
            (n, 4) xyxy; NaN where nothing of the object is inside or it has no outline.
        """
        result = np.full((count, 4), np.nan)
        if not len(self):
            return result
        start = self.points.astype(np.float64)
        step = start[self._following()] - start
        low, high = np.array(window[:2], np.float64), np.array(window[2:], np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            first, second = (low - start) / step, (high - start) / step
        still, inside = step == 0, (start >= low) & (start <= high)
        enter = np.where(still, np.where(inside, -np.inf, np.inf), np.minimum(first, second))
        leave = np.where(still, np.where(inside, np.inf, -np.inf), np.maximum(first, second))
        enter = np.maximum(enter.max(axis=1), 0)
        leave = np.minimum(leave.min(axis=1), 1)
        visible = (enter <= leave)[:, None]
        with np.errstate(invalid="ignore"):
            begin = np.clip(start + enter[:, None] * step, low, high)
            end = np.clip(start + leave[:, None] * step, low, high)
        lowest = np.where(visible, np.minimum(begin, end), np.inf)
        highest = np.where(visible, np.maximum(begin, end), -np.inf)
        heads = np.flatnonzero(np.diff(self.owners, prepend=-1))
        lowest = np.minimum.reduceat(lowest, heads)
        highest = np.maximum.reduceat(highest, heads)
        for corner in ((low[0], low[1]), (high[0], low[1]), (low[0], high[1]), (high[0], high[1])):
            enclosed = self._encloses(corner, start, step, heads)
            lowest[enclosed] = np.minimum(lowest[enclosed], corner)
            highest[enclosed] = np.maximum(highest[enclosed], corner)
        boxes = np.concatenate([lowest, highest], axis=1)
        boxes[~np.isfinite(boxes).all(axis=1)] = np.nan
        result[self.owners[heads]] = boxes
        return result

    def _following(self) -> NDArray[np.intp]:
        """(m,) index of the next point of the same ring."""
        heads = np.flatnonzero(np.diff(self.rings, prepend=-1))
        following = np.arange(1, len(self) + 1)
        following[np.append(heads[1:], len(self)) - 1] = heads
        return following

    @staticmethod
    def _encloses(
        corner: tuple[float, float],
        start: NDArray[np.float64],
        step: NDArray[np.float64],
        heads: NDArray[np.intp],
    ) -> NDArray[np.bool_]:
        """Which objects hold a point, by the even-odd rule."""
        x, y = corner
        spans = (start[:, 1] > y) != (start[:, 1] + step[:, 1] > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = start[:, 0] + (y - start[:, 1]) * step[:, 0] / step[:, 1]
        crossed: NDArray[np.bool_] = (
            np.add.reduceat((spans & (x < crossing)).astype(np.int64), heads) % 2 == 1
        )
        return crossed


@dataclass(frozen=True)
class Instances:
    """The objects of one picture, in its pixels.

    Attributes:
        boxes: (n, 4) float32 left, top, right, bottom of what is visible.
        classes: (n,) int64.
        polygons: outlines of some or all objects; they may reach beyond what is visible.
    """

    boxes: Float32Array
    classes: NDArray[np.int64]
    polygons: Polygons

    @classmethod
    def empty(cls) -> Instances:
        """No objects."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), Polygons.empty())

    def __len__(self) -> int:
        return len(self.classes)

    def outlined(self) -> NDArray[np.bool_]:
        """(n,) which objects have an outline."""
        mask = np.zeros(len(self), dtype=bool)
        mask[self.polygons.owners] = True
        return mask

    def select(self, keep: NDArray[np.bool_]) -> Instances:
        """Those in the (n,) mask `keep`."""
        if keep.all():
            return self
        return Instances(self.boxes[keep], self.classes[keep], self.polygons.of_objects(keep))

    def shifted(self, x: float, y: float) -> Instances:
        """Moved by whole or part pixels."""
        offset = np.array([x, y], dtype=np.float32)
        return Instances(
            self.boxes + np.tile(offset, 2),
            self.classes,
            self.polygons.moved(self.polygons.points + offset),
        )

    def clipped(self, width: float, height: float) -> Instances:
        """Cut to a picture of `width` x `height`; objects without visible area are dropped."""
        left, top = self.boxes[:, :2].min(initial=0), self.boxes[:, 1].min(initial=0)
        if left >= 0 and top >= 0 and (self.boxes[:, 2:] <= (width, height)).all():
            return self
        boxes = np.clip(self.boxes, 0, np.array([width, height] * 2, np.float32))
        exact = self.polygons.bounds(len(self), (0, 0, width, height))
        known = ~np.isnan(exact[:, 0])
        boxes[known] = exact[known]
        # An outline wholly outside leaves nothing to see, whatever its box says.
        hidden = self.outlined() & ~known
        kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & ~hidden
        return Instances(boxes.astype(np.float32), self.classes, self.polygons).select(kept)

    @staticmethod
    def joined(parts: Sequence[Instances]) -> Instances:
        """All objects of several, in order."""
        rings = owners = 0
        polygons = []
        for part in parts:
            outline = part.polygons
            polygons.append(
                Polygons(outline.points, outline.rings + rings, outline.owners + owners)
            )
            rings += int(outline.rings[-1]) + 1 if len(outline) else 0
            owners += len(part)
        return Instances(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.classes for part in parts]),
            Polygons(
                np.concatenate([outline.points for outline in polygons]),
                np.concatenate([outline.rings for outline in polygons]).astype(np.int32),
                np.concatenate([outline.owners for outline in polygons]).astype(np.int32),
            ),
        )
