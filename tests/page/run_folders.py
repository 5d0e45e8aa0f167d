"""Run folders as an export leaves them, with a stand-in for the detector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.run.test_manifest import DOCUMENT
from tests.runtime.patch_model import document as metadata
from tests.runtime.patch_model import save
from yolov12edge.bench import BenchReport, Settings, describe_environment
from yolov12edge.bench.report import Int8Verdict, Latency, Memory, Ratio, Stages, Timing
from yolov12edge.bench.state import MachineState
from yolov12edge.evaluate import DriftReport
from yolov12edge.files import sha256_file

DRIFT: dict[str, Any] = {
    "images": 12, "objects": 40,
    "map_reference": 0.6125, "map_artifact": 0.6086, "map50_reference": 0.9, "map50_artifact": 0.89,
    "self_map": 0.9931, "self_map50": 0.9990, "drop": 0.0064, "drop_interval": [-0.002, 0.0093],
    "matched": 0.9876, "mean_iou": 0.98, "score_shift": -0.0123, "restoring_threshold": 0.2377,
    "detections": {"reference": 81, "artifact": 80}, "nonfinite_images": 0,
    "tensors": {"boxes": {"sqnr_db": 51.9, "cosine": 0.99999, "max_abs": 8.82}},
    "levels": {"P3": {"boxes": {"sqnr_db": None, "cosine": 1.0, "max_abs": 0.0}}},
    "per_class": [
        {"name": "cat", "map_reference": 0.71, "map_artifact": 0.7022, "self_map": 0.99},
        {"name": "dog", "map_reference": None, "map_artifact": None, "self_map": None},
    ],
    "worst": [
        {"image": "/elsewhere/2.png", "reference": 9, "matched": 7, "extra": 1, "mean_iou": 0.9},
    ],
    "gate": {"metric": "map", "max_drop": 0.01, "min_matched": 0.95, "passed": True, "reasons": []},
    "judge": {"runtime": "onnxruntime", "version": "1.31.1"},
    "reference": {"runtime": "torch", "version": "2.13.0"},
    "settings": {
        "confidence": 0.001, "iou": 0.7, "max_detections": 300, "truth_score": 0.25,
        "match_iou": 0.5, "resamples": 500, "seed": 0,
    },
    "notes": [],
}  # fmt: skip


def drift(**changes: Any) -> str:
    """drift.json."""
    return DriftReport.model_validate(DRIFT | changes).to_json()


def failed(reason: str) -> str:
    """drift.json of an artifact that drifted."""
    gate = DRIFT["gate"] | {"passed": False, "reasons": [reason]}
    return drift(gate=gate, drop=0.25, matched=0.5)


def timing(name: str, p50: float, precision: str = "fp32") -> Timing:
    """One artifact's times around a median."""
    return Timing(
        name=name,
        sha256=None,
        precision=precision,  # type: ignore[arg-type]
        runtime="onnxruntime",
        version="1.31.1",
        device="CPU",
        input_shape=(1, 3, 64, 64),
        warmup=3,
        transfers=None,
        cuda_graph=None,
        wait=None,
        latency_ms=Latency(
            min=p50 - 1, mean=p50, p50=p50, p90=p50 + 2, p95=p50 + 3, p99=p50 + 4, max=p50 + 9,
            std=1.0, n=20,
        ),
        throughput=1000 / p50,
        window=None,
        stages_ms=Stages(decode=1.0, letterbox=0.5, copies=0.25, infer=p50 - 2, nms=0.25),
        memory=Memory(file=123_456, loaded=None),
    )  # fmt: skip


def bench(**changes: Any) -> str:
    """bench.json of a checkpoint and an INT8 file, which is twice as fast."""
    ratio = {"ratio": 0.5, "low": 0.48, "high": 0.52}
    report = BenchReport(
        created="2026-11-22T00:00:00+00:00",
        settings=Settings(),
        rounds=20,
        pictures="3 pictures",
        artifacts=(timing("checkpoint", 41.5), timing("model.onnx", 20.75, "int8")),
        ratios=(Ratio(name="model.onnx", baseline="checkpoint", rounds=20, **ratio),),
        int8=(Int8Verdict(name="model.onnx", against="checkpoint", earned=True, **ratio),),
        verdict="fastest: model.onnx, 2.00 times as fast as checkpoint",
        throttled=(),
        before=MachineState(load_average=0.0),
        after=MachineState(),
        environment=describe_environment(),
    )
    return report.model_copy(update=changes).model_dump_json()


def run_folder(folder: Path, documents: dict[str, str], **changes: Any) -> Path:
    """A run folder with model.onnx, these documents, and a manifest that names all of them."""
    folder.mkdir(parents=True)
    save(folder / "model.onnx", metadata=metadata())
    for name, text in documents.items():
        (folder / name).write_text(text)
    files = {path.name: sha256_file(path) for path in sorted(folder.iterdir())}
    manifest = {**DOCUMENT, "files": files, **changes}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
