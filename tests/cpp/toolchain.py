"""Compilers and what is compiled with them; tests skip, with a reason, where a tool is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import yolov12edge

CPP = Path(yolov12edge.__file__).parent / "cpp"
HERE = Path(__file__).parent
STUBS = HERE / "stubs"
RTX = "1.7.1"
LODEPNG = tuple(f"-DLODEPNG_NO_COMPILE_{part}" for part in ("ANCILLARY_CHUNKS", "CPP", "DISK"))
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion", "-Wshadow")
SANITIZED = ("-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def tool(name: str) -> str:
    """Path of a program; skips the test where there is none."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(*words: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run a program that has to succeed; its output is in the failure's message."""
    done = subprocess.run([str(word) for word in words], capture_output=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, (done.stdout[-4000:] + done.stderr[-4000:]).decode()
    return done


def compile_source(compiler: str, source: Path, target: Path, *flags: str) -> Path:
    """Compile one file against the runtime's headers, warnings being errors."""
    includes = (f"-I{CPP / 'include'}", f"-I{CPP / 'apps'}")
    run(tool(compiler), "-std=c++17", *STRICT, *includes, *flags, source, "-o", target, "-pthread")
    return target


def compile_with_png(compiler: str, source: Path, target: Path, *flags: str) -> Path:
    """The same for a file that reads pictures; LodePNG is not held to our warnings."""
    library, code = CPP / "third_party" / "lodepng", target.with_suffix(".lodepng.o")
    run(tool(compiler), *LODEPNG, "-w", *flags, "-c", library / "lodepng.cpp", "-o", code)
    png = ("-isystem", str(library), *LODEPNG, str(CPP / "apps" / "png.cpp"), str(code))
    return compile_source(compiler, source, target, *flags, *png)


def skip_without_sanitizer(compiler: str, folder: Path, *flags: str) -> None:
    """Skip where the compiler lacks the runtime library of a sanitizer."""
    probe = folder / "probe.cpp"
    probe.write_text("int main() {}\n")
    done = subprocess.run(
        [tool(compiler), *flags, str(probe), "-o", str(folder / "probe")], capture_output=True
    )
    if done.returncode:
        pytest.skip(f"{compiler} cannot link {' '.join(flags)}")


def skip_without_openvino() -> Path:
    """OpenVINO's CMake folder; skips where the wheel is missing."""
    openvino = pytest.importorskip("openvino")
    return Path(openvino.__file__).parent / "cmake"


def stub_flags(version: str) -> tuple[str, ...]:
    """What makes the stubs of NVIDIA's headers those of a version."""
    major, minor, patch = version.split(".")[:3]
    backend = "TENSORRT_RTX" if version == RTX else "TENSORRT"
    numbers = (f"-DSTUB_MAJOR={major}", f"-DSTUB_MINOR={minor}", f"-DSTUB_PATCH={patch}")
    return (f"-I{STUBS}", *numbers, f"-DYOLOV12EDGE_BACKEND_{backend}")
