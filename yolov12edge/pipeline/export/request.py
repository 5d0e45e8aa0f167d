"""What an export was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolov12edge.pipeline.stages.int8 import AUTO


@dataclass(frozen=True)
class ExportRequest:
    """What a user asked for; None means the default of the target, checkpoint or machine.

    Attributes:
        weights: a checkpoint file; None for the published one of `scale` and `layout`.
        precision: fp32, fp16 or int8.
        image_size: (height, width).
        batch: "N", or "MIN:OPT:MAX" for a symbolic one.
        calibration: folder, data.yaml or .npz; the train split of `data` if None.
        calibration_method: auto, max, percentile, entropy or mse.
        keep_float: blocks that INT8 leaves in float.
        effort: quick, normal or thorough, for INT8; normal if None.
        data: data.yaml whose val split judges the result.
        build, verify, bench: whether to run these stages.
        target: a recipe; "auto" for the one that serves the device of `probe`, or this machine.
        probe: a device that was probed with `deploy --probe-only`.
        fresh: take nothing that an earlier run worked out.
        require_fused: fail where an attention block of the engine is not one kernel.
    """

    weights: Path | None = None
    scale: str = "n"
    layout: str = "turbo"
    precision: str | None = None
    target: str | None = None
    calibration: Path | None = None
    calibration_limit: int | None = None
    calibration_method: str = AUTO
    keep_float: tuple[str, ...] = ()
    effort: str | None = None
    image_size: tuple[int, int] | None = None
    batch: str = "1"
    data: Path | None = None
    max_drop: float = 0.01
    out: Path | None = None
    seed: int = 0
    build: bool = True
    verify: bool = True
    bench: bool = True
    swap_attention: bool = True
    fresh: bool = False
    require_fused: bool = False
    probe: Path | None = None
