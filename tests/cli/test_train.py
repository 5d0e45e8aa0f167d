"""`yolov12edge train`, from the command line to files that the other commands take."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save_file

from tests.commands import Outcome, fails, run, snapshot
from tests.models import lively_model
from tests.skips import NO_MOUNT
from tests.train.tiny import NAMES, write_tiny_set
from yolov12edge import load_model
from yolov12edge.checkpoints import read_checkpoint, save_safetensors
from yolov12edge.export import ExportOptions, check_parity, export_onnx
from yolov12edge.train import state as state_module

ROOT = Path(__file__).parents[2]
QUICK = ("--epochs", "2", "--batch", "6", "--imgsz", "64", "--close-mosaic", "0")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("tiny"))


def train(capsys: pytest.CaptureFixture[str], data: Path, *words: object) -> Outcome:
    return run(capsys, "train", "--data", data, *QUICK, *words)


def test_the_folder_of_a_run(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    outcome = train(capsys, data, "--out", out, "--json", "--half", "--seed", "5")
    assert outcome.code == 0, outcome.err
    document = outcome.document
    assert document["schema_version"] == 1
    assert document["epochs"] == 2
    assert document["map_per_class"].keys() == set(NAMES)
    assert sorted(path.name for path in out.iterdir()) == [
        "args.json", "best.safetensors", "curves.png", "last.safetensors", "log.txt",
        "results.csv", "state.safetensors", "train_batch1.jpg", "train_batch2.jpg",
        "val_predictions.jpg",
    ]  # fmt: skip
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    best_row = rows[document["best_epoch"] - 1]
    assert float(best_row["map"]) == pytest.approx(document["map"], abs=1e-5)
    for name in ("curves.png", "train_batch1.jpg", "val_predictions.jpg"):
        picture = cv2.imread(str(out / name))
        assert picture is not None, name
        assert picture.std() > 5, name
    arguments = json.loads((out / "args.json").read_text())
    assert arguments["request"]["settings"]["seed"] == 5
    assert arguments["versions"]["torch"] == torch.__version__
    log = (out / "log.txt").read_text()
    assert "6 to train, 6 to evaluate" in log
    for line in outcome.err.splitlines():
        assert line in log
    best, last = (
        read_checkpoint(out / "best.safetensors"),
        read_checkpoint(out / "last.safetensors"),
    )
    assert (best.dtype, last.dtype) == ("float16", "float32")
    for checkpoint in (best, last):
        assert checkpoint.names == NAMES
        assert checkpoint.image_size == 64
        assert (checkpoint.architecture.scale, checkpoint.architecture.layout) == ("n", "turbo")
    # No pickle anywhere: what comes from elsewhere must not run.
    assert not [path for path in out.iterdir() if path.read_bytes()[:2] in (b"PK", b"\x80\x04")]


def test_load_model_and_export_take_the_results(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    outcome = train(capsys, data, "--out", out, "--layout", "v1", "--quiet")
    assert outcome.code == 0, outcome.err
    assert "best epoch" in outcome.out
    assert outcome.err == ""
    model = load_model(out / "last.safetensors")
    assert model.names == NAMES
    path = tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(64, 64))
    check_parity(model, path)
    inspected = run(capsys, "inspect", out / "best.safetensors", "--json")
    assert inspected.document["layout"] == "v1"
    # The published names, as other tools read them: the layers' numbers and nothing in front.
    assert load_file(out / "last.safetensors").keys() == model.state_dict().keys()


def test_weights_are_taken_as_far_as_they_fit(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part of a detector of 80 classes: what fits is there, the rest is random and seeded."""
    whole = lively_model("n", "v1", num_classes=80)
    state = {
        name: value
        for name, value in whole.state_dict().items()
        if name.split(".")[1] in ("0", "6", "21")
    }
    # As the paper's release has it, where the bias is worth as much as a shift of the mean.
    bias = torch.rand(64)
    state["model.6.m.0.0.attn.pe.conv.bias"] = bias
    part = tmp_path / "part.safetensors"
    save_file(state, part)
    out = tmp_path / "run"
    outcome = train(capsys, data, "--out", out, "--weights", part, "--freeze", "7")
    assert outcome.code == 0, outcome.err
    last = load_model(out / "last.safetensors").state_dict()
    fitting = [
        name for name, value in state.items() if name in last and last[name].shape == value.shape
    ]
    line = next(line for line in outcome.err.splitlines() if "tensors taken" in line)
    assert line.startswith(f"{len(fitting) + 1} of 699 tensors taken from {part}")
    assert line.endswith("layers 1, 2, 3, 4, 5, 7, 8, 11, 14, 15, 17, 18, 20 start at random")
    # Layers 0 to 6 were frozen, so they show what was taken.
    mean = "model.6.m.0.0.attn.pe.bn.running_mean"
    expected = state | {mean: state[mean] - bias}
    for name, value in expected.items():
        if name in last and name.split(".")[1] in ("0", "6"):
            assert torch.equal(last[name], value), name
    for words in (("--scale", "s"), ("--layout", "turbo"), ("--scale", "x", "--layout", "v1")):
        wrong = train(capsys, data, "--out", tmp_path / "no", "--weights", part, *words)
        fails(wrong, 4, "holds a YOLOv12-n of layout v1")
    assert not (tmp_path / "no").exists()


