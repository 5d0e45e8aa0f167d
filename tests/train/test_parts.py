"""Groups, schedule, averaging and freezing against the formulas of the published recipe."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from yolov12edge.errors import UnsupportedError, UsageError
from yolov12edge.model import build_model
from yolov12edge.train.ema import WeightAverage, average_for
from yolov12edge.train.freeze import freeze, training_mode
from yolov12edge.train.optimizer import build_optimizer, clip_gradients, parameter_groups
from yolov12edge.train.precision import Precision
from yolov12edge.train.schedule import Schedule
from yolov12edge.train.settings import TrainingSettings

CPU = torch.device("cpu")


def resolved(images: int = 118_287, **changes: object) -> TrainingSettings:
    return TrainingSettings.model_validate({"optimizer": "sgd", **changes}).resolved(images)


def test_every_parameter_is_in_the_group_that_its_name_says() -> None:
    model = build_model("l", num_classes=3)
    groups = [{id(p) for p in group} for group in parameter_groups(model)]
    expected: list[set[int]] = [set(), set(), set()]
    for name, parameter in model.named_parameters():
        if "dfl" in name:
            continue
        kind = 2 if "bias" in name else 1 if ".bn." in name else 0
        expected[kind].add(id(parameter))
    assert groups == expected
    assert sum(map(len, groups)) == len(list(model.parameters())) - 1
    assert id(model.model[6].gamma) in groups[0]


@pytest.mark.parametrize(
    ("batch", "accumulate", "decay"),
    # 5e-4 * batch * accumulate / 64; the release trained with 256 and so with 2e-3.
    [
        (256, 1, 2e-3),
        (128, 1, 1e-3),
        (64, 1, 5e-4),
        (16, 4, 5e-4),
        (24, 3, 5.625e-4),
        (1, 64, 5e-4),
    ],
)
def test_weight_decay_follows_the_images_of_an_update(
    batch: int, accumulate: int, decay: float
) -> None:
    settings = resolved(batch=batch)
    assert settings.accumulate == accumulate
    optimizer = build_optimizer(build_model("n", num_classes=1), settings)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [pytest.approx(decay), 0, 0]
    assert all(g["nesterov"] for g in optimizer.param_groups)


def test_the_release_schedule_is_reproduced() -> None:
    """Figures of the release's logs: 463 steps an epoch, floor 1e-4, last epoch 1.165e-4."""
    schedule = Schedule(resolved(epochs=600, batch=256), 463)
    assert schedule.warmup_steps == 3 * 463
    assert schedule.lr(0) == 0
    assert schedule.lr(599 * 463) == pytest.approx(1.165e-4)
    assert schedule.factor(600) == pytest.approx(0.01)
    # Half-way through the warm-up, in the second epoch.
    middle = 3 * 463 / 2
    expected = 0.01 * (1 - 1 / 600 * 0.99) * 0.5
    assert schedule.lr(int(middle)) == pytest.approx(expected, rel=1e-3)
    assert schedule.momentum(0) == 0.8
    assert schedule.momentum(int(middle)) == pytest.approx((0.8 + 0.937) / 2, abs=1e-4)
    assert schedule.momentum(3 * 463) == schedule.momentum(200_000) == 0.937


@pytest.mark.parametrize(
    ("epochs", "steps", "warmup"), [(90, 13, 100), (100, 50, 150), (4, 10, 20), (1, 1, 0)]
)
def test_warmup_has_at_least_100_steps_but_at_most_half_the_run(
    epochs: int, steps: int, warmup: int
) -> None:
    schedule = Schedule(resolved(epochs=epochs), steps)
    assert schedule.warmup_steps == warmup
    rates = [schedule.lr(step) for step in range(epochs * steps)]
    assert np.argmax(rates) <= max(warmup, 1)
    assert max(rates) <= 0.01
    assert Schedule(resolved(epochs=epochs, warmup_epochs=0), steps).lr(0) == 0.01


def test_rates_reach_the_optimizer() -> None:
    settings = resolved(epochs=10)
    schedule = Schedule(settings, 100)
    optimizer = build_optimizer(build_model("n", num_classes=1), settings)
    schedule.apply(optimizer, 30)
    for group in optimizer.param_groups:
        assert group["lr"] == pytest.approx(0.01 * 30 / 300)
        assert group["momentum"] == pytest.approx(0.8 + 0.137 * 30 / 300)


