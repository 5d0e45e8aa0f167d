"""The generated C++ header that describes a model, so that no JSON is parsed at run time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolov12edge import __version__
from yolov12edge.files import sha256_file
from yolov12edge.run.manifest import EngineSection, Manifest
from yolov12edge.run.names import PLAN_FILE


def render_constants(manifest: Manifest, artifact: Path) -> str:
    """The C++ header that describes the model; ASCII, whatever the class names are."""
    height, width = manifest.model.imgsz
    letterbox = manifest.input.letterbox
    fields = [
        ("name", _cpp(model_name(manifest))),
        ("precision", _cpp(manifest.precision.name)),
        ("class_names", _cpp_list([_cpp(name) for name in manifest.model.names])),
        (
            "letterbox",
            f"{{kInputHeight, kInputWidth, {letterbox.pad_value}, "
            f"{'true' if letterbox.center else 'false'}}}",
        ),
        ("input_name", _cpp(manifest.input.name)),
        ("output_name", _cpp(manifest.output.name)),
        ("onnx", _cpp_file(artifact.name, sha256_file(artifact), artifact.stat().st_size)),
        ("plan", _cpp_plan(manifest.engine)),
    ]
    if manifest.engine is not None:
        fields.append(("plan_origin", _cpp_origin(manifest.engine)))
    lines = "\n".join(f"  info.{name} = {value};" for name, value in fields)
    return f"""\
// What the runtime has to know about the model. Written by yolov12edge {__version__}; do not edit.
#pragma once

#include "yolov12edge/model_info.hpp"

namespace yolov12edge {{

inline constexpr int kInputHeight = {height};
inline constexpr int kInputWidth = {width};
inline constexpr int kClasses = {len(manifest.model.names)};
inline constexpr int kAnchors = {manifest.output.shape[2]};

inline ModelInfo model_info() {{
  ModelInfo info;
{lines}
  return info;
}}

}}  // namespace yolov12edge
"""


def _cpp_plan(engine: EngineSection | None) -> str:
    if engine is None:
        return _cpp_file(PLAN_FILE, "", 0)
    return _cpp_file(engine.file, engine.sha256, engine.bytes)


def _cpp_origin(engine: EngineSection) -> str:
    parts = [
        _cpp(engine.backend),
        _cpp(engine.version),
        _cpp_list([str(int(sm)) for sm in engine.sm]),
        _cpp(engine.hardware_compatibility),
        "true" if engine.version_compatible else "false",
        _cpp(engine.platform or ""),
    ]
    return "{" + ", ".join(parts) + "}"


def _cpp_file(name: str, sha256: str, size: int) -> str:
    return f"{{{_cpp(name)}, {_cpp(sha256)}, {size}}}"


def _cpp_list(items: Sequence[str]) -> str:
    return "{" + ", ".join(items) + "}"


def _cpp(text: str) -> str:
    """A C++ string literal of the text's UTF-8 bytes; octal escapes end after three digits."""
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def model_name(manifest: Manifest) -> str:
    """ "yolov12n" and the like."""
    return f"yolov12{manifest.model.scale}"
