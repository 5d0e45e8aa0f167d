"""What a device is: what was probed there, which target serves it, and what stands in the way.

`device.json`, as `yolov12edge deploy --probe-only` writes it and `export --probe` reads it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from yolov12edge.documents import OpenDocument
from yolov12edge.errors import UnsupportedError, UsageError
from yolov12edge.processor import Processor
from yolov12edge.run.manifest import DeviceSection, ProductsSection
from yolov12edge.run.recipe import Recipe

MOST_BYTES = 1 << 20
# Boards by what their device tree says, and what TensorRT calls their GPU.
_BOARDS = (
    ("orin nano", "orin-nano", 87),
    ("orin nx", "orin-nx", 87),
    ("agx orin", "agx-orin", 87),
    ("thor", "thor", 110),
    ("xavier", "xavier-nx", 72),
    ("orin", "agx-orin", 87),
)
_SERVERS = {75: ("t4", "T4"), 89: ("l4", "L4"), 90: ("h100", "H100")}
_JETPACK = {35: "5.1", 36: "6", 38: "7"}


class DeviceProbe(OpenDocument):
    """A device as its own files and tools describe it; None where they do not.

    Attributes:
        hostname, user, kernel, system: names, as uname and os-release have them.
        architecture: as `uname -m`: x86_64, aarch64.
        features: what the processor can, as the kernel names it in /proc/cpuinfo.
        memory, memory_free, disk_free: bytes; the disk's where a deploy works.
        board: what a Jetson's device tree says.
        l4t, jetpack: "36.3.0", "6.0"; None elsewhere.
        power_mode, governor: what limits clocks.
        gpu, compute_capability, driver: as nvidia-smi tells, or by the board; 87 for SM 8.7.
        tensorrt: version; `trtexec` is the program's path there.
        openvino: folder of its CMake files; onnxruntime: folder of an archive.
        compiler: name and version; make: what CMake's files are carried out by.
        tools: programs that a deploy needs and that are there.
    """

    schema_version: Literal[1] = 1
    hostname: str
    user: str = ""
    kernel: str = ""
    system: str = ""
    architecture: str
    processor: str = ""
    cores: int = 1
    features: tuple[str, ...] = ()
    memory: int | None = None
    memory_free: int | None = None
    disk_free: int | None = None
    board: str | None = None
    l4t: str | None = None
    jetpack: str | None = None
    power_mode: str | None = None
    governor: str | None = None
    gpu: str | None = None
    compute_capability: int | None = None
    driver: str | None = None
    tensorrt: str | None = None
    trtexec: str | None = None
    cuda: str | None = None
    openvino: str | None = None
    openvino_version: str | None = None
    onnxruntime: str | None = None
    onnxruntime_version: str | None = None
    compiler: str | None = None
    cmake: str | None = None
    make: str | None = None
    tools: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The machine in words."""
        return self.board or self.processor or self.architecture

    def library(self, backend: str) -> str | None:
        """The version of what runs a backend's artifacts; None where it was not found."""
        if backend == "openvino":
            return self.openvino and (self.openvino_version or "of unknown version")
        if backend == "onnxruntime":
            return self.onnxruntime and (self.onnxruntime_version or "of unknown version")
        return self.tensorrt

    @property
    def int8_level(self) -> str:
        """The instruction set that INT8 runs in there, as `yolov12edge.processor` names it."""
        flags = frozenset(self.features)
        return Processor(self.processor or "", self.architecture, flags).int8_level

    def to_json(self) -> str:
        """The content of device.json."""
        return self.model_dump_json(indent=2) + "\n"


class Stage(OpenDocument):
    """A step of a deploy.

    Attributes:
        outcome: in one line, for people.
        seconds: it took, as seen from here; None where nobody looked.
        again: an earlier deploy had done it, and it was not repeated.
        passed: None where it decides nothing.
    """

    name: str
    outcome: str
    seconds: float | None = None
    again: bool = False
    passed: bool | None = None


