"""Which bytes of an engine go through the GPU's memory, and which stay in its cache.

The cache that all multiprocessors share keeps what was touched last, tensor by tensor, up to its
size. A read of what is in it costs the cache's rate, any other the memory's. What a kernel writes
costs the cache's rate if every later reader finds it there, since its place in memory is then
written again before it ever has to leave: engines lay tensors that do not live together over each
other. The engine is taken to run over and over, so that what one run leaves in the cache is there
for the next.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from yolov12edge.engine.inspection_layers import EngineLayer

_RUNS = 2


@dataclass
class Traffic:
    """Bytes that one kernel touches.

    Attributes:
        memory: through the GPU's memory.
        cache: within the cache.
    """

    memory: int = 0
    cache: int = 0


@dataclass
class _Cache:
    """Bytes kept of each tensor, the one touched longest ago first.

    Attributes:
        size: in bytes.
        whole: bytes of each tensor; concatenations are written and read in parts too.
    """

    size: float
    whole: dict[str, int]
    kept: OrderedDict[str, int] = field(default_factory=OrderedDict)
    used: int = 0

    def read(self, name: str, size: int) -> int:
        """How many of the bytes are in it; afterwards all are, as far as they fit."""
        kept = self.kept.get(name, 0)
        self._keep(name, max(kept, size))
        return min(kept, size)

    def write(self, name: str, size: int) -> None:
        self._keep(name, min(self.kept.get(name, 0) + size, self.whole[name]))

    def _keep(self, name: str, size: int) -> None:
        self.used += size - self.kept.pop(name, 0)
        self.kept[name] = size
        while self.used > self.size:
            self.used -= self.kept.popitem(last=False)[1]


@dataclass
class _Written:
    """What was written, by which kernel, and whether all readers so far found it in the cache."""

    kernel: int
    size: int
    stayed: bool


def traffic_of(kernels: Sequence[EngineLayer], cache_bytes: float) -> list[Traffic]:
    """Bytes of each kernel, in the order they run.

    Args:
        kernels: their tensors' bytes are all told.
        cache_bytes: size of the cache that all multiprocessors share.
    """
    whole: dict[str, int] = {}
    for kernel in kernels:
        for tensor in (*kernel.inputs, *kernel.constants, *kernel.outputs):
            whole[tensor.name] = max(tensor.bytes or 0, whole.get(tensor.name, 0))
    cache = _Cache(cache_bytes, whole)
    for _ in range(_RUNS):
        found = _run(kernels, cache)
    return found


def _run(kernels: Sequence[EngineLayer], cache: _Cache) -> list[Traffic]:
    found = [Traffic() for _ in kernels]
    written: dict[str, list[_Written]] = defaultdict(list)
    for index, kernel in enumerate(kernels):
        for tensor in (*kernel.inputs, *kernel.constants):
            size = tensor.bytes or 0
            kept = cache.read(tensor.name, size)
            found[index].cache += kept
            found[index].memory += size - kept
            if kept < size:
                for part in written[tensor.name]:
                    part.stayed = False
        for tensor in kernel.outputs:
            size = tensor.bytes or 0
            cache.write(tensor.name, size)
            written[tensor.name].append(_Written(index, size, size <= cache.size))
    for part in (part for parts in written.values() for part in parts):
        if part.stayed:
            found[part.kernel].cache += part.size
        else:
            found[part.kernel].memory += part.size
    return found
