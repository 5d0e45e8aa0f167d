"""The gate against ten ways in which an INT8 model goes wrong, on a real detector."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.quantize.mutants import EVERYWHERE, MUTANTS, Material, calibrate, quantize
from yolov12edge.checkpoints import load_model
from yolov12edge.data import Dataset, Letterbox, load_dataset, read_image, to_batch
from yolov12edge.evaluate import DriftReport
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.pipeline.stages.verify import Subject, verify_artifacts

pytest.importorskip("modelopt")
pytestmark = pytest.mark.shared
SIZE = 320


@pytest.fixture(scope="module")
def reports(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, DriftReport]:
    folder = tmp_path_factory.mktemp("mutants")
    detector = load_model(shared / "weights/bccd_yolo12n.pt")
    stranger = load_model(shared / "reference/ultralytics_n_stripped.pt")
    for name, model in (("source", detector), ("stranger", stranger)):
        export_onnx(model, folder / f"{name}.onnx", ExportOptions(SIZE, SIZE))
    data = shared / "data/bccd/data.yaml"
    letterbox = Letterbox(SIZE, SIZE)
    images = [
        to_batch([letterbox(read_image(path))[0]])[0]
        for path in load_dataset(data, "train").images[:24]
    ]
    source = folder / "source.onnx"
    material = Material(source, folder / "stranger.onnx", images, calibrate(source, images))
    files = {"good": quantize(material, folder / "good.onnx")}
    for name, (mutate, _) in MUTANTS.items():
        files[name] = mutate(material, folder / f"{name.replace(' ', '-')}.onnx")
    judges = load_dataset(data, "val")
    assert judges.labels is not None
    some = Dataset(judges.names, judges.images[:16], judges.labels[:16])
    found = verify_artifacts(detector, [Subject(path) for path in files.values()], some)
    return dict(zip(files, found.values(), strict=True))


def test_the_good_model_passes(reports: dict[str, DriftReport]) -> None:
    assert reports["good"].gate.passed, reports["good"].gate.reasons


@pytest.mark.parametrize("name", MUTANTS)
def test_the_gate_fails_a_mutant(reports: dict[str, DriftReport], name: str) -> None:
    assert not reports[name].gate.passed


def names_region(said: str, region: str) -> bool:
    """Whether the error is said to start in a region or a part of it, not in one named alike."""
    if region == EVERYWHERE:
        return region in said
    return re.search(rf"the error starts in {re.escape(region)}[.:/]", said) is not None


def test_the_right_region_is_named(reports: dict[str, DriftReport]) -> None:
    right = []
    for name, (_, region) in MUTANTS.items():
        said = " ".join([*reports[name].gate.reasons, *reports[name].notes])
        if names_region(said, region):
            right.append(name)
    assert len(right) >= 8, sorted(set(MUTANTS) - set(right))


def test_a_failed_gate_names_the_option_that_helps(reports: dict[str, DriftReport]) -> None:
    said = " ".join(reports["two scales swapped"].notes)
    assert "--keep-float model.17" in said
