"""Letterbox, decode and picture reading give what Python and OpenCV give, on every compiler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.cpp.cases import (
    Case,
    check_answers,
    decode_cases,
    letterbox_cases,
    picture_cases,
    records,
)
from tests.cpp.toolchain import (
    HERE,
    SANITIZED,
    compile_source,
    run,
    skip_without_sanitizer,
    tool,
)
from tests.skips import NO_FMA


def answer(cases: Sequence[Case], *program: str | Path) -> None:
    check_answers(cases, run(*program, input=records(cases)).stdout)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_two_thousand_random_cases_equal_python(tmp_path: Path) -> None:
    program = compile_source("g++", HERE / "host_tool.cpp", tmp_path / "host", "-O3")
    rng = np.random.default_rng(0)
    answer(letterbox_cases(rng, 1000), program)
    answer(decode_cases(rng, 1000), program)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_sanitizers_find_nothing(compiler: str, tmp_path: Path) -> None:
    skip_without_sanitizer(compiler, tmp_path, *SANITIZED)
    program = compile_source(compiler, HERE / "host_tool.cpp", tmp_path / "host", *SANITIZED)
    rng = np.random.default_rng(1)
    cases = [*letterbox_cases(rng, 200), *decode_cases(rng, 200), *picture_cases(rng)]
    answer(cases, program)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_fused_multiply_add_changes_nothing(tmp_path: Path) -> None:
    cpu = Path("/proc/cpuinfo")
    if not cpu.is_file() or " fma " not in cpu.read_text():
        pytest.skip(NO_FMA)
    program = compile_source("g++", HERE / "host_tool.cpp", tmp_path / "host", "-O3", "-mfma")
    rng = np.random.default_rng(2)
    answer([*letterbox_cases(rng, 200), *decode_cases(rng, 400)], program)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_aarch64_gives_the_same(tmp_path: Path) -> None:
    emulator = tool("qemu-aarch64")
    source, target = HERE / "host_tool.cpp", tmp_path / "host"
    program = compile_source("aarch64-linux-gnu-g++", source, target, "-O3", "-static")
    rng = np.random.default_rng(3)
    cases = [*letterbox_cases(rng, 200), *decode_cases(rng, 400), *picture_cases(rng)]
    answer(cases, emulator, program)
