"""The way by TensorRT: trtexec stands in, as far as a GPU is not needed.

trtexec is NVIDIA's and needs a GPU. The one here takes the options of its version and no others,
prints what public logs show, and writes a plan's first bytes and a recorded list of kernels.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import fails, run
from tests.cpp.toolchain import HERE, STUBS, stub_flags, tool
from tests.cpp.toolchain import run as run_tool
from tests.engine.kernels import read_log
from tests.pipeline.deploy.conftest import (
    CMAKE,
    Box,
    Deploy,
    add_fp16,
    read,
    retarget,
    script,
)
from tests.sshd import NAME, running_device
from yolov12edge.pipeline.deploy.record import staged
from yolov12edge.run.manifest import changed_files, read_manifest

TRTEXEC = """#!/bin/sh
# Stands in for trtexec of TensorRT {version}.
echo "&&&& RUNNING TensorRT.trtexec [TensorRT v{number}] # $0 $*"
for word; do
    case $word in
    --onnx=*) onnx=${{word#*=}} ;;
    --saveEngine=*) plan=${{word#*=}} ;;
    --exportLayerInfo=*) layers=${{word#*=}} ;;
    --timingCacheFile=*) cache=${{word#*=}} ;;
    --profilingVerbosity=detailed|--memPoolSize=workspace:*) ;;
    {own}) ;;
    *) echo "[11/27/2026-05:00:00] [E] Unknown option: $word"; exit 1 ;;
    esac
done
echo "$onnx $*" >>'{home}/calls'
echo '[11/27/2026-05:00:00] [I] [TRT] [MemUsageChange] Init CUDA: CPU +1, GPU +0'
{fault}
echo cached >>"$cache"
cp '{home}/plan' "$plan" && cp '{home}/layers.json' "$layers"
echo '&&&& PASSED TensorRT.trtexec'
"""
SMI = """#!/bin/sh
case $* in
*name*memory*) ;;
*name*) echo 'Orin (nvgpu)' ;;
*cap*) echo 8.7 ;;
esac
"""
OWN = {"8.5.2": "--fp16|--int8|--buildOnly", "10.3.0": "--stronglyTyped|--skipInference"}
SHORT = (
    "\n".join(
        f"echo '[11/27/2026-05:00:01] {line}'"
        for line in (
            "[W] [TRT] Requested amount of GPU memory (538000000 bytes) could not be allocated.",
            "[E] Error[2]: [virtualMemoryBuffer.cpp::resizePhysical::140] Error Code 2: "
            "OutOfMemory (no further information)",
            "[E] Engine could not be created from network",
        )
    )
    + "\necho '&&&& FAILED TensorRT.trtexec'; exit 1"
)


def jetson(root: Path, version: str, fault: str = "", plan: bytes = b"") -> None:
    """What a folder of TensorRT has: a header with its version, and trtexec."""
    for name in ("bin", "include", "lib"):
        (root / name).mkdir(parents=True, exist_ok=True)
    numbers = version.split(".")
    names = ("MAJOR", "MINOR", "PATCH")
    lines = [f"#define NV_TENSORRT_{n} {v}\n" for n, v in zip(names, numbers, strict=True)]
    (root / "include/NvInferVersion.h").write_text("".join(lines))
    first = bytes([int(number) for number in numbers]) + bytes([0])
    (root / "plan").write_bytes(plan or b"ftrt" + bytes(20) + first + bytes(2 << 20))
    layers = {"Layers": list(read_log("n320_fp16_sm86").layers), "Bindings": []}
    (root / "layers.json").write_text(json.dumps(layers))
    text = TRTEXEC.format(
        version=version, number="".join(numbers), own=OWN[version], home=root, fault=fault
    )
    script(root / "bin/trtexec", text)
    (root / "calls").unlink(missing_ok=True)


pytestmark = pytest.mark.usefixtures("known_bundle")


@pytest.fixture(scope="module")
def board(
    deployed: Path, box: Box, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Box, Path]]:
    """A device with stand-ins for trtexec, and for what cmake makes, and its TensorRT's folder."""
    folder = tmp_path_factory.mktemp("board")
    with running_device(folder / "device") as device:
        script(device.bin / "cmake", CMAKE.format(programs=box.there() / "build"))
        script(device.bin / "nvidia-smi", SMI)
        yield Box(device, box.pictures, str(folder / "tensorrt")), folder / "tensorrt"


@pytest.fixture
def orin(run_folder: Path) -> Path:
    """A run in INT8 for a Jetson, with its FP16 twin."""
    retarget(run_folder, "orin-nano", "tensorrt")
    add_fp16(run_folder)
    return run_folder


