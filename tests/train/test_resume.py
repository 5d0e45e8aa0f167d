"""A run that is killed and resumed ends with the bits of one that never stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.commands import fails, run
from tests.train.tiny import write_tiny_set

# Trains, and dies at a step as by `kill -9`: no handler runs, no buffer is flushed.
_DOOMED = """
import os, signal, sys
import torch
from yolov12edge.train.loop import TrainingLoop
torch.set_num_threads(1)
steps, done = int(sys.argv[1]), 0
real = TrainingLoop._step
def step(self, batch):
    global done
    real(self, batch)
    done += 1
    if done == steps:
        os.kill(os.getpid(), signal.SIGKILL)
TrainingLoop._step = step
from yolov12edge.cli import main
main(sys.argv[2:])
"""
# 6 images by 2 are 3 steps an epoch, two steps an update: gradients wait over the epochs' ends.
_OPTIONS = (
    "--epochs", "4", "--batch", "2", "--nominal-batch", "4", "--imgsz", "64", "--seed", "3",
    "--optimizer", "sgd", "--close-mosaic", "2", "--save-steps", "2", "--eval-every", "2",
    "--quiet",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("tiny"))


def die(steps: int, *words: object) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _DOOMED, str(steps), *map(str, words)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=300,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def figures(folder: Path) -> list[list[str]]:
    """results.csv without the columns of time."""
    rows = [line.split(",") for line in (folder / "results.csv").read_text().splitlines()]
    return [[row[0], *row[3:]] for row in rows]


def test_killed_three_times_it_ends_with_the_same_bits(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = run(capsys, "train", "--data", data, *_OPTIONS, "--out", whole, "--json")
    assert unbroken.code == 0, unbroken.err
    first, second, third = (random.randint(1, 4) for _ in range(3))
    print(f"killed after {first}, {second} and {third} steps")
    die(first, "train", "--data", data, *_OPTIONS, "--out", broken)
    die(second, "train", "--resume", broken)
    die(third, "train", "--resume", broken, "--workers", "0")
    resumed = run(capsys, "train", "--resume", broken, "--json")
    torch.set_num_threads(threads)
    assert resumed.code == 0, resumed.err
    for name in ("last.safetensors", "best.safetensors", "state.safetensors"):
        ours, theirs = load_file(broken / name), load_file(whole / name)
        assert ours.keys() == theirs.keys()
        different = [key for key in ours if not torch.equal(ours[key], theirs[key])]
        assert different == [], name
    assert figures(broken) == figures(whole)
    assert len(figures(whole)) == 1 + 4
    places = ("folder", "weights", "last")
    ours, theirs = (
        {key: value for key, value in outcome.document.items() if key not in places}
        for outcome in (resumed, unbroken)
    )
    assert ours == theirs
    assert not list(broken.glob(".*.part*"))


def test_a_finished_run_resumes_to_its_end(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--epochs", "1", "--batch", "6", "--imgsz", "64", "--quiet", "--json")
    done = run(capsys, "train", "--data", data, *words, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    before = (tmp_path / "run/last.safetensors").read_bytes()
    again = run(capsys, "train", "--resume", tmp_path / "run", "--json", "--quiet")
    assert again.code == 0, again.err
    assert again.document == done.document
    assert (tmp_path / "run/last.safetensors").read_bytes() == before
    fails(run(capsys, "train", "--data", data, "--out", tmp_path / "run"), 2, "holds a training")


def test_what_cannot_be_resumed_is_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(run(capsys, "train", "--resume", tmp_path), 4, "no folder of a training run")
    fails(run(capsys, "train", "--resume", tmp_path, "--lr", "1"), 2, "--lr is one")
    (tmp_path / "args.json").write_text("{}")
    fails(run(capsys, "train", "--resume", tmp_path), 4, "args.json is damaged")
    words = ("--epochs", "1", "--batch", "6", "--imgsz", "64", "--quiet")
    folder = tmp_path / "run"
    assert run(capsys, "train", "--data", data, *words, "--out", folder).code == 0
    good = (folder / "state.safetensors").read_bytes()
    for damage in (good[:1000], b"", os.urandom(3000), good[:-4]):
        (folder / "state.safetensors").write_bytes(damage)
        fails(run(capsys, "train", "--resume", folder), 4, "no state of a training run")
    (folder / "state.safetensors").write_bytes(good)
    arguments = json.loads((folder / "args.json").read_text())
    arguments["request"]["scale"] = "s"
    (folder / "args.json").write_text(json.dumps(arguments))
    fails(run(capsys, "train", "--resume", folder), 4, "of another shape")
