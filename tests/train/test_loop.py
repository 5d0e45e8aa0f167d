"""The loop itself: it learns, stops, skips what is not finite, and keeps its memory."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
import torch

from tests.train.tiny import write_tiny_set
from yolov12edge.data.augment import Augmentation
from yolov12edge.data.batches import Batch, TrainingBatches
from yolov12edge.data.samples import SampleSet, load_samples
from yolov12edge.errors import CheckpointError
from yolov12edge.model import build_model
from yolov12edge.pipeline.training.evaluation import Validator, fused_copy
from yolov12edge.train.distributed import World
from yolov12edge.train.history import EpochRow, Evaluation
from yolov12edge.train.loop import Hooks, Stopped, TrainingLoop
from yolov12edge.train.settings import TrainingSettings

ONE = World(0, 1, torch.device("cpu"))
LETTERBOX_ONLY = Augmentation(**dict.fromkeys(Augmentation.model_fields, 0.0))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    return load_samples(write_tiny_set(tmp_path_factory.mktemp("tiny"), count=8), "train")


class Script:
    """Hooks that write down what happens; mAP by epoch is given."""

    def __init__(self, precisions: list[float] | None = None, stop_after: int | None = None):
        self.precisions = precisions or []
        self.stop_after = stop_after
        self.rows: list[EpochRow] = []
        self.better: list[int] = []
        self.saved: list[tuple[int, int]] = []
        self.steps = 0

    def step(self, loop: TrainingLoop, batch: Batch) -> None:
        self.steps += 1

    def evaluate(self, model: object) -> Evaluation:
        done = sum(row.evaluation is not None for row in self.rows)
        value = self.precisions[done] if done < len(self.precisions) else 0.0
        return Evaluation(value, value, {})

    def record(self, loop: TrainingLoop, row: EpochRow, better: bool) -> None:
        self.rows.append(row)
        if better:
            self.better.append(row.epoch)

    def hooks(self) -> Hooks:
        return Hooks(
            stop=lambda: self.steps == self.stop_after,
            step=self.step,
            save=lambda loop: self.saved.append((loop.position.epoch, loop.position.step)),
            evaluate=self.evaluate,
            record=self.record,
        )


def new_loop(samples: SampleSet, augmentation: Augmentation | None = None, **changes: object):
    settings = TrainingSettings.model_validate(
        {"image_size": (64, 64), "batch": 4, "epochs": 3, **changes}
    ).resolved(len(samples))
    torch.manual_seed(0)
    model = build_model("n", num_classes=len(samples.names), names=samples.names)
    batches = TrainingBatches(
        samples,
        augmentation or LETTERBOX_ONLY,
        image_size=settings.image_size,
        batch=settings.batch,
        seed=0,
    )
    return TrainingLoop(model, batches, settings, ONE)


def test_it_learns_a_few_pictures(samples: SampleSet) -> None:
    """From scratch to finding things, in 90 updates."""
    loop = new_loop(samples, epochs=90, lr=3e-3, close_mosaic=0, eval_every=90, batch=8)
    for module in loop.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # At 0.03 the statistics would need hundreds of steps to arrive.
            module.momentum = 0.2
    validator = Validator(samples, (64, 64), 8, ONE.device, loop.precision.forward)
    script = Script()
    before = validator(loop.average.model)
    loop.run(script.hooks())
    after = validator(loop.average.model)
    # At first there are next to no positives, and so next to no loss.
    for name in ("box", "cls", "dfl"):
        course = [getattr(row, name) for row in script.rows]
        assert course[-1] < 0.5 * max(course), (name, course[::5], after)
    assert (before.map or 0) < 0.05
    assert after.map is not None
    assert after.map > 0.2, after
    assert len(validator.examples) == 8


def test_the_fused_copy_computes_the_same(samples: SampleSet) -> None:
    loop = new_loop(samples, epochs=1)
    loop.run(Script().hooks())
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            fused_copy(loop.model)(x), loop.model.eval()(x), rtol=1e-4, atol=1e-4
        )


def test_it_stops_when_nothing_gets_better(samples: SampleSet) -> None:
    script = Script([0.1, 0.3, 0.2, 0.3, 0.25, 0.9])
    loop = new_loop(samples, epochs=9, patience=3, batch=8)
    loop.run(script.hooks())
    assert script.better == [1, 2]
    assert [row.epoch for row in script.rows] == [1, 2, 3, 4, 5]
    assert loop.position.stopped
    assert loop.position.best == 0.3
    assert script.saved[-1] == (5, 0)
    patient = Script([0.1])
    loop = new_loop(samples, epochs=4, patience=0, batch=8, eval_every=3)
    loop.run(patient.hooks())
    assert [row.evaluation is not None for row in patient.rows] == [False, False, True, True]
    assert not loop.position.stopped


def test_it_stops_between_two_steps(samples: SampleSet) -> None:
    script = Script(stop_after=5)
    loop = new_loop(samples)
    with pytest.raises(Stopped):
        loop.run(script.hooks())
    assert (loop.position.epoch, loop.position.step) == (2, 1)
    assert loop.iteration == 5


def test_mosaic_is_closed_for_the_last_epochs(samples: SampleSet) -> None:
    loop = new_loop(samples, epochs=4, close_mosaic=1, batch=8)
    seen = []
    real = loop.batches.epoch

    def epoch(number: int, *, first_step: int = 0, mosaic: bool = True) -> Iterator[Batch]:
        seen.append(mosaic)
        return real(number, first_step=first_step, mosaic=mosaic)

    loop.batches.epoch = epoch
    loop.run(Script().hooks())
    assert seen == [True, True, True, False]


def test_updates_wait_for_the_nominal_batch(samples: SampleSet) -> None:
    """3 epochs of 4 steps of 2 images, 3 steps an update: the epochs' ends do not matter."""
    loop = new_loop(samples, batch=2, nominal_batch=6)
    loop.run(Script().hooks())
    assert (loop.position.updates, loop.position.pending) == (4, 0)
    assert loop.average.updates == 4


def test_what_is_not_finite_changes_nothing_and_ends_the_run(samples: SampleSet) -> None:
    loop = new_loop(samples, epochs=20, batch=8)
    with torch.no_grad():
        loop.model.head.cv3[0][2].bias.fill_(float("nan"))
    before = loop.model.model[3].conv.weight.clone()
    with pytest.raises(CheckpointError, match="diverged in epoch 11"):
        loop.run(Script().hooks())
    assert torch.equal(loop.model.model[3].conv.weight, before)
    assert loop.position.updates == 0


def test_memory_does_not_grow(samples: SampleSet) -> None:
    loop = new_loop(samples, epochs=30, batch=8)
    used = []
    script = Script()
    real = script.record

    def record(loop: TrainingLoop, row: EpochRow, better: bool) -> None:
        real(loop, row, better)
        used.append(psutil.Process().memory_info().rss)

    script.record = record  # type: ignore[method-assign]
    loop.run(script.hooks())
    assert used[-1] - used[9] < 20e6, used
