"""What an export came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolov12edge.bench import BenchReport
from yolov12edge.bench.verdict import int8_text
from yolov12edge.engine import EngineBuild
from yolov12edge.engine.prediction import NotPredicted, Prediction
from yolov12edge.errors import GateFailed
from yolov12edge.pipeline.stages.verify import Verdicts
from yolov12edge.run.manifest import Manifest
from yolov12edge.run.names import DRIFT_FILE, FP16_PLAN_FILE


@dataclass(frozen=True)
class ExportOutcome:
    """A finished run.

    Attributes:
        folder: the run folder.
        manifest: what it says about itself.
        verdicts: drift of its files.
        bench: what was timed here; None if nothing was.
        statistics: nodes of model.onnx, in all and by operator.
        engine_note: why there is no engine and what to run, or None.
        failure: what the engine does wrong on the golden inputs, if this machine could run it, or
            that its attention is not fused, where that was asked for.
        engine: as it was built here; None if it was not.
        predicted: its time on a GPU of the target, or why there is none; None without an engine.
        rival: what an FP16 engine is predicted to take, where this one is INT8; it is not kept.
    """

    folder: Path
    manifest: Manifest
    verdicts: Verdicts
    bench: BenchReport | None
    statistics: dict[str, int]
    engine_note: str | None
    failure: GateFailed | None = None
    engine: EngineBuild | None = None
    predicted: Prediction | NotPredicted | None = None
    rival: Prediction | None = None

    def comparison(self) -> list[dict[str, Any]]:
        """One row an artifact, the checkpoint first: accuracy, size, latency where it runs here.

        An engine that does not run here has one for its size and its predicted time, and so has the
        FP16 engine that INT8 has to beat.
        """
        timed = {one.name: one.latency_ms.p50 for one in self.bench.artifacts} if self.bench else {}
        drift = self.verdicts.by_artifact
        first = next(iter(drift.values()), None)
        rows = [
            {
                "artifact": "checkpoint",
                "map": first.map_reference if first else None,
                "self_map": None,
                "matched": None,
                "bytes": None,
                "latency_ms": timed.get("checkpoint"),
                "predicted_ms": None,
                "passed": None,
            }
        ]
        plan = self.engine.path.name if self.engine else None
        time = self.predicted.predicted_ms if isinstance(self.predicted, Prediction) else None
        names = list(drift)
        if plan is not None and time is not None and plan not in drift:
            names.append(plan)
        for name in names:
            report = drift.get(name)
            rows.append(
                {
                    "artifact": name,
                    "map": report.map_artifact if report else None,
                    "self_map": report.self_map if report else None,
                    "matched": report.matched if report else None,
                    "bytes": (self.folder / name).stat().st_size,
                    "latency_ms": timed.get(name),
                    "predicted_ms": time if name == plan else None,
                    "passed": report.gate.passed if report else None,
                }
            )
        if self.rival is not None:
            rows.append(
                dict.fromkeys(rows[0])
                | {"artifact": FP16_PLAN_FILE, "predicted_ms": self.rival.predicted_ms}
            )
        return rows

    def _prediction(self) -> dict[str, Any] | None:
        if self.predicted is None:
            return None
        return self.predicted.model_dump(mode="json", exclude={"layers"})

    @property
    def advice(self) -> str | None:
        """What to use instead of INT8, where `bench` found that INT8 did not earn its keep."""
        if self.bench is None:
            return None
        lost = (found for found in self.bench.int8 if not found.earned)
        return next((int8_text(found, self.bench.artifacts) for found in lost), None)

    def document(self) -> dict[str, Any]:
        """What --json prints."""
        drift = self.verdicts.by_artifact
        return {
            "folder": str(self.folder),
            "manifest": self.manifest.model_dump(mode="json"),
            "drift": {name: report.model_dump(mode="json") for name, report in drift.items()},
            "bench": self.bench.model_dump(mode="json") if self.bench else None,
            "comparison": self.comparison(),
            "advice": self.advice,
            "graph": self.statistics,
            "next_step": self.engine_note,
            "prediction": self._prediction(),
            "attention": self.engine.fusion.model_dump(mode="json") if self.engine else None,
        }

    def raise_if_failed(self) -> None:
        """Raise GateFailed if the artifact drifted too far, or the engine yields nonsense."""
        if self.failure is not None:
            raise self.failure
        asked = self.verdicts.asked
        if asked is not None and not asked.gate.passed:
            advice = [note for note in asked.notes if "--keep-float" in note]
            wider = f"see {self.folder / DRIFT_FILE}; a wider gate is --max-drop F"
            raise GateFailed(
                f"the artifact drifted: {asked.gate.reasons[0]}", advice[0] if advice else wider
            )
