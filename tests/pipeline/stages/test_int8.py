"""Calibrate once, remember, and never take what belongs to something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.models import lively_model
from tests.samples import write_pictures
from tests.voices import Told
from yolov12edge.data import Letterbox
from yolov12edge.errors import DataError, UsageError
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.pipeline import cache as results
from yolov12edge.pipeline.images.sources import CalibrationImages, calibration_images
from yolov12edge.pipeline.stages.int8 import (
    Int8Step,
    learning,
    measurements,
    quantize_step,
    rules_of,
)
from yolov12edge.pipeline.stages.int8.effort import EFFORTS, choose_effort
from yolov12edge.pipeline.stages.int8.learning import LEAST_IMAGES
from yolov12edge.pipeline.stages.quantize import QuantizeRequest, quantize_run
from yolov12edge.quantize import CPU, METHODS, TENSORRT, Dialect
from yolov12edge.run.recipe import load_recipe
from yolov12edge.voice import Progress, no_progress

LETTERBOX = Letterbox(64, 64)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/results"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    files = {}
    for name, seed in (("own", 0), ("other", 1)):
        files[name] = folder / f"{name}.onnx"
        detector = lively_model("n", num_classes=2, seed=seed)
        export_onnx(detector, files[name], ExportOptions(64, 64))
    return files


@pytest.fixture
def images(tmp_path: Path) -> CalibrationImages:
    return calibration_images(write_pictures(tmp_path / "images", 9), None, 0)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one whenever images really run through a graph."""
    seen: list[str] = []

    def counting(name: str) -> Callable[..., object]:
        real = getattr(measurements, name)

        def counted(*args: object, **more: object) -> object:
            seen.append(name)
            return real(*args, **more)

        return counted

    for name in ("observe", "measure_drifts", "score_corrections"):
        monkeypatch.setattr(measurements, name, counting(name))
    return seen


def step(
    source: Path,
    target: Path,
    images: CalibrationImages,
    method: str = "auto",
    progress: Progress = no_progress,
    effort: str = "quick",
) -> Int8Step:
    return quantize_step(
        source,
        target,
        CPU,
        images,
        LETTERBOX,
        method=method,
        effort=effort,
        progress=progress,
    )


def test_the_second_time_nothing_runs(
    sources: dict[str, Path], images: CalibrationImages, tmp_path: Path, passes: list[str]
) -> None:
    first = step(sources["own"], tmp_path / "a.onnx", images)
    assert passes == ["observe", "measure_drifts", "score_corrections"]
    assert not first.from_cache
    second = step(sources["own"], tmp_path / "b.onnx", images)
    assert len(passes) == 3
    assert second.from_cache
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert second.trials == first.trials


def test_other_weights_images_or_sizes_are_calibrated_anew(
    sources: dict[str, Path], images: CalibrationImages, tmp_path: Path, passes: list[str]
) -> None:
    step(sources["own"], tmp_path / "a.onnx", images, "max")
    step(sources["other"], tmp_path / "b.onnx", images, "max")
    fewer = images.part(0, len(images) - 1)
    step(sources["own"], tmp_path / "c.onnx", fewer, "max")
    assert passes.count("observe") == 3
    other = quantize_step(
        sources["own"],
        tmp_path / "d.onnx",
        CPU,
        images,
        Letterbox(64, 64, pad_value=0),
        method="max",
        progress=no_progress,
    )
    assert not other.from_cache
    assert passes.count("observe") == 4


