"""Which processor judged a run: integer arithmetic, and so INT8, differs between them."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolov12edge.run.facts import read_document
from yolov12edge.run.names import MANIFEST_FILE

# The instruction sets that decide how INT8 products are summed, the best first.
_LEVELS = (
    ("avx512-vnni", {"avx512_vnni"}),
    ("avx-vnni", {"avx_vnni"}),
    ("avx512", {"avx512f", "avx512bw"}),
    ("avx2", {"avx2"}),
    ("sse4.2", {"sse4_2"}),
)


@dataclass(frozen=True)
class Judge:
    """A processor, as far as results depend on it.

    Attributes:
        model: its name.
        instruction_set: the best one that INT8 products are computed with.
    """

    model: str
    instruction_set: str

    @property
    def text(self) -> str:
        """For people: "AMD EPYC 9354 (avx512-vnni)"."""
        return f"{self.model} ({self.instruction_set})"


def this_judge(root: Path = Path("/")) -> Judge:
    """The processor of this machine.

    Args:
        root: where /proc is, for tests.
    """
    try:
        information = (root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:
        information = ""
    model = re.search(r"^model name\s*:\s*(.+)$", information, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", information, re.MULTILINE)
    known = set(flags.group(1).split()) if flags else set()
    arm = "neon" if platform.machine() in ("aarch64", "arm64") else "unknown"
    level = next((name for name, needed in _LEVELS if needed <= known), arm)
    name = model.group(1).strip() if model else platform.processor() or platform.machine()
    return Judge(name, level)


def recorded_judge(folder: Path) -> Judge | None:
    """The processor that a run folder's manifest names; None where it names none."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return None
    try:
        entry: Any = read_document(path, errors="replace").get("judged_on")
        return Judge(str(entry["model"]), str(entry["instruction_set"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
