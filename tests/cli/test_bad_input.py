"""Bad input at the command line: the exit code, two lines on stderr, and nothing left behind."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import yolov12edge.cli.targets
from tests.commands import Outcome, fails, run, snapshot
from tests.samples import CLASSES, write_data, write_pictures, write_weights

Run = Callable[..., Outcome]
Make = Callable[[Path], object]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """weights.safetensors, images/, data.yaml and run/ with an export of the three."""
    folder = tmp_path_factory.mktemp("good")
    weights = write_weights(folder / "weights.safetensors")
    data = write_data(folder / "data.yaml", write_pictures(folder / "images"))
    words = ["export", *_options(weights, folder / "run"), "--data", str(data), "--quiet"]
    with pytest.raises(SystemExit) as left:
        yolov12edge.cli.main(words)
    assert not left.value.code
    return folder


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Run:
    return lambda *words: run(capsys, *words)


def _options(weights: Path, out: Path) -> list[str]:
    """Options of the quickest export there is."""
    return [
        *("--weights", str(weights), "--imgsz", "64", "--fp32", "--target", "cpu-onnxruntime"),
        *("--no-bench", "--out", str(out)),
    ]


def _fp16_options(weights: Path, out: Path) -> list[str]:
    return [
        *("--weights", str(weights), "--imgsz", "64", "--fp16", "--target", "rtx-ada"),
        *("--no-bench", "--no-build", "--out", str(out)),
    ]


def nothing(path: Path) -> None:
    return None


def folder(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("This is not what its name says.\n" * 9)


def cut_onnx(path: Path) -> None:
    path.write_bytes(b"\x08\x08\x12\x0byolov12edge:\xff\xff\x7f")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("model.pt", nothing, "no such file"),
        ("model.pt", folder, "is a folder"),
        ("model.pt", empty, "is empty"),
        ("model.pt", text, "is not a checkpoint"),
        ("model.safetensors", text, "is not a checkpoint"),
        ("model.onnx", cut_onnx, "is not a checkpoint"),
    ],
)
def test_export_of_what_is_no_checkpoint(
    command: Run, tmp_path: Path, name: str, make: Make, message: str
) -> None:
    make(tmp_path / name)
    before = snapshot(tmp_path)
    outcome = command("export", *_options(tmp_path / name, tmp_path / "out"))
    fails(outcome, 4, message)
    assert name in outcome.err
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("labelled", [True, False])
def test_export_with_data_of_other_classes(
    command: Run, good: Path, tmp_path: Path, labelled: bool
) -> None:
    boxes = "2 0.5 0.5 0.2 0.2\n" if labelled else None
    images = write_pictures(tmp_path / "images")
    data = write_data(tmp_path / "data.yaml", images, ("a", "b", "c"), boxes)
    words = _options(good / "weights.safetensors", tmp_path / "out")
    fails(command("export", *words, "--data", data), 3, "3 classes, the checkpoint has 2")
    assert not (tmp_path / "out").exists()
    verify = command("verify", good / "run", "--data", data)
    fails(verify, 3, "3 classes, the checkpoint has 2")


@pytest.mark.parametrize(
    ("options", "code", "message", "hint"),
    [
        (["--imgsz", "333"], 2, "333x333 is not a multiple of 32", "320 or 352"),
        (["--imgsz", "0"], 2, "not a multiple of 32", "32 or 64"),
        (["--imgsz", "64x-64"], 2, "image size", "HxW"),
        (["--imgsz", "99968"], 2, "beyond 4096", "smaller"),
        (["--target", "rtx-ampre"], 2, "no target named 'rtx-ampre'", "mean rtx-ampere?"),
        (["--int8", "--fp32"], 2, "--int8 and --fp32 exclude each other", "one precision"),
        (["--fpp16"], 2, "--fpp16", "yolov12edge export --help"),
        (["--batch", "4:2:1"], 2, "batch 4:2:1", "MIN:OPT:MAX"),
        (["--max-drop", "2"], 2, "--max-drop", "yolov12edge export --help"),
        (["surplus"], 2, "surplus", "yolov12edge export --help"),
        (["--calib", "/nowhere/at/all"], 3, "/nowhere/at/all", "folder"),
    ],
)
def test_export_options_that_make_no_sense(
    command: Run,
    good: Path,
    tmp_path: Path,
    options: list[str],
    code: int,
    message: str,
    hint: str,
) -> None:
    words = _options(good / "weights.safetensors", tmp_path / "out")
    outcome = command("export", *words, *options)
    fails(outcome, code, message)
    assert hint in outcome.err.splitlines()[-1]
    assert snapshot(tmp_path) == {}


def no_names(path: Path) -> None:
    path.write_text("train: images\nval: images\n")


def bad_yaml(path: Path) -> None:
    path.write_text("names: [a\nval: ]:\n")


def no_val(path: Path) -> None:
    write_pictures(path.parent / "images")
    path.write_text(f"train: images\nnames: [{', '.join(CLASSES)}]\n")


def val_is_nowhere(path: Path) -> None:
    path.write_text(f"train: nowhere\nval: nowhere\nnames: [{', '.join(CLASSES)}]\n")


def bytes_of_nothing(path: Path) -> None:
    path.write_bytes(bytes(range(256)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nothing, "No such file"),
        (folder, "data.yaml"),
        (empty, "does not describe a data set"),
        (bad_yaml, "line 2"),
        (bytes_of_nothing, "data.yaml"),
        (no_names, "names"),
        (no_val, "'val'"),
        (val_is_nowhere, "nowhere"),
    ],
)
def test_export_with_a_broken_data_yaml(
    command: Run, good: Path, tmp_path: Path, make: Make, message: str
) -> None:
    make(tmp_path / "data.yaml")
    words = _options(good / "weights.safetensors", tmp_path / "out")
    outcome = command("export", *words, "--data", tmp_path / "data.yaml")
    fails(outcome, 3, message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", [b"", b"not an image", None])
def test_an_unreadable_image_is_named_wherever_it_lies(
    command: Run, good: Path, tmp_path: Path, damage: bytes | None
) -> None:
    images = write_pictures(tmp_path / "images")
    bad = images / "1.png"
    bad.write_bytes(bad.read_bytes()[:300] if damage is None else damage)
    data = write_data(tmp_path / "data.yaml", images)
    weights, model = good / "weights.safetensors", good / "run/model.onnx"
    before = snapshot(tmp_path)
    exports = [
        ["export", *_options(weights, tmp_path / "out"), "--data", data],
        ["export", *_fp16_options(weights, tmp_path / "out"), "--calib", images],
    ]
    for words in (
        # The reader is the same everywhere: one kind of damage is enough for the slow commands.
        *(exports if damage is None else []),
        ["quantize", model, "--calib", images, "--out", tmp_path / "model.fp16.onnx"],
        ["verify", good / "run", "--images", images, "--out", tmp_path / "drift.json"],
        ["bench", model, "--runs", "2", "--images", images, "--out", tmp_path / "bench.json"],
        ["predict", bad, "--weights", weights, "--imgsz", "64", "--out", tmp_path / "out"],
    ):
        outcome = command(*words)
        fails(outcome, 3, str(bad))
        assert snapshot(tmp_path) == before


def test_fp16_never_goes_without_images(command: Run, good: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = _fp16_options(good / "weights.safetensors", tmp_path / "out")
    fails(command("export", *words), 3, "needs real images")
    fails(command("export", *words, "--calib", tmp_path / "empty"), 3, "no images")
    model = good / "run/model.onnx"
    fails(command("quantize", model, "--calib", tmp_path / "empty"), 3, "no images")
    fails(command("verify", model, "--images", tmp_path / "empty"), 3, "no images")
    assert snapshot(tmp_path) == {"empty": None}
    assert not (good / "run/model.fp16.onnx").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nothing, "calib.npz"),
        (empty, "calib.npz"),
        (text, "calib.npz"),
        (lambda path: np.savez(path, other=np.zeros(3)), "no array named images"),
        (lambda path: np.savez(path, images=np.zeros((2, 64, 64, 3))), "float64"),
        (lambda path: np.savez(path, images=np.zeros((2, 32, 64, 3), np.uint8)), "32x64"),
        (lambda path: np.savez(path, images=np.array([{}], object)), "calib.npz"),
    ],
)
def test_calibration_arrays_that_are_none(
    command: Run, good: Path, tmp_path: Path, make: Make, message: str
) -> None:
    make(tmp_path / "calib.npz")
    words = _fp16_options(good / "weights.safetensors", tmp_path / "out")
    fails(command("export", *words, "--calib", tmp_path / "calib.npz"), 3, message)
    assert not (tmp_path / "out").exists()


def test_outputs_that_cannot_be_written(command: Run, good: Path, tmp_path: Path) -> None:
    """Nobody's rights stop root, so the obstacle is a file, or a file system of the kernel."""
    (tmp_path / "file").write_text("mine")
    below = tmp_path / "file/below"
    weights, model, images = good / "weights.safetensors", good / "run/model.onnx", good / "images"
    before = snapshot(tmp_path), snapshot(good)
    for words in (
        ["export", *_options(weights, tmp_path / "file")],
        ["export", *_options(weights, below)],
        ["export", *_options(weights, Path("/proc/yolov12edge/run"))],
        ["quantize", model, "--calib", images, "--out", below / "model.fp16.onnx"],
        ["quantize", model, "--calib", images, "--out", tmp_path],
        ["build", model, "--target", "rtx-ada", "--out", below / "engine.plan"],
        ["build", model, "--target", "rtx-ada", "--out", tmp_path],
        ["verify", good / "run", "--images", images, "--out", below / "drift.json"],
        ["bench", model, "--runs", "2", "--out", below / "bench.json"],
        ["predict", images, "--weights", weights, "--imgsz", "64", "--out", tmp_path / "file"],
        ["inspect", weights, "--to", below / "model.safetensors"],
    ):
        outcome = command(*words)
        fails(outcome, 2, "")
        assert any(str(place) in outcome.err for place in (tmp_path, "/proc/yolov12edge"))
    assert (snapshot(tmp_path), snapshot(good)) == before


