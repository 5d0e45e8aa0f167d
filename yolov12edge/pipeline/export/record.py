"""The manifest of an export, made of what its stages handed on."""

from __future__ import annotations

from yolov12edge.files import sha256_file
from yolov12edge.pipeline.export.conversion import Conversions, ProvedExport
from yolov12edge.pipeline.export.preparation import ExportJob
from yolov12edge.pipeline.stages.engine import Built, NotBuilt, Trial
from yolov12edge.pipeline.stages.verify import Verdicts, accuracy_of
from yolov12edge.processor import processor
from yolov12edge.run.folder import RunFolder
from yolov12edge.run.manifest import (
    JudgeSection,
    Manifest,
    ParitySection,
    PrecisionSection,
    SourceSection,
    StepSection,
    TargetSection,
    now,
    tool_section,
)
from yolov12edge.run.names import MANIFEST_FILE


def describe_run(
    job: ExportJob,
    run: RunFolder,
    proved: ProvedExport,
    made: Conversions,
    engine: Built | NotBuilt,
) -> Manifest:
    """What is known before anything is judged."""
    exported, recipe = proved.exported, job.recipe
    return Manifest(
        model=exported.model,
        input=exported.input,
        output=exported.output,
        precision=PrecisionSection(
            name=made.asked.precision,
            nodes=made.asked.nodes,
            kept_in_float=made.asked.kept,
            products=made.asked.products,
        ),
        calibration=made.asked.calibration,
        target=TargetSection(
            name=recipe.name,
            backend=recipe.backend,
            sm=list(recipe.compute_capabilities),
            version=recipe.version or "",
        ),
        engine=engine.engine.section() if isinstance(engine, Built) else None,
        reason=engine.reason if isinstance(engine, NotBuilt) else None,
        parity=_parity_section(proved),
        verified=False,
        files=_hashes(run),
        source=_source_section(job),
        judged_on=JudgeSection(**vars(processor().identity)),
        tool=tool_section(),
        created=now(),
    )


def conclude(manifest: Manifest, run: RunFolder, verdicts: Verdicts, trial: Trial) -> Manifest:
    """The manifest with what was found out about the files."""
    return manifest.model_copy(
        update={
            "verified": verdicts.passed and trial.failure is None,
            "accuracy": {name: accuracy_of(one) for name, one in verdicts.by_artifact.items()},
            "files": _hashes(run),
        }
    )


def _hashes(run: RunFolder) -> dict[str, str]:
    """SHA-256 of every file of the run but the manifest itself."""
    files = sorted(path for path in run.path.iterdir() if path.name != MANIFEST_FILE)
    return {path.name: sha256_file(path) for path in files}


def _parity_section(proved: ProvedExport) -> ParitySection:
    return ParitySection(
        steps=[StepSection(**vars(proof)) for proof in proved.exported.proofs],
        onnx_box_error=proved.parity.box_error,
        onnx_score_error=proved.parity.score_error,
    )


def _source_section(job: ExportJob) -> SourceSection:
    checkpoint = job.checkpoint
    return SourceSection(
        file=checkpoint.path.name,
        path=str(checkpoint.path.resolve()),
        sha256=checkpoint.sha256,
        form=checkpoint.form,
        layout=checkpoint.architecture.layout,
        license=checkpoint.license,
    )
