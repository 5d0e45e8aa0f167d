"""Inputs of `make demo`: a seeded YOLOv12-n and a folder of drawn pictures.

Nothing here was trained: the weights are random, with a head scaled until it speaks up, so that
every stage of the export has a signal to keep.

    python docs/demo/make_inputs.py runs/demo/inputs
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from yolov12edge import build_model
from yolov12edge.checkpoints import save_safetensors
from yolov12edge.data import Letterbox, to_batch
from yolov12edge.model import Detector

SIZE = 320
PICTURES = 24
CLASSES = ("disc", "box", "triangle")
# Logits are spread by SPREAD and shifted until LOUD_SHARE of the anchors score above one half.
SPREAD = 3
LOUD_SHARE = 0.0006


def main() -> None:
    folder = Path(sys.argv[1])
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    drawn = [draw_picture(seed) for seed in range(PICTURES)]
    for seed, picture in enumerate(drawn):
        cv2.imwrite(str(pictures / f"{seed:02d}.png"), picture[..., ::-1])
    weights = folder / "yolov12n-seeded.safetensors"
    save_safetensors(seeded_model(drawn), weights)
    print(f"drew {PICTURES} pictures and wrote {weights}: seeded weights, nothing is trained")


def draw_picture(seed: int) -> np.ndarray:
    """(240, 320, 3) uint8 RGB: a shaded ground with discs, boxes and triangles."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:240, 0:320] / 320
    ground = random.uniform(40, 200, 3) + 60 * np.sin(
        (rows * random.uniform(2, 9) + columns * random.uniform(2, 9))[..., None]
        + random.uniform(0, 6, 3)
    )
    picture = np.clip(ground, 0, 255).astype(np.uint8)
    for _ in range(random.integers(3, 8)):
        centre = random.uniform([30, 30], [290, 210])
        size = random.uniform(12, 40)
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        corners = {0: 32, 1: 4, 2: 3}[int(random.integers(3))]
        angles = random.uniform(0, 7) + np.arange(corners) * 2 * np.pi / corners
        outline = centre + size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], colour, cv2.LINE_AA)
    noise = random.normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def seeded_model(pictures: list[np.ndarray]) -> Detector:
    """A detector with random weights and statistics, and a head that is loud enough to be heard."""
    torch.manual_seed(0)
    model = build_model("n", "turbo", len(CLASSES), CLASSES).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.6)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    letterbox = Letterbox(SIZE, SIZE)
    batch = torch.from_numpy(to_batch([letterbox(picture)[0] for picture in pictures]))
    with torch.inference_mode():
        levels = model.raw(batch)
        for branch, level in zip(model.head.cv3, levels, strict=True):
            last, logits = branch[-1], level[:, 64:].transpose(0, 1).flatten(1)
            gain = SPREAD / logits.std(dim=1)
            last.weight.mul_(gain.view(-1, 1, 1, 1))
            quiet = torch.quantile(logits[:, ::3], 1 - LOUD_SHARE, dim=1)
            last.bias.copy_(gain * (last.bias - quiet))
    return model


if __name__ == "__main__":
    main()
