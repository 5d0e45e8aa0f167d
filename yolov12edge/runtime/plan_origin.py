"""What is compared before a plan is loaded: its bytes, its manifest and this machine.

A plan that does not fit makes TensorRT crash, hang or print a page of its own; here it is one line.
None of this loads TensorRT.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

from yolov12edge.errors import CheckpointError, UnsupportedError
from yolov12edge.run.facts import engine_facts
from yolov12edge.run.names import MANIFEST_FILE
from yolov12edge.runtime.cuda import Gpu
from yolov12edge.runtime.plan_file import PlanHeader, read_plan, read_plan_header

TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
AMPERE = 80

# Version compatible plans came with TensorRT 8.6. They load in later versions, across major ones in
# these two steps only (support matrix of TensorRT 11.4.1).
FIRST_VERSION_COMPATIBLE = [8, 6]
MAJOR_STEPS = ((8, 10), (10, 11))

# A TensorRT-RTX plan runs on Windows and Linux alike.
PORTABLE_BACKENDS = ("tensorrt_rtx",)
# The modes that let a plan be loaded by other versions and on other GPUs are TensorRT's.
BACKENDS_WITH_MODES = ("tensorrt",)


@dataclass(frozen=True)
class PlanOrigin:
    """Where a plan comes from: its header completed by what was written down about it.

    Attributes:
        version: library version that built it, or None where nobody knows.
        compute_capabilities: architectures built for, 86 for SM 8.6; empty where nobody knows.
        compatibility: the hardware compatibility level it was built with: "none", "ampere_plus" or
            "same_compute_capability".
        version_compatible: built to be loaded by later library versions.
        platform: operating system and processor it was built on, "linux-aarch64", or None.
        dla_core: the DLA core it was built for, or None.
        recorded: a manifest or sidecar describes exactly this plan.
    """

    version: str | None
    compute_capabilities: tuple[int, ...]
    compatibility: str = "none"
    version_compatible: bool = False
    platform: str | None = None
    dla_core: int | None = None
    recorded: bool = False


@dataclass(frozen=True)
class ExaminedPlan:
    """A plan that may be loaded as far as its file says.

    Attributes:
        path: the file.
        backend: the library that loads it.
        content: the raw plan without any prefix.
        sha256: of `content`, in hex.
        origin: where it comes from.
        notes: what is unusual about it, one line each.
    """

    path: Path
    backend: str
    content: bytes
    sha256: str
    origin: PlanOrigin
    notes: tuple[str, ...]


def this_platform() -> str:
    """Operating system and processor: "linux-x86_64"."""
    return f"{platform.system()}-{platform.machine()}".lower()


def examine_plan(path: Path, backend: str) -> ExaminedPlan:
    """Read a plan and compare everything that needs neither a library nor a GPU.

    Raises:
        UsageError, CheckpointError: no such file, not a whole plan, or not the one that its
            manifest describes.
        UnsupportedError: another backend's plan, or built on another operating system.
    """
    check_backend(path, backend)
    header, content = read_plan(path)
    sha256 = hashlib.sha256(content).hexdigest()
    origin = plan_origin(path, header, sha256)
    check_platform(path, origin, backend)
    notes = []
    if header.offset:
        notes.append(
            f"{path} starts with an Ultralytics prefix, which TensorRT's own tools refuse; "
            "`yolov12edge inspect --strip` takes it off"
        )
    if not origin.recorded:
        notes.append(
            f"no {MANIFEST_FILE} describes {path}: a damaged plan, or one for another GPU, is "
            "noticed only by TensorRT"
        )
    return ExaminedPlan(Path(path), backend, content, sha256, origin, tuple(notes))


def plan_origin(path: Path, header: PlanHeader, sha256: str) -> PlanOrigin:
    """Merge the header with the manifest or sidecar, where that describes this file.

    Raises:
        CheckpointError: this file name is described with another SHA-256.
    """
    facts = engine_facts(Path(path))
    if facts is None:
        return PlanOrigin(header.version, header.compute_capabilities)
    if facts.sha256 not in (None, sha256):
        name = facts.document.name
        raise CheckpointError(
            f"{path} is not the plan that its {name} describes: the SHA-256 differs",
            f"build it again, or remove {name} if you replaced the plan on purpose",
        )
    has_modes = header.backend in BACKENDS_WITH_MODES
    return PlanOrigin(
        header.version or facts.version,
        header.compute_capabilities or facts.sm,
        compatibility=facts.hardware_compatibility if has_modes else "none",
        version_compatible=facts.version_compatible and has_modes,
        platform=facts.platform,
        dla_core=facts.dla_core,
        recorded=facts.sha256 is not None,
    )


def check_backend(path: Path, name: str) -> None:
    """Refuse what is not a whole plan of this backend; reads its first bytes only.

    Raises:
        UsageError, CheckpointError: no such file, or not a whole plan.
        UnsupportedError: another backend's plan.
    """
    backend = read_plan_header(path).backend
    if backend != name:
        raise UnsupportedError(
            f"{path} is a {TITLES[backend]} plan, which {TITLES[name]} cannot load",
            f"open it with --runtime {backend}",
        )


def check_platform(path: Path, origin: PlanOrigin, backend: str) -> None:
    """Refuse a plan of another operating system or processor.

    Raises:
        UnsupportedError: built elsewhere, and this library's plans do not travel.
    """
    here = this_platform()
    if backend in PORTABLE_BACKENDS or origin.platform in (None, here):
        return
    raise UnsupportedError(
        f"{path} was built on {origin.platform}; this machine is {here}, and a TensorRT plan does "
        "not travel between them",
        "copy the ONNX file instead and build it here",
    )


def check_version(path: Path, origin: PlanOrigin, title: str, installed: str) -> None:
    """Refuse a plan of another library version; the build number after the third dot may differ.

    A version compatible plan loads in later versions too. `plan_rules.json` of the tests has cases,
    which the C++ runtime decides alike.

    Raises:
        UnsupportedError: the versions do not fit.
    """
    built, here = _numbers(origin.version or "")[:3], _numbers(installed)[:3]
    told_by_both = min(len(built), len(here))
    if built[:told_by_both] == here[:told_by_both]:
        return
    if origin.version_compatible and _loads_in_later(built, here):
        return
    limits = "; version compatible plans load in later versions, from 8 in 10 and from 10 in 11"
    raise UnsupportedError(
        f"{path} was built by {title} {origin.version}; this machine has {installed}"
        + (limits if origin.version_compatible else ""),
        f"build it again here, or install {title} {origin.version}",
    )


def check_gpu(path: Path, origin: PlanOrigin, gpu: Gpu) -> None:
    """Refuse a plan of other GPU architectures; `plan_rules.json` of the tests has cases.

    Raises:
        UnsupportedError: the GPU's compute capability is not among the plan's.
    """
    wanted, here = origin.compute_capabilities, gpu.compute_capability
    # Such a plan cannot come from an older GPU: what is recorded then is an error.
    from_ampere = origin.compatibility == "ampere_plus" and min(wanted, default=AMPERE) >= AMPERE
    if here in wanted or (here >= AMPERE if from_ampere else not wanted):
        return
    listed = "SM80 and later" if from_ampere else ", ".join(f"SM{sm}" for sm in wanted)
    raise UnsupportedError(
        f"{path} was built for {listed}; this GPU ({gpu.name}) is SM{here}",
        "build it for this GPU: yolov12edge build model.onnx --target with its recipe",
    )


def _loads_in_later(built: list[int], here: list[int]) -> bool:
    """Whether a version compatible plan loads in another version than that which built it."""
    if not FIRST_VERSION_COMPATIBLE <= built < here:
        return False
    return built[0] == here[0] or (built[0], here[0]) in MAJOR_STEPS


def _numbers(version: str) -> list[int]:
    """The leading numbers of a dotted version."""
    numbers = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return numbers
