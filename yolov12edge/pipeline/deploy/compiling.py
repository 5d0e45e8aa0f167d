"""Compiling the bundle's programs on a device."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from yolov12edge.errors import ExportError
from yolov12edge.pipeline.deploy.payload import BUILD, BUNDLE, Payload
from yolov12edge.pipeline.deploy.workshop import Workshop
from yolov12edge.remote.files import digest_of
from yolov12edge.run.device import DeviceProbe, Stage

PROGRAMS = ("selftest", "evaluate", "bench")
# A compiler takes about so much memory for one of the programs.
_BYTES_EACH = 1 << 30


def compile_programs(
    shop: Workshop, payload: Payload, probe: DeviceProbe, library: str | None
) -> None:
    """Configure and compile; not repeated where nothing of it changed.

    Args:
        library: folder of the runtime there, if the user named one.

    Raises:
        ExportError: CMake or the compiler fails, in its words.
    """
    backend = payload.manifest.target.backend
    jobs = max(1, min(probe.cores, (probe.memory_free or 0) // _BYTES_EACH))
    configure = [
        *("cmake", "-S", BUNDLE, "-B", BUILD, f"-DYOLOV12EDGE_BACKEND={backend}"),
        "-DYOLOV12EDGE_CAPI=OFF",
        *_found(backend, probe, library),
    ]
    compiling = ["cmake", "--build", BUILD, "--parallel", str(jobs), "--target", "proof"]
    # A folder of another machine or runtime would be taken over with what it found then.
    script = "\n".join(
        [
            "set -e",
            f"rm -rf {BUILD}/CMakeCache.txt",
            shlex.join(configure),
            shlex.join(compiling),
        ]
    )
    version = probe.library(backend) or ""
    tools = (probe.compiler or "", probe.cmake or "", version)
    key = digest_of([payload.sources, shlex.join(configure), *tools])
    needs = [f"{BUILD}/{program}" for program in PROGRAMS]
    result, seconds = shop.run("compile", "compiling", key, script, needs)
    if result.code != 0:
        raise _failure(shop.name, result.lines)
    done = f"by {probe.compiler}, cmake {probe.cmake}"
    outcome = f"programs compiled before, {done}" if result.again else f"programs compiled {done}"
    if not result.again:
        outcome += f", in {seconds:.0f} s"
    shop.done(Stage(name="compile", outcome=outcome, seconds=seconds, again=result.again))


def _found(backend: str, probe: DeviceProbe, library: str | None) -> list[str]:
    """Where CMake finds the runtime."""
    if backend == "openvino":
        return [f"-DOpenVINO_DIR={probe.openvino}"]
    if backend == "onnxruntime":
        return [f"-DONNXRUNTIME_ROOT={probe.onnxruntime}"]
    return [f"-DTENSORRT_ROOT={library}"] if library else []


def _failure(host: str, lines: Sequence[str]) -> ExportError:
    """The first error of CMake, the compiler or the linker, and what to do."""
    what = f"the programs cannot be compiled on {host}"
    if any("No space left on device" in line for line in lines):
        return ExportError(
            f"{what}: its disk is full",
            "free some space there, or name another folder with --to host:folder",
        )
    if any("Killed signal terminated program" in line for line in lines):
        return ExportError(
            f"{what}: the compiler was killed, as the system does when memory is short",
            "stop other programs there, or add swap; then run the same command again",
        )
    for index, line in enumerate(lines):
        if line.startswith("CMake Error"):
            said = " ".join(one.strip() for one in lines[index + 1 : index + 4] if one.strip())
            return ExportError(f"{what}: {(said or line)[:200]}", _HINT)
        if " error: " in line or ": fatal error: " in line or "undefined reference" in line:
            return ExportError(f"{what}: {line.strip()[:200]}", _HINT)
    last = next((line for line in reversed(lines) if line.strip()), "it does not say why")
    return ExportError(f"{what}: {last.strip()[:200]}", _HINT)


_HINT = "see compile.log in the device's folder of the run"
