"""Asking TensorRT about the layers of a plan, on a machine that can load it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from yolov12edge.errors import UnsupportedError
from yolov12edge.runtime.plan_origin import TITLES, examine_plan
from yolov12edge.runtime.tensorrt_log import log_of


def ask_inspector(path: Path, backend: str, library: ModuleType) -> str:
    """The engine information of a plan in JSON, as IEngineInspector tells it.

    Args:
        path: the plan, with or without an Ultralytics prefix.
        backend: "tensorrt" or "tensorrt_rtx".
        library: that library's Python module.

    Raises:
        UsageError, CheckpointError: not a whole plan, or not the one that is described beside it.
        UnsupportedError: the library cannot load it here.
    """
    plan = examine_plan(path, backend)
    return engine_information(plan.content, str(path), backend, library)


def engine_information(content: Any, name: str, backend: str, library: ModuleType) -> str:
    """What IEngineInspector tells of a plan's bytes, in JSON.

    Raises:
        UnsupportedError: the library cannot load it here.
    """
    log = log_of(library)
    with log.capture() as said:
        runtime: Any = library.Runtime(log.logger)
        engine: Any = runtime and runtime.deserialize_cuda_engine(content)
        inspector: Any = engine and engine.create_engine_inspector()
        if not inspector:
            raise UnsupportedError(
                f"{TITLES[backend]} {library.__version__} cannot load {name}: "
                + said.reason("it gave no reason"),
                "inspect it on the machine that it was built for, or pass --layers",
            )
        text: str = inspector.get_engine_information(library.LayerInformationFormat.JSON)
    return text
