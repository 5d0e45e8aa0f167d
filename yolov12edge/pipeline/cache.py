"""The cache of results: what an earlier run worked out, under a key of all that it depends on.

Nothing is asked whether it is stale: other weights, images, settings, library versions or another
processor have another key. A damaged entry counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from yolov12edge import __version__
from yolov12edge.bench.environment import read_cpu
from yolov12edge.download import cache_folder
from yolov12edge.files import write_bytes

_VERSION = 2
_DIGEST = hashlib.sha256().digest_size
# What changes results when its version does; some libraries go by several names.
_LIBRARIES = (
    *("numpy", "onnx", "openvino", "torch"),
    *("onnxruntime", "onnxruntime-gpu"),
    *("opencv-python", "opencv-python-headless"),
    *("nvidia-modelopt", "onnxslim", "onnx-graphsurgeon", "onnxscript"),
)


def key_of(**parts: Any) -> str:
    """SHA-256 over the parts, the versions of the libraries and the processor.

    Args:
        parts: whatever the result depends on; serialisable as JSON.
    """
    known = parts | {
        "cache": _VERSION,
        "tool": __version__,
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "processor": [platform.machine(), read_cpu().model],
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def recall(kind: str, key: str) -> bytes | None:
    """What was remembered under a key; None if nothing or if it is damaged."""
    try:
        stored = _path(kind, key).read_bytes()
    except OSError:
        return None
    digest, content = stored[:_DIGEST], stored[_DIGEST:]
    return content if _digest(kind, key, content) == digest else None


def remember(kind: str, key: str, content: bytes) -> None:
    """Keep bytes under a key."""
    write_bytes(_path(kind, key), _digest(kind, key, content) + content)


def forget(kind: str, key: str) -> None:
    """Remove what was remembered under a key."""
    _path(kind, key).unlink(missing_ok=True)


def _digest(kind: str, key: str, content: bytes) -> bytes:
    """Over the name too, so that an entry under another name is not taken."""
    return hashlib.sha256(f"{kind}-{key}\n".encode() + content).digest()


def _path(kind: str, key: str) -> Path:
    return cache_folder() / "results" / f"{kind}-{key}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
