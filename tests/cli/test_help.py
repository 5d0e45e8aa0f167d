"""Help: complete, within 80 columns, and without waiting for the heavy libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import run
from yolov12edge import __version__
from yolov12edge.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
# What makes a start slow; rich alone doubles the time that help takes. Late versions of typer use
# pydantic themselves.
HEAVY = (
    "torch", "onnx", "onnxruntime", "openvino", "numpy", "cv2", "yaml", "rich",
    "safetensors", "modelopt", "tensorrt", "tensorrt_rtx_bindings", "psutil", "faster_coco_eval",
)  # fmt: skip


def start(*words: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the command in a process of its own; the heavy modules that it imported."""
    script = (
        "import json, sys\n"
        "from yolov12edge.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        f"finally:\n    print(json.dumps([m for m in {HEAVY} if m in sys.modules]), "
        "file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=ROOT
    )
    return ended, json.loads(ended.stderr.splitlines()[-1])


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--version"], ["export", "--help"], []])
def test_nothing_heavy_is_imported(words: list[str]) -> None:
    ended, imported = start(*words)
    assert ended.returncode == 0
    assert ended.stdout
    assert imported == []


def test_a_wrong_word_is_told_at_once() -> None:
    ended, imported = start("export", "--wrong")
    assert ended.returncode == 2
    assert imported == []


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(capsys, "--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"yolov12edge {__version__}\n", "")


def test_without_words_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    nothing, asked = run(capsys), run(capsys, "--help")
    assert nothing == asked
    assert nothing.code == 0
    for name in COMMANDS:
        line = next(line for line in asked.out.splitlines() if line.split()[:1] == [name])
        # A summary is one whole sentence.
        assert line.endswith("."), line
        assert not line.endswith("..."), line


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command(capsys: pytest.CaptureFixture[str], name: str) -> None:
    outcome = run(capsys, name, "--help")
    assert outcome.code == 0
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    assert lines[0].startswith(f"Usage: yolov12edge {name} [OPTIONS]")
    assert max(map(len, lines)) <= 80
    assert "…" not in outcome.out
    assert "..." not in outcome.out.removeprefix(lines[0])
    # Values have names that say what they are, not Python's types.
    options = [line for line in lines if line.startswith("  -")]
    assert not [line for line in options if "<" in line.split("  ")[1]]
    for odd in ("[default: True]", "[default: False]"):
        assert odd not in outcome.out
    for option in ("--json", "--quiet", "--help"):
        assert option in outcome.out
