"""What a builder says of its kernels: recorded logs, and whatever could be wrong with them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov12edge.engine.build_log import BuildLog, read_build_log
from yolov12edge.engine.inspection import EngineInspection, inspect_layers

FOLDER = Path(__file__).parent / "logs"


def message(name: str) -> str:
    return gzip.decompress((FOLDER / f"{name}.txt.gz").read_bytes()).decode()


def inspect(log: BuildLog) -> EngineInspection:
    return inspect_layers({"Layers": list(log.layers)}, "plan")


def sums(log: BuildLog) -> tuple[object, ...]:
    found = inspect(log)
    return (
        *(found.kernels, found.movers, found.touched_bytes, found.moved_bytes),
        *(found.fused, len(found.attention), found.convolutions, found.streams),
    )  # Not waits: of those after the last kernel any number can be missing.


@pytest.mark.parametrize(
    ("name", "kernels", "movers", "megabytes", "moved", "fused"),
    [
        ("n320_fp16_sm86", 173, 44, 45.6, 13.9, 8),
        ("n320_fp16_sm75", 181, 42, 70.7, 29.3, 8),
        # For two architectures one list, that of the lower.
        ("n320_fp16_sm75_sm86", 181, 42, 70.7, 29.3, 8),
        ("n320_int8_sm86", 234, 106, 59.2, 29.3, 8),
        ("public_fp16_sm86", 188, 51, 49.2, 15.4, 0),
    ],
)
def test_a_recorded_log_is_read_whole(
    name: str, kernels: int, movers: int, megabytes: float, moved: float, fused: int
) -> None:
    log = read_build_log([message(name)])
    assert log.unread is None
    found = inspect(log)
    assert (found.kernels, found.movers) == (kernels, movers)
    assert found.touched_bytes == pytest.approx(megabytes * 1e6, abs=5e4)
    assert found.moved_bytes == pytest.approx(moved * 1e6, abs=5e4)
    assert (found.fused, len(found.attention), found.mha_kernels) == (fused, 8, fused)
    assert sum(block.touched_bytes or 0 for block in found.blocks) == found.touched_bytes
    assert sum(block.movers for block in found.blocks) == found.movers
    assert "model.6" in {block.block for block in found.blocks}


def test_what_a_split_attention_missed_is_said_in_the_order_it_runs() -> None:
    found = inspect(read_build_log([message("public_fp16_sm86")]))
    assert found.attention[0].name == "model.6.m.0.m.0.0.attn"
    assert {block.missed for block in found.attention} == {
        "softmax and products in 3 kernels: gemm, kgen MaxrSubExpSumDiv, gemm"
    }


def test_convolutions_by_the_type_they_run_in() -> None:
    found = inspect(read_build_log([message("n320_int8_sm86")]))
    assert found.convolutions == {"int8": 85, "fp16": 34, "fp32": 1}
    assert found.quantizers > 60, "Q that takes a kernel of its own"
    plain = inspect(read_build_log([message("n320_fp16_sm86")]))
    assert plain.convolutions == {"fp16": 119, "fp32": 1}
    assert plain.quantizers == 0


def test_streams_wait_for_each_other() -> None:
    found = inspect(read_build_log([message("n320_fp16_sm86")]))
    kinds = re.findall(r"LayerType: (\w+),", message("n320_fp16_sm86"))
    assert found.waits == kinds.count("wait") > 0
    assert found.kernels == len(kinds) - kinds.count("wait") - kinds.count("signal")
    assert found.streams > 1


def test_no_word_about_kernels() -> None:
    assert read_build_log([]) == BuildLog()


def test_several_engines_are_told_apart_by_nobody() -> None:
    log = read_build_log([message("n320_fp16_sm86")] * 2)
    assert log.unread == "the builder listed the kernels of 2 engines"


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("Datatype: Half", "Datatype: Quarter", "have a form that is not known"),
        ("Dimensions:", "Shape:", "have a form that is not known"),
        ("LayerType: kgen", "LayerType kgen", "have a form that is not known"),
        ("LayerType: kgen", "LayerType: kernel", "have a form that is not known"),
        ("_gemm_mha_v2_myl", "_fused_v2_myl", "have a form that is not known"),
        ("[ONNX Layer: ", "[Layer: ", "have a form that is not known"),
        ("TacticName:", "Tactic:", "have a form that is not known"),
        ("I/O Tensors:", "Bindings:", "no end that is known"),
        ("Layers:\n", "Kernels:\n", "no end that is known"),
    ],
)
def test_another_form_is_not_seen(wrong: str, right: str, said: str) -> None:
    text = message("n320_fp16_sm86")
    assert wrong in text
    log = read_build_log([text.replace(wrong, right)])
    assert log.layers == ()
    assert log.unread is not None
    assert said in log.unread


def test_open_dimensions_leave_the_bytes_out() -> None:
    log = read_build_log([message("n320_fp16_sm86").replace("[1,32,", "[-1,32,")])
    found = inspect(log)
    assert found.touched_bytes is None
    assert (found.kernels, found.fused) == (173, 8)


TEXT = message("n320_fp16_sm86")
LINES = TEXT.splitlines()
WHOLE = sums(read_build_log([TEXT]))
WORDS = re.findall(r"\w+: ", TEXT)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A log that was cut off, lost or repeated lines, has another key, or garbage in it.

    Garbage has no digits: nothing could tell a dimension from another.
    """
    kind = draw(st.sampled_from(["cut", "lost", "repeated", "swapped", "key", "garbage"]))
    first, second = (draw(st.integers(0, len(LINES) - 1)) for _ in range(2))
    lines = list(LINES)
    if kind == "cut":
        return TEXT[: draw(st.integers(0, len(TEXT)))]
    if kind == "garbage":
        start = draw(st.integers(0, len(TEXT)))
        garbage = draw(st.text("#?~\x00\xe9 ]}", min_size=1, max_size=9))
        return TEXT[:start] + garbage + TEXT[start + draw(st.integers(0, 9)) :]
    if kind == "lost":
        del lines[min(first, second) : max(first, second) + 1]
    elif kind == "repeated":
        lines.insert(first, lines[second])
    elif kind == "swapped":
        lines[first], lines[second] = lines[second], lines[first]
    else:
        word = draw(st.sampled_from(WORDS))
        lines[first] = lines[first].replace(word, f"New{word}")
    return "\n".join(lines)


@settings(max_examples=200, deadline=None)
@given(text=damaged())
def test_a_damaged_log_never_yields_a_wrong_figure(text: str) -> None:
    log = read_build_log([text] if "LayerType: " in text else [])
    assert not log.layers or sums(log) == WHOLE
