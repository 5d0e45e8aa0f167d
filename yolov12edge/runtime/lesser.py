"""OpenVINO as a processor with fewer instruction sets would run it.

oneDNN, which computes OpenVINO's layers on x86, reads ONEDNN_MAX_CPU_ISA once, as it starts: so a
lesser processor is played by a process of its own. OpenVINO in an emulated Haswell computes the
same (docs/verification.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from yolov12edge.errors import CheckpointError
from yolov12edge.processor import Processor
from yolov12edge.runtime.pipes import receive, send
from yolov12edge.runtime.runner import ClosingRunner, FloatArray

# Level: oneDNN's name of it, and the flag of a processor that has it. The others below VNNI add
# products as one of these does.
_LEVELS = {
    "sse4.2": ("SSE41", "sse4_2"),
    "avx2": ("AVX2", "avx2"),
    "avx512": ("AVX512_CORE", "avx512bw"),
}


def lesser_levels(processor: Processor) -> tuple[str, ...]:
    """The instruction sets besides its own that a processor can be kept to; none on ARM."""
    able = [level for level, (_, flag) in _LEVELS.items() if flag in processor.flags]
    return tuple(level for level in able if level != processor.int8_level)


class GraphProcess(ClosingRunner):
    """An ONNX graph in OpenVINO, in another process.

    Args:
        path: the .onnx file; it has to stay until the first call.
        level: one of `lesser_levels`; all that this processor has if None.
        threads: CPU threads; OpenVINO's own choice if None.
    """

    def __init__(self, path: Path, level: str | None = None, threads: int | None = None) -> None:
        environment = dict(os.environ)
        if level is not None:
            environment["ONEDNN_MAX_CPU_ISA"] = _LEVELS[level][0]
        paths = [str(Path(__file__).resolve().parents[2]), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._path = path
        self._names: tuple[list[str], list[str]] | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "yolov12edge.runtime.lesser_process", str(path), str(threads)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, inputs: FloatArray | Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The values of all outputs by name.

        Args:
            inputs: the value of each input by name; that of the one input alone, too.

        Raises:
            CheckpointError: OpenVINO cannot load or run the file.
        """
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        try:
            entries, names = self._names = self._names or json.loads(answers.readline())
            for name in entries:
                send(asked, inputs[name] if isinstance(inputs, Mapping) else inputs)
            asked.flush()
            values = [receive(answers) for _ in names]
        except (OSError, ValueError) as error:
            raise self._failure() from error
        found = {name: one for name, one in zip(names, values, strict=True) if one is not None}
        if len(found) < len(names):
            raise self._failure()
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _failure(self) -> CheckpointError:
        self._process.kill()
        _, said = self._process.communicate()
        lines = said.decode(errors="replace").strip().splitlines()
        return CheckpointError(
            f"OpenVINO cannot run {self._path.name} in a process of its own: "
            f"{lines[-1] if lines else 'it ended without a word'}",
            "see what this machine can do: yolov12edge doctor",
        )
