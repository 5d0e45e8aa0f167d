"""What is installed here, and what each target can do on this machine."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Literal

from yolov12edge.bench.environment import installed_libraries
from yolov12edge.documents import Document
from yolov12edge.engine import builder_available
from yolov12edge.engine.build import kernels_told
from yolov12edge.errors import UnsupportedError
from yolov12edge.libraries import load_onnxruntime, onnxruntime_distributions
from yolov12edge.processor import processor
from yolov12edge.run.recipe import Recipe, list_recipes, load_recipe
from yolov12edge.runtime import tensorrt, tensorrt_rtx
from yolov12edge.runtime.cuda import Gpu, find_gpus
from yolov12edge.runtime.lesser import lesser_levels

LIBRARIES = (
    "yolov12edge",
    "torch",
    "onnx",
    "openvino",
    "nvidia-modelopt",
    "tensorrt",
    "tensorrt-rtx-cu13-bindings",
    "flash-attn",
    "numpy",
    "opencv-python-headless",
)
NEEDED = ("torch", "onnx")


class RuntimeState(Document):
    """Whether a runtime can be used here; `reason` is empty where it can."""

    name: str
    available: bool
    version: str | None
    reason: str


class GpuFound(Document):
    """A CUDA device."""

    name: str
    compute_capability: int
    memory: int


class TargetState(Document):
    """What a target can do here; `reason` says why something can not."""

    name: str
    can_build: bool
    can_run: bool
    reason: str

    @property
    def summary(self) -> str:
        """One of: build and run, build, run, neither."""
        able = [word for word, can in (("build", self.can_build), ("run", self.can_run)) if can]
        return " and ".join(able) or "neither"


class ProcessorState(Document):
    """The processor here, and what INT8 does on it.

    Attributes:
        int8_level: the instruction set that INT8 runs in.
        exact: whether products of INT8 are added in 32 bits; None where that is not known.
        plays: lesser instruction sets on which `verify` looks at INT8 too.
    """

    model: str
    int8_level: str
    exact: bool | None
    plays: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line for people."""
        does = {
            True: "INT8 products are added in 32 bits: every file is exact",
            False: "pairs of INT8 products are added in 16 bits and saturate: take files that "
            "`inspect` finds no saturating-products in",
            None: "how it adds INT8 products is not known",
        }[self.exact]
        plays = f"; verify also plays {', '.join(self.plays)}" if self.plays else ""
        return f"{self.model}, {self.int8_level}: {does}{plays}"


class JudgeState(Document):
    """Whether the ONNX Runtime here may judge other artifacts, and why (not)."""

    trustworthy: bool
    reason: str


class DoctorReport(Document):
    """The state of this machine.

    Attributes:
        libraries: versions of the installed distributions that matter.
        processor: what INT8 does on this CPU.
        kernels: what builders here tell of the kernels that an engine gets, in one line.
        warnings: what works now and will not for long, one line each.
    """

    schema_version: Literal[1] = 1
    python: str
    system: str
    libraries: dict[str, str]
    runtimes: tuple[RuntimeState, ...]
    processor: ProcessorState
    gpus: tuple[GpuFound, ...]
    judge: JudgeState
    targets: tuple[TargetState, ...]
    kernels: str
    warnings: tuple[str, ...] = ()

    def missing(self, asked: Sequence[str]) -> tuple[str, ...]:
        """What keeps the package, or one of the `asked` targets, from working here: one line each.

        A target works when its artifact can be made here, or, where nothing is built, run here.
        """
        faults = [f"{name} is not installed" for name in NEEDED if name not in self.libraries]
        if not self.judge.trustworthy:
            faults.append(self.judge.reason)
        states = {state.name: state for state in self.targets}
        for name in asked:
            state = states[name]
            works = state.can_run if _interpreted(name) else state.can_build
            if not works:
                faults.append(f"{name}: {state.reason}")
        return tuple(faults)


