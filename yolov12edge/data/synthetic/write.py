"""Write synthetic sets: JPEG files, COCO json and data.yaml, in a folder that appears whole."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2

from yolov12edge.data.synthetic.scene import Scene, make_scene
from yolov12edge.data.synthetic.shapes import NAMES
from yolov12edge.errors import UsageError

# Scenes of the splits are apart, whatever their number.
FIRST_INDEX = {"train": 0, "val": 1_000_000}
JPEG_QUALITY = 92


def write_set(
    out: Path,
    train: int,
    val: int,
    size: int = 320,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a set of synthetic scenes; the same arguments give the same files.

    OUT/data.yaml, OUT/annotations/{train,val}.json (COCO, with outlines of the visible parts) and
    OUT/images/{train,val}/000000.jpg, ...

    Args:
        out: folder to make; must not exist, or be empty.
        train: number of scenes to train on.
        val: number of scenes to judge with.
        size: width and height of each in pixels.
        seed: of the set.
        progress: called with the scenes done and their number.

    Returns:
        The data.yaml.

    Raises:
        UsageError: `out` is not empty or cannot be written.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists", "name a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
    except OSError as error:
        raise UsageError(
            f"cannot write to {out.parent}: {error.strerror}", "name another folder"
        ) from error
    try:
        done = 0
        for split, count in (("train", train), ("val", val)):
            for made in _write_split(temporary, split, count, size, seed):
                if progress:
                    progress(done + made, train + val)
            done += count
        (temporary / "data.yaml").write_text(_description(train, val, size, seed))
        temporary.chmod(0o755)
        if out.exists():
            out.rmdir()
        os.replace(temporary, out)
    except OSError as error:
        raise UsageError(
            f"cannot write {out}: {error.strerror}", "free space or name another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out / "data.yaml"


def _write_split(folder: Path, split: str, count: int, size: int, seed: int) -> Iterator[int]:
    """Write a split's images and annotations; yields how many images there are, after each."""
    images = folder / "images" / split
    images.mkdir(parents=True)
    scenes = []
    for number in range(count):
        scene = make_scene(seed, FIRST_INDEX[split] + number, size)
        scenes.append(_entry(scene, number))
        _write_image(images / f"{number:06d}.jpg", scene)
        yield number + 1
    _write_annotations(folder / "annotations" / f"{split}.json", scenes, size)


def _write_image(path: Path, scene: Scene) -> None:
    picture = cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR)
    content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    path.write_bytes(content.tobytes())


def _entry(scene: Scene, image: int) -> list[dict[str, Any]]:
    """Annotations of one scene, without ids."""
    return [
        {
            "image_id": image,
            "category_id": int(kind) + 1,
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "area": int(area),
            "iscrowd": 0,
            "segmentation": [[round(v, 2) for v in ring.ravel().tolist()] for ring in polygons],
        }
        for box, kind, polygons, area in zip(
            scene.boxes.tolist(), scene.classes, scene.polygons, scene.areas, strict=True
        )
    ]


def _write_annotations(path: Path, scenes: list[list[dict[str, Any]]], size: int) -> None:
    path.parent.mkdir(exist_ok=True)
    document = {
        "info": {"description": "synthetic scenes of yolov12edge.data.synthetic"},
        "images": [
            {"id": number, "file_name": f"{number:06d}.jpg", "width": size, "height": size}
            for number in range(len(scenes))
        ],
        "annotations": [
            {"id": number, **annotation}
            for number, annotation in enumerate((a for scene in scenes for a in scene), start=1)
        ],
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(NAMES)],
    }
    path.write_text(json.dumps(document))


def _description(train: int, val: int, size: int, seed: int) -> str:
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(NAMES))
    return (
        f"# {train} + {val} synthetic scenes of {size} px, seed {seed}; "
        "made by python -m yolov12edge.data.synthetic\n"
        "train: annotations/train.json\n"
        "val: annotations/val.json\n"
        "images:\n  train: images/train\n  val: images/val\n"
        f"names:\n{names}"
    )
