"""A learned rounding inside the checkpoint that it was learned for: extra tensors and a record.

Whoever reads the file as a checkpoint finds the float detector alone. Names and order of tensors
are those of the plan, whose digest is in the record; nothing that is read is believed before its
shape, type and values are checked against the plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from pydantic import Field, ValidationError
from torch import Tensor

from yolov12edge.checkpoints.flat import INT8_PREFIX, INT8_RECORD, read_safetensors
from yolov12edge.checkpoints.tensors import LazyTensor
from yolov12edge.checkpoints.text import printable
from yolov12edge.documents import Document
from yolov12edge.errors import CheckpointError, ExportError
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.equalize import even_out
from yolov12edge.quantize.integers import IntegerConvolution, Rounding
from yolov12edge.quantize.policy import QuantizationPlan, plan_quantization, tensors_read
from yolov12edge.quantize.qdq import IsHalf, Step
from yolov12edge.quantize.rules import Dialect
from yolov12edge.quantize.weights import SMALLEST_SCALE, WEIGHT_MAX, QuantizedWeight

_HINT = "train --qat anew, or export from the checkpoint that it was learned for"
_HASH = r"^[0-9a-f]{64}$"
_TEXT = 200


class Int8Record(Document):
    """What a checkpoint says of the rounding inside it.

    Attributes:
        target: recipe that it was learned for.
        rules: dialect of that recipe.
        weights: limit of that dialect on weights.
        graph: digest of the exported float graph.
        plan: digest of what becomes INT8 of it.
        height, width: of the input.
        method: how ranges were chosen to begin with.
        images: that taught, or calibrated where it was withdrawn.
        epoch: the one it is from, counted from 1; None where all of them were withdrawn.
        epochs: how many there were.
        before, after: error of the head on held-back images, as calibration left it and as it is;
            None where there were too few to learn.
    """

    format: Literal[1] = 1
    target: str = Field(max_length=_TEXT, pattern=r"^[\w.-]+$")
    rules: str = Field(max_length=_TEXT)
    weights: str | None = Field(default=None, max_length=_TEXT)
    graph: str = Field(pattern=_HASH)
    plan: str = Field(pattern=_HASH)
    height: int = Field(ge=32, le=4096)
    width: int = Field(ge=32, le=4096)
    method: Literal["max", "percentile", "entropy", "mse"]
    images: int = Field(ge=0)
    epoch: int | None = Field(default=None, ge=1)
    epochs: int = Field(ge=0)
    before: float | None = Field(default=None, ge=0)
    after: float | None = Field(default=None, ge=0)


@dataclass(frozen=True)
class LearnedInt8:
    """A rounding with everything that an INT8 file needs besides its float graph.

    Attributes:
        gains: what evens out its channels, by tensor.
        rounding: of the plan on the graph that was evened out.
        corrections: added to the last class biases.
    """

    gains: Mapping[str, NDArray[np.float32]]
    rounding: Rounding
    corrections: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class StoredInt8:
    """A rounding in a file, not yet read.

    Attributes:
        path: the file.
        record: what it says of it.
        tensors: without the prefix of their names.
    """

    path: Path
    record: Int8Record
    tensors: Mapping[str, LazyTensor]

    def unfit(
        self, model: onnx.ModelProto, dialect: Dialect, height: int, width: int
    ) -> str | None:
        """Why it is not for a float graph of this package, in a few words; None if it is."""
        record = self.record
        if (record.height, record.width) != (height, width):
            return f"it was learned at {record.height}x{record.width}, not {height}x{width}"
        if (record.rules, record.weights) != _rules(dialect):
            return f"it was learned for {record.target}, whose INT8 follows other rules"
        if record.graph != graph_digest(model):
            return "it was learned on another graph"
        return None

    def read(
        self, model: onnx.ModelProto, dialect: Dialect
    ) -> tuple[onnx.ModelProto, QuantizationPlan, LearnedInt8]:
        """The graph that is to be quantized, its plan, and the rounding of it.

        Args:
            model: float graph that it is fit for.
            dialect: rules that it is fit for.

        Raises:
            CheckpointError: it is damaged, or not of this graph after all.
        """
        try:
            return self._read(model, dialect)
        except CheckpointError as error:
            raise CheckpointError(f"{self.path}: {error.message}", error.hint) from error

    def _read(
        self, model: onnx.ModelProto, dialect: Dialect
    ) -> tuple[onnx.ModelProto, QuantizationPlan, LearnedInt8]:
        reader = _Reader(self.tensors)
        wanted = plan_quantization(model, dialect)
        gains = reader.gains(wanted)
        try:
            evened = even_out(model, wanted, gains)
        except ExportError as error:
            raise CheckpointError(f"its rounding is damaged: {error.message}", _HINT) from error
        plan = plan_quantization(evened, dialect)
        if plan_digest(plan) != self.record.plan:
            raise CheckpointError("its rounding is of another plan", _HINT)
        view = GraphView(evened)
        convolutions = {name: reader.convolution(view, name, dialect) for name in plan.convolutions}
        corrections = {
            name.removeprefix("correction."): reader.floats(name)
            for name in self.tensors
            if name.startswith("correction.")
        }
        for name, change in corrections.items():
            node = view.by_name.get(name)
            if node is None or len(node.input) < 3:
                raise CheckpointError(
                    f"its rounding corrects {printable(name)}, which has no bias", _HINT
                )
            reader.like(f"correction.{name}", change, view.weight(node.input[2]).shape)
        rounding = Rounding(reader.steps(plan, dialect), convolutions, tensors_read(view, plan))
        return evened, plan, LearnedInt8(gains, rounding, corrections)


def read_stored(path: Path) -> StoredInt8 | None:
    """The rounding inside a checkpoint; None where there is none, or the file is of another form.

    Raises:
        CheckpointError: what the file says of it makes no sense.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        tensors, record = read_safetensors(path)
        if INT8_RECORD not in record:
            return None
        found = Int8Record.model_validate(record[INT8_RECORD])
    except ValidationError as error:
        first = error.errors()[0]
        where = printable(".".join(map(str, first["loc"])))
        raise CheckpointError(
            f"{path}: the record of its INT8 rounding is damaged: {where}", _HINT
        ) from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error.message}", error.hint) from error
    extra = {
        name.removeprefix(INT8_PREFIX): tensor
        for name, tensor in tensors.items()
        if name.startswith(INT8_PREFIX)
    }
    return StoredInt8(path, found, extra)


