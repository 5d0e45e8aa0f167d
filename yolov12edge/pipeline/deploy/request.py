"""What a deploy was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from yolov12edge.evaluate import Gate
from yolov12edge.remote import Address

DEFAULT_IMAGES = 100


@dataclass(frozen=True)
class DeployRequest:
    """What a user asked for.

    Attributes:
        run: a folder that `export` wrote.
        to: the devices.
        data: data.yaml whose val split judges; `images` is a folder without labels instead.
        most_images: judge on so many of them, spread over the set; 0 for all.
        weights: the checkpoint to judge by; the one of the manifest if None.
        gate: what has to be kept.
        library: folder of OpenVINO, ONNX Runtime or TensorRT on the device.
        threads: CPU threads of the programs there; the runtime's own choice if None.
        workspace: MiB of scratch memory of a plan's build; the recipe's if None.
        batch: least, usual and largest batch of a plan, where the graph leaves it open.
        seconds: to time each model.
        bench: whether to time.
        config: for `ssh -F`.
        keep: leave the verification images there.
        clean: remove everything there in the end.
        log: tell what the device's tools print.
    """

    run: Path
    to: tuple[Address, ...]
    data: Path | None = None
    images: Path | None = None
    most_images: int = DEFAULT_IMAGES
    weights: Path | None = None
    gate: Gate = field(default_factory=Gate)
    library: str | None = None
    threads: int | None = None
    workspace: int | None = None
    batch: tuple[int, int, int] = (1, 1, 4)
    seconds: float = 5.0
    bench: bool = True
    config: Path | None = None
    keep: bool = False
    clean: bool = False
    log: bool = False
