"""Learned rounding: what it gains, what it may not touch, and that the file is what was learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.quantize.exact import convolve, rounded, run_file
from tests.quantize.small_networks import small_images, small_network
from yolov12edge.fakequant import Replay
from yolov12edge.graph.saturation import measure_headroom
from yolov12edge.quantize import (
    CPU,
    TENSORRT,
    Dialect,
    QuantizationPlan,
    Rounding,
    find_rounding,
    observe,
    observed_tensors,
    plan_quantization,
    quantize_int8,
)
from yolov12edge.quantize.observers import Statistics
from yolov12edge.quantize.reconstruction import (
    LearnSettings,
    Reconstruction,
    from_bytes,
    reconstruct,
    split_units,
    to_bytes,
)
from yolov12edge.quantize.reconstruction.walk import Walk

# Every convolution becomes INT8: the rules are not what is tested here.
EVERYTHING = {dialect.name: replace(dialect, keep=(), equalize=()) for dialect in (CPU, TENSORRT)}
QUICK = LearnSettings(iterations=12)


class Learned:
    """A small network, and what was learned of it."""

    def __init__(
        self, seed: int, channels: int, depth: int, joined: bool, dialect: Dialect
    ) -> None:
        self.dialect = dialect
        self.model = small_network(seed, channels, depth, joined)
        self.images = small_images(16, seed)
        self.plan: QuantizationPlan = plan_quantization(self.model, dialect)
        self.statistics: Statistics = observe(
            self.model, observed_tensors(self.model, [self.plan]), iter(self.images), 16
        )
        self.start = find_rounding(self.model, self.plan, dialect, self.statistics, "mse")

    def learn(self, settings: LearnSettings = QUICK, **more: object) -> Reconstruction:
        return reconstruct(
            self.model,
            self.plan,
            self.dialect,
            self.start,
            iter(self.images),
            settings,
            **more,  # type: ignore[arg-type]
        )

    def write(self, rounding: Rounding, folder: Path) -> onnx.ModelProto:
        source, target = folder / "float.onnx", folder / "int8.onnx"
        onnx.save(self.model, source)
        quantize_int8(
            source,
            target,
            self.plan,
            self.dialect,
            self.statistics,
            "mse",
            rounding=rounding,
        )
        return onnx.load(target)


@pytest.fixture(scope="module", params=list(EVERYTHING))
def small(request: pytest.FixtureRequest) -> Learned:
    return Learned(3, 8, 2, True, EVERYTHING[request.param])


@given(
    seed=st.integers(0, 10_000),
    channels=st.sampled_from([2, 5, 8]),
    depth=st.integers(1, 2),
    joined=st.booleans(),
    name=st.sampled_from(list(EVERYTHING)),
)
@settings(max_examples=12, deadline=None)
def test_the_file_computes_what_was_learned(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    channels: int,
    depth: int,
    joined: bool,
    name: str,
) -> None:
    """Bit for bit: the whole sums of every convolution, from the file and from the rounding."""
    learned = Learned(seed, channels, depth, joined, EVERYTHING[name])
    rounding = learned.learn().rounding
    image = small_images(1, seed + 1)[0]
    written = learned.write(rounding, tmp_path_factory.mktemp("exact"))
    values, sums = run_file(written, image)
    assert set(sums) == set(learned.plan.convolutions)
    for conv in learned.plan.convolutions:
        node = Replay(learned.model).view.by_name[conv]
        step = rounding.steps[rounding.reads[conv]]
        entering = values[node.input[0]]
        exact = entering if not isinstance(entering, tuple) else entering[0] * entering[1]
        steps = rounded(exact, np.float32(step.scale), int(step.zero), *step.ends)
        codes = rounding.convolutions[conv].weight.values.astype(np.int64)
        assert np.array_equal(convolve(steps, codes, codes.shape[2] // 2), sums[conv]), conv


def test_what_learning_saw_is_what_the_file_yields(small: Learned, tmp_path: Path) -> None:
    """Values of the rounded network on the way, against exact arithmetic on the file."""
    rounding = small.learn().rounding
    written = small.write(rounding, tmp_path)
    replay = Replay(small.model)
    units = split_units(replay.view, small.plan)
    walk = Walk(replay, small.plan, units, torch.from_numpy(np.stack(small.images)))
    for unit in units:
        walk.advance(unit, rounding)
        values, _ = run_file(written, small.images[2])
        for name, seen in walk.rounded.items():
            expected = values[name]
            if not isinstance(expected, tuple):
                # float32 sums in another order: a value on the border of two steps may fall apart.
                error = np.abs(seen[2].numpy() - expected[0])
                assert np.mean(error > 1e-3) < 0.02, name


def test_it_is_nearer_to_the_float_network(small: Learned, tmp_path: Path) -> None:
    learned = small.learn(LearnSettings(iterations=60))
    assert sum(result.kept for result in learned.results.values()) >= 1
    for result in learned.results.values():
        assert result.kept == (result.after < result.before)
    image = small_images(1, 99)[0]
    replay = Replay(small.model)
    exact = replay.run(replay.view.nodes, {"images": torch.from_numpy(image[None])})["detections"]
    errors = []
    for rounding in (small.start, learned.rounding):
        values, _ = run_file(small.write(rounding, tmp_path), image)
        errors.append(float(((values["detections"] - exact.numpy()) ** 2).mean()))
    assert errors[1] < errors[0]


def test_a_convolution_that_got_worse_stays_as_it_was(small: Learned) -> None:
    wild = LearnSettings(iterations=6, weight_rate=50.0, bias_rate=50.0, step_rate=5.0)
    learned = small.learn(wild)
    withdrawn = [name for name, result in learned.results.items() if not result.kept]
    assert withdrawn
    for name in withdrawn:
        before, after = small.start.convolutions[name], learned.rounding.convolutions[name]
        assert np.array_equal(before.weight.values, after.weight.values)
        assert np.array_equal(before.bias, after.bias)
        tensor = small.start.reads[name]
        assert learned.rounding.steps[tensor] == small.start.steps[tensor]


def test_weights_move_by_no_more_than_a_step_and_keep_to_the_limit(small: Learned) -> None:
    learned = small.learn(LearnSettings(iterations=40, weight_rate=0.2))
    moved = 0
    for name, conv in learned.rounding.convolutions.items():
        before = small.start.convolutions[name].weight
        assert np.array_equal(conv.weight.scales, before.scales)
        change = np.abs(conv.weight.values.astype(int) - before.values)
        # A limited pair gives way by half of what it is above the limit.
        assert change.max() <= 2
        moved += int((change > 0).sum())
        if small.dialect.weights is not None:
            assert measure_headroom(conv.weight.values).saturating == 0
    assert moved > 0


def test_steps_that_several_read_stay_as_they_are(small: Learned) -> None:
    learned = small.learn(LearnSettings(iterations=40, step_rate=2e-3))
    changed = {
        tensor
        for tensor, step in learned.rounding.steps.items()
        if step != small.start.steps[tensor]
    }
    assert changed
    assert all(len(small.plan.edges[tensor]) == 1 for tensor in changed)
    assert all(
        isinstance(step.zero, np.int8) == small.dialect.symmetric
        for step in learned.rounding.steps.values()
    )


def test_an_interrupted_run_ends_where_it_would_have(small: Learned) -> None:
    whole = small.learn()
    kept: list[Reconstruction] = []

    def press(unfinished: Reconstruction) -> None:
        kept.append(from_bytes(to_bytes(unfinished)))
        if len(kept) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.learn(save=press)
    assert len(kept[-1].results) == 3
    seen: list[Reconstruction] = []
    again = small.learn(begun=kept[-1], save=seen.append)
    assert len(seen) == len(small.plan.convolutions) - 3
    assert to_bytes(again) == to_bytes(whole)


def test_another_seed_learns_something_else(small: Learned) -> None:
    assert to_bytes(small.learn(replace(QUICK, seed=1))) != to_bytes(small.learn())
