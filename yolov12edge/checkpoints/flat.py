"""Flat state dicts in safetensors files: reading and writing.

Format: https://huggingface.co/docs/safetensors, an 8-byte header length, a JSON header, raw data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from yolov12edge.checkpoints.tensors import LazyTensor
from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.files import atomic_path

METADATA_KEY = "yolov12edge"
# Tensors of a rounding that `train --qat` learned: beside the detector, and no part of it.
INT8_PREFIX = "int8."
# What the metadata says of that rounding.
INT8_RECORD = "int8"
# The largest scale's header has 0.2 MB; the library itself would parse 100 MB.
MAX_HEADER_BYTES = 4 << 20
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def is_safetensors(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that starts with `head` (9 bytes or more) looks like one."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def read_safetensors(path: Path) -> tuple[dict[str, LazyTensor], dict[str, Any]]:
    """Tensors by name, and what `write_safetensors` recorded (empty for files of others).

    Raises:
        CheckpointError: the file is damaged or its header implausibly large.
    """
    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > MAX_HEADER_BYTES:
            raise CheckpointError(
                "the safetensors header is implausibly large", "take the file from its source again"
            )
    try:
        archive: Any = safe_open(str(path), framework="pt")
        tensors = {name: _lazy(archive, name) for name in archive.keys()}  # noqa: SIM118
        return tensors, _record(archive.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            "the safetensors file is damaged or cut short", "download or copy the file again"
        ) from error


def write_safetensors(path: Path, state: Mapping[str, Tensor], record: dict[str, Any]) -> None:
    """Write `state` atomically, with `record` as JSON in the metadata.

    Raises:
        UsageError: the folder cannot be written.
    """
    metadata = {"format": "pt", METADATA_KEY: json.dumps(record, ensure_ascii=False)}
    with atomic_path(path) as temporary:
        try:
            save_file({name: t.contiguous() for name, t in state.items()}, temporary, metadata)
        except SafetensorError as error:
            raise UsageError(
                f"cannot write {path}: {error}", "choose a folder with enough free space"
            ) from error


def _lazy(archive: Any, name: str) -> LazyTensor:
    view = archive.get_slice(name)
    kind = view.get_dtype()
    if kind not in _DTYPES:
        raise CheckpointError(
            f"holds tensors of type {kind}", "pass a checkpoint in float16, bfloat16 or float32"
        )
    return LazyTensor(tuple(view.get_shape()), _DTYPES[kind], lambda: archive.get_tensor(name))


def _record(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        record = json.loads(metadata.get(METADATA_KEY, "{}"))
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
