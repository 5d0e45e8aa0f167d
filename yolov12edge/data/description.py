"""data.yaml: the class names, and where the images of each split are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from yolov12edge.data.images import IMAGE_SUFFIXES, find_images
from yolov12edge.errors import DataError

MAX_TEXT_BYTES = 64_000_000
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Description:
    """One split as its data.yaml describes it.

    Attributes:
        names: class names, by class index; None if they are left to COCO files.
        images: images with YOLO text labels.
        documents: COCO files.
        image_folders: where the images of the COCO files may be, most likely first.
    """

    names: tuple[str, ...] | None
    images: tuple[Path, ...]
    documents: tuple[Path, ...]
    image_folders: tuple[Path, ...]


def read_description(path: Path, split: str) -> Description:
    """Read what a data.yaml says about one split.

    `train`, `val` and `test` each name a folder, a text file that lists images, a COCO .json
    file, or a list of those; `path` is their base, relative to the yaml. `images` names the
    folder of the COCO files' images, or one for each split.

    Raises:
        DataError: anything is missing or malformed; the message names the file and the line.
    """
    path = Path(path)
    document = _read_yaml(path)
    entry = document.get(split)
    names = _names(document, path) if entry is None or not _only_coco(entry, document) else None
    if entry is None:
        present = [name for name in SPLITS if document.get(name) is not None]
        raise DataError(
            f"{path} has no {split!r} split",
            f"add it, or use one of: {', '.join(present)}" if present else f"add a {split} entry",
        )
    base = path.parent / str(document.get("path") or ".")
    images: list[Path] = []
    documents: list[Path] = []
    for item in entry if isinstance(entry, list) else [entry]:
        if not isinstance(item, str):
            raise DataError(
                f"{path}: {item!r} is not a folder or a list file", "give paths as text"
            )
        source = base / item
        if source.is_dir():
            images += find_images(source)
        elif source.is_file() and source.suffix.lower() == ".json":
            documents.append(source)
        elif source.is_file():
            images += _listed_images(source)
        else:
            raise DataError(
                f"{path}: {source} does not exist",
                "paths are relative to path:, which is relative to the yaml file",
            )
    folders = _image_folders(document.get("images"), base, split)
    return Description(names, tuple(dict.fromkeys(images)), tuple(documents), folders)


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """The text of a file of a data set.

    Raises:
        DataError: it cannot be read, is too large or is not UTF-8.
    """
    try:
        if path.stat().st_size > limit:
            raise DataError(
                f"{path} is too large to be a text file of a data set", "check the path"
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file", "check the path") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise DataError(f"{path}{where}: not valid YAML", "correct the file") from error
    if not isinstance(document, dict):
        raise DataError(
            f"{path} does not describe a data set", "it needs names: and train: or val: entries"
        )
    return document


def _only_coco(entry: Any, document: dict[str, Any]) -> bool:
    """Whether the names may be absent, since COCO files bring them."""
    items: Sequence[Any] = entry if isinstance(entry, list) else [entry]
    return document.get("names") is None and all(
        isinstance(item, str) and item.lower().endswith(".json") for item in items
    )


def _names(document: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = document.get("names")
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(
            f"{path}: names must be a list, or a map from 0, 1, 2, ... to class names",
            "add a names: entry",
        )
    count = document.get("nc", len(names))
    if count != len(names):
        raise DataError(f"{path}: nc is {count}, but names lists {len(names)}", "make them agree")
    return tuple(str(name) for name in names)


def _image_folders(entry: Any, base: Path, split: str) -> tuple[Path, ...]:
    if isinstance(entry, dict):
        entry = entry.get(split)
    named = [base / entry] if isinstance(entry, str) else []
    return (*named, base, base / "images", base / "images" / split, base / split)


def _listed_images(path: Path) -> list[Path]:
    images = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            image = Path(os.path.normpath(path.parent / line.strip()))
            if image.suffix.lower() not in IMAGE_SUFFIXES or not image.is_file():
                raise DataError(
                    f"{path}, line {number}: {line.strip()} is not an image file",
                    "list one image a line, relative to the list file",
                )
            images.append(image)
    if not images:
        raise DataError(f"{path} lists no images", "list one image a line")
    return images
