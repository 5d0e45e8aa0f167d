"""From an ONNX file to a plan's bytes, the part TensorRT and TensorRT-RTX have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

from yolov12edge.engine.monitor import BuildMonitor
from yolov12edge.engine.onnx_file import OnnxNetwork
from yolov12edge.engine.options import BatchRange, BuildOptions
from yolov12edge.errors import ExportError
from yolov12edge.runtime.tensorrt_log import log_of, one_line


class Dialect(Protocol):
    """What one library, in one version, wants said differently."""

    title: str
    library: ModuleType

    def network_flags(self) -> int:
        """Flags for Builder.create_network."""

    def check_capabilities(self, wanted: tuple[int, ...]) -> None:
        """Raise UnsupportedError unless it can build for these GPU architectures here."""

    def configure(self, config: Any, options: BuildOptions, network: OnnxNetwork) -> None:
        """Put the options into an IBuilderConfig."""

    def watch(self, config: Any, monitor: BuildMonitor) -> None:
        """Have the build report to `monitor`, where the library can."""

    def finish(self, config: Any, options: BuildOptions) -> None:
        """What remains to be done after a successful build."""


@dataclass(frozen=True)
class BuiltPlan:
    """A plan's bytes (the library's own memory), the network's layers, and warnings."""

    content: memoryview
    layers: int
    warnings: tuple[str, ...]


def build_plan(
    dialect: Dialect,
    network: OnnxNetwork,
    batch: BatchRange,
    options: BuildOptions,
    monitor: BuildMonitor,
) -> BuiltPlan:
    """Parse, configure and build.

    Raises:
        ExportError: the library cannot parse or cannot build it; names the node and the reason.
    """
    library = dialect.library
    title = f"{dialect.title} {library.__version__}"
    log = log_of(library)
    with log.capture() as said:
        builder = library.Builder(log.logger)
        definition = builder.create_network(dialect.network_flags())
        parser = library.OnnxParser(definition, log.logger)
        if not parser.parse_from_file(str(network.path)):
            errors = [parser.get_error(index) for index in range(parser.num_errors)]
            raise _parse_error(title, network, errors, said.reason("it gave no reason"))
        config = builder.create_builder_config()
        dialect.configure(config, options, network)
        dialect.watch(config, monitor)
        if network.input_shape[0] is None:
            _add_profile(builder, config, network, batch)
        memory = builder.build_serialized_network(definition, config)
        if monitor.error is not None:
            raise monitor.error
        if memory is None:
            raise ExportError(
                f"{title} cannot build {network.path}: {said.reason('it gave no reason')}",
                _build_hint(said.errors),
            )
        dialect.finish(config, options)
        return BuiltPlan(memoryview(memory), definition.num_layers, tuple(said.warnings))


def _add_profile(builder: Any, config: Any, network: OnnxNetwork, batch: BatchRange) -> None:
    profile = builder.create_optimization_profile()
    image = network.input_shape[1:]
    profile.set_shape(
        network.input_name,
        (batch.smallest, *image),
        (batch.optimal, *image),
        (batch.largest, *image),
    )
    config.add_optimization_profile(profile)


def _parse_error(
    title: str, network: OnnxNetwork, errors: Sequence[Any], otherwise: str
) -> ExportError:
    if not errors:
        return ExportError(f"{title} cannot parse {network.path}: {otherwise}", _PARSE_HINT)
    name, operator = _node_of(errors[0], network)
    where = f"node {name or '(unnamed)'} ({operator}): " if operator else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    code = errors[0].code().name
    hint = _PARSE_HINTS.get(code, _PARSE_HINT)
    return ExportError(
        f"{title} cannot parse {network.path}: {where}{_description(errors[0])}{more}",
        hint.format(operator=operator or "this node", title=title),
    )


def _description(error: Any) -> str:
    """The error's text; of a failed assertion `condition && "text"` only the text."""
    text = one_line(error.desc())
    quoted = _ASSERTED.search(text)
    return quoted.group(1) if quoted else text


def _node_of(error: Any, network: OnnxNetwork) -> tuple[str, str]:
    """Name and operator of the node an error is about; ("", "") where it is about none."""
    if hasattr(error, "node_operator") and error.node_operator():
        return error.node_name(), error.node_operator()
    # Before TensorRT 10 an error carries only the node's number.
    index = error.node()
    return network.nodes[index] if 0 <= index < len(network.nodes) else ("", "")


def _build_hint(errors: Sequence[str]) -> str:
    text = " ".join(errors).lower()
    if "memory" in text or "workspace" in text:
        return "free GPU memory, or pass another --workspace"
    if "fp32 gemm is not supported" in text:
        return "this GPU has no FP32 matrix products here: export with --fp16"
    if "cuda" in text:
        return "check the NVIDIA driver, or name the target's GPU with --target"
    return "see what the graph holds: yolov12edge inspect model.onnx"


_ASSERTED = re.compile(r'&& "(.+)"$')
_PARSE_HINT = "see what the graph holds: yolov12edge inspect model.onnx"
_NO_OPERATOR = (
    "{operator} is no operator of {title}: export the model again with yolov12edge export, "
    "or take the node out"
)
_OTHER_FORM = "export with another --opset: {title} lacks this form of {operator}"
_PARSE_HINTS = {
    "INVALID_NODE": _NO_OPERATOR,
    "UNSUPPORTED_NODE": _NO_OPERATOR,
    "UNSUPPORTED_NODE_ATTR": _OTHER_FORM,
    "UNSUPPORTED_NODE_INPUT": _OTHER_FORM,
    "UNSUPPORTED_NODE_DATATYPE": "export in another precision: {title} lacks this {operator}",
    "UNSUPPORTED_NODE_DYNAMIC": "export with a fixed image size",
    "UNSUPPORTED_NODE_SHAPE": "export with a fixed image size",
    "MODEL_DESERIALIZE_FAILED": "export again, with a lower --opset if the library is old",
}
