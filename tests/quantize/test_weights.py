"""INT8 weights and the bias that makes up for them, against PyTorch's convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d

from yolov12edge.quantize.weights import corrected_bias, quantize_weight


def weights(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    spread = 10 ** random.uniform(-2, 0.5, (shape[0], *[1] * (len(shape) - 1)))
    return (random.normal(0, 1, shape) * spread).astype(np.float32)


@pytest.mark.parametrize("shape", [(16, 8, 3, 3), (32, 16, 1, 1), (24, 1, 7, 7)])
def test_each_channel_has_its_own_scale(shape: tuple[int, ...]) -> None:
    weight = weights(shape)
    found = quantize_weight(weight, half_scales=False)
    assert found.values.dtype == np.int8
    assert found.values.min() >= -127
    error = ((found.restored - weight) ** 2).reshape(len(weight), -1).sum(1)
    flat = weight.reshape(len(weight), -1)
    largest = np.abs(flat).max(1, keepdims=True) / 127
    simple = ((np.round(flat / largest) * largest - flat) ** 2).sum(1)
    assert (error <= simple * (1 + 1e-4)).all()
    assert (error > 0).all()


def test_half_scales_are_what_fp16_can_store() -> None:
    weight = weights((16, 8, 3, 3)) * 1e-3
    found = quantize_weight(weight, half_scales=True)
    assert np.array_equal(found.scales, found.scales.astype(np.float16).astype(np.float32))
    assert found.scales.min() >= np.finfo(np.float16).tiny


def test_a_channel_of_zeros_stays_zero() -> None:
    weight = weights((4, 2, 3, 3))
    weight[2] = 0
    assert not quantize_weight(weight, half_scales=True).restored[2].any()


@pytest.mark.parametrize("group", [1, 4, 16])
def test_the_bias_keeps_the_mean_of_every_output(group: int) -> None:
    channels = 16
    weight = weights((channels, channels // group, 3, 3))
    bias = np.random.default_rng(1).normal(0, 1, channels).astype(np.float32)
    # Images that are constant over their area: the mean of an input channel is all there is.
    levels = np.random.default_rng(2).uniform(-1, 3, (64, channels)).astype(np.float32)
    x = torch.from_numpy(levels)[:, :, None, None].expand(-1, -1, 5, 5)
    quantized = quantize_weight(weight * 40, half_scales=False)
    coarse = type(quantized)(quantized.values // 16 * 16, quantized.scales / 40)
    new = corrected_bias(bias, weight, coarse, levels.mean(0, dtype=np.float64), group)

    def means(values: np.ndarray, offset: np.ndarray) -> np.ndarray:
        y = conv2d(x, torch.tensor(values, dtype=torch.float32), torch.tensor(offset), groups=group)
        return y.mean((0, 2, 3)).numpy()

    expected = means(weight, bias)
    without = np.abs(means(coarse.restored, bias) - expected).max()
    assert np.abs(means(coarse.restored, new) - expected).max() < 1e-3 * max(1.0, without)
    assert without > 0.05


@pytest.mark.parametrize("group", [1, 8])
def test_the_bias_takes_back_what_rounding_does_to_the_inputs(group: int) -> None:
    channels = 8
    weight = weights((channels, channels // group, 3, 3), seed=3)
    bias = np.zeros(channels, np.float32)
    # SiLU's negative side: small values that coarse steps round to one side.
    levels = -np.abs(np.random.default_rng(4).normal(0, 0.1, (64, channels))).astype(np.float32)
    coarse = np.round(levels / 0.25).astype(np.float32) * 0.25
    quantized = quantize_weight(weight, half_scales=False)
    exact, shifts = (values.mean(0, dtype=np.float64) for values in (levels, coarse - levels))

    def means(values: np.ndarray, inputs: np.ndarray, offset: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(inputs)[:, :, None, None].expand(-1, -1, 5, 5)
        y = conv2d(x, torch.tensor(values, dtype=torch.float32), torch.tensor(offset), groups=group)
        return y.mean((0, 2, 3)).numpy()

    expected = means(weight, levels, bias)
    plain, aware = (
        np.abs(means(quantized.restored, coarse, corrected) - expected).max()
        for corrected in (
            corrected_bias(bias, weight, quantized, exact, group),
            corrected_bias(bias, weight, quantized, exact, group, shifts),
        )
    )
    assert aware < 1e-4 * max(1.0, plain)
    assert plain > 0.05
