"""Letterbox, decode, pictures, JSON and hashes: as Python and OpenCV do it, on every compiler."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from tests.cpp.cases import (
    Case,
    PictureCase,
    bomb,
    check_answers,
    decode_cases,
    hash_cases,
    json_cases,
    letterbox_cases,
    picture_cases,
    records,
)
from tests.cpp.toolchain import (
    HERE,
    SANITIZED,
    compile_with_png,
    run,
    skip_without_sanitizer,
    tool,
)
from tests.skips import NO_FMA


def answer(cases: Sequence[Case], *program: str | Path) -> None:
    check_answers(cases, run(*program, input=records(cases)).stdout)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_two_thousand_random_cases_equal_python(tmp_path: Path) -> None:
    program = compile_with_png("g++", HERE / "host_tool.cpp", tmp_path / "host", "-O3")
    rng = np.random.default_rng(0)
    answer(letterbox_cases(rng, 1000), program)
    answer(decode_cases(rng, 1000), program)
    answer(json_cases(rng, 5000), program)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_sanitizers_find_nothing(compiler: str, tmp_path: Path) -> None:
    skip_without_sanitizer(compiler, tmp_path, *SANITIZED)
    program = compile_with_png(compiler, HERE / "host_tool.cpp", tmp_path / "host", *SANITIZED)
    rng = np.random.default_rng(1)
    cases = [*letterbox_cases(rng, 200), *decode_cases(rng, 200), *picture_cases(rng)]
    answer([*cases, *json_cases(rng, 2000), *hash_cases(rng)], program)


def test_a_picture_gets_no_more_memory_than_its_pixels_need(tmp_path: Path) -> None:
    program = compile_with_png("g++", HERE / "host_tool.cpp", tmp_path / "host", "-O1")
    tiny, bombed = (PictureCase("bomb", bomb(size), None) for size in (1000, 300_000_000))
    record = tmp_path / "record"
    peaks = []
    for case in (tiny, bombed):
        record.write_bytes(case.record())
        with record.open("rb") as stream:
            child = subprocess.Popen([program], stdin=stream, stdout=subprocess.PIPE)
        assert child.stdout is not None
        case.check(BytesIO(child.stdout.read()))
        peaks.append(os.wait4(child.pid, 0)[2].ru_maxrss)
    assert peaks[1] - peaks[0] < 20_000, "KiB"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_fused_multiply_add_changes_nothing(tmp_path: Path) -> None:
    cpu = Path("/proc/cpuinfo")
    if not cpu.is_file() or " fma " not in cpu.read_text():
        pytest.skip(NO_FMA)
    program = compile_with_png("g++", HERE / "host_tool.cpp", tmp_path / "host", "-O3", "-mfma")
    rng = np.random.default_rng(2)
    answer([*letterbox_cases(rng, 200), *decode_cases(rng, 400)], program)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_aarch64_gives_the_same(tmp_path: Path) -> None:
    emulator = tool("qemu-aarch64")
    source, target = HERE / "host_tool.cpp", tmp_path / "host"
    program = compile_with_png("aarch64-linux-gnu-g++", source, target, "-O3", "-static")
    rng = np.random.default_rng(3)
    cases = [*letterbox_cases(rng, 200), *decode_cases(rng, 400), *picture_cases(rng)]
    answer([*cases, *hash_cases(rng)], emulator, program)
