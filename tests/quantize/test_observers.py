"""Statistics of one pass, against NumPy over all values at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.models import lively_model
from yolov12edge.errors import DataError, ExportError
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.quantize import observe
from yolov12edge.quantize.observers import BINS, Statistics, empty_statistics

TENSORS = ["images", "model.0/silu", "model.2/concat", "model.6.m.0.0.attn/weights"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("observed") / "model.onnx"
    export_onnx(lively_model("n", num_classes=2), path, ExportOptions(64, 64))
    return onnx.load(path)


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.random((3, 64, 64), np.float32) for _ in range(count)]


def all_values(model: onnx.ModelProto, images: list[np.ndarray]) -> dict[str, np.ndarray]:
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in TENSORS[1:])
    session = onnxruntime.InferenceSession(
        opened.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    runs = [session.run(TENSORS[1:], {"images": image[None]}) for image in images]
    found = {name: np.stack(run) for name, run in zip(TENSORS[1:], zip(*runs, strict=True))}  # noqa: B905
    return found | {"images": np.stack([image[None] for image in images])}


def test_extremes_and_means_are_exact(model: onnx.ModelProto) -> None:
    images = pictures(5)
    found = observe(model, TENSORS, iter(images), 5)
    for name, values in all_values(model, images).items():
        seen = found.tensors[name]
        assert seen.low == pytest.approx(min(0.0, float(values.min())), rel=1e-6)
        assert seen.high == pytest.approx(max(0.0, float(values.max())), rel=1e-6)
        assert seen.images == 5
        assert seen.limit > max(-seen.low, seen.high) >= seen.limit / 2 or seen.low == seen.high
        if values.ndim == 5:
            expected = values[:, 0].mean(axis=(0, 2, 3))
            assert np.allclose(seen.channel_means, expected, atol=1e-5)


@given(
    parts=st.lists(
        arrays(np.int64, (1, 40), elements=st.integers(-8000, 8000)), min_size=1, max_size=6
    )
)
@settings(max_examples=60, deadline=None)
def test_a_growing_histogram_is_the_histogram_of_all(parts: list[np.ndarray]) -> None:
    statistics = empty_statistics()
    # Off the edges of bins, where float32 rounding could decide.
    values = np.concatenate(parts) / 8 + 0.03125
    for row in values:
        statistics.add(row[None].astype(np.float32))
    values = values.ravel()
    limit = statistics.limit
    expected, _ = np.histogram(values, BINS, (-limit, limit))
    assert np.array_equal(statistics.counts, expected)
    wider, _ = np.histogram(values, BINS, (-4 * limit, 4 * limit))
    assert np.array_equal(statistics.widened(4 * limit), wider)


def test_the_outermost_values_are_in_the_outermost_bins() -> None:
    statistics = empty_statistics()
    statistics.add(np.array([[-0.9999, 0.9999, 0.9999]], np.float32))
    assert statistics.limit == 1
    assert statistics.counts[[0, -1]].tolist() == [1, 2]
    assert statistics.counts.sum() == 3


def test_statistics_do_not_grow_with_the_images(model: onnx.ModelProto) -> None:
    sizes = []
    for count in (2, 12):
        sizes.append(len(observe(model, TENSORS, iter(pictures(count)), count).to_bytes()))
    assert abs(sizes[1] - sizes[0]) < 64


def equal(one: Statistics, other: Statistics) -> bool:
    return one.images == other.images and all(
        np.array_equal(one.tensors[name].counts, other.tensors[name].counts)
        and np.allclose(one.tensors[name].channel_means, other.tensors[name].channel_means)
        and (one.tensors[name].low, one.tensors[name].high)
        == (other.tensors[name].low, other.tensors[name].high)
        for name in TENSORS
    )


def test_an_interrupted_pass_goes_on(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolov12edge.quantize.observers.SAVE_EVERY", 3)
    images = pictures(8)

    def stopping() -> Iterator[np.ndarray]:
        yield from images[:7]
        raise KeyboardInterrupt

    saved: list[bytes] = []
    with pytest.raises(KeyboardInterrupt):
        observe(model, TENSORS, stopping(), 8, save=lambda found: saved.append(found.to_bytes()))
    assert len(saved) == 2
    steps: list[int] = []
    resumed = observe(
        model,
        TENSORS,
        iter(images),
        8,
        begun=Statistics.from_bytes(saved[-1]),
        progress=lambda _label, done, _total: steps.append(done),
    )
    assert steps == [7, 8], "six images were remembered"
    assert equal(resumed, observe(model, TENSORS, iter(images), 8))


def test_saved_statistics_come_back(model: onnx.ModelProto) -> None:
    found = observe(model, TENSORS, iter(pictures(3)), 3)
    again = Statistics.from_bytes(found.to_bytes())
    assert equal(found, again)
    assert again.to_bytes() == found.to_bytes()


def test_no_images_and_nan_are_refused(model: onnx.ModelProto) -> None:
    with pytest.raises(DataError, match="real images") as caught:
        observe(model, TENSORS, iter([]), 0)
    assert "--calib" in caught.value.hint
    with pytest.raises(ExportError, match="NaN"):
        observe(model, TENSORS, iter([np.full((3, 64, 64), np.nan, np.float32)]), 1)
