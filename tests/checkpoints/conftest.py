"""One honest checkpoint of each form, written once."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from tests.checkpoints.crafting import (
    as_trainer_model,
    random_detector,
    trainer_file,
    trainer_package,
)
from yolov12edge.model import Detector

NAMES = {0: "cat", 1: "dog", 2: "owl"}


@pytest.fixture(scope="session")
def detector() -> Detector:
    """Turbo, scale n, three classes, values that half precision holds exactly."""
    return random_detector("n", "turbo", 3).half().float()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, detector: Detector) -> dict[str, Path]:
    """published, trainer (its `model` differs from its `ema`), flat and wrapped files."""
    folder = tmp_path_factory.mktemp("checkpoints")
    other = copy.deepcopy(detector)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    with trainer_package() as package:
        model = as_trainer_model(package, copy.deepcopy(detector), NAMES).half()
        stale = as_trainer_model(package, other, NAMES).half()
        optimizer = torch.optim.SGD(stale.parameters(), lr=0.1, momentum=0.9)
        for parameter in stale.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        optimizer.step()
        published = trainer_file(folder / "published.pt", model, None)
        trainer = trainer_file(
            folder / "trainer.pt", stale, model, epoch=41, optimizer=optimizer.state_dict()
        )
    flat = folder / "flat.pt"
    torch.save(detector.state_dict(), flat)
    return {"published": published, "trainer": trainer, "flat": flat}
