"""The report of a run folder: everything that it says, on one page for people."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolov12edge import __version__
from yolov12edge.data import find_images, load_dataset
from yolov12edge.errors import EdgeError, UsageError
from yolov12edge.files import check_writable, write_bytes
from yolov12edge.page import Note, Page, Section, render_page
from yolov12edge.pipeline.report.bench import bench_section
from yolov12edge.pipeline.report.devices import device_sections
from yolov12edge.pipeline.report.documents import RunDocuments, read_run
from yolov12edge.pipeline.report.drift import comparison_section, drift_section
from yolov12edge.pipeline.report.engine import engine_section
from yolov12edge.pipeline.report.pictures import pictures_section
from yolov12edge.pipeline.report.run import (
    calibration_section,
    precision_section,
    provenance_section,
)
from yolov12edge.pipeline.report.verdict import verdict
from yolov12edge.run.folder import RunFolder
from yolov12edge.run.manifest import now
from yolov12edge.run.names import (
    OWN_FILES,
    REPORT_FILE,
)
from yolov12edge.voice import Progress, no_progress

PICTURES = 8


@dataclass(frozen=True)
class ReportRequest:
    """What to put on the page.

    Attributes:
        folder: a run folder.
        data: data.yaml, whose val split gives the pictures.
        images: a folder that gives the pictures; not together with `data`.
        pictures: how many images to show.
        weights: the checkpoint for the pictures; the one of the manifest if None.
        out: the page; report.html in the run folder if None.
    """

    folder: Path
    data: Path | None = None
    images: Path | None = None
    pictures: int = PICTURES
    weights: Path | None = None
    out: Path | None = None


@dataclass(frozen=True)
class ReportOutcome:
    """A page that was written.

    Attributes:
        verdict: its first word.
        sections: by name, what became of each: "shown", "not measured", "none", "built".
        problem: a file of the run folder that is not what the manifest says.
    """

    file: Path
    sha256: str
    size: int
    verdict: str
    sections: dict[str, str]
    problem: EdgeError | None

    def document(self) -> dict[str, Any]:
        """What --json prints."""
        return {
            "file": str(self.file),
            "sha256": self.sha256,
            "bytes": self.size,
            "verdict": self.verdict,
            "sections": self.sections,
        }


def write_report(request: ReportRequest, progress: Progress = no_progress) -> ReportOutcome:
    """Read a run folder and write its page, also where files of it changed.

    Raises:
        UsageError: no run folder, or the page cannot be written there.
        CheckpointError: a document of the folder is damaged.
        DataError: the images for the pictures cannot be read.
    """
    file = request.out or RunFolder(request.folder).report
    _check_place(file, request)
    run = read_run(request.folder)
    page = build_page(run, request, progress)
    content = render_page(page)
    write_bytes(file, content)
    return ReportOutcome(
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        verdict=page.verdict.word.lower(),
        sections={section.name: section.status for section in page.sections},
        problem=run.inspection.problem,
    )


def build_page(run: RunDocuments, request: ReportRequest, progress: Progress = no_progress) -> Page:
    """The page of a run, the verdict first."""
    manifest = run.manifest
    model, source = manifest.model, manifest.source
    precision, target = manifest.precision.name.upper(), manifest.target.name
    return Page(
        title=f"{source.file} as {precision} for {target}",
        subtitle=(
            f"YOLOv12-{model.scale}, {model.num_classes} classes, "
            f"{model.imgsz[0]}x{model.imgsz[1]} pixels; exported {manifest.created}"
        ),
        verdict=verdict(run),
        sections=(
            comparison_section(run),
            drift_section(run),
            *_pictures(run, request, progress),
            bench_section(run),
            precision_section(run),
            calibration_section(run),
            engine_section(run),
            *device_sections(run),
            provenance_section(run),
        ),
        footer=f"Made by yolov12edge {__version__} report, {now()}, from {run.folder}",
    )


def _check_place(file: Path, request: ReportRequest) -> None:
    if request.data is not None and request.images is not None:
        raise UsageError("pictures come from one place", "pass either --data or --images")
    place = file.absolute()
    inside = place.parent.resolve() == request.folder.resolve()
    if inside and place.name in set(OWN_FILES) - {REPORT_FILE}:
        raise UsageError(
            f"--out would overwrite {file.name} of the run", f"leave it out, or write {REPORT_FILE}"
        )
    check_writable(file)


def _pictures(run: RunDocuments, request: ReportRequest, progress: Progress) -> list[Section]:
    if request.pictures == 0 or (request.data is None and request.images is None):
        return []
    if run.artifact.name in run.broken or not run.artifact.is_file():
        text = f"{run.artifact.name} is not the file that was exported, so it was not run."
        return [Section("pictures", "Pictures", (Note(text, "bad"),), "none")]
    if request.data is not None:
        images = load_dataset(request.data, "val").images
    else:
        assert request.images is not None
        images = tuple(find_images(request.images))
    return [pictures_section(run, images, request.pictures, request.weights, progress)]
