from __future__ import annotations

from pathlib import Path

import pytest

from yolov12edge.processor import processor, read_processor

HASWELL = "fpu sse sse2 ssse3 fma sse4_1 sse4_2 avx f16c bmi1 avx2 bmi2"
SKYLAKE_X = f"{HASWELL} avx512f avx512dq avx512cd avx512bw avx512vl"


@pytest.mark.parametrize(
    ("flags", "level", "in_16_bits"),
    [
        ("fpu sse sse2 ssse3 sse4_1 sse4_2", "sse4.2", True),
        ("fpu sse sse2 ssse3 sse4_1 sse4_2 avx", "avx", True),
        (HASWELL, "avx2", True),
        (SKYLAKE_X, "avx512", True),
        (f"{HASWELL} avx_vnni", "avx-vnni", False),
        (f"{SKYLAKE_X} avx512_vnni", "avx512-vnni", False),
    ],
)
def test_what_int8_runs_in(tmp_path: Path, flags: str, level: str, in_16_bits: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"vendor_id\t: X\nmodel name\t: A CPU @ 2.40GHz\nflags\t\t: {flags}\n\n" * 2)
    found = read_processor(file, "x86_64")
    assert found.identity.text == f"A CPU @ 2.40GHz ({level})"
    assert found.adds_pairs_in_16_bits is in_16_bits


@pytest.mark.parametrize(
    ("features", "level"),
    [
        ("fp asimd evtstrm crc32", "neon"),
        ("fp asimd asimdhp asimddp", "neon-dotprod"),
        ("fp asimd asimddp i8mm bf16", "neon-i8mm"),
    ],
)
def test_arm_never_adds_in_16_bits(tmp_path: Path, features: str, level: str) -> None:
    """As a Raspberry Pi and a Jetson print it: no model name, `Features` for `flags`."""
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nBogoMIPS\t: 62.50\nFeatures\t: {features}\n")
    found = read_processor(file, "aarch64")
    assert found.int8_level == level
    assert found.adds_pairs_in_16_bits is False


def test_where_the_system_does_not_tell_nothing_is_claimed(tmp_path: Path) -> None:
    found = read_processor(tmp_path / "nothing", "x86_64")
    assert (found.int8_level, found.adds_pairs_in_16_bits) == ("unknown", None)


def test_this_processor_is_known() -> None:
    assert processor().int8_level != "unknown"
    assert processor().model
