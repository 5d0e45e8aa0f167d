"""What goes wrong on the way: a clear line, nothing half-written, and the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands import fails, snapshot
from tests.pipeline.deploy.conftest import Box, Deploy, alive, read, script
from tests.skips import NO_MOUNT
from tests.sshd import NAME, SYSTEM_PATH, running_device
from yolov12edge.errors import UnsupportedError
from yolov12edge.pipeline.deploy.job import deploy_run
from yolov12edge.pipeline.deploy.request import DeployRequest
from yolov12edge.remote import Address, connection
from yolov12edge.run.manifest import changed_files, read_manifest
from yolov12edge.voice import SILENCE

# Programs that stand in for those of the bundle, where they are not what a test is about.
PROGRAMS = {
    "selftest": "echo 'PASSED: 4 of 4 images equal'",
    "evaluate": "echo 'error: not this one' >&2; exit 19",
    "bench": "exit 19",
}
CMAKE = """#!/bin/sh
case $1 in
--version) echo 'cmake version 3.25.1'; exit ;;
--build) {building}
    cp '{programs}'/* build/ && echo '[100%] Built target proof' ;;
*) mkdir -p build; {configuring} ;;
esac
"""


pytestmark = pytest.mark.usefixtures("known_bundle")


@pytest.fixture(scope="module")
def plain_box(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A device on which cmake, and what it would compile, only stand in."""
    folder = tmp_path_factory.mktemp("plain")
    programs = folder / "programs"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        script(programs / name, f"#!/bin/sh\n{text}\n")
    with running_device(folder / "device") as device:
        yield Box(device, box.pictures, box.library)


@pytest.fixture
def cmake(plain_box: Box) -> Iterator[Callable[..., None]]:
    """Gives that device a cmake with something in the place of its work."""

    def write(configuring: str = ":", building: str = ":") -> None:
        programs = plain_box.device.bin.parents[1] / "programs"
        text = CMAKE.format(programs=programs, configuring=configuring, building=building)
        script(plain_box.device.bin / "cmake", text)

    write()
    yield write
    write()


def request(run_folder: Path, box: Box, folder: str) -> DeployRequest:
    address = Address.parse(f"{NAME}:{box.device.root / folder}")
    config, library = box.device.config, box.library
    return DeployRequest(run_folder, (address,), bench=False, config=config, library=library)


@pytest.mark.parametrize("label", ["sending", "compiling"])
def test_a_connection_that_is_cut(
    label: str, run_folder: Path, plain_box: Box, cmake: Callable[..., None]
) -> None:
    cmake(building='for n in 10 50 90; do echo "[ $n%] Building"; sleep 0.3; done')
    cuts: list[int] = []

    def progress(title: str, done: int, total: int) -> None:
        if label in title and done > total / 3 and not cuts:
            cuts.append(plain_box.device.cut_connections())

    outcome = deploy_run(request(run_folder, plain_box, f"cut {label}"), SILENCE, progress)
    outcome.raise_if_failed()
    assert cuts[0] > 0
    assert "cp" not in (run_folder / "devices" / NAME / "compile.log").read_text()
    assert changed_files(run_folder, read_manifest(run_folder)) == {}


def test_a_network_that_is_gone(
    run_folder: Path, plain_box: Box, cmake: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays gone: the run is as it was, and once it is back the deploy goes on."""
    before = snapshot(run_folder)

    def progress(title: str, done: int, total: int) -> None:
        if "sending" in title and done > 0.8 * total:
            plain_box.device.process.send_signal(signal.SIGSTOP)
            plain_box.device.cut_connections()

    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1)
    asked = request(run_folder, plain_box, "gone")
    outcome = deploy_run(asked, SILENCE, progress)
    plain_box.device.process.send_signal(signal.SIGCONT)
    with pytest.raises(UnsupportedError, match=NAME) as caught:
        outcome.raise_if_failed()
    assert "run the same command again" in caught.value.hint
    assert snapshot(run_folder) == before
    part = plain_box.there("gone") / "incoming/rival/model.onnx"
    assert part.stat().st_size > 0
    sent: list[tuple[int, int]] = []
    deploy_run(
        asked, SILENCE, lambda title, done, total: sent.append((done, total))
    ).raise_if_failed()
    assert sent[0][1] < sum(path.stat().st_size for path in run_folder.glob("*.onnx"))


@pytest.mark.skipif(os.geteuid() != 0, reason=NO_MOUNT)
def test_a_disk_that_is_full(
    run_folder: Path, plain_box: Box, cmake: Callable[..., None], deploy: Deploy
) -> None:
    disk = plain_box.device.root / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip(NO_MOUNT)
    before = snapshot(run_folder)
    try:
        outcome = deploy(run_folder, *plain_box.quick_words("disk/here"))
        fails(outcome, 7, f"the disk of {NAME} is full")
        assert "about" in outcome.err
        assert "are needed" in outcome.err
        assert snapshot(run_folder) == before
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        assert deploy(run_folder, *plain_box.quick_words("disk/here")).code == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_what_arrives_with_another_hash(
    run_folder: Path, plain_box: Box, cmake: Callable[..., None], deploy: Deploy
) -> None:
    tar = plain_box.device.bin / "tar"
    script(tar, '#!/bin/sh\n/bin/tar "$@" && printf x >>bundle/CMakeLists.txt\n')
    before = snapshot(run_folder)
    try:
        fails(
            deploy(run_folder, *plain_box.quick_words("hash")),
            7,
            f"bundle/CMakeLists.txt arrives at {NAME} with another SHA-256",
        )
    finally:
        tar.unlink()
    assert snapshot(run_folder) == before
    assert not (plain_box.there("hash") / "bundle/CMakeLists.txt").exists()
    assert deploy(run_folder, *plain_box.quick_words("hash")).code == 0


def test_a_device_without_cmake(run_folder: Path, box: Box, deploy: Deploy, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in SYSTEM_PATH.split(":"):
        for path in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if path.name != "cmake" and not (programs / path.name).exists():
                (programs / path.name).symlink_to(path)
    with running_device(tmp_path / "device", str(programs)) as device:
        bare = Box(device, box.pictures, box.library)
        outcome = deploy(run_folder, *bare.quick_words("here"))
        fails(outcome, 7, f"{NAME} has no cmake")
        assert "sudo apt install cmake g++ make" in outcome.err
        assert not bare.there("here").exists()


def test_a_device_without_the_runtime(
    run_folder: Path, plain_box: Box, cmake: Callable[..., None], deploy: Deploy
) -> None:
    all_words = plain_box.quick_words("none")
    at = all_words.index("--library")
    outcome = deploy(run_folder, *all_words[:at], *all_words[at + 2 :])
    fails(outcome, 7, f"{NAME} has no OpenVINO")
    assert "--library" in outcome.err


def test_sources_that_do_not_compile(
    run_folder: Path, plain_box: Box, cmake: Callable[..., None], deploy: Deploy
) -> None:
    cmake(configuring="echo 'CMake Error at CMakeLists.txt:3 (find):\n  no OpenVINO here'; exit 1")
    outcome = deploy(run_folder, *plain_box.quick_words("error"))
    fails(outcome, 5, f"the programs cannot be compiled on {NAME}: no OpenVINO here")
    assert "no OpenVINO here" in (run_folder / "devices" / NAME / "compile.log").read_text()
    section = read_manifest(run_folder).devices[NAME]
    assert (section.passed, section.accuracy) == (False, None)
    assert changed_files(run_folder, read_manifest(run_folder)) == {}


def test_a_self_test_that_fails(
    run_folder: Path, plain_box: Box, cmake: Callable[..., None], deploy: Deploy
) -> None:
    said = "02: first difference in tensor: score 0.9, recorded 0.1"
    programs = plain_box.device.bin.parents[1] / "programs"
    text = f"#!/bin/sh\necho '{said}'\necho 'FAILED: 3 of 4 images equal'\nexit 1\n"
    script(programs / "selftest", text)
    try:
        outcome = deploy(run_folder, *plain_box.quick_words("different"))
    finally:
        script(programs / "selftest", f"#!/bin/sh\n{PROGRAMS['selftest']}\n")
    fails(outcome, 6, f"{NAME} does not detect what was recorded: {said}")
    assert not read_manifest(run_folder).devices[NAME].passed


def test_a_device_that_restarts(
    run_folder: Path, plain_box: Box, cmake: Callable[..., None], deploy: Deploy
) -> None:
    """The step is gone without an exit code, as everything that ran there."""
    cmake(building="echo $PPID >pid; kill -s KILL -- -$(ps -o pgid= -p $$ | tr -d ' ')")
    outcome = deploy(run_folder, *plain_box.quick_words("restart"))
    fails(outcome, 7, f"it was killed, or {NAME} restarted")
    cmake()
    assert deploy(run_folder, *plain_box.quick_words("restart")).code == 0


def test_ctrl_c(
    run_folder: Path, plain_box: Box, cmake: Callable[..., None], deploy: Deploy
) -> None:
    """A real signal to a real process: what ran on the device ends too."""
    before = snapshot(run_folder)
    there = plain_box.there("ctrl c")
    cmake(building="sleep 300 & echo $! >child.part; mv child.part child; wait")
    command = [sys.executable, "-m", "yolov12edge", "deploy", str(run_folder)]
    process = subprocess.Popen(
        [*command, *plain_box.quick_words("ctrl c")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    child = there / "child"
    end = time.monotonic() + 60
    while not child.exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    number = int(child.read_text())
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "error: interrupted" in said
    end = time.monotonic() + 5
    while alive(number) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(number)
    assert snapshot(run_folder) == before
    cmake()
    assert deploy(run_folder, *plain_box.quick_words("ctrl c")).code == 0


def test_what_a_device_says_is_not_believed(
    run_folder: Path, plain_box: Box, cmake: Callable[..., None], deploy: Deploy
) -> None:
    """Its evaluate writes what no detector finds, and escapes for the terminal."""
    line = '{"picture": "00001.png", "size": [192, 192], "detections": [[9, 2, 0, 0, 1e9, 1]]}'
    head = '{"schema_version": 1, "runtime": "\\\\u001b[31mevil 1.0"}'
    programs = plain_box.device.bin.parents[1] / "programs"
    script(
        programs / "evaluate",
        '#!/bin/sh\nwhile [ $# -gt 0 ]; do [ "$1" = --out ] && out=$2; shift; done\n'
        f"printf '%b\\n' '{head}' >\"$out\"\nfor n in 1 2 3 4 5 6 7 8 9 10 11 12; do\n"
        f"echo '{line}' >>\"$out\"; done\n"
        "printf '\\033]0;title\\007error: evil\\n'\n",
    )
    try:
        all_words = plain_box.words("--no-bench", "--log", folder="evil")
        outcome = deploy(run_folder, *all_words)
    finally:
        script(programs / "evaluate", f"#!/bin/sh\n{PROGRAMS['evaluate']}\n")
    fails(outcome, 3, "the device's detections cannot be read")
    assert "\x1b" not in outcome.err
    assert "box | error: evil" in outcome.err


def test_two_deploys_do_not_mix(
    run_folder: Path, plain_box: Box, cmake: Callable[..., None], deploy: Deploy
) -> None:
    lock = plain_box.there("held") / ".deploy/lock"
    lock.mkdir(parents=True)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        (lock / "holder").write_text(f"{sleeper.pid}\n{boot}\nyou@laptop process 12\n")
        fails(
            deploy(run_folder, *plain_box.quick_words("held")),
            7,
            "another deploy works in",
        )
    finally:
        sleeper.kill()
        sleeper.wait()
    assert deploy(run_folder, *plain_box.quick_words("held")).code == 0


def test_one_device_fails_and_the_other_goes_on(
    run_folder: Path, plain_box: Box, cmake: Callable[..., None], deploy: Deploy
) -> None:
    outcome = deploy(
        run_folder, "--to", "nobody@192.0.2.1", *plain_box.quick_words("one", "--json")
    )
    assert outcome.code == 7
    devices = outcome.document["devices"]
    assert [one["passed"] for one in devices.values()] == [False, True]
    assert set(read_manifest(run_folder).devices) == {NAME}
    assert read(run_folder / "devices" / NAME / "device.json")["section"]["passed"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "no device was named"),
        (["--to", "-oProxyCommand=x"], "is no [user@]host[:folder]"),
        (["--to", NAME, "--to", NAME], "is named twice"),
        (["--to", NAME, "--keep", "--clean"], "exclude each other"),
        (["--to", NAME, "--out", "x.json"], "--out saves a probe"),
        (["--to", NAME, "--data", "a", "--images", "b"], "exclude each other"),
    ],
)
def test_words_that_make_no_sense(
    more: list[str], message: str, run_folder: Path, deploy: Deploy
) -> None:
    fails(deploy(run_folder, *more), 2, message)
