"""What runs on the other machine is POSIX sh, for whatever its /bin/sh is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import yolov12edge

SCRIPTS = sorted(Path(yolov12edge.__file__).parent.rglob("scripts/*.sh"))
SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]


def shell(name: str) -> list[str]:
    return ["busybox", "sh"] if name == "busybox" else [name, *(["--posix"] * (name == "bash"))]


def test_they_are_there() -> None:
    names = {path.name for path in SCRIPTS}
    assert names == {
        "bring.sh",
        "hold.sh",
        "receive.sh",
        "settle.sh",
        "step.sh",
        "probe.sh",
        "state.sh",
    }


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shells_read_them(name: str, path: Path) -> None:
    done = subprocess.run([*shell(name), "-n", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", "-s", "sh", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SHELLS)
def test_a_probe_says_something_everywhere(name: str, tmp_path: Path) -> None:
    (path,) = (path for path in SCRIPTS if path.name == "probe.sh")
    words = [*shell(name), str(path), str(tmp_path / "not there"), ""]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("yolov12edge-probe 1", "yolov12edge-probe end")
    told = dict(line.split("\t", 1) for line in lines[1:-1])
    assert told["architecture"]
    assert int(told["disk_free_kib"]) > 0
