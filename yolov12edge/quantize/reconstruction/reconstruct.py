"""Learn the rounding of a whole graph, one convolution after the other in the order of the graph.

Each sees what the convolutions before it, already rounded, make of the images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from yolov12edge.fakequant import Replay
from yolov12edge.quantize.integers import IntegerConvolution, Rounding
from yolov12edge.quantize.policy import QuantizationPlan
from yolov12edge.quantize.qdq import IsHalf, Step, never_half
from yolov12edge.quantize.reconstruction.learn import LearnSettings, UnitLearner, UnitResult
from yolov12edge.quantize.reconstruction.units import split_units
from yolov12edge.quantize.reconstruction.walk import Walk, weigh_places
from yolov12edge.quantize.rules import Dialect
from yolov12edge.voice import Progress, no_progress

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Reconstruction:
    """A learned rounding.

    Attributes:
        rounding: to be written.
        results: of every convolution that was learned so far, in order.
    """

    rounding: Rounding
    results: dict[str, UnitResult] = field(default_factory=dict)


def reconstruct(
    model: onnx.ModelProto,
    plan: QuantizationPlan,
    dialect: Dialect,
    start: Rounding,
    images: Iterable[Array],
    settings: LearnSettings,
    *,
    is_half: IsHalf = never_half,
    begun: Reconstruction | None = None,
    save: Callable[[Reconstruction], None] | None = None,
    progress: Progress = no_progress,
) -> Reconstruction:
    """Learn how every convolution of a plan rounds.

    Args:
        model: float32 graph that the plan was made of.
        plan: what becomes INT8.
        dialect: the rules that the plan was made by.
        start: everything to the nearest.
        images: (3, H, W) RGB in 0..1; all of them are held in memory, with what the graph makes of
            them at one place.
        settings: how learning goes.
        is_half: where the graph that is written stores scales in FP16.
        begun: what an interrupted call had found; the result is the same as without it.
        save: called with what is known after every convolution.
        progress: called with (label, convolutions done, convolutions).
    """
    replay = Replay(model)
    units = split_units(replay.view, plan)
    stack = torch.from_numpy(np.stack(list(images)))
    found = begun or Reconstruction(start)
    weights = weigh_places(replay, [unit.end for unit in units if unit.convolution], stack)
    walk = Walk(replay, plan, units, stack)
    done = 0
    for unit in units:
        name = unit.convolution
        if name is not None and name not in found.results:
            tensor = found.rounding.reads[name]
            learner = UnitLearner(
                replay,
                unit,
                found.rounding.convolutions[name],
                found.rounding.steps[tensor],
                free_step=plan.edges[tensor] == ((name, 0),) and (tensor,) in plan.groups,
                limit=None if dialect.weights is None else dialect.weights.limit,
                half=any(is_half(*edge) for edge in plan.edges[tensor]),
            )
            lesson = walk.lesson(unit, weights[unit.end])
            found = _with(found, name, *learner.learn(lesson, settings, _generator(settings, name)))
            if save is not None:
                save(found)
        walk.advance(unit, found.rounding)
        if name is not None:
            done += 1
            progress("learning", done, len(plan.convolutions))
    return found


def _with(
    found: Reconstruction, name: str, conv: IntegerConvolution, step: Step, result: UnitResult
) -> Reconstruction:
    rounding = found.rounding
    return Reconstruction(
        Rounding(
            {**rounding.steps, rounding.reads[name]: step},
            {**rounding.convolutions, name: conv},
            rounding.reads,
        ),
        {**found.results, name: result},
    )


def _generator(settings: LearnSettings, name: str) -> torch.Generator:
    """One for each convolution, so that going on after an interruption changes nothing."""
    digest = hashlib.sha256(f"{settings.seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