def test_a_damaged_cache_is_not_believed(
    sources: dict[str, Path],
    images: CalibrationImages,
    tmp_path: Path,
    cache: Path,
    passes: list[str],
) -> None:
    step(sources["own"], tmp_path / "a.onnx", images)
    kinds = {path.name.split("-")[0] for path in cache.iterdir()}
    assert kinds == {"ranges", "shifts", "trials", "corrections"}
    for path in cache.iterdir():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    again = step(sources["own"], tmp_path / "b.onnx", images)
    assert not again.from_cache
    assert passes == ["observe", "measure_drifts", "score_corrections"] * 2
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_another_version_of_a_library_calibrates_anew(
    sources: dict[str, Path],
    images: CalibrationImages,
    tmp_path: Path,
    passes: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step(sources["own"], tmp_path / "a.onnx", images, "max")
    monkeypatch.setattr(results, "_version", lambda name: "99")
    assert not step(sources["own"], tmp_path / "b.onnx", images, "max").from_cache
    assert passes == ["observe", "score_corrections"] * 2


def test_an_interrupted_calibration_goes_on(
    sources: dict[str, Path],
    images: CalibrationImages,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("yolov12edge.quantize.observers.SAVE_EVERY", 2)

    def press(label: str, done: int, total: int) -> None:
        if label == "calibrating" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step(sources["own"], tmp_path / "a.onnx", images, "max", press)
    assert [path.name.rpartition("-")[0] for path in cache.iterdir()] == ["ranges-unfinished"]
    done: list[int] = []

    def count(label: str, step: int, total: int) -> None:
        if label == "calibrating":
            done.append(step)

    again = step(sources["own"], tmp_path / "a.onnx", images, "max", count)
    assert done == [5, 6, 7, 8, 9], "four images were remembered"
    assert again.calibrated_on == 9
    assert not list(cache.glob("ranges-unfinished*"))
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "empty"))
    step(sources["own"], tmp_path / "b.onnx", images, "max")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_statistics_under_a_wrong_name_are_not_taken(
    sources: dict[str, Path],
    images: CalibrationImages,
    tmp_path: Path,
    cache: Path,
    passes: list[str],
) -> None:
    step(sources["own"], tmp_path / "a.onnx", images, "max")
    (own,) = cache.glob("ranges-*")
    content = own.read_bytes()
    own.unlink()
    step(sources["other"], tmp_path / "b.onnx", images, "max")
    (other,) = cache.glob("ranges-*")
    other.write_bytes(content)
    assert not step(sources["other"], tmp_path / "c.onnx", images, "max").from_cache
    assert (tmp_path / "b.onnx").read_bytes() == (tmp_path / "c.onnx").read_bytes()


def test_auto_takes_the_method_that_loses_least(
    sources: dict[str, Path], images: CalibrationImages, tmp_path: Path
) -> None:
    chosen = step(sources["own"], tmp_path / "a.onnx", images)
    assert set(chosen.trials) == set(METHODS)
    assert chosen.trials[chosen.conversion.method] == min(chosen.trials.values())
    assert chosen.held_back + chosen.calibrated_on == len(images)
    named = step(sources["own"], tmp_path / "b.onnx", images, "entropy")
    assert (named.conversion.method, named.trials, named.held_back) == ("entropy", {}, 0)
    assert named.calibrated_on == len(images)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning as in earnest, but in two iterations."""
    monkeypatch.setitem(EFFORTS, "normal", replace(EFFORTS["normal"], iterations=2))


@pytest.fixture
def many(tmp_path: Path) -> CalibrationImages:
    return calibration_images(write_pictures(tmp_path / "many", LEAST_IMAGES), None, 0)


@pytest.mark.parametrize("dialect", [TENSORRT, CPU], ids=lambda dialect: dialect.name)
def test_rules_decide_quickly_and_measurements_otherwise(
    dialect: Dialect, sources: dict[str, Path], images: CalibrationImages, tmp_path: Path
) -> None:
    budget = dialect.budget
    assert budget is not None
    found = {}
    for effort in ("quick", "normal"):
        found[effort] = quantize_step(
            sources["own"],
            tmp_path / f"{effort}.onnx",
            dialect,
            images,
            LETTERBOX,
            method="mse",
            effort=effort,
            progress=no_progress,
        )
    rules = {
        effort: Counter(why.split(":")[0] for why in one.conversion.kept.values())
        for effort, one in found.items()
    }
    assert rules["quick"]["stem"] == (3 if dialect is TENSORRT else 0)
    assert rules["quick"]["class-branch"] == 12
    assert "costly" not in rules["quick"]
    assert not rules["normal"].keys() & budget.replaces
    assert 0 < rules["normal"]["costly"] <= budget.convolutions
    # No more stay float than by rules.
    assert rules["normal"].total() <= rules["quick"].total()
    assert found["normal"].learning is None, f"{len(images)} images teach nothing"


def test_enough_images_teach(
    sources: dict[str, Path], many: CalibrationImages, tmp_path: Path, quickly: None
) -> None:
    first = step(sources["own"], tmp_path / "a.onnx", many, "mse", effort="normal")
    assert first.learning is not None
    section = first.learning.section()
    assert section.effort == "normal"
    assert section.images == LEAST_IMAGES
    assert section.convolutions == len(first.learning.results) > 80
    assert 0 <= section.withdrawn < section.convolutions
    before = sum(one.activations_before + one.weights_before for one in section.losses.values())
    after = sum(one.activations_after + one.weights_after for one in section.losses.values())
    assert before == pytest.approx(1)
    # Two iterations are no gain, but the cost is told in units of what it was.
    assert 0 < after < 2
    assert f"{after:.2f} times" in first.learning.text()
    seen: list[str] = []
    again = step(
        sources["own"],
        tmp_path / "b.onnx",
        many,
        "mse",
        lambda label, *_: seen.append(label),
        "normal",
    )
    assert seen == []
    assert again.learning == first.learning
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_interrupted_learning_goes_on(
    sources: dict[str, Path],
    many: CalibrationImages,
    tmp_path: Path,
    cache: Path,
    quickly: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learning, "_SECONDS_BETWEEN_SAVES", 0.0)

    def press(label: str, done: int, total: int) -> None:
        if label == "learning to round" and done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step(sources["own"], tmp_path / "a.onnx", many, "mse", press, "normal")
    assert list(cache.glob("rounding-unfinished-*"))
    assert not (tmp_path / "a.onnx").exists()
    again = step(sources["own"], tmp_path / "a.onnx", many, "mse", effort="normal")
    assert not list(cache.glob("rounding-unfinished-*"))
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "empty"))
    whole = step(sources["own"], tmp_path / "b.onnx", many, "mse", effort="normal")
    assert again.learning == whole.learning
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_an_unknown_effort_is_refused(sources: dict[str, Path], images: CalibrationImages) -> None:
    with pytest.raises(UsageError, match="no effort is called 'much'") as caught:
        step(sources["own"], Path("never.onnx"), images, effort="much")
    assert "thorough" in caught.value.hint


def test_an_array_calibrates_as_its_pictures_do(
    sources: dict[str, Path], images: CalibrationImages, tmp_path: Path
) -> None:
    """In the order of the files' names, of which the same seed takes the same sample."""
    path = tmp_path / "calib.npz"
    by_file = dict(zip(images.files, images.stream(LETTERBOX), strict=True))
    pictures = [by_file[file].transpose(1, 2, 0) * 255 for file in sorted(by_file)]
    np.savez(path, images=np.round(pictures).astype(np.uint8))
    array = calibration_images(path, None, 0)
    assert not step(sources["own"], tmp_path / "files.onnx", images, "mse").from_cache
    assert not step(sources["own"], tmp_path / "array.onnx", array, "mse").from_cache
    assert (tmp_path / "files.onnx").read_bytes() == (tmp_path / "array.onnx").read_bytes()


