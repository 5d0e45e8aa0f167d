"""Recipes: one YAML file a target, checked against a schema with errors that name the line.

Lines are looked up in PyYAML's nodes, by hand: ruamel.yaml would give them with its values, but
be a second reader, of another YAML (1.2), beside the one that data.yaml needs.
"""

from __future__ import annotations

import difflib
import importlib.resources
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator

from yolov12edge.documents import Document
from yolov12edge.errors import UsageError
from yolov12edge.run.form import SWISH_OPSET, GraphForm
from yolov12edge.run.gpus import list_gpus
from yolov12edge.run.names import PLAN_BACKENDS, PlanBackend

Backend = Literal["onnxruntime", "openvino", PlanBackend]
Precision = Literal["fp32", "fp16", "int8"]
Attention = Literal["packed", "separate", "value-left", "rows", "shared-rows"]

MAX_RECIPE_BYTES = 1 << 16
MAX_DEPTH = 8
# The first TensorRT that reads Swish.
SWISH_TENSORRT = 11

Opset = Annotated[int, Field(ge=13, le=24)]
Line = Annotated[str, Field(min_length=1, pattern=r"^[^\n]+$")]


class _Strict(Document):
    model_config = ConfigDict(strict=True)


class PrecisionChoice(_Strict):
    """The precision used unless another one of `allowed` is asked for."""

    default: Precision
    allowed: tuple[Precision, ...] = Field(min_length=1, strict=False)

    @model_validator(mode="after")
    def _default_is_allowed(self) -> PrecisionChoice:
        if self.default not in self.allowed:
            raise ValueError(f"default {self.default} is not in allowed")
        return self


class Reasons(_Strict):
    """One line for each choice, why it was made."""

    backend: Line
    version: Line
    opset: Line
    precision: Line
    attention: Line
    graph: Line | None = None


class BuildChoice(_Strict):
    """How the builder is told, where the target is better off with more than its defaults.

    Attributes:
        workspace_mib: most GPU scratch memory, in MiB.
        optimization_level: 0 (quick build) to 5 (fast engine).
    """

    workspace_mib: Annotated[int, Field(ge=1)] | None = None
    optimization_level: Annotated[int, Field(ge=0, le=5)] | None = None


class Recipe(_Strict):
    """How to export, build and run for one target.

    Attributes:
        name: the target's name, equal to the file's.
        title: the hardware in words.
        backend: what runs the artifact.
        version: the backend's version that the target has, as far as it matters ("10.3"); None
            where any supported one will do.
        compute_capabilities: GPU architectures, 86 for SM 8.6; empty for a CPU or the GPU at hand.
        gpus: names of GPUs that times are predicted for, the first where none is asked for.
        opset: the ONNX opset to export.
        opset_ceiling: the newest of the opsets 13 to 24 that this backend version reads.
        precision: default and allowed.
        strongly_typed: the builder takes every type from the graph.
        build: what the builder is told beyond its defaults.
        attention: layout of the exported attention, see `yolov12edge.export.AttentionVariant`.
        graph: form of the other parts of the graph.
        vnni: every processor of the target has VNNI (or is an ARM), so that INT8 weights may use
            all of eight bits; else they are kept so that no processor overflows.
        why: one line for each choice.
        jetpack: the JetPack release of a Jetson.
        build_hint: the command that builds the engine on the device; {onnx}, {plan}, {name} and
            {flags} (precision flags of builders that need them) are filled in. None where
            nothing is built.
        notes: what else to know, one line each.
        int8_notes: what --int8 warns about, one line each.
    """

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: Line
    backend: Backend
    version: str | None = Field(pattern=r"^\d+(\.\d+)*$")
    compute_capabilities: tuple[Annotated[int, Field(ge=50, le=199)], ...] = Field(
        default=(), strict=False
    )
    gpus: tuple[str, ...] = Field(default=(), strict=False)
    opset: Opset = 17
    opset_ceiling: Opset
    precision: PrecisionChoice
    strongly_typed: bool = False
    build: BuildChoice = BuildChoice()
    attention: Attention
    graph: GraphForm = GraphForm()
    vnni: bool = False
    why: Reasons
    jetpack: str | None = None
    build_hint: Line | None = None
    notes: tuple[Line, ...] = Field(default=(), strict=False)
    int8_notes: tuple[Line, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _choices_fit_together(self) -> Recipe:
        if self.opset > self.opset_ceiling:
            raise ValueError(f"opset {self.opset} is above opset_ceiling {self.opset_ceiling}")
        if self.graph.activation == "swish":
            self._check_swish()
        if self.builds_engine != (self.build_hint is not None):
            raise ValueError("build_hint belongs to tensorrt and tensorrt_rtx, and is needed there")
        if self.build != BuildChoice() and not self.builds_engine:
            raise ValueError(f"{self.backend} builds nothing: leave out build")
        if self.compute_capabilities and not self.builds_engine:
            raise ValueError(f"{self.backend} has no compute_capabilities")
        if self.vnni and self.builds_engine:
            raise ValueError(f"vnni is a matter of CPUs, not of {self.backend}")
        known = {gpu.name: gpu.sm for gpu in list_gpus()}
        for gpu in self.gpus:
            if known.get(gpu) not in self.compute_capabilities:
                raise ValueError(f"gpus: {gpu} is not known, or not of the compute_capabilities")
        if self.build_hint is not None:
            unknown = set(re.findall(r"{(\w*)}", self.build_hint)) - _PLACEHOLDERS
            if unknown:
                raise ValueError(f"build_hint has unknown placeholders: {sorted(unknown)}")
        return self

    def _check_swish(self) -> None:
        if self.opset < SWISH_OPSET:
            raise ValueError(f"activation swish needs opset {SWISH_OPSET}, not {self.opset}")
        major = int((self.version or "0").split(".")[0])
        if self.backend == "tensorrt" and major < SWISH_TENSORRT:
            raise ValueError(f"activation swish needs TensorRT {SWISH_TENSORRT}: name its version")

    @property
    def builds_engine(self) -> bool:
        """The artifact that runs is a plan; elsewhere it is the ONNX file."""
        return self.plan_backend is not None

    @property
    def plan_backend(self) -> PlanBackend | None:
        """The library that builds and runs the plan; None where nothing is built."""
        return next((name for name in PLAN_BACKENDS if name == self.backend), None)

    def build_command(self, onnx: Path, plan: Path, precision: Precision) -> str | None:
        """The one command that builds the engine on the device, or None where nothing is built."""
        if self.build_hint is None:
            return None
        flags = "" if self.strongly_typed else _PRECISION_FLAGS[precision]
        values = {
            "onnx": shlex.quote(str(onnx)),
            "plan": shlex.quote(str(plan)),
            "name": self.name,
            "flags": flags,
        }
        filled = re.sub(r"{(\w+)}", lambda match: values[match.group(1)], self.build_hint)
        return " ".join(filled.split())


_PLACEHOLDERS = {"onnx", "plan", "name", "flags"}
_PRECISION_FLAGS: dict[Precision, str] = {"fp32": "", "fp16": "--fp16", "int8": "--fp16 --int8"}


def list_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package, in alphabetical order."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def load_recipe(target: str | Path) -> Recipe:
    """Load a recipe by name, or from a file of your own (anything that ends in .yaml).

    Raises:
        UsageError: unknown name (with the nearest one), no such file, or a file that does not fit
            the schema (with file and line).
    """
    text = str(target)
    if text.endswith((".yaml", ".yml")):
        return _read(Path(target))
    names = list_recipes()
    if text not in names:
        near = difflib.get_close_matches(text.lower(), names, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"no target named {text!r}", f"{guess}targets: {', '.join(names)}")
    return _read(_folder() / f"{text}.yaml")


def _folder() -> Path:
    """`recipes/` of a checkout, or the copy inside an installed package."""
    package = Path(str(importlib.resources.files("yolov12edge")))
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def _read(path: Path) -> Recipe:
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise UsageError(f"{path} is too large for a recipe", "pass a recipe's YAML file")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot read the recipe {path}: {error.strerror}", "see: yolov12edge targets"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file", "pass a recipe's YAML file") from error
    node, document = _parse(path, text)
    try:
        recipe = Recipe.model_validate(document)
    except ValidationError as error:
        raise _schema_error(path, node, error) from error
    if recipe.name != path.stem:
        raise UsageError(
            f"{path}:{_line(node, ('name',))}: name {recipe.name!r} is not the file's name",
            f"call it {path.stem}, or rename the file",
        )
    return recipe


