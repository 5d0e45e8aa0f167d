"""Every script explains itself, and the table of benchmarks/README.md names every one of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(
    path.name
    for path in BENCHMARKS.glob("*.py")
    if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_explains_itself(script: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, str(BENCHMARKS / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    purpose = (BENCHMARKS / script).read_text(encoding="utf-8").splitlines()[0].strip('"')
    assert purpose in done.stdout


def test_the_table_names_every_script_and_no_other() -> None:
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+\.py)` \|", text, re.MULTILINE) == SCRIPTS


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md", "docs", "benchmarks/README.md"])
def test_documents_name_only_scripts_that_exist(document: str) -> None:
    path = ROOT / document
    files = sorted(path.rglob("*.md")) if path.is_dir() else [path]
    named = {
        name
        for file in files
        for name in re.findall(r"benchmarks/(\w+\.py)", file.read_text(encoding="utf-8"))
    }
    assert named <= set(SCRIPTS)
