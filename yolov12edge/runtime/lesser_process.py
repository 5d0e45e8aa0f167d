"""The process behind `GraphProcess`: inputs of a graph in, its outputs out, until the pipe ends.

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


def serve(path: Path, threads: int | None, asked: BinaryIO, results: BinaryIO) -> None:
    """Answer with the outputs, in the order of the names in the first line, as inputs are."""
    graph = compile_graph(path, threads)
    results.write(json.dumps([graph.inputs, graph.outputs]).encode() + b"\n")
    results.flush()
    while (first := receive(asked)) is not None:
        values = [first, *(receive(asked) for _ in graph.inputs[1:])]
        for value in graph.run([one for one in values if one is not None]):
            send(results, value)
        results.flush()


if __name__ == "__main__":
    # What the library prints must not get among the arrays.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    given = None if sys.argv[2] == "None" else int(sys.argv[2])
    serve(Path(sys.argv[1]), given, sys.stdin.buffer, answers)
