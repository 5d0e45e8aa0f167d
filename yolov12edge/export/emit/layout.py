"""Moves that several modules share: joins, splits, transposes and reshapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yolov12edge.graph.builder import GraphBuilder, Value


def join(graph: GraphBuilder, parts: list[Value], role: str = "concat") -> Value:
    """Concatenate tensors along their channels."""
    channels = sum(part.channels for part in parts)
    return graph.add("Concat", parts, (channels, *parts[0].shape[1:]), role, axis=1)


def to_rows(graph: GraphBuilder, x: Value, role: str) -> Value:
    """(B, C, H, W) to (B, H, W, C): nothing moves where maps are kept channels-last."""
    channels, height, width = x.shape
    return graph.add("Transpose", [x], (height, width, channels), role, perm=[0, 2, 3, 1])


def split(graph: GraphBuilder, x: Value, sizes: list[int], roles: list[str]) -> list[Value]:
    """Cut a tensor along its channels."""
    shapes = [(size, *x.shape[1:]) for size in sizes]
    return graph.add_many("Split", [x, graph.integers(sizes)], shapes, roles, axis=1)


def swap(graph: GraphBuilder, x: Value, role: str) -> Value:
    """Exchange the last two of four dimensions."""
    lanes, rows, columns = x.shape
    return graph.add("Transpose", [x], (lanes, columns, rows), role, perm=[0, 1, 3, 2])


def reshape(
    graph: GraphBuilder, x: Value, shape: tuple[int, ...], role: str, batch: int = 0
) -> Value:
    """Give a tensor another shape; `batch` 0 keeps the batch, -1 takes whatever is left."""
    return graph.add("Reshape", [x, graph.integers([batch, *shape])], shape, role)


def numbers(tensor: Tensor) -> NDArray[Any]:
    """A parameter as float64 numbers in memory order."""
    array: NDArray[Any] = tensor.detach().to(torch.float64).numpy()
    return np.ascontiguousarray(array)
