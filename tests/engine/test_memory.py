from __future__ import annotations

from pathlib import Path

import pytest

from yolov12edge.engine.memory import check_memory
from yolov12edge.errors import UnsupportedError

GIB = 1 << 30


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(200 << 20)
    return path


@pytest.mark.parametrize(
    ("host", "gpu", "says"),
    [
        (8 * GIB, None, []),
        (8 * GIB, (6 * GIB, 8 * GIB), []),
        (GIB, None, ["main memory"]),
        (8 * GIB, (GIB, 8 * GIB), ["GPU memory"]),
        (GIB, (GIB, 4 * GIB), ["main memory", "GPU memory"]),
    ],
)
def test_what_is_short_is_warned_of(
    model: Path, host: int, gpu: tuple[int, int] | None, says: list[str]
) -> None:
    warnings = check_memory(model, None, gpu, host)
    assert len(warnings) == len(says)
    for warning, word in zip(warnings, says, strict=True):
        assert f"of {word} are free and this build needs about" in warning


def test_a_workspace_beyond_the_gpu_is_refused(model: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"a workspace of .* does not fit this GPU"):
        check_memory(model, 9 * GIB, (7 * GIB, 8 * GIB), 8 * GIB)
    assert check_memory(model, 8 * GIB, (7 * GIB, 8 * GIB), 8 * GIB) == ()
