"""clang-tidy finds nothing in the C++ code; `make lint` checks its format."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.cpp.toolchain import CPP, LODEPNG, STUBS, run, stub_flags

SOURCES = sorted([*CPP.glob("apps/*.cpp"), *CPP.glob("src/*.cpp")])
CONSTANTS = """\
#pragma once
#include "yolov12edge/model_info.hpp"
namespace yolov12edge {
inline ModelInfo model_info() { return {}; }
}
"""


def clang_tidy() -> str:
    """The one of the environment that runs the tests: its version decides what it finds."""
    beside = Path(sys.executable).with_name("clang-tidy")
    path = str(beside) if beside.is_file() else shutil.which("clang-tidy")
    if path is None:
        pytest.skip("clang-tidy is not installed")
    return path


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_clang_tidy_finds_nothing(source: Path, tmp_path: Path) -> None:
    generated = tmp_path / "yolov12edge" / "model_constants.hpp"
    generated.parent.mkdir()
    generated.write_text(CONSTANTS)
    run(
        *(clang_tidy(), "--quiet", f"--config-file={CPP.parents[1] / '.clang-tidy'}"),
        *(f"--header-filter={CPP}/(include|apps)/.*", source, "--", "-std=c++17"),
        *(f"-I{CPP / 'include'}", f"-I{tmp_path}", "-isystem", CPP / "third_party/lodepng"),
        *("-isystem", STUBS, *stub_flags("10.13.0")[1:], "-DYOLOV12EDGE_CUDA_PREPROCESS", *LODEPNG),
        *('-DYOLOV12EDGE_BUNDLE_DIR="."', '-DYOLOV12EDGE_BACKEND_NAME="tensorrt"'),
    )
