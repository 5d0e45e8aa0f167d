"""Every form a checkpoint comes in gives the same detector."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from tests.checkpoints.conftest import NAMES
from tests.checkpoints.crafting import (
    as_trainer_model,
    random_detector,
    repack,
    trainer_file,
    trainer_package,
)
from yolov12edge.checkpoints import load_model, read_checkpoint, save_safetensors
from yolov12edge.errors import CheckpointError
from yolov12edge.model import Detector, published_architecture
from yolov12edge.pipeline.inspect.checkpoint import inspect_checkpoint


def assert_same_state(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(
    ("form", "expected_form"),
    [("published", "published"), ("trainer", "trainer"), ("flat", "state-dict")],
)
def test_form_is_found_and_values_survive(
    files: dict[str, Path], detector: Detector, form: str, expected_form: str
) -> None:
    checkpoint = read_checkpoint(files[form])
    assert checkpoint.form == expected_form
    assert checkpoint.architecture == detector.architecture
    assert_same_state(checkpoint.state, detector.state_dict())


def test_trainer_file_gives_its_ema_and_says_what_it_found(files: dict[str, Path]) -> None:
    checkpoint = read_checkpoint(files["trainer"])
    assert checkpoint.names == ("cat", "dog", "owl")
    assert checkpoint.epoch == 41
    assert checkpoint.image_size == 320
    assert checkpoint.license == "AGPL-3.0"
    assert checkpoint.dtype == "float16"
    assert "took the EMA weights" in checkpoint.notes


def test_published_file_has_no_epoch(files: dict[str, Path]) -> None:
    assert read_checkpoint(files["published"]).epoch is None


def test_reading_needs_no_trainer_package(files: dict[str, Path]) -> None:
    code = (
        "import sys; from yolov12edge.checkpoints import load_model; "
        "load_model(sys.argv[1]); assert not any('ultralytics' in name for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, files["trainer"]], check=True)


def test_loaded_detector_is_ready_to_use(files: dict[str, Path], detector: Detector) -> None:
    loaded = load_model(files["published"])
    x = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(x), detector(x), rtol=0, atol=0)
    assert loaded.names == ("cat", "dog", "owl")
    assert not loaded.training
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert loaded.num_parameters == detector.num_parameters


@pytest.mark.parametrize("key", ["model", "state_dict", "ema", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "_orig_mod."])
def test_wrapped_and_prefixed_state_dicts(
    tmp_path: Path, detector: Detector, key: str, prefix: str
) -> None:
    state = {prefix + name: t.half() for name, t in detector.state_dict().items()}
    torch.save({key: OrderedDict(state), "epoch": 3}, tmp_path / "wrapped.pt")
    assert_same_state(read_checkpoint(tmp_path / "wrapped.pt").state, detector.state_dict())


def test_state_dict_with_and_without_prefix_is_ambiguous(
    tmp_path: Path, detector: Detector
) -> None:
    state = detector.state_dict()
    torch.save({f"module.{n}": t for n, t in state.items()} | state, tmp_path / "both.pt")
    with pytest.raises(CheckpointError, match="both with and without"):
        read_checkpoint(tmp_path / "both.pt")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_binary_pickle_protocol(tmp_path: Path, detector: Detector, protocol: int) -> None:
    path = tmp_path / "flat.pt"
    torch.save(detector.state_dict(), path, pickle_protocol=protocol)
    assert_same_state(read_checkpoint(path).state, detector.state_dict())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_other_float_types(tmp_path: Path, detector: Detector, dtype: torch.dtype) -> None:
    typed = copy.deepcopy(detector).to(dtype)
    torch.save(typed.state_dict(), tmp_path / "flat.pt")
    checkpoint = read_checkpoint(tmp_path / "flat.pt")
    assert checkpoint.dtype == str(dtype).removeprefix("torch.")
    assert_same_state(checkpoint.state, typed.float().state_dict())


def test_tensors_that_share_one_storage(tmp_path: Path, detector: Detector) -> None:
    state = detector.state_dict()
    floats = [name for name, tensor in state.items() if tensor.is_floating_point()]
    shared = torch.cat([state[name].flatten() for name in floats])
    pieces = shared.split([state[name].numel() for name in floats])
    views = {n: p.view(state[n].shape) for n, p in zip(floats, pieces, strict=True)}
    torch.save({name: views.get(name, t) for name, t in state.items()}, tmp_path / "flat.pt")
    assert_same_state(read_checkpoint(tmp_path / "flat.pt").state, state)


def test_transposed_tensor_keeps_its_values(tmp_path: Path, detector: Detector) -> None:
    state = {n: t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t
             for n, t in detector.state_dict().items()}  # fmt: skip
    torch.save(state, tmp_path / "flat.pt")
    found = read_checkpoint(tmp_path / "flat.pt").state
    assert_same_state(found, detector.state_dict())
    assert all(tensor.is_contiguous() for tensor in found.values())


def test_recompressed_archive(tmp_path: Path, files: dict[str, Path], detector: Detector) -> None:
    path = tmp_path / "deflated.pt"
    with (
        zipfile.ZipFile(files["published"]) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert_same_state(read_checkpoint(path).state, detector.state_dict())


def test_missing_batch_counters_become_zero(tmp_path: Path, detector: Detector) -> None:
    state = detector.state_dict()
    kept = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    torch.save(kept, tmp_path / "flat.pt")
    found = read_checkpoint(tmp_path / "flat.pt").state
    assert list(found) == list(state)
    assert found["model.0.bn.num_batches_tracked"] == 0


def test_position_bias_is_absorbed(tmp_path: Path) -> None:
    """The release of v1 has a bias before the batch norm of `pe`; outputs must not change."""
    detector = random_detector("n", "v1", 2)
    released = copy.deepcopy(detector)
    for module in released.modules():
        pe = getattr(module, "pe", None)
        if pe is not None:
            pe.conv.bias = nn.Parameter(torch.randn(pe.conv.out_channels))
    torch.save(released.state_dict(), tmp_path / "v1.pt")
    checkpoint = read_checkpoint(tmp_path / "v1.pt")
    assert checkpoint.architecture == published_architecture("n", "v1", 2)
    assert list(checkpoint.state) == list(detector.state_dict())
    assert "absorbed 8 convolution biases into batch norms" in checkpoint.notes
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        found = load_model(tmp_path / "v1.pt")(x)
        torch.testing.assert_close(found, released(x), rtol=1e-5, atol=1e-4)


def fuse(model: nn.Module) -> nn.Module:
    """Fuse as trainers do: bias into the convolution, batch norm gone, another forward method."""
    for module in model.modules():
        if isinstance(getattr(module, "bn", None), nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            del module.bn
            module.forward = module.half
    return model


def test_fused_files(tmp_path: Path) -> None:
    detector = random_detector("n", "turbo", 3)
    with trainer_package() as package:
        model = fuse(as_trainer_model(package, copy.deepcopy(detector), NAMES).eval())
        trainer_file(tmp_path / "fused.pt", model, None)
        torch.save(model.state_dict(), tmp_path / "fused_flat.pt")
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = detector(x)
        for name in ("fused.pt", "fused_flat.pt"):
            checkpoint = read_checkpoint(tmp_path / name)
            assert checkpoint.fused
            assert list(checkpoint.state) == list(detector.state_dict())
            torch.testing.assert_close(
                load_model(tmp_path / name)(x), expected, rtol=1e-4, atol=1e-4
            )


def test_numpy_values_paths_and_devices_beside_the_model(
    tmp_path: Path, files: dict[str, Path], detector: Detector
) -> None:
    path = tmp_path / "rich.pt"
    torch.save(
        {
            "model": detector.state_dict(),
            "train_metrics": {"fitness": numpy.float64(0.5), "count": numpy.int32(3)},
            "where": Path("/data/set"),
            "device": torch.device("cpu"),
            "classes": {1, 2},
        },
        path,
    )
    assert_same_state(read_checkpoint(path).state, detector.state_dict())


def test_names_that_do_not_fit_are_dropped_with_a_note(tmp_path: Path, detector: Detector) -> None:
    path = tmp_path / "flat.pt"
    torch.save({"model": detector.state_dict(), "names": ["only one"]}, path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.names is None
    assert any("class names" in note for note in checkpoint.notes)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("source", ["checkpoint", "detector"])
def test_safetensors_round_trip(
    tmp_path: Path, files: dict[str, Path], detector: Detector, source: str, half: bool
) -> None:
    path = tmp_path / "out.safetensors"
    origin = files["published"]
    save_safetensors(
        read_checkpoint(origin) if source == "checkpoint" else load_model(origin), path, half
    )
    checkpoint = read_checkpoint(path)
    assert checkpoint.names == ("cat", "dog", "owl")
    assert checkpoint.dtype == ("float16" if half else "float32")
    assert checkpoint.license == ("AGPL-3.0" if source == "checkpoint" else None)
    assert_same_state(checkpoint.state, detector.state_dict())


def test_half_keeps_what_would_overflow(tmp_path: Path, detector: Detector) -> None:
    model = copy.deepcopy(detector)
    model.model[0].bn.running_var.fill_(1e6)
    save_safetensors(model, tmp_path / "out.safetensors", half=True)
    checkpoint = read_checkpoint(tmp_path / "out.safetensors")
    assert checkpoint.state["model.0.bn.running_var"].max() == 1e6


def test_inspect_says_what_the_file_is(files: dict[str, Path]) -> None:
    found = inspect_checkpoint(files["trainer"])
    assert found.form == "trainer"
    assert (found.scale, found.layout, found.num_classes) == ("n", "turbo", 3)
    assert found.names == ["cat", "dog", "owl"]
    assert found.bytes == files["trainer"].stat().st_size
    assert len(found.sha256) == 64


def test_pickle_of_the_fixture_follows_the_published_grammar(files: dict[str, Path]) -> None:
    """The fixture would prove nothing if it were simpler than the real files."""
    from tests.checkpoints.crafting import pickle_of

    with pytest.raises(ModuleNotFoundError, match="ultralytics"):
        pickle.loads(pickle_of(files["published"]))
    assert repack(files["published"], files["published"].with_name("same.pt")).exists()
