"""The run folder: filled aside, moved into place when all of it is there."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from yolov12edge.errors import UsageError
from yolov12edge.interrupts import interrupts_held, raise_if_interrupted
from yolov12edge.run.names import (
    ARTIFACT_PREFERENCE,
    BENCH_FILE,
    CALIBRATION_FILE,
    DEVICE_FILE,
    DEVICES_FOLDER,
    DRIFT_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    ONNX_FILES,
    OWN_FILES,
    PLAN_FILE,
    REPORT_FILE,
)


@dataclass(frozen=True)
class RunFolder:
    """The files of a run folder, there or not.

    Attributes:
        path: the folder.
    """

    path: Path

    def onnx(self, precision: str) -> Path:
        """The ONNX file of a precision: fp32, fp16 or int8."""
        return self.path / ONNX_FILES[precision]

    @property
    def calibration(self) -> Path:
        """The list of images that gave INT8 its ranges."""
        return self.path / CALIBRATION_FILE

    @property
    def plan(self) -> Path:
        """The engine."""
        return self.path / PLAN_FILE

    @property
    def golden(self) -> Path:
        """Images with what the checkpoint finds on them."""
        return self.path / GOLDEN_FILE

    @property
    def drift(self) -> Path:
        """The verdict on the artifact that was asked for."""
        return self.path / DRIFT_FILE

    @property
    def bench(self) -> Path:
        """What was timed."""
        return self.path / BENCH_FILE

    def device(self, name: str) -> Path:
        """What came back from a device."""
        return self.path / DEVICES_FOLDER / name

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / REPORT_FILE


@contextlib.contextmanager
def staged_folder(final: Path) -> Iterator[Path]:
    """Yield a folder to fill; on success its files replace those of an earlier run in `final`.

    On an error or Ctrl-C the staged files are removed and `final` is as it was. Files in `final`
    that are not a run's own are left alone; a run's own files that the new run lacks are removed,
    so that the manifest describes all of them.

    Raises:
        UsageError: `final` is a file, or cannot be written.
    """
    final = Path(final)
    if final.exists() and not final.is_dir():
        raise UsageError(f"{final} is a file, not a folder", "choose another folder with --out")
    created = [folder for folder in [final, *final.parents] if not folder.exists()]
    try:
        final.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".run-", suffix=".part", dir=final))
    except OSError as error:
        raise UsageError(
            f"cannot write to {final}: {error.strerror}",
            "choose a folder you can write to with --out",
        ) from error
    try:
        yield stage
        raise_if_interrupted()
        with interrupts_held():
            _move_into_place(stage, final)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        for folder in created:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _move_into_place(stage: Path, final: Path) -> None:
    """Manifest last: while it is absent or old, nobody takes the folder for the new run."""
    staged = {path.name for path in stage.iterdir()}
    for name in OWN_FILES:
        if (final / name).is_dir():
            raise UsageError(
                f"{final / name} is a folder", "remove it, or choose another folder with --out"
            )
    for name in OWN_FILES:
        if name not in staged:
            (final / name).unlink(missing_ok=True)
    # What devices said was about the run that goes.
    for record in (final / DEVICES_FOLDER).glob(f"*/{DEVICE_FILE}"):
        shutil.rmtree(record.parent)
    with contextlib.suppress(OSError):
        (final / DEVICES_FOLDER).rmdir()
    for name in sorted(staged, key=lambda name: name == MANIFEST_FILE):
        (stage / name).replace(final / name)
    stage.rmdir()


def main_artifact(path: Path) -> Path:
    """A file as it is; of a run folder, the most processed ONNX file.

    The plan is not chosen: it runs only where its GPU is. Name it to verify it.

    Raises:
        UsageError: there is nothing, or the folder holds no artifact.
    """
    if not path.exists():
        raise UsageError(f"no such file or folder: {path}", "check the path")
    if not path.is_dir():
        return path
    for name in ARTIFACT_PREFERENCE:
        if (path / name).is_file():
            return path / name
    raise UsageError(f"{path} holds no artifact", "pass a folder that `yolov12edge export` wrote")
