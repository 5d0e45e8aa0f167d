"""The detector's own tests, compiled with sanitizers; the fuzzer; the CUDA kernel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.cpp.cases import picture_cases
from tests.cpp.toolchain import (
    CPP,
    HERE,
    SANITIZED,
    compile_source,
    compile_with_png,
    run,
    skip_without_sanitizer,
    tool,
)

FUZZED = (
    *("-O1", "-g", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"),
    "-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION",
)


@pytest.mark.parametrize(
    "flags", [SANITIZED, ("-O0", "-g", "-fsanitize=thread")], ids=["address", "thread"]
)
def test_detector_under_sanitizers(flags: tuple[str, ...], tmp_path: Path) -> None:
    skip_without_sanitizer("g++", tmp_path, *flags)
    program = compile_source("g++", HERE / "detector_test.cpp", tmp_path / "test", *flags)
    # ThreadSanitizer of older compilers does not know the address layouts of newer kernels.
    fixed = ["setarch", "-R"] if "thread" in flags[-1] and _layout_can_be_fixed() else []
    assert b"all passed" in run(*fixed, program, cwd=tmp_path).stdout


def _layout_can_be_fixed() -> bool:
    if shutil.which("setarch") is None:
        return False
    return subprocess.run(["setarch", "-R", "true"], capture_output=True).returncode == 0


def test_detector_on_aarch64(tmp_path: Path) -> None:
    emulator = tool("qemu-aarch64")
    source, target = HERE / "detector_test.cpp", tmp_path / "test"
    program = compile_source("aarch64-linux-gnu-g++", source, target, "-O2", "-static")
    assert b"all passed" in run(emulator, program, cwd=tmp_path).stdout


def test_fuzzer_finds_nothing_in_a_moment(tmp_path: Path) -> None:
    skip_without_sanitizer("clang++", tmp_path, *SANITIZED)
    program = compile_with_png("clang++", HERE / "fuzz.cpp", tmp_path / "fuzz", *FUZZED)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for case in picture_cases(np.random.default_rng(0)):
        (corpus / case.name.replace(" ", "-")).write_bytes(b"\x01" + case.file)
    (corpus / "plan").write_bytes(b"\x02vtrt" + bytes(60))
    (corpus / "letterbox").write_bytes(b"\x03" + bytes(range(60)))
    (corpus / "output").write_bytes(b"\x04" + bytes(200))
    # As many runs take a few seconds; sixty seconds are `fuzz -max_total_time=60 corpus`. It limits
    # a peak of memory that processes inherit from what started them: the shell's is small.
    shell = ("sh", "-c", '"$@"; exit $?', "sh")
    words = ("-runs=20000", "-seed=1", "-max_len=4096", "-timeout=20", corpus)
    run(*shell, program, *words, cwd=tmp_path)


def test_cuda_kernel_compiles(tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not installed")
    source = CPP / "src" / "letterbox_kernel.cu"
    run(
        *(nvcc, "-std=c++17", "-c", source, f"-I{CPP / 'include'}", "-o", tmp_path / "kernel.o"),
        *("-Werror", "all-warnings", "-Xcompiler", "-Wall,-Wextra,-Werror"),
    )