@pytest.mark.parametrize(
    ("changes", "images", "optimizer", "lr", "nominal"),
    [
        # ceil(images / max(batch, 64)) * epochs > 10000 is a long run.
        ({"epochs": 600, "batch": 256}, 118_287, "sgd", 0.01, 64),
        ({"epochs": 100, "batch": 16}, 6400, "adamw", 1e-3, 16),
        ({"epochs": 101, "batch": 16}, 6400, "sgd", 0.01, 64),
        ({"epochs": 90, "batch": 64}, 205, "adamw", 2e-3, 64),
        ({"epochs": 90, "batch": 256}, 205, "adamw", 2e-3, 256),
        ({"epochs": 90, "batch": 4}, 205, "adamw", 5e-4, 4),
        ({"epochs": 90, "batch": 16, "nominal_batch": 64}, 205, "adamw", 2e-3, 64),
        ({"epochs": 90, "lr": 0.5}, 205, "adamw", 0.5, 16),
    ],
)
def test_what_auto_chooses(
    changes: dict[str, object], images: int, optimizer: str, lr: float, nominal: int
) -> None:
    settings = resolved(images, **{"optimizer": "auto", **changes})
    assert (settings.optimizer, settings.lr) == (optimizer, pytest.approx(lr))
    assert settings.nominal_batch == nominal


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch": 0}, {"image_size": (64, 65)}, {"lr": 0}, {"optimizer": "adam"},
     {"amp": "fp8"}, {"freeze": -1}, {"learning_rate": 1}, {"image_size": (0, 64)}],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainingSettings.model_validate(wrong)


def test_the_average_follows_its_formula() -> None:
    model = build_model("n", num_classes=1)
    average = WeightAverage(model)
    name, mean, counter = "model.0.conv.weight", "model.0.bn.running_mean", "num_batches_tracked"
    state = model.state_dict()
    expected = {key: state[key].double().clone() for key in (name, mean)}
    for update in range(1, 6):
        with torch.no_grad():
            for key, value in state.items():
                value.add_(update if key.endswith(counter) else torch.randn_like(value) * 0.1)
        average.update()
        decay = 0.9999 * (1 - math.exp(-update / 2000))
        for key in expected:
            expected[key] = decay * expected[key] + (1 - decay) * state[key].double()
    found = average.model.state_dict()
    for key, value in expected.items():
        torch.testing.assert_close(found[key].double(), value, rtol=1e-5, atol=1e-6)
    assert int(found[f"model.0.bn.{counter}"]) == sum(range(1, 6))
    assert average.updates == 5
    assert not any(parameter.requires_grad for parameter in average.model.parameters())


def test_short_runs_have_a_short_memory() -> None:
    model = build_model("n", num_classes=1)
    long = average_for(model, resolved(), 600 * 463)
    assert (long.decay, long.ramp) == (0.9999, 2000)
    tenth = average_for(model, resolved(), 60 * 463)
    assert (tenth.decay, tenth.ramp) == (pytest.approx(0.999), pytest.approx(200))
    assert average_for(model, resolved(), 1).decay == 0
    asked = average_for(model, resolved(ema_decay=0.5, ema_ramp=7), 100)
    assert (asked.decay, asked.ramp) == (0.5, 7)


def test_frozen_layers_stay_as_they_are() -> None:
    model = build_model("n", num_classes=1)
    freeze(model, 9)
    settings = resolved(freeze=9, lr=1)
    optimizer = build_optimizer(model, settings)
    training_mode(model, 9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sum(level.square().mean() for level in model.raw(torch.rand(2, 3, 64, 64))).backward()
    assert clip_gradients(optimizer, 10)
    optimizer.step()
    for name, value in model.state_dict().items():
        same = torch.equal(value, before[name])
        layer = int(name.split(".")[1])
        if layer < 9:
            assert same, name
        elif name.endswith(("bn.running_mean", "conv.weight")) and ".dfl." not in name:
            assert not same, name
    with pytest.raises(UsageError, match="leaves nothing to train"):
        freeze(model, 22)


def test_gradients_are_clipped_and_judged() -> None:
    model = build_model("n", num_classes=1)
    optimizer = build_optimizer(model, resolved())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert clip_gradients(optimizer, 10)
    trained = [p for p in model.parameters() if p.requires_grad]
    norm = torch.cat([p.grad.double().flatten() for p in trained]).norm()  # type: ignore[union-attr]
    assert float(norm) == pytest.approx(10, rel=1e-4)
    trained[3].grad = torch.full_like(trained[3], math.nan)
    assert not clip_gradients(optimizer, 10)


def test_precision_by_device() -> None:
    assert Precision("auto", CPU).name == "off"
    assert Precision("bf16", CPU).name == "bf16"
    with pytest.raises(UnsupportedError, match="needs a GPU"):
        Precision("fp16", CPU)
    assert Precision("off", CPU).scale() == {}
    with Precision("bf16", CPU).forward():
        assert (torch.rand(2, 2) @ torch.rand(2, 2)).dtype == torch.bfloat16
