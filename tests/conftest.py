"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference outputs, real detectors and real images; skips where it is absent."""
    if not (SHARED / "reference").is_dir():
        pytest.skip(f"reference data not found at {SHARED}")
    return SHARED
