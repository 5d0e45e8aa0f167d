"""What a graph holds inside, for calibration and for finding where drift begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from yolov12edge.libraries import load_onnxruntime


class Probe:
    """Reads tensors of an ONNX graph in ONNX Runtime on the CPU; computes only what they need.

    Args:
        model: a graph whose first input is the image; not changed.
        tensors: what to read; the input itself may be among them.
        threads: CPU threads; ONNX Runtime's choice if None.
        optimize: let ONNX Runtime fuse what lies between the tensors.

    Raises:
        UnsupportedError: ONNX Runtime is not installed.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        tensors: Sequence[str],
        threads: int | None = None,
        optimize: bool = True,
    ) -> None:
        onnxruntime = load_onnxruntime()
        self.tensors = tuple(tensors)
        entry = model.graph.input[0]
        self._input = entry.name
        self._batch = entry.type.tensor_type.shape.dim[0].dim_value or 1
        self._computed = [name for name in self.tensors if name != self._input]
        opened = onnx.ModelProto()
        opened.CopyFrom(model)
        del opened.graph.output[:]
        opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self._computed)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        if threads is not None:
            options.intra_op_num_threads = threads
        if not optimize:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(
        self, image: NDArray[np.float32], further: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Values of the tensors for one image, in the order asked for.

        Args:
            image: (3, H, W) RGB in 0..1; repeated where the graph has a fixed batch.
            further: (1, ...) of each input besides the image, by name; repeated likewise.

        Returns:
            name to (1, ...), in the type that the graph has there.
        """
        entering = {self._input: image[None], **(further or {})}
        feed = {name: np.repeat(one, self._batch, axis=0) for name, one in entering.items()}
        found = self._session.run(self._computed, feed) if self._computed else []
        values = {**feed, **dict(zip(self._computed, found, strict=True))}
        return {name: values[name][:1] for name in self.tensors}
