"""Checkpoints to start from: whole, in part, fused, of another head, hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.models import lively_model
from yolov12edge.checkpoints import for_classes, initialise, read_initial, save_safetensors
from yolov12edge.errors import CheckpointError
from yolov12edge.model import Detector, published_architecture


def saved(state: dict[str, Tensor], path: Path) -> Path:
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


@pytest.mark.parametrize(("scale", "layout"), [("n", "v1"), ("s", "turbo"), ("m", "turbo")])
@pytest.mark.parametrize("layers", [("6",), ("7", "8"), ("2", "6", "21")])
def test_a_part_tells_what_it_is_of(
    tmp_path: Path, scale: str, layout: str, layers: tuple[str, ...]
) -> None:
    """Without the stem, which alone tells n from s in a whole file."""
    architecture = published_architecture(scale, layout, 80)
    state = Detector(architecture).state_dict()
    part = {name: value for name, value in state.items() if name.split(".")[1] in layers}
    found = read_initial(saved(part, tmp_path / "part.safetensors"))
    assert (found.architecture.scale, found.architecture.layout) == (scale, layout)


def test_prefixes_and_half_precision_do_not_matter(tmp_path: Path) -> None:
    source = lively_model("n", "turbo", num_classes=5)
    state = {f"module.{name}": value for name, value in source.state_dict().items()}
    halved = {n: v.half() if v.is_floating_point() else v for n, v in state.items()}
    initial = read_initial(saved(halved, tmp_path / "w.safetensors"))
    target = Detector(for_classes(initial.architecture, 5))
    fit = initialise(target, initial)
    assert (fit.taken, fit.total, fit.stored, fit.layers) == (739, 739, 739, ())
    for name, value in target.state_dict().items():
        expected = source.state_dict()[name]
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-3, msg=name)


def test_a_fused_file_computes_the_same(tmp_path: Path) -> None:
    from yolov12edge.pipeline.training.evaluation import fused_copy

    source = lively_model("n", "turbo", num_classes=5)
    path = saved(fused_copy(source).state_dict(), tmp_path / "fused.safetensors")
    initial = read_initial(path)
    target = Detector(for_classes(initial.architecture, 5)).eval()
    assert initialise(target, initial).layers == ()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(target(x), source(x), rtol=1e-3, atol=1e-3)


def test_another_number_of_classes_keeps_all_but_the_last_layers(tmp_path: Path) -> None:
    """At scale s the class branch has the same width for 80 classes and for 3."""
    source = lively_model("s", "turbo")
    initial = read_initial(save_safetensors(source, tmp_path / "w.safetensors"))
    given = source.state_dict()
    target = Detector(for_classes(initial.architecture, 3))
    fresh = {name: value.clone() for name, value in target.state_dict().items()}
    fit = initialise(target, initial)
    # Weight and bias of the last class convolution on three levels.
    assert fit.total - fit.taken == 6
    for name, value in target.state_dict().items():
        last = ".cv3." in name and name.split(".")[4] == "2"
        assert torch.equal(value, (fresh if last else given)[name]), name


def test_what_a_lone_bias_meant_is_not_guessed(tmp_path: Path) -> None:
    source = lively_model("n", "v1").state_dict()
    part = {name: source[name] for name in source if name.startswith("model.6.m.0.0.attn.")}
    mean = part.pop("model.6.m.0.0.attn.pe.bn.running_mean")
    part["model.6.m.0.0.attn.pe.conv.bias"] = torch.ones_like(mean)
    initial = read_initial(saved(part, tmp_path / "part.safetensors"))
    target = Detector(for_classes(initial.architecture, 80))
    fit = initialise(target, initial)
    assert fit.taken == len(part) - 1
    assert torch.equal(
        target.state_dict()["model.6.m.0.0.attn.pe.bn.running_mean"], torch.zeros_like(mean)
    )


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('ran')",)


def test_a_hostile_file_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"model.0.conv.weight": _Payload()}, path)
    with pytest.raises(CheckpointError):
        read_initial(path)


def test_a_huge_head_is_not_believed(tmp_path: Path) -> None:
    """The width of the class branch is squared into memory: a small file must not ask for it."""
    state = Detector(published_architecture("n", "turbo", 1)).state_dict()
    state["model.21.cv3.0.2.weight"] = torch.zeros(1, 100_000, 1, 1)
    initial = read_initial(saved(state, tmp_path / "w.safetensors"))
    assert initial.architecture.class_width is None
