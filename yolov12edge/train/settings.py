"""What a training run does, as one checked and storable document."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, field_validator

from yolov12edge.documents import Document

OptimizerName = Literal["auto", "sgd", "adamw"]
AmpName = Literal["auto", "bf16", "fp16", "off"]
CacheName = Literal["auto", "none", "ram", "disk"]

# The published recipe's automatic choice: SGD for runs of more iterations than this.
LONG_RUN = 10_000
NOMINAL_BATCH = 64


class TrainingSettings(Document):
    """Hyper-parameters of the loop; the defaults are those of the published recipe.

    Source: the YOLOv12 release (arXiv:2502.12524), except `epochs` (600 there) and `batch` (256).

    Attributes:
        epochs: passes over the images.
        batch: images a step, over all processes.
        image_size: (height, width) of the input, multiples of 32.
        optimizer: sgd, adamw, or auto: sgd for more than 10000 iterations.
        lr: learning rate after the warm-up; by the optimizer if None.
        final_lr: the last learning rate as a fraction of `lr`.
        momentum: of SGD after the warm-up; the first beta of AdamW stays at 0.9.
        weight_decay: at a batch of 64; scaled with the images an update sees.
        nominal_batch: images an update should see, by accumulation; None for the published 64 with
            SGD and for `batch` with AdamW, whose updates do not depend on the gradient's scale.
        warmup_epochs: length of the warm-up, at least 100 steps and at most half of the run.
        warmup_momentum: where SGD's momentum starts.
        clip: largest norm of the gradient.
        ema_decay, ema_ramp: decay of the averaged weights and its ramp in updates; None for the
            published 0.9999 and 2000, shortened in proportion for runs that are shorter.
        freeze: the first layers that are not trained.
        patience: epochs without a better mAP after which the run ends; 0 for never.
        eval_every: epochs between evaluations; the last epoch is always evaluated.
        close_mosaic: last epochs without mosaic, copy-paste and mixup.
        amp: bf16, fp16, off, or auto: bf16 or fp16 on a GPU, what is fastest on a CPU.
        sync_bn: batch statistics over the images of all processes.
        seed: of the weights, the order and the augmentation.
        workers: processes that load images, each rank; 0 for none.
        cache: of decoded images.
        save_minutes: minutes between two states within an epoch; after every epoch anyway.
        save_steps: steps between two states within an epoch; None for by time only.
        half: store best.safetensors in half precision.
    """

    epochs: int = Field(default=100, ge=1, le=100_000)
    batch: int = Field(default=16, ge=1, le=1 << 16)
    image_size: tuple[int, int] = (640, 640)
    optimizer: OptimizerName = "auto"
    lr: float | None = Field(default=None, gt=0, le=10)
    final_lr: float = Field(default=0.01, ge=0, le=1)
    momentum: float = Field(default=0.937, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0, le=1)
    nominal_batch: int | None = Field(default=None, ge=1, le=1 << 16)
    warmup_epochs: float = Field(default=3.0, ge=0, le=1000)
    warmup_momentum: float = Field(default=0.8, ge=0, lt=1)
    clip: float = Field(default=10.0, gt=0)
    ema_decay: float | None = Field(default=None, ge=0, lt=1)
    ema_ramp: float | None = Field(default=None, gt=0)
    freeze: int = Field(default=0, ge=0, le=22)
    patience: int = Field(default=100, ge=0)
    eval_every: int = Field(default=1, ge=1)
    close_mosaic: int = Field(default=10, ge=0)
    amp: AmpName = "auto"
    sync_bn: bool = True
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    workers: int = Field(default=0, ge=0, le=256)
    cache: CacheName = "auto"
    save_minutes: float = Field(default=10.0, gt=0)
    save_steps: int | None = Field(default=None, ge=1)
    half: bool = False

    @field_validator("image_size")
    @classmethod
    def _whole_cells(cls, size: tuple[int, int]) -> tuple[int, int]:
        if any(side % 32 or not 32 <= side <= 4096 for side in size):
            raise ValueError("both sides must be multiples of 32, from 32 to 4096")
        return size

    def resolved(self, images: int) -> TrainingSettings:
        """The settings for a set of `images`, with nothing left to choose but `amp` and EMA."""
        chosen = self.optimizer
        if chosen == "auto":
            iterations = math.ceil(images / max(self.batch, NOMINAL_BATCH)) * self.epochs
            chosen = "sgd" if iterations > LONG_RUN else "adamw"
        nominal = self.nominal_batch or (NOMINAL_BATCH if chosen == "sgd" else self.batch)
        seen = self.batch * accumulation(self.batch, nominal)
        lr = self.lr or (1e-2 if chosen == "sgd" else adamw_lr(seen))
        changes: dict[str, Any] = {"optimizer": chosen, "nominal_batch": nominal, "lr": lr}
        return self.model_copy(update=changes)

    @property
    def accumulate(self) -> int:
        """Steps an update."""
        return accumulation(self.batch, self.nominal_batch or NOMINAL_BATCH)

    @property
    def scaled_decay(self) -> float:
        """Weight decay for the images that an update sees, as published: 5e-4 at 64."""
        return self.weight_decay * self.batch * self.accumulate / NOMINAL_BATCH

    def uses_mosaic(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, mixes images."""
        return epoch < self.epochs - self.close_mosaic


def accumulation(batch: int, nominal: int) -> int:
    """Steps an update: as many as bring its images nearest to `nominal`."""
    return max(round(nominal / batch), 1)


def adamw_lr(images: int) -> float:
    """Learning rate of AdamW for updates of `images`: 1e-3 at 16, with the square root of them.

    The square-root rule for adaptive optimizers is arXiv:2205.10287's; beyond 64 images the rate
    stays at 2e-3.
    """
    return round(1e-3 * math.sqrt(min(images, 64) / 16), 6)