def to_tensors(learned: LearnedInt8, plan: QuantizationPlan) -> dict[str, Tensor]:
    """A rounding as tensors to store beside those of its checkpoint."""
    rounding = learned.rounding
    steps = [rounding.steps[tensor] for tensor in plan.tensors]
    found: dict[str, NDArray[Any]] = {
        "scales": np.array([step.scale for step in steps], np.float32),
        "zeros": np.array([int(step.zero) for step in steps], np.int16),
    }
    for name, conv in rounding.convolutions.items():
        found[f"values.{name}"] = conv.weight.values
        found[f"scales.{name}"] = conv.weight.scales
        found[f"bias.{name}"] = conv.bias
    found |= {f"correction.{name}": change for name, change in learned.corrections.items()}
    found |= {f"gain.{tensor}": gain for tensor, gain in learned.gains.items()}
    return {f"{INT8_PREFIX}{n}": torch.from_numpy(values.copy()) for n, values in found.items()}


def storable(rounding: Rounding, plan: QuantizationPlan, is_half: IsHalf) -> bool:
    """Whether a graph that stores some scales in FP16 stores those of a rounding as they are."""

    def held(scales: NDArray[np.float32]) -> bool:
        return bool(np.array_equal(scales.astype(np.float16).astype(np.float32), scales))

    activations = all(
        held(np.array([rounding.steps[tensor].scale], np.float32))
        for tensor, edges in plan.edges.items()
        if any(is_half(*edge) for edge in edges)
    )
    return activations and all(
        held(conv.weight.scales) for name, conv in rounding.convolutions.items() if is_half(name, 1)
    )


def graph_digest(model: onnx.ModelProto) -> str:
    """SHA-256 of the nodes of a graph and of its float constants.

    Batch, operator set and metadata are left out: the same rounding serves them all.
    """
    view = GraphView(model)
    found = hashlib.sha256()
    for node in view.nodes:
        found.update(json.dumps([node.op_type, node.name, *node.input, *node.output]).encode())
    for name, tensor in sorted(view.initializers.items()):
        if tensor.data_type == TensorProto.FLOAT:
            values = view.weight(name)
            found.update(json.dumps([name, *values.shape]).encode())
            found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()


