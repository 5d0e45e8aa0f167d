"""The state of a run: all that the next step depends on, in one file without code.

A safetensors file: tensors under `model.`, `average.`, `optimizer.` and `gradient.`, everything
else as JSON in its metadata. One file and one rename, so that a state is whole or the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.optim import Optimizer

from yolov12edge.checkpoints.flat import read_safetensors, write_safetensors
from yolov12edge.errors import CheckpointError

FORMAT = 1
_HINT = "restore the file, or train anew with another --out"


class Position(BaseModel):
    """Where a run is.

    Attributes:
        epoch: counted from 0, the one that is worked on.
        step: batches of it that are done.
        updates: of the weights.
        pending: batches whose gradients wait for an update.
        losses: sums of box, class and distribution loss over the epoch's batches.
        seconds: of training in this epoch.
        best: highest mAP so far, of `best_epoch`.
        stopped: the run ended early.
        skipped: updates in a row whose gradient was not finite.
        scale: state of the loss scaler.
    """

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    epoch: int = Field(default=0, ge=0)
    step: int = Field(default=0, ge=0)
    updates: int = Field(default=0, ge=0)
    pending: int = Field(default=0, ge=0)
    losses: tuple[float, float, float] = (0.0, 0.0, 0.0)
    seconds: float = 0.0
    best: float | None = None
    best_epoch: int | None = None
    stopped: bool = False
    skipped: int = Field(default=0, ge=0)
    scale: dict[str, float] = {}


def save_state(
    path: Path, position: Position, model: nn.Module, average: nn.Module, optimizer: Optimizer
) -> None:
    """Write the state atomically.

    Raises:
        UsageError: the file cannot be written; the one before is untouched.
    """
    tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
    tensors |= {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in values.items()}
    if position.pending:
        for index, parameter in enumerate(_parameters(optimizer)):
            if parameter.grad is not None:
                tensors[f"gradient.{index}"] = parameter.grad
    write_safetensors(path, tensors, position.model_dump(mode="json"))


def load_state(path: Path, model: nn.Module, average: nn.Module, optimizer: Optimizer) -> Position:
    """Read a state into freshly made objects.

    Raises:
        CheckpointError: missing, damaged, or of another model.
    """
    try:
        lazy, record = read_safetensors(path)
        tensors = {name: tensor.load() for name, tensor in lazy.items()}
        position = Position.model_validate(record)
    except (CheckpointError, ValidationError, OSError) as error:
        raise CheckpointError(f"{path} is no state of a training run", _HINT) from error
    if position.format != FORMAT:
        raise CheckpointError(
            f"{path} was written by another version of this program", "resume with that version"
        )
    _fill(path, "model", tensors, model.state_dict())
    _fill(path, "average", tensors, average.state_dict())
    _load_optimizer(path, tensors, optimizer)
    for index, parameter in enumerate(_parameters(optimizer)):
        gradient = tensors.get(f"gradient.{index}")
        if gradient is not None:
            _check(path, f"gradient.{index}", gradient, parameter)
            parameter.grad = torch.zeros_like(parameter).copy_(gradient)
    if "rng" in tensors:
        torch.set_rng_state(tensors["rng"])
    return position


def _fill(
    path: Path, prefix: str, tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> None:
    with torch.no_grad():
        for name, value in state.items():
            found = tensors.get(f"{prefix}.{name}")
            _check(path, f"{prefix}.{name}", found, value)
            assert found is not None
            value.copy_(found)


def _load_optimizer(path: Path, tensors: Mapping[str, Tensor], optimizer: Optimizer) -> None:
    state: dict[int, dict[str, Any]] = {}
    parameters = _parameters(optimizer)
    for name, value in tensors.items():
        if not name.startswith("optimizer."):
            continue
        _, index, key = name.split(".", 2)
        known = index.isdecimal() and int(index) < len(parameters)
        parameter = parameters[int(index)] if known else None
        if parameter is None or value.shape not in (parameter.shape, torch.Size([])):
            raise CheckpointError(f"{path}: {name} does not fit the optimizer", _HINT)
        if value.dim():
            # In the parameter's own memory format, which the optimizer's kernels expect.
            value = torch.zeros_like(parameter).copy_(value)
        state.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _check(path: Path, name: str, found: Tensor | None, wanted: Tensor) -> None:
    if found is None or found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise CheckpointError(f"{path}: {name} is missing or of another shape", _HINT)


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
