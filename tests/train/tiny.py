"""A set small enough to train on in a test: coloured discs and squares on noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

NAMES = ("disc", "square")


def write_tiny_set(folder: Path, count: int = 6, side: int = 64, seed: int = 0) -> Path:
    """Pictures with one disc and one square each; train and val are the same. The data.yaml."""
    random = np.random.default_rng(seed)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for index in range(count):
        picture = random.integers(0, 60, (side, side, 3)).astype(np.uint8)
        lines = []
        for label in (0, 1):
            radius = int(random.integers(side // 8, side // 5))
            x = int(random.integers(radius, side // 2 - radius)) + label * side // 2
            y = int(random.integers(radius, side - radius))
            color = (40, 220, 240) if label == 0 else (250, 90, 60)
            if label == 0:
                cv2.circle(picture, (x, y), radius, color, cv2.FILLED)
            else:
                cv2.rectangle(
                    picture, (x - radius, y - radius), (x + radius, y + radius), color, cv2.FILLED
                )
            size = (2 * radius + 1) / side
            lines.append(f"{label} {(x + 0.5) / side} {(y + 0.5) / side} {size} {size}")
        cv2.imwrite(str(folder / f"images/{index}.png"), picture)
        (folder / f"labels/{index}.txt").write_text("\n".join(lines) + "\n")
    data = folder / "data.yaml"
    data.write_text(f"train: images\nval: images\nnames: [{', '.join(NAMES)}]\n")
    return data
