"""report: the page says what the run's documents say, and what they do not."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from tests.commands import fails, run, snapshot
from tests.page.pages import ReadPage
from tests.page.run_folders import bench, drift, failed, run_folder
from tests.run.test_manifest import DOCUMENT
from tests.samples import write_data, write_pictures, write_weights
from yolov12edge.files import sha256_file
from yolov12edge.pipeline.report.documents import read_run
from yolov12edge.pipeline.report.pictures import ShownImage, choose_subjects

SECTIONS = [
    "comparison", "drift", "bench", "precision", "calibration", "engine", "provenance",
]  # fmt: skip


def page_of(folder: Path) -> ReadPage:
    page = ReadPage((folder / "report.html").read_bytes())
    page.assert_harmless()
    return page


def test_a_whole_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "run", {"drift.json": drift(), "bench.json": bench()})
    outcome = run(capsys, "report", folder, "--json")
    file = folder / "report.html"
    assert outcome.code == 0, outcome.err
    assert outcome.document == {
        "schema_version": 1,
        "file": str(file),
        "sha256": sha256_file(file),
        "bytes": file.stat().st_size,
        "verdict": "passed",
        "sections": dict.fromkeys(SECTIONS, "shown") | {"calibration": "none", "engine": "none"},
    }
    page = page_of(folder)
    assert list(page.sections) == ["verdict", *SECTIONS]
    verdict = page.text("verdict")
    assert verdict.startswith("Passed On 12 images with labels, model.onnx keeps 99.36% of its")
    assert "0.64% at most 1.00%; 95% interval -0.20% to 0.93%" in verdict
    assert "98.76% at least 95.00%" in verdict
    assert "not the engine itself" in verdict
    checkpoint = ["checkpoint, a.pt", "FP32", "0.6125", "-", "-", "-", "-", "41.50"]
    assert page.row("checkpoint, a.pt") == checkpoint
    row = page.row("model.onnx")
    assert row[:6] == ["model.onnx", "FP32", "0.6086", "0.9931", "98.76%", "passed"]
    assert row[7] == "20.75"
    assert page.row("cat") == ["cat", "0.7100", "0.7022", "-0.0078", "0.9900"]
    assert page.row("all levels") == ["all levels", "boxes", "51.9 dB", "0.999990", "8.82"]
    assert page.row("P3")[2] == "exact"
    assert page.row("/elsewhere/2.png")[1:] == ["9", "7", "1", "0.900"]
    assert "0.2377 in place of 0.25" in page.text("drift")
    assert "2.00 times as fast" in page.text("bench")
    assert "trtexec" in page.text("engine")
    for name in ("model.onnx", "drift.json", "bench.json"):
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert digest in page.text("provenance"), name
    assert run(capsys, "inspect", folder).code == 0


def test_what_was_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "run", {})
    outcome = run(capsys, "report", folder, "--json")
    assert outcome.document["verdict"] == "not verified"
    assert outcome.document["sections"]["drift"] == "not measured"
    assert outcome.document["sections"]["bench"] == "not measured"
    page = page_of(folder)
    assert f"yolov12edge verify {folder}" in page.text("drift")
    assert "yolov12edge bench" in page.text("bench")
    assert "Passed" not in page.text("verdict")


def test_a_failed_gate_is_a_report_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(tmp_path / "run", {"drift.json": failed("map dropped by <25%>")})
    outcome = run(capsys, "report", folder)
    assert outcome.code == 0
    assert outcome.out.startswith("failed: ")
    text = page_of(folder).text("verdict")
    assert text.startswith("Failed Do not ship: model.onnx drifted")
    assert "map dropped by <25%>" in text


def test_weak_figures_are_called_weak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = drift(drop_interval=[0.0, 0.0211], nonfinite_images=1)
    other = {"map": 0.4, "self_map": 0.6, "matched": 0.7, "passed": False}
    accuracy = {"model.fp16.onnx": other}
    folder = run_folder(tmp_path / "run", {"drift.json": changed}, accuracy=accuracy)
    run(capsys, "report", folder)
    text = page_of(folder).text("verdict")
    assert "reaches 2.11%, beyond the gate" in text
    assert "1 image gave NaN" in text
    assert "When it was exported, model.fp16.onnx did not pass the gate." in text


def test_every_file_that_was_judged_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    others = {
        "model.onnx": {"map": 0.6123, "self_map": 1.0, "matched": 1.0, "passed": True},
        "model.fp16.onnx": {"map": 0.6, "self_map": None, "matched": 0.9, "passed": False},
        "gone.onnx": {"map": 0.1, "self_map": 0.1, "matched": 0.1, "passed": False},
    }
    run_folder(folder, {"drift.json": drift()}, accuracy=others)
    (folder / "model.fp16.onnx").write_bytes((folder / "model.onnx").read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.fp16.onnx"] = sha256_file(folder / "model.fp16.onnx")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    run(capsys, "report", folder)
    text = page_of(folder).text("comparison")
    # drift.json judges model.onnx, perhaps later than the manifest.
    assert "model.onnx FP32 0.6086 0.9931 98.76% passed" in text
    assert "model.fp16.onnx FP16 0.6000 - 90.00% failed" in text
    assert "gone.onnx" not in text


@pytest.mark.parametrize("state", ["changed", "missing"])
def test_a_file_that_is_not_the_manifests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    folder = run_folder(tmp_path / "run", {"drift.json": failed("half is lost")})
    if state == "missing":
        (folder / "model.onnx").unlink()
    else:
        (folder / "model.onnx").write_bytes(b"another")
    pictures = write_pictures(tmp_path / "pictures", 1)
    outcome = run(capsys, "report", folder, "--images", pictures)
    fails(outcome, 4, f"model.onnx is not what the manifest says: {state}")
    assert outcome.code == run(capsys, "inspect", folder).code
    page = page_of(folder)
    assert page.text("verdict").startswith("Files changed Do not ship: 1 file of this folder is")
    assert f"model.onnx ({state})" in page.text("verdict")
    assert "The gate failed too: half is lost." in page.text("verdict")
    assert "so it was not run" in page.text("pictures")
    assert page.rows[-1][-1] == state


def test_documents_that_came_later_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(tmp_path / "run", {})
    (folder / "bench.json").write_text(
        bench(throttled=("GPU: too hot",), doubts=("the cores were slowed in half of the calls",))
    )
    assert run(capsys, "report", folder).code == 0
    text = page_of(folder).text("bench")
    assert "bench.json was added after the export" in text
    assert "too hot" in text
    assert "The cores were slowed in half of the calls." in text


def test_precision_and_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [{"file": f"{n}.png", "sha256": str(n)} for n in range(400)]
    listed = {"source": "train split", "seed": 5, "sha256": "d", "images": images}
    kept = {"a": "stem: few channels", "b": "stem: few channels", "c": "head: decides scores"}
    folder = run_folder(
        tmp_path / "run",
        {"calibration.json": json.dumps(listed)},
        precision={"name": "fp32", "nodes": {"int8": 75, "fp16": 25}, "kept_in_float": kept},
        calibration={
            "images": 400, "sha256": "d", "method": "mse", "seed": 5, "held_back": 40,
            "trials": {"max": 0.5, "mse": 0.125}, "domain_gap": 1.25, "file": "calibration.json",
        },
    )  # fmt: skip
    assert run(capsys, "report", folder).code == 0
    page = page_of(folder)
    assert page.row("INT8") == ["INT8", "75", "75%"]
    assert page.row("stem") == ["stem", "few channels", "2"]
    assert page.row("mse") == ["mse", "0.1250"]
    text = page.text("calibration")
    assert "400, and 40 more held back" in text
    assert "and 100 more" in text
    # The hashes do not add up to "d".
    assert "not the one of the manifest" in text


def test_hostile_names_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "<img src=x onerror=alert(1)>$\\frac{"
    per_class = [{"name": evil, "map_reference": 0.5, "map_artifact": 0.4, "self_map": 0.9}]
    changed = drift(per_class=per_class, notes=[evil], judge={"runtime": evil, "version": evil})
    source = DOCUMENT["source"] | {"file": evil, "path": evil, "license": evil}
    target = DOCUMENT["target"] | {"name": evil}
    folder = run_folder(
        tmp_path / "a<b>",
        {"drift.json": changed, "bench.json": bench(verdict=evil, notes=(evil,))},
        source=source,
        target=target,
        reason=evil,
    )
    assert run(capsys, "report", folder).code == 0
    page = page_of(folder)
    assert page.tags["img"] == 0
    assert page.row(evil)[1] == "0.5000"


def test_without_matplotlib_the_tables_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    folder = run_folder(tmp_path / "run", {"drift.json": drift(), "bench.json": bench()})
    assert run(capsys, "report", folder).code == 0
    page = page_of(folder)
    assert page.tags["svg"] == 0
    assert "Charts need matplotlib" in page.text("drift")
    assert page.row("cat")[1] == "0.7100"


def test_pictures_of_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = write_weights(tmp_path / "a.safetensors")
    source = DOCUMENT["source"] | {"path": str(weights), "sha256": sha256_file(weights)}
    folder = run_folder(tmp_path / "run", {"drift.json": drift()}, source=source)
    data = write_data(tmp_path / "data.yaml", write_pictures(tmp_path / "pictures", 3))
    out = tmp_path / "out" / "page.html"
    outcome = run(capsys, "report", folder, "--data", data, "--pictures", 2, "--out", out)
    assert outcome.code == 0, outcome.err
    assert not (folder / "report.html").exists()
    page = ReadPage(out.read_bytes())
    page.assert_harmless()
    assert page.tags["img"] == 4
    assert "differs most: 2.png" in page.text("pictures")
    assert out.stat().st_size < 4_000_000

    weights.unlink()
    assert run(capsys, "report", folder, "--data", data, "--pictures", 1).code == 0
    page = page_of(folder)
    assert page.tags["img"] == 1
    assert "Only the artifact's detections are shown" in page.text("pictures")
    named = run(capsys, "report", folder, "--data", data, "--weights", weights)
    assert named.code != 0


def test_the_worst_come_first_and_the_rest_is_spread(tmp_path: Path) -> None:
    worst = [
        {"image": name, "reference": 1, "matched": 0, "extra": 0, "mean_iou": None}
        for name in ("gone.png", "/other/7.png", "twice.png", "3.png")
    ]
    folder = run_folder(tmp_path / "run", {"drift.json": drift(worst=worst)})
    images = [Path(f"/x/{n}.png") for n in range(10)] + [Path("/x/twice.png"), Path("/y/twice.png")]
    documents = read_run(folder)
    chosen = choose_subjects(documents, images, 6)
    assert chosen[:2] == [ShownImage(images[7], True), ShownImage(images[3], True)]
    assert not any(subject.worst for subject in chosen[2:])
    assert len({subject.path for subject in chosen}) == 6
    for number in (1, 2, 11, 12, 50):
        every = choose_subjects(documents, images, number)
        assert len({subject.path for subject in every}) == len(every) == min(number, 12)


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("manifest.json", "{", 4, "damaged"),
        ("drift.json", "{", 4, "drift.json is damaged"),
        ("drift.json", '{"images": "many"}', 4, "drift.json is damaged: images"),
        ("bench.json", "[]", 4, "bench.json is damaged"),
        ("bench.json", bench().replace('"batch":1', '"batch":0'), 4, "bench.json is damaged"),
        ("calibration.json", '{"images": 3}', 4, "calibration.json is damaged"),
        ("drift.json", "[" * 100_000, 4, "drift.json is damaged"),
    ],
)
def test_a_broken_document(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str,
    code: int,
    message: str,
) -> None:
    folder = run_folder(tmp_path / "run", {"drift.json": drift(), "bench.json": bench()})
    (folder / name).write_text(content)
    before = snapshot(tmp_path)
    fails(run(capsys, "report", folder), code, message)
    assert snapshot(tmp_path) == before


def test_wrong_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "run", {})
    before = snapshot(tmp_path)
    fails(run(capsys, "report", tmp_path), 2, "no manifest.json")
    fails(run(capsys, "report", tmp_path / "none"), 2, "no manifest.json")
    fails(run(capsys, "report", folder / "model.onnx"), 2, "is a file")
    overwrite = run(capsys, "report", folder, "--out", folder / "drift.json")
    fails(overwrite, 2, "would overwrite drift.json")
    both = run(capsys, "report", folder, "--data", "a.yaml", "--images", tmp_path)
    fails(both, 2, "one place")
    fails(run(capsys, "report", folder, "--images", tmp_path / "none"), 3, "no such image folder")
    assert snapshot(tmp_path) == before
