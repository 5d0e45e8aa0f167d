"""One form for every checkpoint: published names, float32, plain batch norms.

Both rewrites are exact per output channel: a bias in front of a batch norm moves into its
running mean, and a convolution that was fused with its batch norm gets an identity one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from yolov12edge.checkpoints.layout import (
    COUNTER,
    Shapes,
    check_complete,
    find_architecture,
    strip_prefix,
)
from yolov12edge.checkpoints.tensors import LazyTensor
from yolov12edge.checkpoints.text import printable
from yolov12edge.errors import CheckpointError
from yolov12edge.model import Architecture
from yolov12edge.model.blocks import BN_EPS

_BIAS = ".conv.bias"
_DFL = "model.21.dfl.conv.weight"
_BN = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Canonical:
    """A state dict in canonical form and what it took to get there."""

    architecture: Architecture
    state: dict[str, Tensor]
    dtype: str
    fused: bool
    notes: tuple[str, ...]


def canonicalize(tensors: Mapping[str, LazyTensor]) -> Canonical:
    """Bring a state dict into canonical form; values are read only after shapes are checked.

    Raises:
        CheckpointError: no whole YOLOv12 detector, or values that cannot be weights.
    """
    if not tensors:
        raise CheckpointError("holds no tensors", "pass a file with a model or its state dict")
    prefix, named = _without_prefix(tensors)
    biases, fused = _biases(named)
    shapes = _canonical_shapes(named, biases, fused)
    architecture = find_architecture(shapes)
    order = check_complete(shapes, architecture)
    state = {
        name: _read(name, tensor) for name, tensor in named.items() if not name.endswith(COUNTER)
    }
    notes = [f"dropped the prefix {printable(prefix)} from all names"] if prefix else []
    for conv in biases:
        bias = state.pop(conv + _BIAS)
        if conv in fused:
            state |= _identity_norm(conv, bias)
        else:
            state[f"{conv}.bn.running_mean"] = state[f"{conv}.bn.running_mean"] - bias
    if fused:
        notes.append(f"unfolded {len(fused)} fused batch norms into identities")
    if len(biases) > len(fused):
        notes.append(f"absorbed {len(biases) - len(fused)} convolution biases into batch norms")
    for name in order:
        if name.endswith(COUNTER):
            counter = named.get(name)
            state[name] = counter.load().long() if counter else torch.tensor(0)
    _check_values(state)
    ordered = {name: state[name] for name in order}
    return Canonical(architecture, ordered, _dtype_name(named), bool(fused), tuple(notes))


@dataclass(frozen=True)
class PartialState:
    """Those tensors of a detector that a file has, in canonical form.

    Attributes:
        state: float32, by canonical name.
        absorbed: canonical names whose values took up a bias of the file.
    """

    state: dict[str, Tensor]
    absorbed: frozenset[str]


def canonicalize_partial(tensors: Mapping[str, LazyTensor], shapes: Shapes) -> PartialState:
    """The tensors that fit `shapes`, which are those of a detector; only these are read.

    A bias before a batch norm whose running mean the file lacks is left out, as is a lone bias in
    a file that has batch norms elsewhere: what it meant is not known.

    Raises:
        CheckpointError: values that cannot be weights.
    """
    _, named = _without_prefix(tensors)
    biases, fused = _biases(named)
    whole_norms = any(name.endswith(".bn.weight") for name in named)
    fitting = {name: t for name, t in named.items() if shapes.get(name) == t.shape}
    state = {
        name: t.load().long() if name.endswith(COUNTER) else _read(name, t)
        for name, t in fitting.items()
    }
    absorbed = set()
    for conv in biases:
        mean = f"{conv}.bn.running_mean"
        if named[conv + _BIAS].shape != shapes.get(mean):
            continue
        bias = _read(conv + _BIAS, named[conv + _BIAS])
        if conv in fused and not whole_norms:
            state |= _identity_norm(conv, bias) | {f"{conv}.bn.{COUNTER}": torch.tensor(0)}
        elif mean in state:
            state[mean] = state[mean] - bias
            absorbed.add(mean)
    _check_values(state)
    return PartialState(state, frozenset(absorbed))


def _without_prefix(tensors: Mapping[str, LazyTensor]) -> tuple[str, dict[str, LazyTensor]]:
    prefix = strip_prefix(tensors)
    named = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    if len(named) < len(tensors):
        raise CheckpointError(
            f"holds some tensors both with and without the prefix {printable(prefix)}",
            "save one model to one file",
        )
    return prefix, named


def _biases(named: Mapping[str, LazyTensor]) -> tuple[list[str], list[str]]:
    """Convolutions with a bias, and those of them without a batch norm: it was fused into them."""
    biases = [name[: -len(_BIAS)] for name in named if name.endswith(_BIAS)]
    fused = [conv for conv in biases if not any(f"{conv}.bn.{part}" in named for part in _BN)]
    return biases, fused


def _canonical_shapes(
    tensors: Mapping[str, LazyTensor], biases: list[str], fused: list[str]
) -> Shapes:
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    for conv in biases:
        shape = shapes.pop(conv + _BIAS)
        if conv in fused:
            shapes |= {f"{conv}.bn.{part}": shape for part in _BN}
        elif shape != shapes.get(f"{conv}.bn.running_mean"):
            raise CheckpointError(
                f"{printable(conv + _BIAS)} of shape {shape} does not fit its batch norm",
                "pass a YOLOv12 detection checkpoint",
            )
    return shapes


def _identity_norm(conv: str, bias: Tensor) -> dict[str, Tensor]:
    ones = torch.ones_like(bias)
    return {
        f"{conv}.bn.weight": ones,
        f"{conv}.bn.bias": bias,
        f"{conv}.bn.running_mean": torch.zeros_like(bias),
        f"{conv}.bn.running_var": ones * (1 - BN_EPS),
    }


def _read(name: str, tensor: LazyTensor) -> Tensor:
    if not tensor.dtype.is_floating_point:
        raise CheckpointError(
            f"{printable(name)} is {_short(tensor.dtype)}, not a floating-point tensor",
            "pass the checkpoint from before quantization",
        )
    # A copy of its own, so that neither the file nor a shared storage shows through.
    return tensor.load().to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def _check_values(state: Mapping[str, Tensor]) -> None:
    for name, values in state.items():
        if not values.is_floating_point():
            continue
        if not bool(torch.isfinite(values).all()):
            count = int((~torch.isfinite(values)).sum())
            raise CheckpointError(
                f"{printable(name)} has {count} NaN or infinite values of {values.numel()}",
                "training diverged or overflowed half precision: pass an earlier checkpoint",
            )
        if name.endswith("running_var") and bool((values < 0).any()):
            raise CheckpointError(
                f"{printable(name)} has negative variances", "the file is damaged: fetch it again"
            )
    bins = state[_DFL].flatten() if _DFL in state else torch.zeros(1)
    if not torch.equal(bins, torch.arange(float(len(bins)))):
        raise CheckpointError(
            f"{printable(_DFL)} is not 0..{len(bins) - 1}",
            "the file is damaged or its box head was changed: pass another checkpoint",
        )


def _dtype_name(tensors: Mapping[str, LazyTensor]) -> str:
    kinds = {_short(t.dtype) for t in tensors.values() if t.dtype.is_floating_point}
    return ", ".join(sorted(kinds))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
