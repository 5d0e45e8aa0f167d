"""What the JSON documents of a run say, as far as a runtime has to know it.

`manifest.json` and `engine.plan.json` are opened here only. A runtime takes what fits, also from a
manifest that another version or a hand wrote; `run.manifest` checks the whole. No pydantic: loading
it takes longer than opening a model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolov12edge.run.names import MANIFEST_FILE, SIDECAR_SUFFIX

MAX_MANIFEST_BYTES = 16_000_000


class TooLargeError(ValueError):
    """The file is larger than any manifest."""


def read_document(path: Path, errors: str = "strict") -> Any:
    """The content of a manifest or sidecar, not checked further.

    Args:
        path: the file.
        errors: "replace" also reads text that is not whole.

    Raises:
        OSError: there is no such file, or it cannot be read.
        TooLargeError: it has more than 16 MB; none of it is read.
        ValueError: it is not JSON.
    """
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise TooLargeError(f"{path} is too large for a manifest")
    content = path.read_bytes()
    try:
        return json.loads(content.decode(json.detect_encoding(content), errors))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


@dataclass(frozen=True)
class ModelFacts:
    """What a manifest, or the metadata of an ONNX file, says about the model.

    Attributes:
        names: class names, by class index, if it has them.
        imgsz: height and width of the input.
        pad_value: of the letterbox, 0 to 255.
        center: whether the letterbox pads on both sides.
    """

    names: tuple[str, ...] | None
    imgsz: tuple[int, int]
    pad_value: int
    center: bool

    @classmethod
    def parse(cls, document: Any) -> ModelFacts:
        """Take the facts from a document.

        Raises:
            ValueError: it lacks them, or they are out of range.
        """
        try:
            model, letterbox = document["model"], document["input"]["letterbox"]
            height, width = (int(side) for side in model["imgsz"])
            pad_value, center = int(letterbox["pad_value"]), bool(letterbox["center"])
            listed = model.get("names")
            names = tuple(str(name) for name in listed) if listed else None
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not the description of a model") from error
        if not (0 < height < 1 << 16 and 0 < width < 1 << 16 and 0 <= pad_value <= 255):
            raise ValueError("image size or pad value out of range")
        return cls(names, (height, width), pad_value, center)


def model_facts(folder: Path) -> ModelFacts | None:
    """What the manifest of a folder says about the model.

    Returns:
        None where there is no manifest, or a file too large for one.

    Raises:
        ValueError: it is damaged.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return None
    try:
        return ModelFacts.parse(read_document(path, errors="replace"))
    except TooLargeError:
        return None


@dataclass(frozen=True)
class EngineFacts:
    """What a sidecar or a manifest says about a plan.

    Attributes:
        document: the file that says it.
        sha256: of the plan, in hex, where it is told.
        version: of the library that built it, where it is told.
        sm: GPU architectures, 86 for SM 8.6; empty where they are not told.
        hardware_compatibility: "none", "ampere_plus" or "same_compute_capability".
        version_compatible: built to be loaded by later library versions.
        platform: where it was built, "linux-aarch64", where it is told.
        dla_core: the DLA core it was built for, or None.
    """

    document: Path
    sha256: str | None
    version: str | None
    sm: tuple[int, ...]
    hardware_compatibility: str
    version_compatible: bool
    platform: str | None
    dla_core: int | None


def engine_facts(plan: Path) -> EngineFacts | None:
    """What the sidecar of a plan, else the manifest beside it, says about a plan of this name.

    Returns:
        None where neither does; one that is damaged says nothing.
    """
    for document in (plan.with_name(plan.name + SIDECAR_SUFFIX), plan.with_name(MANIFEST_FILE)):
        entry = _engine_entry(document)
        if entry is None or entry.get("file") != plan.name:
            continue
        sha256, sm, dla = entry.get("sha256"), entry.get("sm"), entry.get("dla")
        core = dla.get("core") if isinstance(dla, dict) else None
        return EngineFacts(
            document,
            str(sha256) if sha256 else None,
            _text(entry.get("version")),
            tuple(n for n in sm if isinstance(n, int)) if isinstance(sm, list) else (),
            hardware_compatibility=str(entry.get("hardware_compatibility") or "none"),
            version_compatible=entry.get("version_compatible") is True,
            platform=_text(entry.get("platform")),
            dla_core=core if isinstance(core, int) else None,
        )
    return None


def _engine_entry(document: Path) -> dict[str, Any] | None:
    if not document.is_file():
        return None
    try:
        content = read_document(document)
    except ValueError:
        return None
    entry = content.get("engine") if isinstance(content, dict) else None
    return entry if isinstance(entry, dict) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
