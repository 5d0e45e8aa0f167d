"""Arrays through a pipe: a line of JSON with type and shape, then the bytes."""

from __future__ import annotations

import json
import math
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray


def send(stream: IO[bytes], array: NDArray[np.float32]) -> None:
    """Write an array; the stream is not flushed."""
    stream.write(json.dumps(array.shape).encode() + b"\n")
    stream.write(np.ascontiguousarray(array, np.float32).tobytes())


def receive(stream: IO[bytes]) -> NDArray[np.float32] | None:
    """Read an array; None where the stream has ended.

    Raises:
        ValueError: it ended in the middle, or something else was written.
    """
    line = stream.readline()
    if not line:
        return None
    shape: list[Any] = json.loads(line)
    size = 4 * math.prod(shape)
    content = stream.read(size)
    if len(content) < size:
        raise ValueError("the pipe ended in the middle of an array")
    return np.frombuffer(content, np.float32).reshape(shape)
