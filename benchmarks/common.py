"""What the scripts share: where and when figures were made, and a detector that everybody has."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

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


def half_precision(source: Path, target: Path) -> None:
    """Write an FP16 twin of one of our graphs at once: all but box decoding, without AutoCast.

    Kernels depend on types and shapes, not on values, so that this serves to look at engines.
    """
    model = onnx.load(source)
    nodes = list(model.graph.node)
    moves = ("Concat", "Reshape", "Transpose")
    decoding = {node.name for node in nodes if ".decode/" in node.name if node.op_type not in moves}
    decoding |= {node.name for node in nodes if node.output[0] == model.graph.output[0].name}
    single = {name for node in nodes if node.name in decoding for name in node.input}
    single |= {name for node in nodes if node.op_type == "Resize" for name in node.input[1:]}
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in single:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    image = model.graph.input[0].name
    made = {output for node in nodes for output in node.output}
    casts = {image: helper.make_node("Cast", [image], ["half"], "half", to=TensorProto.FLOAT16)}
    wide: set[str] = set()
    written = [casts[image]]
    for node in nodes:
        for place, name in enumerate(node.input):
            if name == image:
                node.input[place] = "half"
            elif node.name in decoding and name in made and name not in wide:
                cast = f"{name}_wide"
                if name not in casts:
                    casts[name] = helper.make_node(
                        "Cast", [name], [cast], cast, to=TensorProto.FLOAT
                    )
                    written.append(casts[name])
                node.input[place] = cast
        if node.name in decoding or any(name in wide for name in node.input):
            wide.update(node.output)
        written.append(node)
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(written)
    onnx.save(model, target)