def examine(targets: Sequence[str] | None = None) -> DoctorReport:
    """Look at this machine; nothing heavy is imported but what the targets would run on.

    Args:
        targets: recipes to look at, by name or file; all that come with the package if None.

    Raises:
        UsageError: an unknown target.
    """
    gpus = find_gpus()
    distributions = onnxruntime_distributions()
    runtimes = (
        _package("torch", "pip install torch"),
        _library("onnxruntime", load_onnxruntime),
        _package("openvino", "pip install 'yolov12edge[openvino]'"),
        _library("tensorrt", tensorrt.load_library),
        _library("tensorrt_rtx", tensorrt_rtx.load_library),
    )
    states = {state.name: state for state in runtimes}
    recipes = [load_recipe(name) for name in (list_recipes() if targets is None else targets)]
    return DoctorReport(
        python=platform.python_version(),
        system=platform.platform(),
        libraries=installed_libraries(LIBRARIES) | distributions,
        runtimes=runtimes,
        processor=_processor(states["openvino"]),
        gpus=tuple(
            GpuFound(name=gpu.name, compute_capability=gpu.compute_capability, memory=gpu.memory)
            for gpu in gpus
        ),
        judge=_judge(states["onnxruntime"]),
        targets=tuple(_target(recipe, states[recipe.backend], gpus) for recipe in recipes),
        kernels=kernels_told(),
        warnings=_warnings(distributions),
    )


def _processor(openvino: RuntimeState) -> ProcessorState:
    here = processor()
    in_16_bits = here.adds_pairs_in_16_bits
    return ProcessorState(
        model=here.model,
        int8_level=here.int8_level,
        exact=None if in_16_bits is None else not in_16_bits,
        plays=lesser_levels(here) if openvino.available else (),
    )


def _package(name: str, install: str) -> RuntimeState:
    """A runtime that works wherever it is installed."""
    if importlib.util.find_spec(name) is None:
        return RuntimeState(
            name=name, available=False, version=None, reason=f"not installed: {install}"
        )
    version = installed_libraries((name,)).get(name)
    return RuntimeState(name=name, available=True, version=version, reason="")


def _library(name: str, load: Callable[[], ModuleType]) -> RuntimeState:
    """A runtime that has to be loaded to know whether it works."""
    try:
        library = load()
    except UnsupportedError as error:
        reason = f"{error.message}; {error.hint}"
        return RuntimeState(name=name, available=False, version=None, reason=reason)
    return RuntimeState(name=name, available=True, version=library.__version__, reason="")


def _judge(onnxruntime: RuntimeState) -> JudgeState:
    if not onnxruntime.available:
        return JudgeState(trustworthy=False, reason=onnxruntime.reason)
    from yolov12edge.runtime.onnxruntime import judge_is_trustworthy

    trustworthy, reason = judge_is_trustworthy()
    return JudgeState(trustworthy=trustworthy, reason=reason)


def _warnings(distributions: dict[str, str]) -> tuple[str, ...]:
    if len(distributions) < 2:
        return ()
    both = " and ".join(f"{name} {version}" for name, version in distributions.items())
    return (f"{both} overwrite each other's files: uninstall them, then install one",)


def _target(recipe: Recipe, runtime: RuntimeState, gpus: Sequence[Gpu]) -> TargetState:
    if not recipe.builds_engine:
        # The artifact is the ONNX file, which is exported anywhere.
        return TargetState(
            name=recipe.name, can_build=True, can_run=runtime.available, reason=runtime.reason
        )
    can_build, build_reason = builder_available(
        recipe.backend, recipe.compute_capabilities, recipe.version
    )
    obstacle = _running_obstacle(recipe, runtime, gpus)
    return TargetState(
        name=recipe.name,
        can_build=can_build,
        can_run=not obstacle,
        reason=build_reason if not can_build else obstacle,
    )


def _running_obstacle(recipe: Recipe, runtime: RuntimeState, gpus: Sequence[Gpu]) -> str:
    """Why this target's engine does not run here; empty if it does."""
    if not runtime.available:
        return runtime.reason
    if recipe.version and not f"{runtime.version}.".startswith(f"{recipe.version}."):
        return f"the target has {recipe.backend} {recipe.version}, this machine {runtime.version}"
    if not gpus:
        return "this machine has no NVIDIA GPU"
    wanted = recipe.compute_capabilities
    if wanted and not any(gpu.compute_capability in wanted for gpu in gpus):
        listed = ", ".join(f"SM{sm}" for sm in wanted)
        return f"needs {listed}, the GPU here is SM{gpus[0].compute_capability}"
    return ""


def _interpreted(name: str) -> bool:
    return not load_recipe(name).builds_engine
