"""Tensors of a checkpoint that are described first and read only when wanted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from yolov12edge.checkpoints.archive import TorchArchive
from yolov12edge.checkpoints.text import printable
from yolov12edge.errors import CheckpointError

MAX_DIMENSIONS = 8
_LYING_HINT = "torch.save never writes this; take the file from a source you trust"


@dataclass(frozen=True)
class LazyTensor:
    """Shape and type of a stored tensor; `load()` reads its values."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(eq=False)
class Storage:
    """One raw storage of a torch archive, read at most once.

    Raises:
        CheckpointError: its size in the archive is not `numel` elements.
    """

    archive: TorchArchive
    key: str
    dtype: torch.dtype
    numel: int
    _values: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        member = f"data/{self.key}"
        actual = self.archive.size(member)
        if actual != self.numel * self.dtype.itemsize:
            raise CheckpointError(
                f"storage {printable(self.key)} claims {printable(self.numel)} elements of "
                f"{self.dtype} but holds {actual} bytes",
                _LYING_HINT,
            )

    def values(self) -> Tensor:
        """All elements as a flat tensor."""
        if self._values is None:
            content = self.archive.read(f"data/{self.key}")
            self._values = (
                torch.frombuffer(content, dtype=self.dtype)
                if content
                else torch.empty(0, dtype=self.dtype)
            )
        return self._values

    def view(self, offset: object, shape: object, stride: object) -> LazyTensor:
        """A strided view that stays inside the storage and repeats none of it.

        Raises:
            CheckpointError: the view leaves the storage or expands it.
        """
        sizes, steps, (start,) = _integers(shape), _integers(stride), _integers((offset,))
        if len(sizes) != len(steps):
            raise CheckpointError("a tensor has more sizes than strides", _LYING_HINT)
        numel = math.prod(sizes)
        last = start + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
        if numel > self.numel or (numel and last >= self.numel):
            raise CheckpointError(
                f"a tensor of shape {sizes} reaches outside storage {printable(self.key)}",
                _LYING_HINT,
            )
        return LazyTensor(sizes, self.dtype, lambda: self.values().as_strided(sizes, steps, start))


def _integers(value: object) -> tuple[int, ...]:
    if (
        not isinstance(value, tuple)
        or len(value) > MAX_DIMENSIONS
        or not all(type(item) is int and 0 <= item < 1 << 48 for item in value)
    ):
        raise CheckpointError("a tensor has no valid shape", _LYING_HINT)
    return value