def plan_digest(plan: QuantizationPlan) -> str:
    """SHA-256 of what becomes INT8."""
    parts = [list(plan.edges.items()), plan.groups, plan.convolutions]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def describe_rules(dialect: Dialect) -> dict[str, str | None]:
    """The parts of a record that name the rules."""
    rules, weights = _rules(dialect)
    return {"rules": rules, "weights": weights}


class _Reader:
    """Reads tensors whose shape, type and values are what they have to be."""

    def __init__(self, tensors: Mapping[str, LazyTensor]) -> None:
        self._tensors = tensors

    def floats(self, name: str, shape: tuple[int, ...] | None = None) -> NDArray[np.float32]:
        """Finite float32 numbers."""
        values: NDArray[np.float32] = self._values(name, torch.float32, shape)
        if not np.isfinite(values).all():
            raise CheckpointError(f"its rounding has {printable(name)} that is not finite", _HINT)
        return values

    def like(self, name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
        """Refuse another shape."""
        if values.shape != shape:
            raise CheckpointError(f"its rounding has {printable(name)} of another shape", _HINT)

    def scales(self, name: str, count: int) -> NDArray[np.float32]:
        """(count,) numbers above zero."""
        values = self.floats(name, (count,))
        if (values < SMALLEST_SCALE).any():
            raise CheckpointError(f"its rounding has {printable(name)} that are too small", _HINT)
        return values

    def gains(self, plan: QuantizationPlan) -> dict[str, NDArray[np.float32]]:
        """What evens out the channels of some tensors of a plan, in the order of the plan."""
        prefix = "gain."
        named = {name.removeprefix(prefix) for name in self._tensors if name.startswith(prefix)}
        unknown = sorted(named - plan.edges.keys())
        if unknown:
            raise CheckpointError(
                f"its rounding evens out {printable(unknown[0])}, which is of no graph", _HINT
            )
        found = {
            tensor: self.floats(f"{prefix}{tensor}") for tensor in plan.edges if tensor in named
        }
        for tensor, gain in found.items():
            if (gain < SMALLEST_SCALE).any():
                raise CheckpointError(
                    f"its rounding has gains of {tensor} that are too small", _HINT
                )
        return found

    def convolution(self, view: GraphView, name: str, dialect: Dialect) -> IntegerConvolution:
        """One convolution, within what the dialect allows."""
        shape = view.weight(view.by_name[name].input[1]).shape
        codes = self._values(f"values.{name}", torch.int8, shape)
        wide = codes.astype(np.float64)
        beyond = np.abs(wide).max(initial=0) > WEIGHT_MAX
        if dialect.weights is not None:
            beyond = beyond or not np.array_equal(dialect.weights.limit(wide), wide)
        if beyond:
            raise CheckpointError(f"its rounding has weights of {name} beyond the rules", _HINT)
        weight = QuantizedWeight(codes, self.scales(f"scales.{name}", shape[0]))
        return IntegerConvolution(weight, self.floats(f"bias.{name}", (shape[0],)))

    def steps(self, plan: QuantizationPlan, dialect: Dialect) -> dict[str, Step]:
        """The step of every tensor of a plan."""
        count = len(plan.tensors)
        scales = self.scales("scales", count).astype(float)
        zeros = self._values("zeros", torch.int16, (count,))
        kind: type[np.int8 | np.uint8] = np.int8 if dialect.symmetric else np.uint8
        low, high = (0, 0) if dialect.symmetric else (0, 255)
        if ((zeros < low) | (zeros > high)).any():
            raise CheckpointError("its rounding has zero points beyond the rules", _HINT)
        steps = {
            tensor: Step(float(scale), kind(zero))
            for tensor, scale, zero in zip(plan.tensors, scales, zeros, strict=True)
        }
        for group in plan.groups:
            if len({(steps[tensor].scale, int(steps[tensor].zero)) for tensor in group}) > 1:
                raise CheckpointError(f"its rounding has two steps for {group[0]}", _HINT)
        return steps

    def _values(self, name: str, dtype: torch.dtype, shape: tuple[int, ...] | None) -> Any:
        tensor = self._tensors.get(name)
        if tensor is None:
            raise CheckpointError(f"its rounding lacks {printable(name)}", _HINT)
        if tensor.dtype != dtype or (shape is not None and tensor.shape != shape):
            raise CheckpointError(
                f"its rounding has {printable(name)} of another shape or type", _HINT
            )
        return tensor.load().numpy()


def _rules(dialect: Dialect) -> tuple[str, str | None]:
    return dialect.name, None if dialect.weights is None else dialect.weights.name
