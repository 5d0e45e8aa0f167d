"""What counts as a detection, wherever detections are shown, counted or weighed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """How detections are chosen from a detector's decoded output.

    Attributes:
        confidence: candidates score above it.
        iou: overlap above which the lower score goes.
        max_detections: at most this many are kept.
        multi_label: an anchor may give one box for every class above `confidence`; otherwise its
            best class only.
    """

    confidence: float = 0.25
    iou: float = 0.7
    max_detections: int = 300
    multi_label: bool = False


# As predict shows them, and as mAP counts them: YOLOv12's published evaluation.
SHOWN = Thresholds()
COUNTED = Thresholds(confidence=0.001, multi_label=True)

# Where errors of the raw head are weighed: a place counts from this best score on, since what is
# far below every threshold does not matter.
LEAST_SCORE = 0.05
# What a bin of the box distribution counts there beside a score of 1: at stride 8 it is 8 pixels.
BOX_WEIGHT = 0.3
