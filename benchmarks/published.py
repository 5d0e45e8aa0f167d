"""Latencies of YOLOv12 and of other networks that others published; prediction.py compares them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One published latency: TensorRT, 640 px, batch 1.

    Attributes:
        gpu: by its name in yolov12edge/run/gpus.yaml.
        what: network and graph, in words.
        graph: what prediction.py makes: v1-n, turbo-n of ours, or a network that the public
            exporter knows by name.
        ms: as published.
        fitted: the model was fitted to it.
        doubt: why it is left out of the summary.
    """

    gpu: str
    what: str
    graph: str
    scale: str
    ms: float
    source: str
    precision: str = "fp16"
    fitted: bool = False
    doubt: str = ""

    @property
    def public(self) -> bool:
        """The public exporter makes the graph."""
        return self.graph.startswith("yolo")


README = "sunsmarterjie/yolov12 README, TensorRT 10"
PAPER = "arXiv 2502.12524"
TABLE_4 = f"{PAPER}, table 4"
NO_FLASH = f"{PAPER}, table 5h: no FlashAttention"
YOLOV13 = "YOLOv13 README, measured again"
ISSUE = "ultralytics#19728, measured again"
YOLO11 = "Ultralytics documents, YOLO11"
YOLOV10 = "THU-MIG/yolov10#44, trtexec 8.5.3 with CUDA graph, 99th percentile"
JETSON = "Ultralytics documents, NVIDIA Jetson, 8.3.51"
FUSED = "YOLOv12{} {}, ours"
SPLIT = "YOLOv12{}, public graph"


def _series(
    gpu: str, what: str, graph: str, times: dict[str, float], source: str, **more: object
) -> Iterator[Figure]:
    for scale, ms in times.items():
        yield Figure(
            gpu,
            what.format(scale),
            graph.format(scale),
            scale,
            ms,
            source,
            **more,  # type: ignore[arg-type]
        )


FIGURES = (
    *_series(
        "t4", "YOLOv12{} v1.0, ours", "v1-{}",
        {"n": 1.64, "s": 2.61, "m": 4.86, "l": 6.77, "x": 11.79}, README, fitted=True,
    ),
    *_series(
        "t4", "YOLOv12{} turbo, ours", "turbo-{}",
        {"n": 1.60, "s": 2.42, "m": 4.27, "l": 5.83, "x": 10.38}, README,
    ),
    *_series("t4", SPLIT, "yolo12{}", {"n": 1.92, "s": 3.02}, NO_FLASH),
    *_series("t4", SPLIT, "yolo12{}", {"n": 1.83, "s": 2.82}, YOLOV13),
    *_series(
        "t4", SPLIT, "yolo12{}", {"n": 2.3, "s": 4.1, "m": 7.5, "l": 11.8, "x": 21.4},
        f"{ISSUE}, of turbo",
    ),
    *_series(
        "t4", "YOLO11{}", "yolo11{}", {"n": 1.5, "s": 2.5, "m": 4.7, "l": 6.2, "x": 11.3}, YOLO11
    ),
    *_series("rtx-3080", "YOLOv12{} v1.0, ours", "v1-{}", {"n": 1.1, "s": 1.5}, TABLE_4),
    *_series(
        "rtx-3080", "YOLOv12{} v1.0, ours", "v1-{}", {"m": 1.5}, TABLE_4,
        doubt="printed so, the same as s and less than an A6000's: left out of the summary",
    ),
    *_series("rtx-3080", "YOLOv12{} v1.0, ours", "v1-{}", {"l": 3.3, "x": 5.6}, TABLE_4),
    *_series(
        "rtx-3080", "YOLOv12{} v1.0, ours, FP32", "v1-{}", {"n": 1.7, "s": 2.9}, TABLE_4,
        precision="fp32",
    ),
    *_series(
        "rtx-3080", "YOLO11{}", "yolo11{}", {"n": 1.0, "s": 1.3, "m": 2.3, "l": 3.0, "x": 5.3},
        TABLE_4,
    ),
    *_series(
        "rtx-a5000", "YOLOv12{} v1.0, ours", "v1-{}",
        {"n": 1.0, "s": 1.5, "m": 2.4, "l": 3.1, "x": 5.2}, TABLE_4,
    ),
    *_series(
        "rtx-a6000", "YOLOv12{} v1.0, ours", "v1-{}",
        {"n": 1.1, "s": 1.4, "m": 2.2, "l": 3.0, "x": 4.4}, TABLE_4,
    ),
    *_series(
        "rtx-4090", "YOLOv10{}", "yolov10{}",
        {"n": 0.49, "s": 0.65, "m": 1.03, "l": 1.45, "x": 1.99}, YOLOV10,
    ),
    *_series(
        "orin-nano-super", "YOLO11{}", "yolo11{}",
        {"n": 4.91, "s": 7.30, "m": 13.99, "l": 17.57, "x": 32.94}, JETSON,
    ),
    *_series(
        "orin-nano-super", "YOLOv8{}", "yolov8{}", {"n": 4.43},
        "hokwangchoi.com/blog/vision-benchmarks, GPU alone",
    ),
    *_series("orin-nx-16gb", "YOLO11{}", "yolo11{}", {"n": 4.85, "s": 7.55, "m": 14.45}, JETSON),
)  # fmt: skip
