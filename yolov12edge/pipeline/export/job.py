"""The export job: every stage in order, from a checkpoint to a judged run folder."""

from __future__ import annotations

from yolov12edge.bench import BenchReport
from yolov12edge.engine.prediction import NotPredicted, Prediction
from yolov12edge.evaluate import Gate
from yolov12edge.files import write_json
from yolov12edge.pipeline.export.conversion import Conversions, convert, write_graph
from yolov12edge.pipeline.export.outcome import ExportOutcome
from yolov12edge.pipeline.export.preparation import ExportJob, prepare
from yolov12edge.pipeline.export.record import conclude, describe_run
from yolov12edge.pipeline.export.request import ExportRequest
from yolov12edge.pipeline.stages.bench import bench_run
from yolov12edge.pipeline.stages.engine import (
    Built,
    NotBuilt,
    Trial,
    build_step,
    plans_to_time,
    refuse_unfused,
    try_engine,
    weigh_int8,
)
from yolov12edge.pipeline.stages.goldens import record_run
from yolov12edge.pipeline.stages.prediction import predict_build
from yolov12edge.pipeline.stages.verify import NO_VERDICTS, Subject, Verdicts, verify_run
from yolov12edge.run.folder import RunFolder, staged_folder
from yolov12edge.runtime.torch import TorchRunner
from yolov12edge.voice import Progress, Voice


def export_run(request: ExportRequest, voice: Voice, progress: Progress) -> ExportOutcome:
    """Run the whole job and write the run folder.

    The folder is complete or untouched: stages fill a hidden folder that is moved into place at
    the end, also when the gate fails, so that a bad artifact can be looked at.

    Raises:
        EdgeError: of the family of whatever went wrong.
    """
    job = prepare(request, voice, progress)
    with staged_folder(job.folder) as stage:
        run = RunFolder(stage)
        proved = write_graph(job, run, voice)
        made = convert(job, run, proved, voice, progress)
        engine = _build(job, made, voice, progress)
        predicted, rival = _predict(job, made, engine, voice, progress)
        _record_goldens(job, run, progress)
        manifest = describe_run(job, run, proved, made, engine)
        # A plan is opened with what the manifest says of it.
        manifest.write(run.path)
        trial = try_engine(engine)
        verdicts = _verify(job, run, made, trial, voice, progress)
        bench = _bench(job, run, made, trial, voice, progress)
        manifest = conclude(manifest, run, verdicts, trial)
        manifest.write(run.path)
    note = _next_step(job, made, engine)
    statistics = proved.exported.statistics
    built = engine.engine if isinstance(engine, Built) else None
    unfused = refuse_unfused(engine) if job.request.require_fused else None
    return ExportOutcome(
        job.folder,
        manifest,
        verdicts,
        bench,
        statistics,
        note,
        trial.failure or unfused,
        built,
        predicted,
        rival,
    )


def _build(job: ExportJob, made: Conversions, voice: Voice, progress: Progress) -> Built | NotBuilt:
    if not job.request.build:
        return NotBuilt("not asked for (--no-build)")
    return build_step(job.recipe, made.asked.path, job.batch, voice, progress)


def _predict(
    job: ExportJob, made: Conversions, engine: Built | NotBuilt, voice: Voice, progress: Progress
) -> tuple[Prediction | NotPredicted | None, Prediction | None]:
    """The engine's time on a GPU of the target, and that of the FP16 engine INT8 has to beat."""
    if isinstance(engine, NotBuilt):
        return None, None
    found, half = predict_build(engine.engine, job.recipe), made.of("fp16")
    if half is None or job.precision != "int8" or isinstance(found, NotPredicted):
        return found, None
    return found, weigh_int8(job.recipe, found, half.path, job.batch, voice, progress)


def _record_goldens(job: ExportJob, run: RunFolder, progress: Progress) -> None:
    """What the checkpoint finds on a few images, for the device to compare with."""
    reference = TorchRunner(job.detector, job.options.height, job.options.width)
    record_run(run.golden, reference, job.letterbox, job.images.golden, progress)


def _verify(
    job: ExportJob,
    run: RunFolder,
    made: Conversions,
    trial: Trial,
    voice: Voice,
    progress: Progress,
) -> Verdicts:
    """Drift of every file; of the engine itself where it runs here."""
    if job.images.judges is None:
        return NO_VERDICTS
    runtime = "openvino" if job.recipe.backend == "openvino" else None
    subjects = [Subject(one.path, runtime, vnni_only=job.recipe.vnni) for one in made.made]
    if trial.plan is not None:
        subjects.append(Subject(trial.plan))
    verdicts = verify_run(
        job.checkpoint,
        job.detector,
        subjects,
        job.images.judges,
        Gate(max_drop=job.request.max_drop),
        seed=job.request.seed,
        fresh=job.request.fresh,
        voice=voice,
        progress=progress,
    )
    verdicts.write(run.drift)
    return verdicts


def _bench(
    job: ExportJob,
    run: RunFolder,
    made: Conversions,
    trial: Trial,
    voice: Voice,
    progress: Progress,
) -> BenchReport | None:
    """Times of the checkpoint, of what runs here, and of what INT8 has to beat."""
    if not job.request.bench:
        return None
    half = made.of("fp16")
    rival = half.path if half and job.precision == "int8" else None
    with plans_to_time(
        job.recipe, trial.plan, job.precision, rival, job.batch, voice, progress
    ) as plans:
        files = made.made[:1] if job.recipe.builds_engine else made.made
        report = bench_run(
            job.detector,
            [one.path for one in files],
            plans,
            job.recipe,
            job.images.judges,
            job.request.seed,
            progress,
        )
    write_json(run.bench, report.model_dump(mode="json"))
    return report


def _next_step(job: ExportJob, made: Conversions, engine: Built | NotBuilt) -> str | None:
    """Why there is no engine, and the command that builds it on the device."""
    if isinstance(engine, Built) or not job.recipe.builds_engine:
        return None
    final = RunFolder(job.folder)
    onnx = final.onnx(made.asked.precision)
    command = job.recipe.build_command(onnx, final.plan, job.precision)
    return f"no engine: {engine.reason}\non the device run: {command}"
