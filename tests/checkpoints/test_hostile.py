"""Files made to run code, to exhaust memory or to confuse: each ends in a CheckpointError."""

from __future__ import annotations

import builtins
import collections
import contextlib
import os
import pickle
import re
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.checkpoints.crafting import (
    Opcodes,
    pickle_of,
    random_detector,
    repack,
    tensor_pickle,
    torch_zip,
    trainer_package,
)
from yolov12edge.checkpoints import read_checkpoint, save_safetensors
from yolov12edge.errors import CheckpointError

MEGABYTE = 1 << 20
_WATCHED = ("os.", "subprocess.", "pty.", "socket.", "ctypes.", "pickle.find_class", "shutil.")
_events: list[str] = []
_watching = False


def _audit(event: str, _arguments: tuple[Any, ...]) -> None:
    if _watching and event.startswith(_WATCHED) and event not in ("os.listdir", "os.scandir"):
        _events.append(event)


sys.addaudithook(_audit)


@pytest.fixture(autouse=True)
def nothing_runs() -> Iterator[None]:
    """Python's own audit events prove that no command ran and no real unpickler was at work."""
    _events.clear()
    yield
    assert _events == []


def refuse(path: Path, pattern: str = "", megabytes: int = 160) -> CheckpointError:
    """Read `path`; it must be refused with one clear line and in bounded memory."""
    global _watching
    tracemalloc.start()
    _watching = True
    try:
        with pytest.raises(CheckpointError) as caught:
            read_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        _watching = False
        tracemalloc.stop()
    error = caught.value
    assert error.exit_code == 4
    assert str(path) in error.message
    assert error.hint
    assert "\n" not in error.message + error.hint
    assert len(error.message) < 400 + len(str(path))
    assert re.search(pattern, error.message), error.message
    assert peak < megabytes * MEGABYTE
    return error


class Payload:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class Dictionary(collections.OrderedDict[str, Any]):
    """A subclass of an allowed class, with a payload of its own."""

    def __reduce__(self) -> Any:
        return os.system, ("true",)


class WithState:
    """Would run code when its state is set."""

    def __setstate__(self, state: Any) -> None:
        os.system("true")

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


