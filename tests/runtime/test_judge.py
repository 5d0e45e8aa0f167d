"""The check that ONNX Runtime may judge FP16 graphs."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from yolov12edge.runtime import onnxruntime as module


class Sigmoid:
    """Stands in for a session; `error` is relative and grows towards small results."""

    def __init__(self, error: float) -> None:
        self.error = error

    def run(self, names, feed):
        exact = 1 / (1 + np.exp(-feed["x"].astype(np.float64)))
        return [(exact * (1 + self.error * (1 - exact))).astype(np.float16)]


@pytest.fixture(autouse=True)
def fresh():
    module.judge_is_trustworthy.cache_clear()
    yield
    module.judge_is_trustworthy.cache_clear()


@pytest.mark.parametrize(
    ("error", "verdict"), [(0, True), (0.39, False), (-0.39, False), (np.nan, False)]
)
def test_verdict_follows_the_error(monkeypatch, error, verdict):
    monkeypatch.setattr(module, "_open_session", lambda *_, **__: Sigmoid(error))
    trustworthy, reason = module.judge_is_trustworthy()
    assert trustworthy is verdict
    assert onnxruntime.__version__ in reason
    if error == 0.39:
        assert "39%" in reason


def test_the_installed_version_is_measured():
    trustworthy, reason = module.judge_is_trustworthy()
    assert trustworthy, reason
