"""The process behind `GraphProcess`: images in, all outputs of a graph out, until the pipe ends.

Run as `python -m yolov12edge.runtime.lesser_process FILE THREADS`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import BinaryIO

from yolov12edge.runtime.openvino import compile_graph
from yolov12edge.runtime.pipes import receive, send


def serve(path: Path, threads: int | None, images: BinaryIO, results: BinaryIO) -> None:
    """Answer every image with the outputs, in the order of the names in the first line."""
    run, names = compile_graph(path, threads)
    results.write(json.dumps(names).encode() + b"\n")
    results.flush()
    while (batch := receive(images)) is not None:
        for value in run(batch):
            send(results, value)
        results.flush()


if __name__ == "__main__":
    # What the library prints must not get among the arrays.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    asked = None if sys.argv[2] == "None" else int(sys.argv[2])
    serve(Path(sys.argv[1]), asked, sys.stdin.buffer, answers)
