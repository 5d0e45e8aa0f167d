"""Building an engine for a recipe, and writing down what was built."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from yolov12edge.download import cache_folder
from yolov12edge.engine import BatchRange, BuildOptions, EngineBuild
from yolov12edge.engine.record import record_path
from yolov12edge.errors import EdgeError
from yolov12edge.files import sha256_file, write_json
from yolov12edge.run.manifest import Manifest, read_manifest
from yolov12edge.run.names import LAYERS_SUFFIX, SIDECAR_SUFFIX
from yolov12edge.run.recipe import Recipe

SIDECAR_SCHEMA_VERSION = 1


def recipe_options(recipe: Recipe, batch: BatchRange | None = None) -> BuildOptions:
    """How to build for a recipe: its own choices, and a timing cache where there is such a thing.

    Args:
        batch: the batch sizes of a graph with a dynamic batch.
    """
    workspace = recipe.build.workspace_mib
    return BuildOptions(
        compute_capabilities=recipe.compute_capabilities,
        batch=batch,
        workspace=workspace << 20 if workspace else None,
        optimization_level=recipe.build.optimization_level,
        timing_cache=timing_cache_folder() if recipe.backend == "tensorrt" else None,
    )


def override(options: BuildOptions, **changes: Any) -> BuildOptions:
    """`options` with every change that is not None."""
    return dataclasses.replace(
        options, **{name: value for name, value in changes.items() if value is not None}
    )


def timing_cache_folder() -> Path:
    """Where measured kernels are kept, one file for each TensorRT version and GPU."""
    return cache_folder() / "timing"


def record_build(onnx: Path, built: EngineBuild) -> Path:
    """Write down beside a plan what it is, for the checks before it is loaded.

    In a run folder, where the manifest lists the ONNX file it was built from, the manifest is
    brought up to date; elsewhere a sidecar is written, `engine.plan.json`.

    Returns:
        the document that describes the plan now.
    """
    sidecar = built.path.with_name(built.path.name + SIDECAR_SUFFIX)
    manifest = _manifest_of_run(onnx, built.path)
    if manifest is None:
        engine = built.section().model_dump(mode="json")
        document = {"schema_version": SIDECAR_SCHEMA_VERSION, "engine": engine}
        write_json(sidecar, document | {"onnx": {"file": onnx.name, "sha256": sha256_file(onnx)}})
        return sidecar
    sidecar.unlink(missing_ok=True)
    replaced = manifest.engine.file if manifest.engine is not None else built.path.name
    stale = {name for plan in (replaced, built.path.name) for name in (plan, plan + LAYERS_SUFFIX)}
    files = {name: digest for name, digest in manifest.files.items() if name not in stale}
    record = record_path(built.path)
    if record.is_file():
        files[record.name] = sha256_file(record)
    updated = manifest.model_copy(
        update={
            "engine": built.section(),
            "reason": None,
            "files": files | {built.path.name: built.sha256},
        }
    )
    return updated.write(built.path.parent)


def _manifest_of_run(onnx: Path, plan: Path) -> Manifest | None:
    """The manifest of the run folder that holds both; None where there is none."""
    if onnx.resolve().parent != plan.resolve().parent:
        return None
    try:
        manifest = read_manifest(plan.parent)
    except EdgeError:
        return None
    return manifest if manifest.files.get(onnx.name) == sha256_file(onnx) else None