def _parse(path: Path, text: str) -> tuple[yaml.Node, Any]:
    """The document as nodes, which know their lines, and as plain values.

    Aliases and deep nesting are refused because they make small files expensive, duplicate keys
    because YAML silently keeps the last.
    """
    depth = 0
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if isinstance(token, yaml.AliasToken) or depth > MAX_DEPTH:
                raise _bad(path, token.start_mark.line, "aliases and deep nesting are refused")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _bad(path, mark.line if mark else 0, error.problem or "not YAML") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _bad(path, 0, "not YAML") from error
    if not isinstance(node, yaml.MappingNode):
        raise _bad(path, 0, "a recipe is a mapping of fields to values")
    for mapping in _mappings(node):
        seen: set[str] = set()
        for key, _ in mapping.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _bad(path, key.start_mark.line, "a field's name is one word")
            if key.value in seen:
                raise _bad(path, key.start_mark.line, f"{key.value} is given twice")
            seen.add(key.value)
    return node, document


_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


def _mappings(node: yaml.Node) -> list[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        inner = [mapping for _, value in node.value for mapping in _mappings(value)]
        return [node, *inner]
    if isinstance(node, yaml.SequenceNode):
        return [mapping for item in node.value for mapping in _mappings(item)]
    return []


def _schema_error(path: Path, node: yaml.Node, error: ValidationError) -> UsageError:
    """The first problem, with its field and line, and how many there are."""
    problems = error.errors(include_url=False, include_context=False)
    first = problems[0]
    where: tuple[Any, ...] = first["loc"]
    field = ".".join(str(part) for part in where)
    said = first["msg"].removeprefix("Value error, ")
    problem = {
        "extra_forbidden": f"unknown field {field}",
        "missing": f"{field} is missing",
    }.get(first["type"], f"{field}: {said}" if field else said)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return UsageError(
        f"{path}:{_line(node, where)}: {problem}{more}", "see recipes/README.md for the fields"
    )


def _bad(path: Path, line: int, problem: str) -> UsageError:
    return UsageError(f"{path}:{line + 1}: {problem}", "see recipes/README.md for the fields")


def _line(node: yaml.Node, where: tuple[Any, ...]) -> int:
    """Line, from 1, of the deepest part of `where` that the document has."""
    line = node.start_mark.line
    for part in where:
        found = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    found, line = value, key.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and part in range(len(node.value)):
            found = node.value[part]
            line = found.start_mark.line
        if found is None:
            break
        node = found
    return int(line) + 1
