"""The GPUs that predictions of time know: gpus.yaml beside this file, checked against a schema."""

from __future__ import annotations

import difflib
import functools
import importlib.resources
from collections import Counter
from typing import Annotated

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from yolov12edge.documents import Document
from yolov12edge.errors import UsageError

Positive = Annotated[float, Field(gt=0)]
_TOLD_APART = ("name", "title", "sm", "sources")


class Gpu(Document):
    """What a prediction needs to know of a GPU; every figure has its source.

    Attributes:
        sm: compute capability, 86 for SM 8.6.
        sms: streaming multiprocessors.
        clock_ghz: boost clock.
        memory_gb_s: rate of its memory, in 1e9 bytes a second.
        l2_mib: size of the cache that all multiprocessors share, in 2**20 bytes.
        fp16_tflops, int8_tops: dense operations of the tensor cores, in 1e12 a second; a
            multiply-add counts as two.
        fp32_tflops: of the CUDA cores.
        sources: where each figure is from; "derived: ..." follows from others, "assumed: ..." is
            published nowhere.
    """

    model_config = ConfigDict(strict=True)

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str
    sm: Annotated[int, Field(ge=50, le=199)]
    sms: Annotated[int, Field(gt=0)]
    clock_ghz: Positive
    memory_gb_s: Positive
    l2_mib: Positive
    fp16_tflops: Positive
    int8_tops: Positive
    fp32_tflops: Positive
    sources: dict[str, Annotated[tuple[str, ...], Field(min_length=1, strict=False)]]

    @model_validator(mode="after")
    def _every_figure_has_one_source(self) -> Gpu:
        told = Counter(figure for figures in self.sources.values() for figure in figures)
        told.subtract(set(type(self).model_fields) - set(_TOLD_APART))
        wrong = sorted(figure for figure, excess in told.items() if excess)
        if wrong:
            raise ValueError(f"{self.name}: one source for each figure, not for {wrong}")
        return self

    @property
    def assumed(self) -> tuple[str, ...]:
        """Figures that nobody published."""
        marked = (given for said, given in self.sources.items() if said.startswith("assumed:"))
        return tuple(sorted(figure for given in marked for figure in given))


@functools.cache
def list_gpus() -> tuple[Gpu, ...]:
    """Every GPU of the table, in its order."""
    text = importlib.resources.files("yolov12edge.run").joinpath("gpus.yaml").read_text("utf-8")
    return TypeAdapter(tuple[Gpu, ...]).validate_python(tuple(yaml.safe_load(text)))


def load_gpu(name: str) -> Gpu:
    """A GPU of the table.

    Raises:
        UsageError: there is none of that name (with the nearest one).
    """
    gpus = {gpu.name: gpu for gpu in list_gpus()}
    if name not in gpus:
        near = difflib.get_close_matches(name.lower(), gpus, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"no GPU named {name!r} is known", f"{guess}GPUs: {', '.join(gpus)}")
    return gpus[name]


def gpus_of(capability: int) -> tuple[Gpu, ...]:
    """The GPUs of a compute capability, 86 for SM 8.6."""
    return tuple(gpu for gpu in list_gpus() if gpu.sm == capability)
