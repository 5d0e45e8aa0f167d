"""A drift report on the terminal, word by word."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from tests.page.run_folders import DRIFT
from yolov12edge.evaluate import DriftReport, render_drift


def text_of(**changes: Any) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_drift(DriftReport.model_validate(DRIFT | changes), "model.onnx"))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


PASSED = """\
model.onnx
                       reference  artifact      kept or error
─────────────────────────────────────────────────────────────
mAP50-95                  0.6125    0.6086        99.36% kept
mAP50                     0.9000    0.8900        98.89% kept
self-mAP50-95                       0.9931
detections above 0.25         81        80     98.76% matched
mean IoU of matched                                    0.9800
score shift                                           -0.0123
boxes                                       51.9 dB, max 8.82
scores                                                  exact

PASSED  map drop 0.64% (95% interval -0.20% to 0.93%), gate 1.00%
        matched 98.76%, gate 95.00%; judged by onnxruntime 1.31.1 on 12 images"""
# Without labels, and without anything that the reference finds.
FAILED = """\
model.onnx
                       reference  artifact  kept or error
─────────────────────────────────────────────────────────
self-mAP50-95                            -
detections above 0.25          0        80
mean IoU of matched                                     -
score shift                                             -

FAILED  self_map drop -, gate 2.00%
        matched -, gate 90.00%; judged by onnxruntime 1.31.1 on 12 images
  - the reference finds nothing
  - and another reason
  > look here
  > worst image: /elsewhere/2.png (7 of 9 found again, 1 extra)"""
ABSENT = (
    "map_reference map_artifact map50_reference map50_artifact self_map self_map50 drop "
    "drop_interval matched mean_iou score_shift restoring_threshold objects tensors levels"
)


def test_a_passed_report() -> None:
    exact = {"sqnr_db": None, "cosine": 1.0, "max_abs": 0.0}
    assert text_of(tensors=DRIFT["tensors"] | {"scores": exact}) == PASSED


def test_a_failed_report_with_nothing_to_measure() -> None:
    reasons = ["the reference finds nothing", "and another reason"]
    gate = {"metric": "self_map", "max_drop": 0.02, "min_matched": 0.9, "passed": False}
    absent: dict[str, Any] = dict.fromkeys(ABSENT.split())
    text = text_of(
        **absent,
        gate=gate | {"reasons": reasons},
        notes=["look here"],
        detections={"reference": 0, "artifact": 80},
    )
    assert text == FAILED


def test_a_reference_of_zero_keeps_no_share() -> None:
    row = next(line for line in text_of(map_reference=0.0).splitlines() if "mAP50-95" in line)
    assert row.split() == ["mAP50-95", "0.0000", "0.6086"]
    row = next(line for line in text_of(map_artifact=0.0).splitlines() if "mAP50-95" in line)
    assert row.split() == ["mAP50-95", "0.6125", "0.0000", "0.00%", "kept"]


def test_where_int8_is_exact_fits_a_terminal() -> None:
    sets = ("avx512-vnni", "sse4.2", "avx2", "avx512")
    one = {
        "images": 8, "block": "model.21.cv2.1", "exact_db": 40.2, "runtime_db": 40.0,
        "passed": True, "matched": 1.0, "matched_exactly": 1.0,
    }  # fmt: skip
    alone = [{"block": "model.6", "lost_db": -0.0011 * place, "images": 8} for place in range(4)]
    found = [one | {"name": name, "alone": own} for name, own in zip(sets, alone, strict=True)]
    line = "        INT8 exact on avx512-vnni, sse4.2, avx2, avx512; blocks within 0.004 dB"
    assert line in text_of(instruction_sets=found).splitlines()
    # Reports of earlier versions know what the whole network loses alone.
    earlier = text_of(instruction_sets=[one | {"name": "avx2"}])
    assert "INT8 exact on avx2; blocks within 0.2" in earlier
