"""Ten ways in which an INT8 model goes wrong, each done to a good one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from yolov12edge.quantize import (
    TENSORRT,
    Statistics,
    convert_to_fp16,
    observe,
    observed_tensors,
    plan_quantization,
    quantize_int8,
)
from yolov12edge.quantize.weights import QuantizedWeight

Images = list[np.ndarray]


@dataclass(frozen=True)
class Material:
    """What mutants are made of.

    Attributes:
        source: float32 graph of the good model.
        stranger: float32 graph of the same architecture with other weights.
        images: calibration images.
        statistics: of the good model on these images.
    """

    source: Path
    stranger: Path
    images: Images
    statistics: Statistics


def calibrate(source: Path, images: Images) -> Statistics:
    model = onnx.load(source)
    tensors = observed_tensors(model, [plan_quantization(model, TENSORRT)])
    return observe(model, tensors, iter(images), len(images))


def quantize(material: Material, target: Path, statistics: Statistics | None = None) -> Path:
    plan = plan_quantization(onnx.load(material.source), TENSORRT)
    quantize_int8(material.source, target, plan, TENSORRT, statistics or material.statistics, "mse")
    return target


def edited(material: Material, target: Path, edit: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(quantize(material, target))
    edit(model)
    onnx.save(model, target)
    return target


def constant(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def change(model: onnx.ModelProto, name: str, new: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = constant(model, name)
    old = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(new(old), old.dtype), name))


def noise_calibration(material: Material, target: Path) -> Path:
    random = np.random.default_rng(0)
    noise = [random.random(image.shape, np.float32) for image in material.images[:4]]
    return quantize(material, target, calibrate(material.source, noise))


def scale_times_100(material: Material, target: Path) -> Path:
    name = "model.4.cv2/silu/scale"
    return edited(material, target, lambda model: change(model, name, lambda scale: scale * 100))


def scale_of_zero(material: Material, target: Path) -> Path:
    name = "model.11.cv1/silu/scale"
    return edited(material, target, lambda model: change(model, name, np.zeros_like))


def quantized_head_outputs(material: Material, target: Path) -> Path:
    """Boxes in pixels and scores under one scale: what a tool does that quantizes every output."""

    def edit(model: onnx.ModelProto) -> None:
        last = model.graph.node[-1]
        last.output[0] = "joined"
        model.graph.initializer.extend(
            [
                numpy_helper.from_array(np.float32(320 / 127), "out/scale"),
                numpy_helper.from_array(np.int8(0), "out/zero"),
            ]
        )
        parameters = ["out/scale", "out/zero"]
        model.graph.node.extend(
            [
                helper.make_node("QuantizeLinear", ["joined", *parameters], ["out/q"], "out/q"),
                helper.make_node(
                    "DequantizeLinear", ["out/q", *parameters], ["detections"], "out/dq"
                ),
            ]
        )

    return edited(material, target, edit)


def swapped_scales(material: Material, target: Path) -> Path:
    """The smallest scale and the largest."""
    names = ("model.14.m.0.cv1/silu/scale", "model.17.m.0/concat/scale")

    def edit(model: onnx.ModelProto) -> None:
        first, second = (numpy_helper.to_array(constant(model, name)) for name in names)
        change(model, names[0], lambda _: second)
        change(model, names[1], lambda _: first)

    return edited(material, target, edit)


def zero_channel(material: Material, target: Path) -> Path:
    def edit(model: onnx.ModelProto) -> None:
        def kill(values: np.ndarray) -> np.ndarray:
            dead = values.copy()
            dead[np.abs(values.astype(int)).reshape(len(values), -1).sum(1).argmax()] = 0
            return dead

        change(model, "model.7.weight/quantized", kill)

    return edited(material, target, edit)


def half_range(material: Material, target: Path) -> Path:
    def edit(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            if node.op_type == "QuantizeLinear":
                change(model, node.input[1], lambda scale: scale / 2)

    return edited(material, target, edit)


def per_tensor_weights(material: Material, target: Path) -> Path:
    def edit(model: onnx.ModelProto) -> None:
        for tensor in list(model.graph.initializer):
            stem, _, kind = tensor.name.rpartition("/")
            if kind != "quantized" or not stem.endswith("weight"):
                continue
            scales = numpy_helper.to_array(constant(model, f"{stem}/scale"))
            weight = QuantizedWeight(numpy_helper.to_array(tensor), scales).restored
            scale = np.abs(weight).max() / 127
            change(model, tensor.name, lambda _, w=weight, s=scale: np.round(w / s))
            change(model, f"{stem}/scale", lambda old, s=scale: np.full_like(old, s))

    return edited(material, target, edit)


def stale_cache(material: Material, target: Path) -> Path:
    return quantize(material, target, calibrate(material.stranger, material.images[:8]))


def fp16_overflow(material: Material, target: Path) -> Path:
    """A block of the FP16 part whose values pass 65504."""
    twin = convert_to_fp16(material.source, target, material.images[:2])
    plan = plan_quantization(onnx.load(material.source), TENSORRT)
    quantize_int8(
        material.source,
        target,
        plan,
        TENSORRT,
        material.statistics,
        "mse",
        twin=twin.path,
        kept_fp32=twin.kept,
    )
    model = onnx.load(target)
    node = next(n for n in model.graph.node if n.name == "model.8.cv2/silu")
    node.output[0], output = "model.8.cv2/large", node.output[0]
    factors = {"model.8.up": 60000.0, "model.8.down": 1 / 60000}
    for name, factor in factors.items():
        model.graph.initializer.append(
            helper.make_tensor(name, TensorProto.FLOAT16, [], [np.float16(factor)])
        )
    position = list(model.graph.node).index(node)
    steps = [
        helper.make_node(
            "Mul", ["model.8.cv2/large", "model.8.up"], ["model.8.cv2/up"], "model.8.cv2/up"
        ),
        helper.make_node("Mul", ["model.8.cv2/up", "model.8.down"], [output], "model.8.cv2/down"),
    ]
    for offset, step in enumerate(steps, start=1):
        model.graph.node.insert(position + offset, step)
    onnx.save(model, target)
    return target


EVERYWHERE = "no single block breaks"

MUTANTS: dict[str, tuple[Callable[[Material, Path], Path], str]] = {
    "noise calibration": (noise_calibration, EVERYWHERE),
    "scale times 100": (scale_times_100, "model.5"),
    "scale of 0": (scale_of_zero, "model.11"),
    "head outputs quantized": (quantized_head_outputs, "model.21, box decoding"),
    "two scales swapped": (swapped_scales, "model.17"),
    "all-zero channel": (zero_channel, "model.7"),
    "clipped at half range": (half_range, EVERYWHERE),
    "per-tensor weights": (per_tensor_weights, EVERYWHERE),
    "stale cache of other weights": (stale_cache, "model.2"),
    "FP16 overflow in one block": (fp16_overflow, "model.8"),
}
