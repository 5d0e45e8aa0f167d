"""The steps around an inference: decoding, letterbox, copies, the network, NMS."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.bench.contender import Track
from yolov12edge.bench.report import Stages
from yolov12edge.data import Letterbox, read_image, to_batch
from yolov12edge.runtime.runner import FloatArray

Picture = NDArray[np.uint8]
STAGE_RUNS = 10


def time_stages(
    track: Track,
    letterbox: Letterbox,
    pictures: Sequence[Picture],
    files: Sequence[Path],
    postprocess: Callable[[FloatArray], object] | None,
) -> Stages:
    """Median of `STAGE_RUNS` runs of each step, of one batch.

    On a GPU the network's time is that of calls on images that are there already; what a whole
    call takes longer than that counts as copies.

    Args:
        track: a contender that was timed.
        letterbox: how its pictures are fitted.
        pictures: decoded pictures; used in turn.
        files: their files, if they have any: decoding is timed on them.
        postprocess: takes the (B, 4 + classes, A) output.
    """
    batch = track.settings.batch

    def some(items: Sequence[object]) -> list[object]:
        return list(itertools.islice(itertools.cycle(items), batch))

    chosen = [picture for picture in some(pictures) if isinstance(picture, np.ndarray)]
    paths = [path for path in some(files) if isinstance(path, Path)] if files else []
    fitted = [letterbox(picture)[0] for picture in chosen]
    whole = float(np.median(track.times))
    infer = _median([track.call_placed() for _ in range(STAGE_RUNS + 1)]) if track.gpu else whole
    moved = max(whole - infer, 0.0) if track.transfers else 0.0
    output = track.output
    return Stages(
        decode=_time(track, lambda: [read_image(path) for path in paths]) if paths else None,
        letterbox=_time(track, lambda: [letterbox(picture)[0] for picture in chosen]),
        copies=_time(track, lambda: to_batch(fitted)) + moved,
        infer=infer,
        nms=_time(track, lambda: postprocess(output)) if postprocess else None,
    )


def _time(track: Track, stage: Callable[[], object]) -> float:
    times = []
    for _ in range(STAGE_RUNS + 1):
        start = track.clock()
        stage()
        times.append((track.clock() - start) * 1e3)
    return _median(times)


def _median(times: Sequence[float]) -> float:
    """The median without the first, which fills caches."""
    return float(np.median(times[1:]))
