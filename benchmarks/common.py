"""What the scripts share: where and when figures were made, and a detector that everybody has."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

from yolov12edge.bench.environment import describe_environment

DEMO_WEIGHTS = Path(__file__).resolve().parents[1] / "docs" / "demo" / "workshop-n.safetensors"
DEMO_SIDE = 320
_LIBRARIES = ("torch", "onnxruntime", "openvino")


def conditions() -> str:
    """Day, processor and libraries, in one line: what figures of this run depend on."""
    here = describe_environment()
    found = [f"{name} {here.libraries[name]}" for name in _LIBRARIES if name in here.libraries]
    return f"{date.today()}, {here.cpu.model}, {here.cpu.available} cores; {', '.join(found)}"


def demo_scenes(folder: Path, train: int = 192, val: int = 96) -> Path:
    """Draw scenes that the demo's detector has never seen, as `make demo` does; their data.yaml."""
    words = [sys.executable, "-m", "yolov12edge.data.synthetic", folder, "--seed", 7]
    words += ["--train", train, "--val", val, "--size", DEMO_SIDE]
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
    return folder / "data.yaml"
