"""Checkpoint files in the grammar of the trainers, honest and hostile."""

from __future__ import annotations

import io
import struct
import sys
import types
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from yolov12edge.model import Detector, build_model

TRAINER_MODULES = (
    "ultralytics",
    "ultralytics.nn",
    "ultralytics.nn.modules",
    "ultralytics.nn.modules.block",
    "ultralytics.nn.tasks",
    "ultralytics.utils",
)


def random_detector(scale: str = "n", layout: str = "turbo", num_classes: int = 80) -> Detector:
    """A detector with batch norms that differ from the identity, so that mistakes show."""
    torch.manual_seed(0)
    detector = build_model(scale, layout, num_classes)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
            module.num_batches_tracked.fill_(7)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return detector.eval()


@contextmanager
def trainer_package() -> Iterator[types.SimpleNamespace]:
    """A stand-in `ultralytics` package, importable only inside the block."""
    modules = {name: types.ModuleType(name) for name in TRAINER_MODULES}
    sys.modules.update(modules)

    def define(module: str, name: str, base: type) -> type:
        kind = type(name, (base,), {"__module__": module})
        setattr(modules[module], name, kind)
        return kind

    try:
        yield types.SimpleNamespace(
            define=define,
            model=define("ultralytics.nn.tasks", "DetectionModel", nn.Module),
            arguments=define("ultralytics.utils", "IterableSimpleNamespace", types.SimpleNamespace),
        )
    finally:
        for name in modules:
            del sys.modules[name]


def as_trainer_model(package: types.SimpleNamespace, detector: Detector, names: Any) -> nn.Module:
    """`detector` as a module of the trainer's classes, with the attributes theirs carry."""
    model = package.model()
    model.model = _disguise(package, detector.model)
    model.names = names
    model.yaml = {"nc": detector.architecture.num_classes, "scale": "x", "yaml_file": "liar.yaml"}
    model.stride = torch.tensor([8.0, 16.0, 32.0])
    model.args = package.arguments(imgsz=320, model="yolov12n.yaml")
    model.save = [4, 6, 8]
    return model


def _disguise(package: types.SimpleNamespace, module: nn.Module) -> nn.Module:
    if type(module).__module__.startswith("torch.nn"):
        twin = module
    else:
        block = "ultralytics.nn.modules.block"
        name = type(module).__name__
        kind = getattr(sys.modules[block], name, None) or package.define(block, name, nn.Module)
        twin = kind()
        twin._parameters.update(module._parameters)
        twin._buffers.update(module._buffers)
    twin._modules = {name: _disguise(package, child) for name, child in module.named_children()}
    return twin


def trainer_file(path: Path, model: nn.Module | None, ema: nn.Module | None, **extra: Any) -> Path:
    """Write a trainer's checkpoint; extra entries override the usual ones."""
    content = {
        "epoch": -1,
        "best_fitness": None,
        "model": model,
        "ema": ema,
        "updates": None,
        "optimizer": None,
        "train_args": {"imgsz": 320, "model": "yolov12n.yaml"},
        "date": "2025-02-19T00:00:00",
        "version": "8.3.63",
        "license": "AGPL-3.0",
        **extra,
    }
    torch.save(content, path)
    return path


def torch_zip(
    path: Path,
    pickled: bytes,
    storages: Mapping[str, bytes] | None = None,
    *,
    byteorder: bytes = b"little",
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """A torch archive around any pickle and any storages."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", byteorder)
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
        archive.writestr("archive/version", b"3\n")
    return path


def repack(source: Path, path: Path, **changed: bytes) -> Path:
    """`source` with the members whose last name is in `changed` replaced (checksums right)."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            stem = name.rpartition("/")[2].replace(".", "_")
            new.writestr(name, changed.get(stem, old.read(name)))
    return path


def pickle_of(path: Path) -> bytes:
    """The data.pkl of a torch archive."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        return archive.read(name)


class Opcodes(io.BytesIO):
    """A pickle put together by hand."""

    def short(self, text: str) -> Opcodes:
        """Push a text."""
        raw = text.encode()
        self.write(b"X" + struct.pack("<I", len(raw)) + raw)
        return self

    def name(self, module: str, name: str) -> Opcodes:
        """Push a global."""
        self.write(f"c{module}\n{name}\n".encode())
        return self

    def raw(self, content: bytes) -> Opcodes:
        """Append bytes as they are."""
        self.write(content)
        return self

    def done(self) -> bytes:
        """The pickle, with its start and its end."""
        return b"\x80\x02" + self.getvalue() + b"."


def tensor_pickle(
    storage: str = "FloatStorage",
    key: str = "0",
    numel: bytes = b"K\x04",
    offset: bytes = b"K\x00",
    size: bytes = b"K\x04\x85",
    stride: bytes = b"K\x01\x85",
) -> bytes:
    """Pickle of {"model.0.conv.weight": tensor} with every number free to lie."""
    ops = Opcodes().raw(b"}").short("model.0.conv.weight")
    ops.name("torch._utils", "_rebuild_tensor_v2").raw(b"(")
    ops.raw(b"(").short("storage").name("torch", storage).short(key).short("cpu")
    ops.raw(numel + b"tQ" + offset + size + stride + b"\x89")
    ops.name("collections", "OrderedDict").raw(b")RtRs")
    return ops.done()
