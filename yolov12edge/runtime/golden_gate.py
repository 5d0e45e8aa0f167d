"""When an artifact is asked: on a GPU always, on a CPU where another one judged the run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from yolov12edge.data.letterbox import Letterbox
from yolov12edge.download import cache_folder
from yolov12edge.errors import CheckpointError, EdgeError, GateFailed
from yolov12edge.files import sha256_file, write_bytes
from yolov12edge.processor import Identity, processor
from yolov12edge.run.facts import read_document
from yolov12edge.run.judge import recorded_judge
from yolov12edge.run.names import GOLDEN_FILE, MANIFEST_FILE, ONNX_FILES, PLAN_SUFFIXES
from yolov12edge.runtime.golden import GoldenInputs, read_golden
from yolov12edge.runtime.golden_checks import (
    AS_BEFORE,
    NONSENSE,
    TOLERANCES,
    batch_differences,
    check_outputs,
    differences,
    letterbox_difference,
)
from yolov12edge.runtime.runner import FloatArray, Runner

# Runtimes that compute on a CPU; what they computed was judged at export, on that CPU.
ON_A_CPU = ("onnxruntime", "openvino")
# Images in a batch where an artifact takes any number.
OPEN_BATCH = 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """An artifact's outputs on the golden images.

    Attributes:
        alone: (N, 4 + classes, A), each image by itself.
        batch: the largest batch of the artifact.
        order: which image lay where in those batches.
        crowd: (len(order), 4 + classes, A).
    """

    alone: FloatArray
    batch: int
    order: tuple[int, ...]
    crowd: FloatArray

    def differences(self, golden: GoldenInputs, precision: str) -> list[str]:
        """What differs from the reference, or between one image and many; empty if nothing."""
        found = differences(self.alone, golden, TOLERANCES[precision])
        among = batch_differences(self.alone, self.crowd, self.order, golden, precision)
        return [*found, *(f"results change in a batch of {self.batch}: {text}" for text in among)]


def ask(runner: Runner, golden: GoldenInputs) -> Answers:
    """Run the golden images one by one, then in full batches, in another order."""
    images = golden.batch
    alone = np.concatenate([runner(images[index : index + 1]) for index in range(len(images))])
    batch = int(getattr(runner, "largest_batch", None) or runner.input_shape[0] or OPEN_BATCH)
    if batch == 1:
        return Answers(alone, batch, (), alone[:0])
    places = -(-len(images) // batch) * batch
    order = tuple((len(images) - 1 - place) % len(images) for place in range(places))
    return Answers(alone, batch, order, runner(images[list(order)]))


def golden_of(path: Path, runner: Runner) -> GoldenInputs | None:
    """The golden inputs beside an artifact; None where there are none.

    Raises:
        CheckpointError: golden.npz is damaged, or of another image size.
    """
    golden_path = Path(path).with_name(GOLDEN_FILE)
    if not golden_path.is_file():
        return None
    golden = read_golden(golden_path)
    if golden.images.shape[2:] != runner.input_shape[2:]:
        raise CheckpointError(
            f"{golden_path} holds {golden.images.shape[2]}x{golden.images.shape[3]} images, "
            f"{path} takes {runner.input_shape[2]}x{runner.input_shape[3]}",
            "build the engine from the ONNX file of the same run, or remove golden.npz",
        )
    return golden


def precision_of(path: Path) -> str:
    """What a file of a run computes in: by its name, of a plan by its manifest; else "int8"."""
    by_name = {name: precision for precision, name in ONNX_FILES.items()}
    if path.suffix not in PLAN_SUFFIXES:
        return by_name.get(path.name, "int8")
    try:
        name = read_document(path.with_name(MANIFEST_FILE), errors="replace")["precision"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return "int8"
    # A GPU multiplies float32 in TF32, which is no more exact than FP16.
    return "int8" if name not in ("fp32", "fp16") else "fp16"


@dataclass(frozen=True)
class Findings:
    """What an artifact does otherwise than its reference on the golden inputs, one line each.

    Attributes:
        differences: beyond what its precision explains.
        nonsense: beyond what any precision explains.
    """

    differences: list[str]
    nonsense: list[str]

    @property
    def all(self) -> list[str]:
        """Both, the clearer words first."""
        return list(dict.fromkeys([*self.differences, *self.nonsense]))


def examine(path: Path, runner: Runner, letterbox: Letterbox | None) -> Findings:
    """Ask an artifact its golden inputs, those beside it; nothing is found where there are none.

    Args:
        letterbox: how images are fitted for it; compared too if given.

    Raises:
        CheckpointError: as `golden_of`, or the goldens are another model's.
    """
    golden = golden_of(path, runner)
    if golden is None:
        return Findings([], [])
    answers = ask(runner, golden)
    nonsense = []
    try:
        check_outputs(path, answers.alone, golden)
    except GateFailed as error:
        nonsense.append(error.message.removeprefix(f"{path} "))
    found = answers.differences(golden, precision_of(path))
    fitted = letterbox_difference(golden, letterbox) if letterbox else None
    if not nonsense:
        nonsense = differences(answers.alone, golden, NONSENSE)
    return Findings([*found, *([fitted] if fitted else [])], nonsense)


def check_artifact(path: Path, runner: Runner, letterbox: Letterbox | None) -> None:
    """Ask an artifact its golden inputs, where that can tell something new.

    On a GPU: at every opening. On a CPU: where the run folder was judged by another one, once for
    each pair of them; the answer is remembered.

    Raises:
        CheckpointError: golden.npz is damaged, of another image size or of another model.
        GateFailed: a GPU computes something else than the reference; a CPU yields nonsense.
    """
    path = Path(path)
    if runner.name in ON_A_CPU:
        _check_on_another_processor(path, runner, letterbox)
    elif runner.name != "torch":
        check_on_device(path, runner, letterbox)


def check_on_device(path: Path, runner: Runner, letterbox: Letterbox | None = None) -> None:
    """Run the golden inputs beside an artifact on a GPU; errors as `check_artifact`."""
    golden = golden_of(path, runner)
    if golden is None:
        return
    answers = ask(runner, golden)
    check_outputs(path, answers.alone, golden)
    found = answers.differences(golden, precision_of(path))
    fitted = letterbox_difference(golden, letterbox) if letterbox else None
    for text in [*found, *([fitted] if fitted else [])]:
        raise GateFailed(f"{path}, on the golden images: {text}", AS_BEFORE)


def _check_on_another_processor(path: Path, runner: Runner, letterbox: Letterbox | None) -> None:
    golden, then = path.with_name(GOLDEN_FILE), recorded_judge(path.parent)
    here = processor().identity
    if then is None or then == here or not golden.is_file():
        return
    key = _key(path, golden, runner, letterbox, here)
    found = _recall(key)
    if found is None:
        found = examine(path, runner, letterbox)
        _remember(key, found)
    if not found.all:
        return
    text = (
        f"{path} computes something else on this processor, {here.text}, than on the one that "
        f"judged it, {then.text}: {'; '.join(found.all)}"
    )
    if found.nonsense:
        raise GateFailed(text, "export it again on this machine, or use model.onnx (FP32) here")
    _log.warning(text)


def _key(
    path: Path, golden: Path, runner: Runner, letterbox: Letterbox | None, here: Identity
) -> str:
    parts = [
        *(sha256_file(path), sha256_file(golden), runner.name, runner.version),
        *(here.model, here.int8_level, repr(letterbox)),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _recall(key: str) -> Findings | None:
    try:
        return Findings(**json.loads((cache_folder() / "golden" / f"{key}.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _remember(key: str, found: Findings) -> None:
    # A cache that cannot be written costs a second at the next start, and nothing else.
    with contextlib.suppress(EdgeError, OSError):
        write_bytes(cache_folder() / "golden" / f"{key}.json", json.dumps(asdict(found)).encode())
