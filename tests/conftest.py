"""Fixtures that every test may use."""

from __future__ import annotations

import ctypes
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest_plugins = ["tests.skips", "pytester"]

# One test process a core already: more threads inside each only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that the user's cache holds decides a test, and no test leaves anything there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLOV12EDGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """What a test draws from the global generators does not depend on the tests before it."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


class _NoDriver(ctypes.CDLL):
    def __init__(self, name: str | None, *more: Any, **named: Any) -> None:
        if str(name).startswith("libcuda.so"):
            raise OSError(f"{name}: cannot open shared object file")
        super().__init__(name, *more, **named)


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without an NVIDIA driver, whatever this one has."""
    from yolov12edge.runtime.cuda import driver

    monkeypatch.setattr(ctypes, "CDLL", _NoDriver)
    driver.cache_clear()
    yield
    driver.cache_clear()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference outputs, real detectors and real images; skips where they are absent."""
    from tests.skips import NO_SHARED

    if not (SHARED / "reference").is_dir():
        pytest.skip(NO_SHARED)
    return SHARED
