"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# One test process a core already: more threads inside each only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference outputs, real detectors and real images; skips where they are absent."""
    if not (SHARED / "reference").is_dir():
        pytest.skip(f"reference data not found at {SHARED}")
    return SHARED
