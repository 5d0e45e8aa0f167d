"""The closed list of names a checkpoint's pickle may ask for, each with an inert stand-in.

Nothing here imports or calls what the file names: containers become plain ones, tensor
rebuilding is our own, and classes of the framework and of the trainer become `Stub`s that only
hold what the file says about them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from yolov12edge.checkpoints.tensors import LazyTensor, Storage
from yolov12edge.checkpoints.text import printable
from yolov12edge.errors import CheckpointError

MAX_COPIED_ITEMS = 16
_HINT = (
    "take the file from a source you trust, or save only the weights where they were made: "
    "torch.save(model.state_dict(), 'weights.pt')"
)


class Stub:
    """An object of the file: the name of its class and the state the file gives it."""

    __slots__ = ("kind", "state")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.state: dict[str, Any] = {}


@dataclass(frozen=True)
class Global:
    """A name the file asked for; `call` is our stand-in, None where it may not be called."""

    name: str
    call: Callable[..., Any] | None = None


@dataclass(frozen=True)
class InertClass(Global):
    """A class of the framework or the trainer: its instances are stubs."""


@dataclass(frozen=True)
class StorageClass(Global):
    """The element type of a storage."""

    dtype: torch.dtype = field(kw_only=True)


@dataclass
class NumpyType:
    """A NumPy scalar type by its code, such as `f8`; the file's state says the byte order."""

    code: str
    order: str = "<"


def resolve(module: str, name: str) -> Global:
    """The stand-in for `module.name`.

    Raises:
        CheckpointError: the name is not on the list.
    """
    full = f"{module}.{name}"
    if full in _LISTED:
        return _LISTED[full]
    if module.startswith(_INERT_PACKAGES) or full in _INERT_NAMES:
        return InertClass(full, lambda *_: Stub(full))
    raise refusal(f"asks for {printable(full)}")


def refusal(what: str) -> CheckpointError:
    """The error for a pickle that wants something no YOLOv12 checkpoint needs."""
    return CheckpointError(f"refused: the pickle {what}; nothing was run", _HINT)


def _rebuild_tensor(
    storage: object, offset: object, shape: object, stride: object, *_: object
) -> LazyTensor:
    if not isinstance(storage, Storage):
        raise refusal("builds a tensor without a storage")
    return storage.view(offset, shape, stride)


def _rebuild_parameter(data: object, *_: object) -> LazyTensor:
    if not isinstance(data, LazyTensor):
        raise refusal("builds a parameter without a tensor")
    return data


def _shape(sizes: object = ()) -> tuple[Any, ...]:
    return tuple(_items(sizes, tuple))


def _set(items: object = ()) -> set[Any]:
    return set(map(check_key, _items(items, list, tuple)))


def _dict(*arguments: object) -> dict[Any, Any]:
    """An empty dictionary; the pickle sets its items afterwards. A default factory is dropped."""
    if len(arguments) > 1 or not all(isinstance(argument, Global) for argument in arguments):
        raise refusal("fills a dictionary in an unknown way")
    return {}


def _items(value: object, *kinds: type) -> Any:
    # One list can be passed to thousands of calls, each of which would copy it.
    if not isinstance(value, kinds) or len(value) > MAX_COPIED_ITEMS:  # type: ignore[arg-type]
        raise refusal("fills a container in an unknown way")
    return value


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if (
        not isinstance(text, str)
        or encoding not in ("latin1", "latin-1")
        or len(text) > MAX_COPIED_ITEMS
    ):
        raise refusal("encodes a text in an unknown way")
    return text.encode("latin-1")


def _attribute(owner: object, _name: object) -> Stub:
    """A fused model refers to its own methods by name; nobody here calls them."""
    if not isinstance(owner, Stub):
        raise refusal("takes an attribute of something that is no module")
    return Stub("attribute")


def _numpy_type(code: object, *_: object) -> NumpyType:
    if not isinstance(code, str):
        raise refusal("names an unknown NumPy type")
    return NumpyType(code)


_NUMPY_FORMATS = {
    "b1": "?",
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
    "f2": "e",
    "f4": "f",
    "f8": "d",
}


def _numpy_scalar(kind: object, content: object = b"") -> bool | int | float:
    if (
        not isinstance(kind, NumpyType)
        or not isinstance(content, bytes)
        or kind.code not in _NUMPY_FORMATS
    ):
        raise refusal("holds an unknown NumPy value")
    layout = struct.Struct((">" if kind.order == ">" else "<") + _NUMPY_FORMATS[kind.code])
    if len(content) != layout.size:
        raise refusal("holds an unknown NumPy value")
    value: bool | int | float = layout.unpack(content)[0]
    return value


def check_key(key: object) -> Any:
    """`key` if it may key a dictionary: hashing it must be quick and run no code.

    Raises:
        CheckpointError: a container or another object; nested tuples can take forever to hash.
    """
    if key is None or isinstance(key, (str, int, float, bytes, Stub)):
        return key
    raise refusal(f"uses a {type(key).__name__} as a key")


_STORAGES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
}

_CALLS: dict[str, Callable[..., Any]] = {
    "__builtin__.dict": _dict,
    "__builtin__.frozenset": _set,
    "__builtin__.getattr": _attribute,
    "__builtin__.set": _set,
    "_codecs.encode": _encode,
    "builtins.dict": _dict,
    "builtins.frozenset": _set,
    "builtins.getattr": _attribute,
    "builtins.set": _set,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _dict,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy.dtype": _numpy_type,
    "torch.Size": _shape,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
}

_LISTED: dict[str, Global] = {
    **{name: Global(name, call) for name, call in _CALLS.items()},
    **{f"torch.{n}": StorageClass(f"torch.{n}", dtype=d) for n, d in _STORAGES.items()},
}

_INERT_PACKAGES = ("ultralytics.", "torch.nn.modules.")
_INERT_NAMES = frozenset(
    [
        "torch.device",
        "torch.bfloat16",
        "torch.float16",
        "torch.float32",
        *(
            f"{module}.{name}"
            for module in ("pathlib", "pathlib._local")
            for name in ("Path", "PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
        ),
    ]
)
