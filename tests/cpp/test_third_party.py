"""Libraries of others are what their README says, unchanged, and travel with their licences."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.cpp.toolchain import CPP
from yolov12edge.pipeline.bundle import job

LIBRARIES = sorted(path for path in (CPP / "third_party").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", LIBRARIES, ids=lambda path: path.name)
def test_copies_are_unchanged(folder: Path) -> None:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    sums = dict(re.findall(r"SHA-256 of (\S+) \| ([0-9a-f]{64})", readme))
    files = {path.name for path in folder.iterdir()} - {"README.md"}
    assert files == sums.keys()
    assert "LICENSE" in files
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert re.search(r"\| origin \| https://\S+, commit [0-9a-f]{40} \|", readme)


def test_licences_are_named_where_people_look() -> None:
    root = CPP.parents[1]
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    cmake = (CPP / "CMakeLists.txt").read_text(encoding="utf-8")
    for folder in LIBRARIES:
        assert "third_party/*/LICENSE" in project
        assert f"{folder.name}/LICENSE" in cmake or f"${{{folder.name}}}/LICENSE" in cmake
    assert "third_party" in job.COPIED
