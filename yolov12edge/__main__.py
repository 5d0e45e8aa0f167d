"""`python -m yolov12edge` is the `yolov12edge` command."""

from yolov12edge.cli import main

main()