def test_the_published_part_fits(
    shared: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = shared / "weights/yolo12n_partial.safetensors"
    outcome = train(capsys, data, "--out", tmp_path / "run", "--weights", part)
    assert outcome.code == 0, outcome.err
    assert "466 of 699 tensors taken" in outcome.err


def test_a_whole_checkpoint_of_the_same_classes_fits_whole(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = save_safetensors(lively_model("n", num_classes=2), tmp_path / "w.safetensors")
    outcome = train(capsys, data, "--out", tmp_path / "run", "--weights", weights)
    assert outcome.code == 0, outcome.err
    assert f"739 of 739 tensors taken from {weights}\n" in outcome.err


def test_what_is_no_checkpoint_is_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"backbone.weight": torch.ones(3)}, other)
    fails(train(capsys, data, "--weights", other, "--out", tmp_path / "a"), 4, "is a YOLOv12's")
    save_file({"model.0.conv.weight": torch.full((16, 3, 3, 3), torch.nan)}, other)
    fails(train(capsys, data, "--weights", other, "--out", tmp_path / "a"), 4, "NaN")
    fails(train(capsys, data, "--weights", tmp_path / "none.pt"), 4, "no such file")
    fails(train(capsys, data, "--weights", data), 4, "is not a checkpoint")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--imgsz", "65"), "image_size cannot be"),
        (("--optimizer", "lion"), "optimizer cannot be 'lion'"),
        (("--amp", "fp8"), "amp cannot be"),
        (("--scale", "q"), "unknown scale"),
        (("--layout", "v2"), "unknown layout"),
        (("--freeze", "22"), "leaves nothing to train"),
        (("--mosaic", "2"), "mosaic"),
        (("--hsv", "1,2"), "cannot read --hsv"),
        (("--device", "abacus"), "unknown device"),
        (("--cache", "tape"), "cache cannot be"),
    ],
)
def test_wrong_options(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    fails(train(capsys, data, "--out", tmp_path / "run", *words), 2, message)
    assert snapshot(tmp_path) == {}


def test_images_are_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(run(capsys, "train"), 2, "train needs images")
    fails(run(capsys, "train", "--data", tmp_path / "no.yaml"), 3, "no.yaml")


def test_both_sets_have_the_same_classes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "val.yaml"
    other.write_text(f"val: {data.parent}/images\nnames: [square, disc]\n")
    fails(train(capsys, data, "--val", other, "--out", tmp_path / "run"), 3, "validation square")


class _FullDisk:
    """Lets some states through, then has no space for the next: half of it is written."""

    def __init__(self, good: int) -> None:
        self.left = good
        self.real = state_module.write_safetensors

    def __call__(self, path: Path, *rest: object) -> None:
        if self.left == 0:
            path.with_name(".half.part").write_bytes(b"half")
            path.with_name(".half.part").unlink()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        self.left -= 1
        self.real(path, *rest)


def test_a_full_disk_loses_nothing(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("--epochs", "3", "--batch", "6", "--imgsz", "64", "--quiet", "--seed", "2")
    whole, full = tmp_path / "whole", tmp_path / "full"
    assert run(capsys, "train", "--data", data, *words, "--out", whole).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(state_module, "write_safetensors", _FullDisk(1))
        broken = run(capsys, "train", "--data", data, *words, "--out", full)
    fails(broken, 2, f"the disk of {full} is full")
    assert f"yolov12edge train --resume {full}" in broken.err
    assert run(capsys, "train", "--resume", full, "--quiet").code == 0
    for name in ("last.safetensors", "state.safetensors"):
        ours, theirs = load_file(full / name), load_file(whole / name)
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


@pytest.mark.skipif(os.geteuid() != 0, reason=NO_MOUNT)
def test_a_real_full_disk(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A disk of 80 MB: weights and one state fit on it, the next state beside it does not."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(NO_MOUNT)
    try:
        outcome = train(capsys, data, "--out", disk / "run", "--quiet")
        fails(outcome, 2, "is full")
        assert load((disk / "run/state.safetensors").read_bytes())
        assert [path.name for path in (disk / "run").iterdir() if ".part" in path.name] == []
        shutil.copytree(disk / "run", tmp_path / "roomy")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert run(capsys, "train", "--resume", tmp_path / "roomy", "--quiet").code == 0


def test_ctrl_c_saves_and_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    """A real signal to a real process between two steps of an endless run."""
    out = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "yolov12edge", "train", "--data", str(data), "--epochs", "100000",
         "--batch", "6", "--imgsz", "64", "--eval-every", "100000", "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (out / "state.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 130, said
    error, hint = said.splitlines()[-2:]
    assert error.startswith("error: interrupted after step")
    assert hint == f"hint:  go on with: yolov12edge train --resume {out}"
    steps = int(error.split()[4])
    # One step an epoch: the state is that of the last step.
    recorded = json.loads(json.dumps(state_module.read_safetensors(out / "state.safetensors")[1]))
    assert recorded["epoch"] + recorded["step"] == steps
    assert not [path for path in out.iterdir() if ".part" in path.name]


def test_torchrun_gives_what_one_process_gives(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--batch", "2", "--epochs", "2", "--imgsz", "64", "--lr", "1e-4", "--optimizer", "sgd")
    alone = run(capsys, "train", "--data", data, *words, "--out", tmp_path / "alone", "--quiet")
    assert alone.code == 0, alone.err
    both = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "yolov12edge", "train", "--data", str(data), *words,
         "--out", str(tmp_path / "both"), "--json"],
        capture_output=True, text=True, timeout=600, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert both.returncode == 0, both.stderr
    assert json.loads(both.stdout)["epochs"] == 2
    assert both.stderr.count(" 2/2 ") == 1
    ours = load_file(tmp_path / "both/last.safetensors")
    for name, value in load_file(tmp_path / "alone/last.safetensors").items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_broken_pictures_are_named_and_passed_over(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training goes on and says what it saw; a file that breaks only when read, too."""
    folder = tmp_path / "set"
    shutil.copytree(data.parent, folder)
    (folder / "labels/0.txt").unlink()
    (folder / "images/1.png").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "images/2.png"), np.full((64, 64), 90, np.uint8))
    whole = (folder / "images/3.png").read_bytes()
    (folder / "images/3.png").write_bytes(whole[:60] + bytes(len(whole) - 60))
    outcome = train(capsys, folder / "data.yaml", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "skipped 1" in outcome.err
    assert "5 to train" in outcome.err
    warnings = [line for line in outcome.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "images/3.png" in warnings[0]
