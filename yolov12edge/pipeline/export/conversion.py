"""From the detector to the ONNX file in the precision that was asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yolov12edge.data import Dataset, Letterbox, read_image, to_batch
from yolov12edge.export import OnnxExport, Parity, check_parity, export_onnx
from yolov12edge.export.lints import LINTS
from yolov12edge.files import readable_size, write_json
from yolov12edge.graph import load_graph
from yolov12edge.pipeline.export.preparation import ExportJob
from yolov12edge.pipeline.images.sources import CalibrationImages
from yolov12edge.pipeline.stages.arithmetic import products_section
from yolov12edge.pipeline.stages.artifacts import OnnxArtifact
from yolov12edge.pipeline.stages.fp16 import fp16_step
from yolov12edge.pipeline.stages.int8 import (
    AUTO,
    Int8Step,
    learned_step,
    quantize_step,
    rules_of,
)
from yolov12edge.quantize import ALIEN, describe_images, domain_gap
from yolov12edge.quantize.qat import read_stored
from yolov12edge.run.folder import RunFolder
from yolov12edge.run.manifest import CalibrationSection
from yolov12edge.run.names import CALIBRATION_FILE, FP32_FILE, INT8_FILE
from yolov12edge.run.recipe import Precision
from yolov12edge.voice import Progress, Voice

GAP_IMAGES = 16


@dataclass(frozen=True)
class ProvedExport:
    """model.onnx and how far it is from the checkpoint.

    Attributes:
        exported: the file and the proofs of its rewrite steps.
        parity: ONNX Runtime against torch.
    """

    exported: OnnxExport
    parity: Parity


@dataclass(frozen=True)
class Conversions:
    """The ONNX files of a run.

    Attributes:
        made: in the order in which they were made from each other; the first is float32, the last
            is what was asked for.
    """

    made: tuple[OnnxArtifact, ...]

    @property
    def asked(self) -> OnnxArtifact:
        """The file in the precision that was asked for."""
        return self.made[-1]

    def of(self, precision: Precision) -> OnnxArtifact | None:
        """The file of a precision, where there is one."""
        return next((one for one in self.made if one.precision == precision), None)


def write_graph(job: ExportJob, run: RunFolder, voice: Voice) -> ProvedExport:
    """Write model.onnx and prove it.

    Raises:
        ExportError: a rewrite step or the file differs from the checkpoint.
    """
    exported = export_onnx(job.detector, run.onnx("fp32"), job.options)
    parity = check_parity(job.detector, exported.path)
    statistics = exported.statistics
    voice.info(
        f"{FP32_FILE}: {statistics['nodes']} nodes, {statistics.get('Transpose', 0)} Transpose, "
        f"{readable_size(exported.path.stat().st_size)}; ONNX Runtime agrees within "
        f"{parity.box_error:.1g} px and {parity.score_error:.1g} in score"
    )
    for finding in exported.findings:
        if LINTS[finding.lint].affected:
            voice.warn(finding.message)
    return ProvedExport(exported, parity)


def convert(
    job: ExportJob, run: RunFolder, proved: ProvedExport, voice: Voice, progress: Progress
) -> Conversions:
    """Lower the precision as far as was asked for.

    An engine's INT8 file is made with its FP16 twin, which is kept: what stays float in it is
    FP16, and FP16 is what INT8 has to beat.
    """
    exported = proved.exported
    plain = OnnxArtifact(exported.path, "fp32", {"fp32": exported.statistics["nodes"]}, {})
    made = [plain]
    calibration = job.images.calibration
    if calibration is None:
        return Conversions((plain,))
    if job.precision == "fp16" or job.recipe.builds_engine:
        half = fp16_step(
            plain.path,
            run.onnx("fp16"),
            calibration,
            job.letterbox,
            fresh=job.request.fresh,
            voice=voice,
            progress=progress,
        )
        made.append(half)
    if job.precision == "int8":
        twin = made[-1] if job.recipe.strongly_typed and made[-1].precision == "fp16" else None
        made.append(_to_int8(job, run, plain, twin, calibration, voice, progress))
    return Conversions(tuple(made))


def _to_int8(
    job: ExportJob,
    run: RunFolder,
    plain: OnnxArtifact,
    twin: OnnxArtifact | None,
    calibration: CalibrationImages,
    voice: Voice,
    progress: Progress,
) -> OnnxArtifact:
    gap = _domain_gap(plain, calibration, job.images.judges, job.letterbox, voice)
    for note in job.recipe.int8_notes:
        voice.warn(note)
    step = _learned(job, run, plain, twin, voice) or quantize_step(
        plain.path,
        run.onnx("int8"),
        rules_of(job.recipe),
        calibration,
        job.letterbox,
        method=job.request.calibration_method,
        keep_float=job.request.keep_float,
        effort=job.request.effort,
        twin=twin,
        fresh=job.request.fresh,
        progress=progress,
    )
    write_json(run.calibration, calibration.document())
    conversion = step.conversion
    nodes = ", ".join(f"{count} {name}" for name, count in conversion.nodes.items())
    voice.info(
        f"{INT8_FILE}: {nodes} nodes; ranges by {conversion.method} from "
        f"{step.calibrated_on} images"
        + (" (calibration taken from the cache)" if step.from_cache else "")
    )
    if step.learning is not None:
        voice.info(f"{INT8_FILE}: {step.learning.text()}")
    products = products_section(conversion.path)
    if products is not None:
        voice.info(f"{INT8_FILE}: {products.text}")
    decided = CalibrationSection(
        images=step.calibrated_on,
        sha256=calibration.digest(),
        method=conversion.method,
        seed=calibration.seed,
        held_back=step.held_back,
        trials=step.trials,
        domain_gap=gap,
        file=CALIBRATION_FILE,
        learning=None if step.learning is None else step.learning.section(),
    )
    return OnnxArtifact(
        conversion.path, "int8", conversion.nodes, conversion.kept, decided, products
    )


def _learned(
    job: ExportJob,
    run: RunFolder,
    plain: OnnxArtifact,
    twin: OnnxArtifact | None,
    voice: Voice,
) -> Int8Step | None:
    """INT8 by the rounding in the checkpoint; None, with a warning, where it does not fit."""
    stored = read_stored(job.checkpoint.path)
    if stored is None:
        return None
    request = job.request
    asked = {
        "--effort": request.effort is not None,
        "--calib-method": request.calibration_method != AUTO,
        "--keep-float": bool(request.keep_float),
    }
    option = next((name for name, given in asked.items() if given), None)
    step: Int8Step | str
    if option is not None:
        step = f"{option} was asked for"
    else:
        rules = rules_of(job.recipe)
        step = learned_step(plain.path, run.onnx("int8"), rules, stored, job.letterbox, twin)
    if isinstance(step, Int8Step):
        return step
    voice.warn(f"the rounding in {stored.path.name} is left aside, {step}: INT8 is calibrated anew")
    return None


def _domain_gap(
    plain: OnnxArtifact,
    calibration: CalibrationImages,
    judges: Dataset | None,
    letterbox: Letterbox,
    voice: Voice,
) -> float | None:
    """How far the calibration images are from those that judge; warns if they look unlike."""
    if judges is None or min(len(calibration), len(judges.images)) < GAP_IMAGES:
        return None
    order = np.random.default_rng(0).permutation(len(judges.images))[:GAP_IMAGES]
    model = load_graph(plain.path)
    seen = describe_images(model, calibration.part(0, GAP_IMAGES).stream(letterbox))
    judged = describe_images(
        model,
        (to_batch([letterbox(read_image(judges.images[index]))[0]])[0] for index in order),
    )
    gap = domain_gap(seen, judged)
    if gap > ALIEN:
        voice.warn(
            f"the calibration images look unlike the verification images to the model (gap "
            f"{gap:.1f}, alike below {ALIEN:.0f}): expect lost accuracy, calibrate on pictures of "
            "the same kind"
        )
    return gap
