"""Each public header compiles alone and includes what it uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import yolov12edge
from tests.cpp.toolchain import CPP, HERE, STRICT, run, tool

INCLUDE = CPP / "include"
STUBS = HERE / "stubs"
HEADERS = sorted(path for path in INCLUDE.rglob("*") if path.suffix in (".h", ".hpp"))
SOURCES = [*HEADERS, *sorted((CPP / "apps").glob("*.[ch]pp")), CPP / "src/capi.cpp"]
STUBBED = ("-isystem", str(STUBS), "-DSTUB_MAJOR=10", "-DSTUB_MINOR=3", "-DSTUB_PATCH=0")
# What compiles the headers that need a runtime's.
RUNTIME_FLAGS = {
    "backends/onnxruntime.hpp": STUBBED,
    "backends/tensorrt.hpp": (*STUBBED, "-DYOLOV12EDGE_BACKEND_TENSORRT"),
    "cuda/device_letterbox.hpp": STUBBED,
    "cuda/letterbox_kernel.hpp": STUBBED,
    "cuda/resources.hpp": STUBBED,
    "open.hpp": (*STUBBED, "-DYOLOV12EDGE_BACKEND_ONNXRUNTIME"),
}
# Names of the standard library, as regular expressions, by the header that promises them.
PROMISED = {
    "algorithm": "max|min|clamp|copy_n|fill_n|find|find_if|sort|nth_element|mismatch|equal|all_of"
    "|count|max_element|reverse",
    "array": "array",
    "atomic": "atomic",
    "charconv": "from_chars",
    "chrono": "chrono",
    "cmath": "fabs|isnan|isfinite|ceil|floor|sqrt|lround|nearbyint",
    "condition_variable": "condition_variable",
    "cstddef": "size_t|ptrdiff_t",
    "cstdint": r"u?int(?:8|16|32|64)_t",
    "cstdio": "printf|snprintf|sscanf|fopen|fread|fwrite|fputs|puts|FILE",
    "cstdlib": "exit|strtod|abs|getenv",
    "cstring": "memcpy|memcmp|memset|strcmp|strlen",
    "deque": "deque",
    "exception": "exception",
    "functional": "function|greater",
    "future": "future|promise",
    "limits": "numeric_limits",
    "map": "map",
    "memory": "unique_ptr|shared_ptr|make_unique|make_shared",
    "mutex": "mutex|lock_guard|unique_lock|once_flag|call_once",
    "new": "bad_alloc|nothrow",
    "numeric": "accumulate",
    "optional": "optional|nullopt",
    "string": "string|to_string",
    "string_view": "string_view",
    "system_error": "system_error|errc",
    "thread": "thread",
    "type_traits": r"is_\w+|remove_\w+|enable_if_t|decay_t",
    "utility": r"move(?=\()|exchange|pair|swap",
    "vector": "vector",
}


# Headers on top of NVIDIA's, of which tests/cpp may have stubs.
ON_A_GPU = (
    "backends/tensorrt.hpp",
    "cuda/device_letterbox.hpp",
    "cuda/letterbox_kernel.hpp",
    "cuda/resources.hpp",
)


def name(path: Path) -> str:
    return str(path.relative_to(CPP)).removeprefix("include/yolov12edge/")


def runtime_flags(header: str) -> tuple[str, ...]:
    if header == "backends/openvino.hpp":
        openvino = Path(pytest.importorskip("openvino").__file__).parent
        return ("-isystem", str(openvino / "include"))
    return RUNTIME_FLAGS.get(header, ())


def compiled_here() -> list[Path]:
    stubbed = (STUBS / "NvInfer.h").is_file()
    return [header for header in HEADERS if stubbed or name(header) not in ON_A_GPU]


@pytest.mark.parametrize("header", compiled_here(), ids=name)
def test_a_header_compiles_alone(header: Path, tmp_path: Path) -> None:
    source = tmp_path / ("use.c" if header.suffix == ".h" else "use.cpp")
    twice = f'#include "{header.relative_to(INCLUDE)}"\n' * 2
    source.write_text(twice + "int main(void) { return 0; }\n")
    compiler = ("gcc", "-std=c99") if header.suffix == ".h" else ("g++", "-std=c++17")
    strict = [flag for flag in STRICT if header.suffix != ".h" or flag != "-Wshadow"]
    flags = runtime_flags(name(header))
    run(tool(compiler[0]), compiler[1], *strict, "-fsyntax-only", f"-I{INCLUDE}", *flags, source)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_includes_what_it_uses(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    code = re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', "", text, flags=re.DOTALL)
    missing = [
        f"<{header}> for std::{found[1]}"
        for header, names in PROMISED.items()
        if f"#include <{header}>" not in text
        and (found := re.search(rf"\bstd::({names})\b", code)) is not None
    ]
    assert not missing


def test_all_places_name_one_version() -> None:
    places = {
        CPP / "CMakeLists.txt": r"^project\(yolov12edge VERSION (\S+)",
        INCLUDE / "yolov12edge/capi.h": r'^#define YOLOV12EDGE_VERSION "(\S+)"',
    }
    for path, pattern in places.items():
        found = re.search(pattern, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert found is not None
        assert found[1] == yolov12edge.__version__