PAYLOADS: dict[str, tuple[Any, str]] = {
    "system": (Payload(os.system, "true"), r"(posix|os)\.system"),
    "eval": (Payload(builtins.eval, "1"), r"(builtins|__builtin__)\.eval"),
    "exec": (Payload(builtins.exec, "1"), r"(builtins|__builtin__)\.exec"),
    "import": (Payload(builtins.__import__, "os"), r"__import__"),
    "open": (Payload(open, "/etc/passwd"), r"(io|_io)\.open"),
    "load": (Payload(torch.load, "x"), r"torch.*load"),
    "nested": ({"model": {"a": [({"b": Payload(os.system, "true")},)]}}, r"system"),
    "subclass": ({"model": Dictionary()}, r"system"),
    "setstate": ({"model": WithState()}, r"WithState"),
    "key": ({Payload(os.system, "true"): 1}, r"system"),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", PAYLOADS)
def test_calls_are_refused_by_name(tmp_path: Path, name: str, protocol: int) -> None:
    content, pattern = PAYLOADS[name]
    pickled = pickle.dumps(content, protocol)
    error = refuse(torch_zip(tmp_path / "evil.pt", pickled), pattern)
    assert "refused" in error.message
    assert "nothing was run" in error.message


def test_payload_inside_a_model_of_the_trainer(tmp_path: Path) -> None:
    with trainer_package() as package:
        model = package.model()
        model.hook = Payload(os.system, "true")
        torch.save({"model": model, "ema": None}, tmp_path / "evil.pt")
    refuse(tmp_path / "evil.pt", r"asks for 'posix\.system'")


HANDMADE: dict[str, tuple[bytes, str]] = {
    "stack global": (
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        r"'posix\.system'",
    ),
    "old-style instance": (b"\x80\x02(K\x01ios\nsystem\n.", "operation INST"),
    "old-style object": (b"\x80\x02(cultralytics.x\nY\no.", "operation OBJ"),
    "extension registry": (b"\x80\x02\x82\x01.", "operation EXT1"),
    "out-of-band buffer": (b"\x80\x05\x97.", "operation NEXT_BUFFER"),
    "persistent id as text": (b"Pstorage\n.", "operation PERSID"),
    "unknown opcode": (b"\x80\x02\xff.", "operation 0xff"),
    "attribute of nothing": (
        Opcodes().name("builtins", "getattr").short("a").short("b").raw(b"\x86R").done(),
        "attribute",
    ),
    "dotted name": (Opcodes().name("torch", "nn.modules.os.system").done(), "asks for"),
    "name that only starts right": (Opcodes().name("ultralyticsx", "y").done(), "asks for"),
    "call of a stub": (
        Opcodes().name("ultralytics.x", "Y").raw(b")R)R").done(),
        "calls a Stub",
    ),
    "call of a text": (Opcodes().short("os.system").raw(b")R").done(), "calls a str"),
    "call of a storage type": (
        Opcodes().name("torch", "FloatStorage").raw(b"K\x01\x85R").done(),
        r"calls 'torch\.FloatStorage'",
    ),
    "call with a list": (
        Opcodes().name("collections", "OrderedDict").raw(b"]R").done(),
        "unknown way",
    ),
    "object of a function": (
        Opcodes().name("torch._utils", "_rebuild_tensor_v2").raw(b")\x81").done(),
        "makes an object",
    ),
    "state of a class": (
        Opcodes().name("ultralytics.x", "Y").raw(b"}").short("a").raw(b"K\x01sb").done(),
        "sets the state of 'ultralytics",
    ),
    "state of a list": (b"\x80\x02]}b.", "sets the state of a list"),
    "items of a stub": (
        Opcodes().name("ultralytics.x", "Y").raw(b")R").short("a").raw(b"K\x01s").done(),
        "sets items of a Stub",
    ),
    "nested tuple as a key": (b"\x80\x02}K\x01\x85\x85K\x01s.", "uses a tuple as a key"),
    "unhashable in a set": (
        Opcodes().name("builtins", "set").raw(b"]]a\x85R").done(),
        "uses a list as a key",
    ),
    "storage that is no storage": (
        Opcodes().short("os.system").raw(b"Q").done(),
        "unknown kind of storage",
    ),
    "tensor without a storage": (
        Opcodes().name("torch._utils", "_rebuild_tensor").raw(b"(K\x00K\x00K\x00K\x00tR").done(),
        "without a storage",
    ),
    "huge integer": (b"\x80\x02\x8a\xff" + b"\x01" * 255 + b".", "integer of 255 bytes"),
    "integer with a long length": (b"\x80\x02\x8b\xff\xff\xff\x7f.", "operation LONG4"),
    "text longer than the file": (b"\x80\x02X\xff\xff\xff\x7fabc.", "damaged"),
    "bytes of 2**63": (b"\x80\x04\x8e" + struct.pack("<Q", 2**63 - 1) + b".", "damaged"),
    "mark without end": (b"\x80\x02" + b"(" * 1000, "damaged"),
    "no mark": (b"\x80\x02t.", "damaged"),
    "empty stack": (b"\x80\x02.", "damaged"),
    "nothing remembered": (b"\x80\x02h\x05.", "damaged"),
    "memory index of four billion": (b"\x80\x02Nr\xff\xff\xff\xff.", "holds no model"),
    "no end": (b"\x80\x02" + b"N" * 100, "damaged"),
    "nothing": (b"", "damaged"),
    "encode a codec": (
        Opcodes().name("_codecs", "encode").short("a").short("zip").raw(b"\x86R").done(),
        "encodes",
    ),
    "numpy object": (
        Opcodes()
        .name("numpy.core.multiarray", "scalar")
        .name("numpy", "dtype")
        .short("O8")
        .raw(b"\x85RC\x01a\x86R")
        .done(),
        "unknown NumPy value",
    ),
    "only a number": (b"\x80\x02K\x01.", "holds no model: it is a int"),
}


@pytest.mark.parametrize("name", HANDMADE)
def test_handmade_pickles(tmp_path: Path, name: str) -> None:
    pickled, pattern = HANDMADE[name]
    refuse(torch_zip(tmp_path / "evil.pt", pickled), pattern, megabytes=8)


def test_terminal_escapes_are_not_printed(tmp_path: Path) -> None:
    pickled = Opcodes().name("os", "\x1b[2Jsystem" + "x" * 5000).done()
    error = refuse(torch_zip(tmp_path / "evil.pt", pickled))
    assert error.message.isprintable()


# Pickles of a megabyte that would grow or recurse.
BOMBS: dict[str, bytes] = {
    "operations": b"N" * (2 * MEGABYTE),
    "empty sets": b"\x8f" * (2 * MEGABYTE),
    "marks": b"(" * (2 * MEGABYTE),
    "copied sets": (
        Opcodes().name("builtins", "set").raw(b"q\x00(" + b"".join(b"K%c" % i for i in range(16)))
    ).getvalue() + b"t\x85q\x01" + b"h\x00h\x01R" * 190_000,
    "copied texts": Opcodes().name("_codecs", "encode").raw(b"q\x00").short("a" * 1000)
    .short("latin1").raw(b"\x86q\x01" + b"h\x00h\x01R" * 190_000).getvalue(),
    "deep tuple": b"N" + b"\x85" * 500_000 + b".",
    "deep list": b"]" + b"]" * 250_000 + b"a" * 250_000 + b".",
    "doubling tuples": b"N" + b"\x85" + b"2\x86" * 100_000 + b".",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_pickle_bombs(tmp_path: Path, name: str) -> None:
    refuse(torch_zip(tmp_path / "bomb.pt", b"\x80\x04" + BOMBS[name]))


def test_pickle_of_many_megabytes(tmp_path: Path) -> None:
    refuse(torch_zip(tmp_path / "bomb.pt", b"N" * (17 * MEGABYTE)), "the pickle has", megabytes=64)


def module(children: bytes) -> Opcodes:
    """A module whose `_modules` the bytes fill."""
    ops = Opcodes().name("ultralytics.nn.tasks", "DetectionModel").raw(b")\x81q\x00}")
    return ops.short("_modules").raw(b"}" + children + b"ssb")


def test_module_that_contains_itself(tmp_path: Path) -> None:
    pickled = Opcodes().raw(module(Opcodes().short("a").raw(b"h\x00").getvalue()).getvalue())
    refuse(torch_zip(tmp_path / "cycle.pt", pickled.done()), "nested without end", megabytes=16)


def test_modules_that_multiply(tmp_path: Path) -> None:
    """Thirty levels of two references each are a billion paths in a kilobyte."""
    ops = Opcodes().name("ultralytics.x", "Y").raw(b"q\x00)\x81")
    for _ in range(30):
        ops.raw(b"q\x01h\x00)\x81}").short("_modules").raw(b"}")
        ops.short("a").raw(b"h\x01s").short("b").raw(b"h\x01ssb")
    refuse(torch_zip(tmp_path / "tree.pt", ops.done()), "nested without end", megabytes=32)


def test_module_names_of_a_megabyte(tmp_path: Path) -> None:
    """Paths through one long name again and again would fill the memory."""
    ops = Opcodes().name("ultralytics.x", "Y").raw(b"q\x00)\x81q\x01}").short("_modules")
    ops.raw(b"}").short("a" * MEGABYTE).raw(b"h\x01s").short("b").raw(b"h\x01ssb")
    refuse(torch_zip(tmp_path / "long.pt", ops.done()), "nested without end", megabytes=16)


LYING_TENSORS: dict[str, tuple[dict[str, bytes], str]] = {
    "numel": ({"numel": b"J\xff\xff\xff\x7f"}, "claims"),
    "negative numel": ({"numel": b"J\xff\xff\xff\xff"}, "claims"),
    "type": ({"storage": b"DoubleStorage".decode()}, "claims"),  # type: ignore[dict-item]
    "offset": ({"offset": b"K\x01"}, "reaches outside"),
    "negative offset": ({"offset": b"J\xff\xff\xff\xff"}, "no valid shape"),
    "size": ({"size": b"J\xff\xff\xff\x7f\x85"}, "reaches outside"),
    "negative size": ({"size": b"J\xff\xff\xff\xff\x85"}, "no valid shape"),
    "stride": ({"stride": b"K\x02\x85"}, "reaches outside"),
    "negative stride": ({"stride": b"J\xff\xff\xff\xff\x85"}, "no valid shape"),
    "stride 0": ({"size": b"J\xff\xff\xff\x7f\x85", "stride": b"K\x00\x85"}, "reaches outside"),
    "product overflows": (
        {"size": b"J\xff\xff\xff\x7f" * 3 + b"\x87", "stride": b"K\x00K\x00K\x00\x87"},
        "reaches outside",
    ),
    "2**63 elements": ({"size": b"\x8a\x08" + b"\xff" * 7 + b"\x7f\x85"}, "no valid shape"),
    "twenty dimensions": (
        {"size": b"(" + b"K\x01" * 20 + b"t", "stride": b"(" + b"K\x01" * 20 + b"t"},
        "no valid shape",
    ),
    "rank": ({"stride": b"K\x01K\x01\x86"}, "sizes than strides"),
    "shape of texts": ({"size": b"X\x01\x00\x00\x00a\x85"}, "no valid shape"),
    "true as a size": ({"size": b"\x88\x85"}, "no valid shape"),
    "key": ({"key": "../../etc/passwd"}, "the archive has no"),  # type: ignore[dict-item]
    "absent key": ({"key": "7"}, "the archive has no"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", LYING_TENSORS)
def test_tensors_that_lie(tmp_path: Path, name: str) -> None:
    changes, pattern = LYING_TENSORS[name]
    pickled = tensor_pickle(**changes)  # type: ignore[arg-type]
    path = torch_zip(tmp_path / "evil.pt", pickled, {"0": bytes(16)})
    refuse(path, pattern, megabytes=8)


def test_honest_tensor_of_the_same_kind_is_read(tmp_path: Path) -> None:
    """The lies above are refused for the lie, not for the form."""
    path = torch_zip(tmp_path / "small.pt", tensor_pickle(), {"0": bytes(16)})
    refuse(path, r"is no YOLOv12: its 1 tensors \(first 'model.0.conv.weight', \[4\]\)")


def test_many_tensors_on_one_storage_cannot_inflate(tmp_path: Path) -> None:
    one = torch.zeros(1000)
    torch.save(
        {f"model.{index}.x": one.clone().set_(one) for index in range(100)}, tmp_path / "a.pt"
    )
    refuse(tmp_path / "a.pt", "its tensors claim 400000 bytes", megabytes=8)


def test_big_endian_storages(tmp_path: Path) -> None:
    path = torch_zip(tmp_path / "big.pt", tensor_pickle(), {"0": bytes(16)}, byteorder=b"big")
    refuse(path, "'big'-endian")


def test_compression_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    zeros = {"0": bytes(64 * MEGABYTE)}
    torch_zip(path, tensor_pickle(), zeros, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < MEGABYTE
    refuse(path, "would expand", megabytes=8)


def test_compression_bomb_that_declares_little(tmp_path: Path) -> None:
    """The directory says 16 bytes, the stream holds 64 MB."""
    path = tmp_path / "bomb.pt"
    zeros = {"0": bytes(64 * MEGABYTE)}
    torch_zip(path, tensor_pickle(), zeros, compression=zipfile.ZIP_DEFLATED)
    patch_directory(path, "archive/data/0", 24, struct.pack("<I", 16))
    patch_member_checksum(path, "archive/data/0")
    refuse(path, "", megabytes=8)


def patch_directory(path: Path, member: str, offset: int, value: bytes) -> None:
    """Overwrite a field of a member's entry in the central directory."""
    content = bytearray(path.read_bytes())
    position = content.rindex(member.encode()) - 46
    assert content[position : position + 4] == b"PK\x01\x02"
    content[position + offset : position + offset + len(value)] = value
    path.write_bytes(content)


def patch_member_checksum(path: Path, member: str) -> None:
    patch_directory(path, member, 16, struct.pack("<I", 0))


@pytest.mark.parametrize(
    ("offset", "value", "pattern"),
    [
        (24, struct.pack("<I", 1 << 31), "damaged"),
        (20, struct.pack("<I", 1 << 31), "damaged"),
        (20, struct.pack("<II", 1 << 31, 1 << 31), "overlap"),
        (42, struct.pack("<I", 0), "overlap"),
        (42, struct.pack("<I", 1 << 31), "damaged"),
        (10, struct.pack("<H", 14), "unknown compression"),
        (8, struct.pack("<H", 1), "encrypted"),
        (16, struct.pack("<I", 1), "checksum"),
    ],
)
def test_directories_that_lie(tmp_path: Path, offset: int, value: bytes, pattern: str) -> None:
    path = torch_zip(tmp_path / "evil.pt", tensor_pickle(), {"0": bytes(16)})
    patch_directory(path, "archive/data.pkl", 0, b"PK\x01\x02")
    patch_directory(path, "archive/data/0" if offset != 16 else "archive/data.pkl", offset, value)
    refuse(path, pattern, megabytes=8)


@pytest.mark.parametrize(
    "name",
    [
        "../data.pkl",
        "/archive/data.pkl",
        "archive/../../x",
        "archive\\..\\x",
        "archive//x",
        "archive/a\nb",
        "archive/a\x1b",
    ],
)
def test_path_tricks(tmp_path: Path, name: str) -> None:
    path = torch_zip(tmp_path / "evil.pt", tensor_pickle(), {"0": bytes(16)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")
    refuse(path, "forbidden path")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.pt"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(tmp_path: Path) -> None:
    path = torch_zip(tmp_path / "evil.pt", tensor_pickle(), {"0": bytes(16)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"other": 1}, 2))
    refuse(path, "two members of one name")


def test_directory_of_a_hundred_thousand_members(tmp_path: Path) -> None:
    path = tmp_path / "many.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(60_000):
            archive.writestr(f"archive/data/{index}", b"")
    refuse(path, "implausibly large", megabytes=16)


@pytest.mark.parametrize("members", [{"a/data.pkl": b"N.", "b/x": b""}, {"readme": b"hello"}])
def test_other_zip_files(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = tmp_path / "other.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refuse(path, "not one that torch.save wrote")


def test_torchscript_archive(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "script.pt")
    refuse(tmp_path / "script.pt", "TorchScript")


@pytest.mark.parametrize("kept", [3, 100, 0.2, 0.5, 0.9, 0.999, -1, -30])
def test_cut_files(tmp_path: Path, files: dict[str, Path], kept: float) -> None:
    content = files["published"].read_bytes()
    length = int(len(content) * kept) if 0 < kept < 1 else int(kept)
    (tmp_path / "cut.pt").write_bytes(content[:length])
    refuse(tmp_path / "cut.pt", "damaged|not a checkpoint")


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"", "is empty"),
        (b"these are my weights\n", "is not a checkpoint: it starts with 'these are my wei'"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (b"PK\x03\x04", "damaged"),
        (b"PK\x05\x06" + bytes(18), "not a checkpoint"),
        (b"\x1b[2J\x00\x00", "not a checkpoint"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, pattern: str) -> None:
    (tmp_path / "file.pt").write_bytes(content)
    refuse(tmp_path / "file.pt", pattern)


def test_legacy_form_says_how_to_convert(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    error = refuse(path, "before PyTorch 1.6")
    assert "torch.save(torch.load(" in error.hint


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    refuse(tmp_path / "absent.pt", "no such file")
    refuse(tmp_path, "is a folder")
    os.mkfifo(tmp_path / "pipe.pt")
    refuse(tmp_path / "pipe.pt", "not a regular file")


SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "deep": (b'{"a":' + b"[" * 100_000, "damaged"),
    "not json": (b"{" + b"x" * 20, "damaged"),
    "outside": (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,1000]}}', "damaged"),
    "shape": (b'{"a":{"dtype":"F32","shape":[9999999999],"data_offsets":[0,16]}}', "damaged"),
    "overflow": (
        b'{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,16]}}',
        "damaged",
    ),
    "negative": (b'{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}', "damaged"),
    "type": (b'{"a":{"dtype":"F8_E4M3","shape":[16],"data_offsets":[0,16]}}', "of type F8_E4M3"),
    "empty": (b"{}", "damaged|no tensors"),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors_that_lie(tmp_path: Path, name: str) -> None:
    header, pattern = SAFETENSORS[name]
    path = tmp_path / "evil.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    refuse(path, pattern, megabytes=8)


def test_safetensors_header_of_many_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    path.write_bytes(struct.pack("<Q", 5 * MEGABYTE) + b"{" + b" " * (5 * MEGABYTE))
    refuse(path, "implausibly large", megabytes=2)


@pytest.mark.parametrize(
    "record", ["[" * 100_000, '{"names": [1, 2]}', '{"names": {"a": "b"}}', "1"]
)
def test_safetensors_metadata_of_others(tmp_path: Path, record: str) -> None:
    from safetensors.torch import save_file

    state = random_detector("n", "turbo", 2).state_dict()
    save_file(state, tmp_path / "a.safetensors", {"yolov12edge": record})
    assert read_checkpoint(tmp_path / "a.safetensors").names is None


def read_or_refuse(path: Path) -> None:
    """Anything but a CheckpointError fails the test."""
    with contextlib.suppress(CheckpointError):
        read_checkpoint(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few kilobytes in the trainer's grammar: every layer of the reader, no detector."""
    path = tmp_path_factory.mktemp("small") / "small.pt"
    with trainer_package() as package:
        model = package.model()
        model.model = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.BatchNorm2d(16))
        model.names = {0: "a"}
        torch.save({"model": model.half(), "ema": None, "train_args": {"imgsz": 640}}, path)
    return path


FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def damage(content: bytes, changes: list[tuple[float, int]], kept: float) -> bytes:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[int(place * (len(damaged) - 1))] = value
    return bytes(damaged[: int(kept * len(damaged))])


changes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8)
lengths = st.one_of(st.just(1.0), st.floats(0.001, 1))


@FUZZ
@given(changes=changes, kept=lengths)
def test_damaged_files(
    small: Path, tmp_path: Path, changes: list[tuple[float, int]], kept: float
) -> None:
    path = tmp_path / "damaged.pt"
    path.write_bytes(damage(small.read_bytes(), changes, kept))
    read_or_refuse(path)


@FUZZ
@given(changes=changes, kept=lengths)
def test_damaged_pickles_in_whole_archives(
    small: Path, tmp_path: Path, changes: list[tuple[float, int]], kept: float
) -> None:
    pickled = damage(pickle_of(small), changes, kept)
    read_or_refuse(repack(small, tmp_path / "damaged.pt", data_pkl=pickled))


@FUZZ
@given(pickled=st.lists(st.sampled_from(list(b"\x80\x02}]()tRbsuQcX\x85\x86\x87\x81hqrK\x88N0e2a.")))
       .map(bytes))  # fmt: skip
def test_random_opcodes(tmp_path: Path, pickled: bytes) -> None:
    read_or_refuse(torch_zip(tmp_path / "random.pt", pickled, {"0": bytes(16)}))


@FUZZ
@given(changes=changes, kept=lengths)
def test_damaged_safetensors(tmp_path: Path, changes: list[tuple[float, int]], kept: float) -> None:
    from safetensors.torch import save

    content = save({"model.0.conv.weight": torch.zeros(16, 3, 3, 3), "b": torch.zeros(3)})
    (tmp_path / "damaged.safetensors").write_bytes(damage(content, changes, kept))
    read_or_refuse(tmp_path / "damaged.safetensors")


def test_writing_to_a_folder_that_cannot_be_made(tmp_path: Path, files: dict[str, Path]) -> None:
    from yolov12edge.errors import UsageError

    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        save_safetensors(read_checkpoint(files["flat"]), tmp_path / "file" / "out.safetensors")
