"""Write a set of synthetic scenes: python -m yolov12edge.data.synthetic OUT."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from yolov12edge.data.synthetic.write import write_set
from yolov12edge.errors import EXIT_INTERRUPTED, EdgeError


def main(arguments: list[str] | None = None) -> int:
    """Parse, write, say where; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m yolov12edge.data.synthetic", description=__doc__
    )
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--train", type=int, default=800, help="scenes to train on")
    parser.add_argument("--val", type=int, default=150, help="scenes to judge with")
    parser.add_argument("--size", type=int, default=320, help="pixels a side")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if min(options.train, options.val) < 0 or options.size < 32 or options.seed < 0:
        parser.error("counts and seed must not be negative, and the size at least 32")
    try:
        data = write_set(options.out, options.train, options.val, options.size, options.seed, _show)
    except EdgeError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    print(data)
    return 0


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty() and (done % 10 == 0 or done == total):
        end = "\n" if done == total else ""
        print(f"\r{done} of {total} scenes", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