class DeviceRecord(OpenDocument):
    """device.json: what a deploy did on a device, and what that device is.

    Attributes:
        host, folder: where it worked.
        target: the recipe that the run was exported for.
        doubts: where the device is not what the target was made for.
        stages: in their order.
        section: as in the manifest.
    """

    schema_version: Literal[1] = 1
    host: str
    folder: str
    target: str
    created: str
    probe: DeviceProbe
    doubts: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    section: DeviceSection


def new_probe(told: dict[str, str]) -> DeviceProbe:
    """The probe out of what probe.sh printed, name by name; what makes no sense is left out.

    Raises:
        UnsupportedError: not even the machine's name and architecture are among it.
    """
    if not told.get("architecture") or not told.get("hostname"):
        raise UnsupportedError(
            "the device does not say what it is", "it needs a POSIX sh, uname and sed"
        )
    values: dict[str, Any] = {name: told[name] for name in _TEXTS if told.get(name)}
    for name in ("memory", "memory_free", "disk_free"):
        kibibytes = _number(told.get(f"{name}_kib"))
        values[name] = None if kibibytes is None else kibibytes << 10
    values["cores"] = _number(told.get("cores")) or 1
    values["compute_capability"] = _number(told.get("compute_capability"))
    values["features"] = tuple(told.get("features", "").split())
    values["tools"] = tuple(told.get("tools", "").split())
    values["tensorrt"] = _version(told.get("tensorrt"))
    values["l4t"], jetpack = _jetpack(told.get("l4t"), told.get("jetpack"))
    values["jetpack"] = jetpack
    board = _board(told.get("board", ""))
    if board is not None and values["compute_capability"] is None:
        values["compute_capability"] = board[1]
    return DeviceProbe.model_validate(values)


