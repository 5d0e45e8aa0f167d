"""What to tell trtexec of each TensorRT, and what its log means when it fails.

trtexec is NVIDIA's program and comes with TensorRT on the device; none is shipped here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from yolov12edge.errors import ExportError
from yolov12edge.run.recipe import BuildChoice, Precision

_WEAK_FLAGS: dict[Precision, tuple[str, ...]] = {
    "fp32": (),
    "fp16": ("--fp16",),
    "int8": ("--fp16", "--int8"),
}
# Words of a log line that fails a build, and what to do: the first that is found counts.
_SIGNS: tuple[tuple[str, str], ...] = (
    (
        r"out of memory|OutOfMemory|could not be allocated|bad_alloc|std::bad_alloc",
        "free memory there: sudo systemctl isolate multi-user.target stops the desktop, swap "
        "helps; or build with less: --workspace 512",
    ),
    (
        r"insufficient workspace|sufficient workspace|Try increasing the workspace",
        "pass a larger --workspace, or none",
    ),
    (
        r"No importer registered|[Uu]nsupported [Oo]p|getPluginCreator could not find|"
        r"UNSUPPORTED_NODE|no operator named",
        "this TensorRT lacks the operator: export for the target of this device, or with a lower "
        "opset",
    ),
    (
        r"[Oo]pset.{0,40}(?:not supported|unsupported|newer)|version of (?:the )?ONNX",
        "this TensorRT is older than the graph: export with --target auto --probe device.json",
    ),
    (
        r"Could not find any implementation|could not find any supported formats|"
        r"No supported formats",
        "pass a larger --workspace or none; if it stays so, a build in FP16 does without the "
        "kernel that is missing",
    ),
    (
        r"CUDA initialization failure|CUDA driver version is insufficient|"
        r"no CUDA-capable device|Unable to determine GPU memory",
        "the GPU does not answer there: check its driver with nvidia-smi, or restart the device",
    ),
    (
        r"ModelImporter|Failed to parse|parse onnx|failed to parse",
        "export again for the target of this device: --target auto --probe device.json",
    ),
    (
        r"Unknown option|unrecognized option|Unrecognized",
        "this trtexec knows other options: is it that of another TensorRT?",
    ),
    (
        r"No space left on device|cannot (?:open|write)|could not open.*(?:for writing|file)|"
        r"Engine (?:could not be saved|set up failed.*write)",
        "free some space there, or name another folder with --to host:folder",
    ),
)
_OTHERWISE = "the whole log is in the device's folder of the run: trtexec.log"
_ERROR = re.compile(r"^(?:\[[\d/:-]+\] )?\[E\] ?(?:\[TRT\] )?(.*)")
_PLACE = re.compile(r"^(?:Error\[\d+\]: )?(?:\d+: )?(?:\[[\w:.~<>() ]+::\d+\] ?)?")


def build_words(
    trtexec: str,
    version: str,
    onnx: str,
    plan: str,
    precision: Precision,
    *,
    choice: BuildChoice,
    timing_cache: str,
    layers: str,
    shapes: tuple[str, Sequence[tuple[int, ...]]] | None = None,
) -> list[str]:
    """The command that builds a plan.

    Args:
        trtexec: the program's path.
        version: of its TensorRT, "8.6.2".
        onnx, plan, timing_cache, layers: files there: what is read, and what is written.
        precision: of the graph; TensorRT before 10 has to be allowed it.
        choice: what the recipe wants beyond the defaults.
        shapes: name of the input and its least, usual and largest shape; None where it is fixed.

    Example:
        >>> words = build_words("trtexec", "8.5.2", "m.onnx", "e.plan", "fp16",
        ...     choice=BuildChoice(), timing_cache="t", layers="l")
        >>> words[3:]
        ['--timingCacheFile=t', '--profilingVerbosity=detailed', '--exportLayerInfo=l', \
'--fp16', '--buildOnly']
    """
    major, minor = (int(part) for part in (*re.findall(r"\d+", version), "0", "0")[:2])
    words = [trtexec, f"--onnx={onnx}", f"--saveEngine={plan}"]
    words += [f"--timingCacheFile={timing_cache}", "--profilingVerbosity=detailed"]
    words.append(f"--exportLayerInfo={layers}")
    if choice.workspace_mib is not None:
        words.append(f"--memPoolSize=workspace:{choice.workspace_mib}")
    if choice.optimization_level is not None and (major, minor) >= (8, 6):
        words.append(f"--builderOptimizationLevel={choice.optimization_level}")
    if shapes is not None:
        name, (least, usual, largest) = shapes
        for option, shape in (("min", least), ("opt", usual), ("max", largest)):
            words.append(f"--{option}Shapes={name}:{'x'.join(map(str, shape))}")
    if major >= 10:
        return [*words, "--stronglyTyped", "--skipInference"]
    return [*words, *_WEAK_FLAGS[precision], "--buildOnly"]


def failure(log: Sequence[str], code: int, host: str, onnx: str) -> ExportError:
    """What a build that failed says in its log, as one line, and one line of what to do.

    Args:
        log: its lines, the last ones at least.
        code: trtexec's exit code; 137 is the kernel, for want of memory.
        host: where it ran.
        onnx: what it was to build from.
    """
    what = f"trtexec on {host} cannot build {PurePosixPath(onnx).name}"
    errors = [found[1].strip() for line in log if (found := _ERROR.match(line.strip()))]
    for sign, hint in _SIGNS:
        lines = [line for line in (*errors, *log) if re.search(sign, line)]
        if lines:
            return ExportError(f"{what}: {_told(lines[0])}", hint)
    if code in (137, 9) or any(line.strip().endswith("Killed") for line in log[-3:]):
        return ExportError(
            f"{what}: it was killed, as the system does when memory is short", _SIGNS[0][1]
        )
    if errors:
        return ExportError(f"{what}: {_told(errors[0])}", _OTHERWISE)
    return ExportError(f"{what}: exit code {code}", _OTHERWISE)


def _told(line: str) -> str:
    """A line of the log without its time, its level and its place in NVIDIA's sources."""
    found = _ERROR.match(line.strip())
    text = found[1] if found else re.sub(r"^\[[\d/:-]+\] \[\w\] (?:\[TRT\] )?", "", line.strip())
    return " ".join(_PLACE.sub("", text).split())[:200]