def test_one_image_cannot_choose(sources: dict[str, Path], images: CalibrationImages) -> None:
    with pytest.raises(DataError, match="one image is too few"):
        step(sources["own"], Path("never.onnx"), images.part(0, 1))


def test_an_unknown_method_is_refused(sources: dict[str, Path], images: CalibrationImages) -> None:
    with pytest.raises(UsageError, match="no calibration method is called 'best'") as caught:
        step(sources["own"], Path("never.onnx"), images, "best")
    assert "percentile" in caught.value.hint


def test_recipes_have_their_rules() -> None:
    assert rules_of(load_recipe("agx-orin")) is TENSORRT
    assert rules_of(load_recipe("rtx-ada")) is TENSORRT
    assert rules_of(load_recipe("cpu-openvino")) is CPU


@pytest.mark.parametrize(("target", "opset"), [("xavier-nx", 17), ("orin-nano", 19)])
def test_old_builders_get_float32_scales_new_ones_fp16(
    sources: dict[str, Path], tmp_path: Path, target: str, opset: int
) -> None:
    import onnx

    pytest.importorskip("modelopt")
    voice = Told()
    request = QuantizeRequest(
        source=sources["own"],
        calibration=write_pictures(tmp_path / "images", 4),
        precision="int8",
        target=target,
        calibration_method="max",
        out=tmp_path / "model.int8.onnx",
    )
    document = quantize_run(request, voice, no_progress)
    assert "only 4 calibration images" in voice.warned[0]
    assert ("fp16" in document["nodes"]) == (opset == 19)
    assert onnx.load(document["file"]).opset_import[0].version == opset
    assert opset <= load_recipe(target).opset_ceiling


def test_efforts_cost_more_and_more() -> None:
    assert choose_effort(None).name == "normal"
    assert choose_effort("thorough").iterations > choose_effort("normal").iterations