def read_probe(path: Path) -> DeviceProbe:
    """Read a saved probe.

    Raises:
        UsageError: no such file, or it is none.
    """
    hint = "make one: yolov12edge deploy --probe-only --to host --out device.json"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} is too large for a probe", hint)
        document = json.loads(path.read_bytes())
        # A record of a deploy holds the probe that it was made with.
        if isinstance(document, dict) and "probe" in document:
            document = document["probe"]
        return DeviceProbe.model_validate(document)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint) from error
    except (ValidationError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no probe of a device", hint) from error


def target_for(probe: DeviceProbe) -> tuple[str, str]:
    """The target that serves a device best, and why in one line."""
    machine, board = probe.hostname, _board(probe.board or "")
    version = probe.tensorrt or ""
    if board is not None:
        if version and board[0] != "xavier-nx" and _major(version) < 10:
            return "tensorrt-local", f"{machine} is a {probe.board} with TensorRT {version}"
        return board[0], f"{machine} is a {probe.board}"
    if probe.trtexec and probe.gpu:
        name, word = _SERVERS.get(probe.compute_capability or 0, ("", ""))
        if name and re.search(rf"\b{word}\b", probe.gpu):
            return name, f"{machine} has a {probe.gpu}"
        return "tensorrt-local", f"{machine} has a {probe.gpu} and TensorRT {version}"
    if probe.openvino:
        return "cpu-openvino", f"{machine} has OpenVINO {probe.openvino_version or ''}".rstrip()
    if probe.onnxruntime:
        found = f"{machine} has ONNX Runtime {probe.onnxruntime_version or ''}"
        return "cpu-onnxruntime", found.rstrip()
    if probe.architecture == "x86_64":
        return "cpu-openvino", f"{machine} has no GPU that TensorRT is installed for"
    return "cpu-onnxruntime", f"{machine} is {probe.architecture}, without TensorRT"


def obstacles(recipe_backend: str, probe: DeviceProbe) -> list[tuple[str, str]]:
    """What keeps a backend from running there: what is missing, and what to do, each in a line."""
    found = []
    host = probe.hostname
    missing = _TOOLS - set(probe.tools)
    if missing:
        names = ", ".join(sorted(missing))
        found.append((f"{host} has no {names}", "sudo apt install coreutils findutils mawk tar"))
    if recipe_backend == "tensorrt" and not probe.trtexec:
        found.append(
            (
                f"{host} has no trtexec, which builds the plan",
                "sudo apt install libnvinfer-bin (JetPack: nvidia-jetpack), or name the folder of "
                "TensorRT there with --library",
            )
        )
    if recipe_backend in _ARCHIVES and probe.library(recipe_backend) is None:
        title, place = _ARCHIVES[recipe_backend]
        found.append(
            (
                f"{host} has no {title}",
                f"unpack an archive of it there, in {place}, or name its folder with --library",
            )
        )
    if probe.cmake is None:
        found.append((f"{host} has no cmake", "sudo apt install cmake g++ make"))
    elif _numbers(probe.cmake) < (3, 16):
        found.append((f"{host} has cmake {probe.cmake}", "install cmake 3.16 or later there"))
    if probe.compiler is None or probe.make is None:
        what = "C++ compiler" if probe.compiler is None else "make"
        found.append((f"{host} has no {what}", "sudo apt install cmake g++ make"))
    return found


def doubts(recipe: Recipe, probe: DeviceProbe) -> list[str]:
    """Where the device is not what a recipe was made for, a line each; it may work all the same."""
    found = []
    wanted, version = recipe.version, probe.tensorrt
    if recipe.builds_engine and wanted and version and not f"{version}.".startswith(f"{wanted}."):
        found.append(
            f"the target {recipe.name} is for TensorRT {wanted}, {probe.hostname} has {version}"
        )
    sm = probe.compute_capability
    if recipe.compute_capabilities and sm and sm not in recipe.compute_capabilities:
        meant = ", ".join(f"SM{one}" for one in recipe.compute_capabilities)
        found.append(f"the target {recipe.name} is for {meant}, {probe.hostname} has SM{sm}")
    return found


def arithmetic_doubt(products: ProductsSection | None, probe: DeviceProbe) -> str | None:
    """Why INT8 of a run would not be right on the device's processor; None if it is."""
    level = probe.int8_level
    if products is None or level == "unknown" or level in products.right_on:
        return None
    return (
        f"INT8 of this run saturates on {level}, which is what {probe.hostname} has: it was made "
        "for machines with VNNI"
    )


_TOOLS = {"tar", "sha256sum", "tail", "head", "xargs", "awk"}
_ARCHIVES = {
    "openvino": ("OpenVINO", "/opt/intel/openvino or ~/openvino"),
    "onnxruntime": ("ONNX Runtime", "/opt/onnxruntime or ~/onnxruntime"),
}
_TEXTS = (
    *("hostname", "user", "kernel", "system", "architecture", "processor", "board"),
    *("power_mode", "governor", "gpu", "driver", "trtexec", "cuda"),
    *("openvino", "openvino_version", "onnxruntime", "onnxruntime_version"),
    *("compiler", "cmake", "make"),
)


def _board(text: str) -> tuple[str, int] | None:
    """Target and SM of a Jetson, by what its device tree says."""
    lower = text.lower()
    if "jetson" not in lower and "tegra" not in lower and "nvidia" not in lower:
        return None
    return next(((name, sm) for sign, name, sm in _BOARDS if sign in lower), None)


def _jetpack(l4t: str | None, package: str | None) -> tuple[str | None, str | None]:
    """L4T's release and JetPack's, from /etc/nv_tegra_release and the package's version."""
    told = re.search(r"R(\d+)\D+REVISION: ([\d.]+)", l4t or "")
    release = f"{told[1]}.{told[2]}" if told else None
    version = _version(package)
    if version is None and told is not None:
        version = _JETPACK.get(int(told[1]))
    return release, version


def _version(text: str | None) -> str | None:
    """ "10.3.0" of "10.3.0.30-1+cuda12.5"."""
    found = re.match(r"\d+(?:\.\d+){0,2}", text or "")
    return found[0] if found else None


def _major(version: str) -> int:
    return _numbers(version)[0]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3]) or (0,)


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d{1,15}", text) else None
