"""Times of kernels by hand, and what must hold whatever the GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.kernels import kernel, recorded, tensor
from yolov12edge.engine.inspection_layers import EngineLayer
from yolov12edge.engine.prediction import (
    CACHE_BYTES_PER_CLOCK,
    MEMORY_SHARE,
    OVERHEAD_CYCLES,
    PEAK_SHARE,
    SEEN_RATIOS,
    NotPredicted,
    Prediction,
    predict_time,
)
from yolov12edge.engine.traffic import Traffic, traffic_of
from yolov12edge.run.gpus import Gpu, load_gpu

# Ten multiprocessors of 1 GHz: 100 GB/s, 200 GB/s from a cache of 1 MiB, 1 TFLOPS.
TOY = load_gpu("t4").model_copy(
    update={
        "sms": 10,
        "clock_ghz": 1.0,
        "memory_gb_s": 100.0,
        "l2_mib": 1.0,
        "fp16_tflops": 1.0,
        "int8_tops": 2.0,
        "fp32_tflops": 0.5,
    }
)
MEBI = 1 << 20


def mover(read: str, write: str, elements: int = 1000) -> EngineLayer:
    return kernel(
        "kgen", [tensor(read, elements)], [tensor(write, elements)], name=f"__myl_{write}"
    )


def convolution(channels: int = 64, side: int = 40, dtype: str = "fp16") -> EngineLayer:
    return kernel(
        "runtime_fusion",
        [tensor("x", 1, channels, side, side, dtype=dtype)],
        [tensor("y", 1, channels, side, side, dtype=dtype)],
        [tensor("weights", channels, channels, 3, 3, dtype=dtype)],
    )


def predicted(layers: list[EngineLayer], gpu: Gpu = TOY, **fitted: float) -> Prediction:
    found = predict_time(layers, gpu, **fitted)
    assert isinstance(found, Prediction), found
    return found


def test_a_kernel_that_only_moves_waits_for_the_memory() -> None:
    elements = 2 * MEBI
    found = predicted([mover("x", "y", elements)], overhead_cycles=3000)
    assert found.memory_bytes == 2 * 2 * elements
    bytes_a_us = 100e3 * MEMORY_SHARE
    assert found.layers[0].memory_us == pytest.approx(4 * elements / bytes_a_us)
    assert (found.layers[0].launch_us, found.layers[0].compute_us) == (3.0, 0.0)
    assert found.layers[0].bound == "memory"
    assert found.predicted_ms == pytest.approx(found.launch_ms + found.memory_ms)


def test_a_convolution_at_its_share_of_the_peak() -> None:
    found = predicted([convolution()], overhead_cycles=0, peak_share=0.5)
    operations = 2 * 64 * 64 * 9 * 1600
    assert found.operations == operations
    # 1600 x 64 results in 25 tiles of 64 x 64, three waves of ten multiprocessors, at half the rate
    # of a tile of 128 x 128, take as long as 13 of 128 x 64, two waves, at two thirds of it.
    filled = 1600 * 64 / (30 * 64 * 64 / 0.5)
    assert filled == pytest.approx(1600 * 64 / (20 * 128 * 64 / (2 / 3)))
    assert found.layers[0].compute_us == pytest.approx(operations / (1e6 * 0.5 * filled))
    assert found.layers[0].bound == "compute"
    assert found.predicted_ms == found.compute_ms


def test_types_have_rates_of_their_own() -> None:
    half, whole, byte = (
        predicted([convolution(dtype=dtype)]).layers[0].compute_us
        for dtype in ("fp16", "fp32", "int8")
    )
    assert whole == pytest.approx(2 * half)
    assert byte == pytest.approx(half / 2)


def test_what_was_just_written_is_read_from_the_cache() -> None:
    layers = [mover("a", "b", 4 * MEBI), mover("c", "x"), mover("x", "y")]
    first, _, last = traffic_of(layers, MEBI)
    assert first == Traffic(memory=16 * MEBI, cache=0)
    assert last == Traffic(memory=0, cache=4000)
    time = predicted(layers).layers[2].memory_us
    assert time == pytest.approx(4000 / (CACHE_BYTES_PER_CLOCK * 10 * 1e3))


def test_a_concatenation_that_is_written_in_parts_is_there_as_a_whole() -> None:
    parts = [mover(f"in{i}", "joined", 1000) for i in range(3)]
    whole = kernel("kgen", [tensor("joined", 3000)], [tensor("y", 1000)])
    assert traffic_of([*parts, whole], MEBI)[-1] == Traffic(memory=0, cache=8000)
    assert traffic_of([parts[0], whole], 7000)[-1] == Traffic(memory=4000, cache=4000)


def test_what_is_crowded_out_of_the_cache_comes_from_the_memory() -> None:
    size = MEBI // 4
    chain = [mover("in", "t0", size), *(mover(f"t{i}", f"t{i + 1}", size) for i in range(4))]
    late = mover("t0", "end", size)
    *_, last = traffic_of([*chain, late], MEBI)
    assert last == Traffic(memory=MEBI // 2, cache=MEBI // 2)
    first, *_ = traffic_of([*chain, late], 64 * MEBI)
    assert first == Traffic(memory=0, cache=MEBI)


def test_weights_that_fit_stay_from_run_to_run() -> None:
    layers = [convolution(channels=64, side=8)]
    assert traffic_of(layers, MEBI)[0].memory == 0
    assert traffic_of(layers, 1000)[0].cache == 0


def test_waiting_for_another_stream_takes_no_time() -> None:
    waits = [kernel("wait", [], []), kernel("signal", [], [])]
    assert predicted([mover("x", "y"), *waits]) == predicted([mover("x", "y")])


def test_the_parts_make_the_whole() -> None:
    found = predicted(recorded("n320_int8_sm86"), load_gpu("rtx-3080"))
    parts = found.launch_ms + found.memory_ms + found.compute_ms
    assert found.predicted_ms == pytest.approx(parts)
    assert found.predicted_ms == pytest.approx(sum(one.predicted_ms for one in found.blocks))
    assert found.predicted_ms == pytest.approx(sum(one.us for one in found.layers) / 1e3)
    assert 0 < found.movers_ms < found.predicted_ms
    assert found.assumed == ()
    assert found.left_out


def test_split_attention_is_predicted_slower_than_fused() -> None:
    gpu = load_gpu("rtx-3080")
    fused, split = (recorded(name) for name in ("n320_fp16_sm86", "public_fp16_sm86"))
    assert predicted(fused, gpu).predicted_ms < predicted(split, gpu).predicted_ms


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([], "there are no kernels"),
        ([kernel("wait", [], [])], "there are no kernels"),
        ([mover("x", "y"), kernel("kgen", [], [])], "1 of 2 kernels do not tell their tensors"),
        ([kernel("conv", [tensor("x", 4)], [tensor("y", 4)])], "1 of 1 kernels are of a kind"),
        ([convolution(dtype="fp8")], "whose rate is not known (fp8)"),
    ],
)
def test_no_figure_where_a_kernel_is_not_known(layers: list[EngineLayer], reason: str) -> None:
    found = predict_time(layers, TOY)
    assert isinstance(found, NotPredicted)
    assert reason in found.reason


sizes = st.integers(1, 1 << 22)


@given(st.lists(sizes, min_size=1, max_size=6), st.integers(0, 5), sizes)
def test_more_bytes_never_take_less_time(elements: list[int], which: int, more: int) -> None:
    """Of kernels that read nothing of each other: what one keeps in the cache another may lose."""

    def layers(counts: list[int]) -> list[EngineLayer]:
        return [mover(f"r{i}", f"w{i}", count) for i, count in enumerate(counts)]

    grown = list(elements)
    grown[which % len(grown)] += more
    assert predicted(layers(grown)).predicted_ms >= predicted(layers(elements)).predicted_ms


@given(
    st.sampled_from(("memory_gb_s", "fp16_tflops", "int8_tops", "fp32_tflops", "clock_ghz")),
    st.floats(1.0, 100.0),
    st.sampled_from(("n320_fp16_sm75", "n320_int8_sm86", "public_fp16_sm86")),
)
def test_a_faster_gpu_is_never_slower(rate: str, factor: float, name: str) -> None:
    faster = TOY.model_copy(update={rate: getattr(TOY, rate) * factor})
    layers = recorded(name)
    assert predicted(layers, faster).predicted_ms <= predicted(layers).predicted_ms * (1 + 1e-12)


@given(st.floats(0.25, 64.0), st.floats(1.0, 16.0))
def test_a_larger_cache_is_never_slower(size: float, factor: float) -> None:
    small, large = (TOY.model_copy(update={"l2_mib": one}) for one in (size, size * factor))
    layers = recorded("n320_fp16_sm86")
    assert predicted(layers, large).predicted_ms <= predicted(layers, small).predicted_ms + 1e-12


def test_the_documents_tell_the_same_figures() -> None:
    text = (Path(__file__).parents[2] / "docs" / "bench.md").read_text(encoding="utf-8")
    low, high = SEEN_RATIOS
    assert f"From {low} to {high} times" in text
    assert f"| {OVERHEAD_CYCLES} GPU cycles a kernel" in text
    assert f"{PEAK_SHARE:.2f} of the published dense peak" in text
    assert f"at {MEMORY_SHARE} of the memory's rate" in text
    assert f"{CACHE_BYTES_PER_CLOCK} bytes a clock" in text
