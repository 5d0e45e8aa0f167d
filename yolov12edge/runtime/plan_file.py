"""What a .plan or .engine file is, read from its first bytes; no TensorRT needed.

Three beginnings are known:

- ``ftrt``: TensorRT 8.6 and later. Four bytes at offset 24 are the version, as trtexec's
  ``--getPlanVersionOnly`` reads them.
- ``ptrt``: TensorRT up to 8.5. Byte 8 is a serialization number; NVIDIA/TensorRT#3073 lists
  which release wrote which.
- ``vtrt``: TensorRT-RTX. Observed on plans of 1.7.1 built for every compute capability alone
  and together: size of the plan at 16, version at 24, the tag again at 28, and at 32 a bit for
  each compute capability.

Ultralytics writes a 4-byte little-endian length and that many bytes of JSON before the plan,
which no TensorRT tool can load; `strip_prefix` takes it off.
"""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.files import atomic_path
from yolov12edge.run.names import PlanBackend

HEADER_BYTES = 64
MAX_PREFIX_BYTES = 1 << 20

_SERIALIZATIONS = {232: "8.5", 213: "8.4", 205: "8.2"}
_RTX_CAPABILITIES = (75, 80, 86, 89, 120, 121)


@dataclass(frozen=True)
class PlanHeader:
    """What the first bytes of a plan tell.

    Attributes:
        backend: the library that can load it.
        version: the library version that built it, "1.7.1.116" or only "8.5"; None where the
            bytes do not tell.
        compute_capabilities: GPU architectures the plan was built for, 86 for SM 8.6; empty
            where the bytes do not tell (TensorRT keeps it deeper in the file).
        offset: where the raw plan starts; more than 0 behind an Ultralytics prefix.
        size: bytes of the raw plan in the file.
        declared_size: bytes that the header says the plan has, or None.
        metadata: the prefix's JSON, empty without one.
    """

    backend: PlanBackend
    version: str | None
    compute_capabilities: tuple[int, ...]
    offset: int
    size: int
    declared_size: int | None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def truncated(self) -> bool:
        """The file ends before the plan does."""
        return self.declared_size is not None and self.size < self.declared_size


def read_plan_header(path: Path) -> PlanHeader:
    """Identify a plan by its bytes; reads at most a prefix of 1 MiB and 64 bytes.

    Raises:
        UsageError: there is no such file.
        CheckpointError: the file is empty, not a plan, or ends before the plan does.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"{path} {what}", "pass a .plan or .engine file")
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError(f"{path} is empty", "build the engine again")
    with path.open("rb") as file:
        offset, metadata = _read_prefix(file, size)
        file.seek(offset)
        head = file.read(HEADER_BYTES)
    header = _parse_header(head, offset, size - offset, metadata)
    if header is None:
        raise CheckpointError(
            f"{path} is not a TensorRT or TensorRT-RTX plan",
            "pass the .plan that build wrote, or an .engine of Ultralytics",
        )
    if header.truncated:
        raise CheckpointError(
            f"{path} is cut short: {header.size} of {header.declared_size} bytes",
            "copy it again in binary mode, or build it again",
        )
    return header


def read_plan(path: Path) -> tuple[PlanHeader, bytes]:
    """A plan's header and its raw bytes without prefix; errors as `read_plan_header`."""
    header = read_plan_header(path)
    with Path(path).open("rb") as file:
        file.seek(header.offset)
        return header, file.read()


def strip_prefix(path: Path, destination: Path) -> PlanHeader:
    """Write the raw plan of `path` to `destination`, atomically; errors as `read_plan_header`.

    Returns:
        the header of the file that was read; its metadata is what the prefix held.
    """
    header = read_plan_header(path)
    with Path(path).open("rb") as source, atomic_path(destination) as temporary:
        source.seek(header.offset)
        with temporary.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    return header


def _read_prefix(file: BinaryIO, size: int) -> tuple[int, dict[str, Any]]:
    """Length of an Ultralytics prefix and its JSON object; (0, {}) where there is none."""
    start = file.read(4)
    if len(start) < 4:
        return 0, {}
    (length,) = struct.unpack("<I", start)
    if not 2 <= length <= min(MAX_PREFIX_BYTES, size - 4):
        return 0, {}
    try:
        document = json.loads(file.read(length))
    except (ValueError, RecursionError):
        return 0, {}
    return (4 + length, document) if isinstance(document, dict) else (0, {})


def _parse_header(
    head: bytes, offset: int, size: int, metadata: dict[str, Any]
) -> PlanHeader | None:
    tag = head[:4]
    if tag == b"ptrt" and len(head) > 8:
        version = _SERIALIZATIONS.get(head[8])
        return PlanHeader("tensorrt", version, (), offset, size, None, metadata)
    if tag == b"ftrt" and len(head) >= 28:
        # trtexec knows where the version is for serialization 0 only.
        version = _dotted(head[24:28]) if head[4:8] == bytes(4) else None
        return PlanHeader("tensorrt", version, (), offset, size, None, metadata)
    if tag == b"vtrt" and len(head) >= 36:
        (declared,) = struct.unpack_from("<Q", head, 16)
        return PlanHeader(
            "tensorrt_rtx",
            _dotted(head[24:28]),
            _capabilities(head),
            offset,
            size,
            declared,
            metadata,
        )
    return None


def _dotted(version: bytes) -> str:
    return ".".join(str(part) for part in version)


def _capabilities(head: bytes) -> tuple[int, ...]:
    if head[28:32] != b"vtrt":
        return ()
    (mask,) = struct.unpack_from("<I", head, 32)
    return tuple(sm for bit, sm in enumerate(_RTX_CAPABILITIES) if mask >> bit & 1)