def test_a_read_only_folder_is_refused_where_rights_count(
    command: Run, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    model = good / "run/model.onnx"
    outcome = command("bench", model, "--runs", "2", "--out", tmp_path / "bench.json")
    fails(outcome, 2, "no permission")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_last_run_alone(
    command: Run, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    words = _options(good / "weights.safetensors", tmp_path / "out")
    assert command("export", *words, "--no-verify").code == 0
    before = snapshot(tmp_path)

    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(code, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    outcome = command("export", *words, "--data", good / "data.yaml")
    fails(outcome, 2, "No space left on device")
    assert "free some space" in outcome.err
    assert snapshot(tmp_path) == before


def test_lack_of_memory_is_said(
    command: Run, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr("yolov12edge.pipeline.export.conversion.export_onnx", exhausted)
    words = _options(good / "weights.safetensors", tmp_path / "out")
    fails(command("export", *words), 7, "too little memory")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "make", "code"),
    [
        ("model.onnx", nothing, 2),
        ("model.onnx", folder, 2),
        ("model.onnx", empty, 4),
        ("model.onnx", text, 4),
        ("model.onnx", cut_onnx, 4),
        ("model.txt", text, 2),
    ],
)
@pytest.mark.parametrize(
    "command_line",
    ["quantize {} --calib IMAGES", "build {} --target rtx-ada", "bench {}", "inspect {}",
     "verify {} --weights WEIGHTS --images IMAGES", "predict IMAGES --weights {}"],
)  # fmt: skip
def test_artifacts_that_are_none(
    command: Run, good: Path, tmp_path: Path, name: str, make: Make, code: int, command_line: str
) -> None:
    artifact = tmp_path / name
    make(artifact)
    before = snapshot(tmp_path)
    places = {
        "{}": artifact,
        "IMAGES": good / "images",
        "WEIGHTS": good / "weights.safetensors",
    }
    words = [places.get(word, word) for word in command_line.split()]
    if command_line.startswith("build") and name == "model.txt":
        code = 4  # It is asked what is in the file, not what it is called.
    outcome = command(*words)
    fails(outcome, code, name)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("make", [empty, text])
def test_plans_that_are_none(command: Run, good: Path, tmp_path: Path, make: Make) -> None:
    plan = tmp_path / "engine.plan"
    make(plan)
    for words in (
        ["bench", plan],
        ["inspect", plan],
        ["predict", good / "images", "--weights", plan],
        ["verify", plan, "--weights", good / "weights.safetensors", "--images", good / "images"],
    ):
        fails(command(*words), 4, str(plan))


def test_verify_without_images_or_reference(command: Run, good: Path, tmp_path: Path) -> None:
    fails(command("verify", good / "run"), 2, "verify needs images")
    alone = tmp_path / "model.onnx"
    alone.write_bytes((good / "run/model.onnx").read_bytes())
    outcome = command("verify", alone, "--images", good / "images")
    fails(outcome, 2, "its checkpoint is unknown")
    assert "--weights" in outcome.err


@pytest.mark.parametrize(
    "words",
    [
        ["export", "--weights", "none.pt"],
        ["export", "--imgsz", "333", "--weights", "none.pt"],
        ["export", "--unknown"],
        ["quantize"],
        ["inspect", "none.onnx"],
        ["verify", "none.onnx", "--images", "none"],
        ["targets", "none"],
        ["unknown"],
    ],
)
def test_an_error_is_one_json_document_too(command: Run, words: list[str]) -> None:
    outcome = command(*words, "--json")
    fails(outcome, outcome.code, "")
    document = json.loads(outcome.out)
    assert document["schema_version"] == 1
    assert document["error"]["code"] == outcome.code > 1
    assert f"error: {document['error']['message']}" in outcome.err.splitlines()
    assert f"hint:  {document['error']['hint']}" in outcome.err.splitlines()


def test_what_nobody_expected_is_one_line_too(
    command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("yolov12edge.run.recipe.list_recipes", broken)
    outcome = command("targets")
    assert outcome.code == 1
    assert outcome.err.splitlines() == [
        "error: unexpected RuntimeError: two lines",
        "hint:  run again with --debug and report the traceback",
    ]
    with pytest.raises(RuntimeError):
        yolov12edge.cli.main(["targets", "--debug"])
