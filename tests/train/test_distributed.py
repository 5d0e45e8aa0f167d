"""Two processes train as one does on the same batches."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.train.tiny import write_tiny_set
from yolov12edge.data.augment import Augmentation
from yolov12edge.data.batches import TrainingBatches
from yolov12edge.data.samples import load_samples
from yolov12edge.model import build_model
from yolov12edge.train.distributed import World, open_world, share_batch_norms
from yolov12edge.train.freeze import training_mode
from yolov12edge.train.loop import TrainingLoop
from yolov12edge.train.settings import TrainingSettings

ROOT = Path(__file__).parents[2]
STEPS = {torch.float32: 20, torch.float64: 10}
_PROCESS = """
import sys
from pathlib import Path
from tests.train import test_distributed
test_distributed.work(Path(sys.argv[1]))
"""


def train_steps(data: Path, world: World, dtype: torch.dtype) -> dict[str, Tensor]:
    """The weights after some steps; two steps an update, and one with no object on a rank."""
    samples = load_samples(data, "train")
    settings = TrainingSettings(
        epochs=100, batch=4, image_size=(64, 64), optimizer="sgd", nominal_batch=8, seed=1, lr=1e-3
    ).resolved(len(samples))
    torch.manual_seed(0)
    model = build_model("n", num_classes=len(samples.names)).to(dtype)
    batches = TrainingBatches(
        samples, Augmentation.published("n"), image_size=(64, 64), batch=4, seed=1,
        rank=world.rank, world=world.size,
    )  # fmt: skip
    loop = TrainingLoop(model, batches, settings, world)
    training_mode(model, 0)
    for epoch in range(STEPS[dtype] // batches.steps_per_epoch):
        loop.position.epoch, loop.position.step = epoch, 0
        for batch in batches.epoch(epoch):
            loop._step(batch)
    losses = {"losses": loop._losses.clone()}
    average = {f"average.{name}": value for name, value in loop.average.model.state_dict().items()}
    return losses | average | model.state_dict()


def normalised(x: Tensor, norm: nn.BatchNorm2d) -> dict[str, Tensor]:
    """Output, statistics and gradients of a batch norm under a loss that tells values apart."""
    x = x.clone().requires_grad_()
    y = norm(x)
    (y.sin() * torch.linspace(-1, 2, y[0].numel(), dtype=y.dtype).view_as(y[0])).sum().backward()
    gradients = {"weight.grad": norm.weight.grad, "bias.grad": norm.bias.grad}
    return {"y": y.detach(), "x.grad": x.grad, **gradients, **norm.state_dict()}  # type: ignore[dict-item]


def new_norm(dtype: torch.dtype) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(3, eps=1e-3, momentum=0.03).to(dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.5, -1]))
        norm.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    return norm


def activations(dtype: torch.dtype) -> Tensor:
    """A mean far from zero, where E[x^2] - E[x]^2 would have no digits left in float32."""
    torch.manual_seed(0)
    return torch.randn(5, 3, 4, 6, dtype=torch.float64).mul(0.5).add(300).to(dtype)


def work(folder: Path) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    with open_world("cpu") as world:
        results = {}
        for dtype in (torch.float64, torch.float32):
            norm = new_norm(dtype)
            share_batch_norms(nn.Sequential(norm))
            # Unequal shares: three images here, two there.
            own = activations(dtype)[world.rank :: 2]
            found = normalised(own, norm)
            results |= {f"norm.{dtype}.{name}": value for name, value in found.items()}
            found = train_steps(folder / "data.yaml", world, dtype)
            results |= {f"train.{dtype}.{name}": value for name, value in found.items()}
        results = {name: value.contiguous() for name, value in results.items()}
        save_file(results, folder / f"rank{world.rank}.safetensors")


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Tensor]]]:
    """The data, and what each of two processes found."""
    data = write_tiny_set(tmp_path_factory.mktemp("tiny"), count=8)
    (data.parent / "labels/3.txt").write_text("")
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, str(data.parent)],
            env=os.environ | common | {"RANK": str(rank), "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    return data, [load_file(data.parent / f"rank{rank}.safetensors") for rank in range(2)]


TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_weights_are_those_of_one_process(
    ranks: tuple[Path, list[dict[str, Tensor]]], dtype: torch.dtype
) -> None:
    data, found = ranks
    alone = train_steps(data, World(0, 1, torch.device("cpu")), dtype)
    torch.manual_seed(0)
    start = build_model("n", num_classes=2).to(dtype).state_dict()
    apart, moved = {}, {}
    for name, value in alone.items():
        theirs = [other[f"train.{dtype}.{name}"] for other in found]
        assert torch.equal(*theirs)
        apart[name] = float((theirs[0] - value).abs().max() / value.abs().max().clamp(min=1))
        if name.endswith("conv.weight") and name in start:
            moved[name] = float((value - start[name]).abs().max())
    assert max(apart.values()) < TOLERANCES[dtype], sorted(apart.items(), key=lambda i: i[1])[-5:]
    assert max(moved.values()) > 100 * max(apart[name] for name in moved)
    assert max(moved.values()) > 5e-5


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_batch_norm_over_processes_is_that_over_all_images(
    ranks: tuple[Path, list[dict[str, Tensor]]], dtype: torch.dtype
) -> None:
    x = activations(dtype)
    alone = normalised(x, new_norm(dtype))
    shares = [
        {
            name.removeprefix(f"norm.{dtype}."): v
            for name, v in rank.items()
            if name.startswith("norm.")
        }
        for rank in ranks[1]
    ]
    # A large mean costs float32 three digits, in either way of summing.
    tolerance = (
        {"rtol": 1e-3, "atol": 1e-2} if dtype is torch.float32 else {"rtol": 1e-9, "atol": 0}
    )
    for name in ("y", "x.grad"):
        joined = torch.empty_like(alone[name])
        for rank in range(2):
            joined[rank::2] = shares[rank][name]
        torch.testing.assert_close(joined, alone[name], **tolerance)
    for name in ("weight.grad", "bias.grad"):
        total = shares[0][name] + shares[1][name]
        torch.testing.assert_close(total, alone[name], **tolerance)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        for share in shares:
            torch.testing.assert_close(share[name], alone[name], **tolerance)