def test_plans_are_built_there_and_come_back(
    orin: Path,
    board: tuple[Box, Path],
    deploy: Deploy,
    capsys: pytest.CaptureFixture[str],
) -> None:
    box, root = board
    jetson(root, "10.3.0")
    place = "orin 10"
    outcome = deploy(orin, *box.words("--workspace", 512, folder=place))
    assert outcome.code == 0, outcome.err
    assert "attention: 8 of 8 fused (SM87)" in outcome.err
    folder = orin / "devices" / NAME
    section = read_manifest(orin).devices[NAME]
    assert section.passed
    assert section.plan is not None
    assert section.plan.version.startswith("10.3")
    assert section.attention == "attention: 8 of 8 fused (SM87)"
    assert (folder / "engine.plan").read_bytes() == (root / "plan").read_bytes()
    assert changed_files(orin, read_manifest(orin)) == {}
    bench = read(folder / "bench.json")
    assert [one["precision"] for one in bench["artifacts"]] == ["fp16", "int8"]
    calls = (root / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == [
        "bundle/model/model.int8.onnx",
        "rival/model.fp16.onnx",
    ]
    assert all("--memPoolSize=workspace:512" in call for call in calls)
    assert (box.there(place) / "timing.cache").read_text() == "cached\n" * 2
    inspected = run(capsys, "inspect", folder / "engine.plan", "--json").document
    assert inspected["engine"]["mha_kernels"] == 8
    assert f"{NAME}: passed" in run(capsys, "inspect", orin).out


def test_older_tensorrt_and_a_second_deploy(
    orin: Path, board: tuple[Box, Path], deploy: Deploy
) -> None:
    box, root = board
    jetson(root, "8.5.2")
    words = box.quick_words("orin 8")
    for _ in range(2):
        outcome = deploy(orin, *words)
        assert outcome.code == 0, outcome.err
        # Nothing changed the second time: the plans are not built again.
        assert len((root / "calls").read_text().splitlines()) == 2
    assert "the target orin-nano is for TensorRT 10.3" in outcome.err
    assert "--buildOnly" in (root / "calls").read_text()


def test_a_build_that_is_short_of_memory(
    orin: Path, board: tuple[Box, Path], deploy: Deploy
) -> None:
    box, root = board
    jetson(root, "10.3.0", SHORT)
    outcome = deploy(orin, *box.quick_words("short"))
    fails(
        outcome,
        5,
        f"trtexec on {NAME} cannot build model.int8.onnx: Error Code 2: OutOfMemory",
    )
    assert "isolate multi-user.target" in outcome.err
    assert "--workspace" in outcome.err
    log = (orin / "devices" / NAME / "trtexec.log").read_text()
    assert "538000000 bytes" in log
    assert not (box.there("short") / "bundle/model/engine.plan").exists()
    assert not (orin / "devices" / NAME / "engine.plan").exists()
    jetson(root, "10.3.0")
    assert deploy(orin, *box.quick_words("short")).code == 0


def test_what_is_no_plan_is_not_taken_for_one(
    orin: Path, board: tuple[Box, Path], deploy: Deploy
) -> None:
    box, root = board
    jetson(root, "10.3.0", plan=b"not a plan" * 20)
    outcome = deploy(orin, *box.quick_words("no plan"))
    fails(outcome, 5, f"what trtexec wrote on {NAME} is no plan")
    assert not (orin / "devices" / NAME / "engine.plan").exists()


def test_a_device_without_trtexec(orin: Path, board: tuple[Box, Path], deploy: Deploy) -> None:
    box, root = board
    shutil.rmtree(root, ignore_errors=True)
    fails(deploy(orin, *box.words(folder="none")), 7, f"{NAME} has no trtexec")


def test_up_to_the_gpu(orin: Path, box: Box, deploy: Deploy, tmp_path: Path) -> None:
    """CMake, compiler and linker are real; TensorRT and CUDA are the declarations of the tests.

    The plan is refused by what stands in for the GPU, which is as far as one can get without it.
    """
    root = tmp_path / "tensorrt"
    shutil.copytree(STUBS, root / "include")
    jetson(root, "10.3.0")
    fake = (root / "lib/libnvinfer.so", HERE / "fake_gpu.cpp", *stub_flags("10.3.0"))
    run_tool(tool("g++"), "-std=c++17", "-O0", "-shared", "-fPIC", "-o", *fake)
    shutil.copy(root / "lib/libnvinfer.so", root / "lib/libcudart.so")
    numbers = [word for word in stub_flags("10.3.0") if word.startswith("-DSTUB")]
    flags = {"CXXFLAGS": " ".join(["-O0", *numbers]), "CMAKE_BUILD_TYPE": "Quick"}
    with running_device(
        tmp_path / "device", environment=flags | {"CUDA_HOME": str(root)}
    ) as device:
        jetson_box = Box(device, box.pictures, str(root))
        outcome = deploy(orin, *jetson_box.quick_words("gpu"))
    assert outcome.code in (4, 6, 7), outcome.err
    assert "programs compiled by g++" in outcome.err
    assert f"selftest on {NAME}: " in outcome.err
    folder = orin / "devices" / NAME
    assert (folder / "engine.plan").is_file()
    assert (folder / "selftest.log").read_text().startswith("error: ")
    assert not read_manifest(orin).devices[NAME].passed


def test_nothing_is_left_of_a_stage_that_was_not_kept(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        (stage / "x").touch()
    assert list(tmp_path.iterdir()) == []
