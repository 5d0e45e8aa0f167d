"""The processor at hand: which instruction sets it has, and how it adds products of INT8."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ARM = ("aarch64", "arm64")

# The best first: what oneDNN, MLAS and their like take for u8 x s8, by a flag that tells of it.
_X86_LEVELS = (
    ("avx512-vnni", "avx512_vnni"),
    ("avx512", "avx512bw"),
    ("avx-vnni", "avx_vnni"),
    ("avx2", "avx2"),
    ("avx", "avx"),
    ("sse4.2", "sse4_2"),
)
_ARM_LEVELS = (("neon-i8mm", "i8mm"), ("neon-dotprod", "asimddp"), ("neon", "asimd"))
# These add four products in 32 bits at once, or multiply into 16 bits and add in 32.
EXACT_LEVELS = ("avx512-vnni", "avx-vnni", "neon-i8mm", "neon-dotprod", "neon")
LEVELS = tuple(level for level, _ in (*_X86_LEVELS, *_ARM_LEVELS))


@dataclass(frozen=True)
class Identity:
    """A processor, as far as results depend on it.

    Attributes:
        model: its name as the system gives it.
        int8_level: the instruction set that INT8 runs in, as `Processor.int8_level`.
    """

    model: str
    int8_level: str

    @property
    def text(self) -> str:
        """Name and INT8 level for people."""
        return f"{self.model} ({self.int8_level})"


@dataclass(frozen=True)
class Processor:
    """A processor.

    Attributes:
        model: its name as the system gives it.
        architecture: as `uname -m` prints it.
        flags: instruction sets as Linux names them (/proc/cpuinfo); empty where it does not tell.
    """

    model: str
    architecture: str
    flags: frozenset[str]

    @property
    def int8_level(self) -> str:
        """The instruction set that INT8 runs in; "unknown" where the system does not tell.

        One of avx512-vnni, avx512, avx-vnni, avx2, avx, sse4.2, neon-i8mm, neon-dotprod, neon.
        """
        levels = _ARM_LEVELS if self.architecture.lower() in ARM else _X86_LEVELS
        return next((level for level, flag in levels if flag in self.flags), "unknown")

    @property
    def adds_pairs_in_16_bits(self) -> bool | None:
        """Whether u8 x s8 saturates at 16 bits (`vpmaddubsw`); None where nothing is known."""
        level = self.int8_level
        return None if level == "unknown" else level not in EXACT_LEVELS

    @property
    def identity(self) -> Identity:
        """What of it results depend on."""
        return Identity(self.model, self.int8_level)


@cache
def processor() -> Processor:
    """The processor that this process runs on."""
    return read_processor(Path("/proc/cpuinfo"))


def read_processor(file: Path, architecture: str | None = None) -> Processor:
    """The processor that a file in the form of /proc/cpuinfo describes.

    Args:
        file: need not exist; then only what Python knows is told.
        architecture: of the machine that the file is from; this one's if None.
    """
    try:
        text = file.read_text(errors="replace")
    except OSError:
        text = ""
    model = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    return Processor(
        model=model.group(1).strip() if model else platform.processor() or platform.machine(),
        architecture=architecture or platform.machine(),
        flags=frozenset(flags.group(1).split()) if flags else frozenset(),
    )
