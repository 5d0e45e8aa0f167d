"""What lies in a checkpoint file before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from yolov12edge.checkpoints.allowlist import StorageClass, Stub
from yolov12edge.checkpoints.archive import TorchArchive
from yolov12edge.checkpoints.flat import INT8_PREFIX, INT8_RECORD
from yolov12edge.checkpoints.tensors import LazyTensor, Storage
from yolov12edge.checkpoints.text import printable
from yolov12edge.checkpoints.unpickle import unpickle
from yolov12edge.errors import CheckpointError

Form = Literal["published", "trainer", "state-dict"]

# A YOLOv12-x has 6000 modules, parameters and buffers in 9 levels.
MAX_ENTRIES = 100_000
MAX_DEPTH = 32
MAX_EPOCH = 1_000_000
MAX_IMAGE_SIZE = 1 << 15
MAX_TEXT = 200


@dataclass(frozen=True)
class Contents:
    """Tensors under the names of the file, and what the file says beside them."""

    form: Form
    tensors: dict[str, LazyTensor]
    names: tuple[str, ...] | None = None
    epoch: int | None = None
    image_size: int | None = None
    license: str | None = None
    notes: tuple[str, ...] = ()


def read_torch(file: BinaryIO) -> Contents:
    """Read a file that `torch.save` wrote: a trainer's checkpoint, a model or a state dict.

    Raises:
        CheckpointError: damaged, hostile, or nothing that holds a model.
    """
    archive = TorchArchive(file)
    storages: dict[tuple[str, StorageClass], Storage] = {}

    def open_storage(kind: StorageClass, key: str, numel: int) -> Storage:
        if (key, kind) not in storages:
            storages[key, kind] = Storage(archive, key, kind.dtype, numel)
        storage = storages[key, kind]
        if storage.numel != numel:
            raise CheckpointError(
                f"storage {printable(key)} is given two sizes",
                "torch.save never writes this; take the file from a source you trust",
            )
        return storage

    return interpret(unpickle(archive.read("data.pkl"), open_storage))


def interpret(top: object) -> Contents:
    """Find the model in an unpickled checkpoint: `ema` before `model` before a state dict.

    Raises:
        CheckpointError: there is none.
    """
    if isinstance(top, Stub):
        return Contents("published", _module_tensors(top), names=_names(top.state.get("names")))
    if not isinstance(top, dict):
        raise _no_model(f"a {type(top).__name__}")
    for key in ("ema", "model", "state_dict", "model_state_dict"):
        holder = top.get(key)
        if holder is not None:
            break
    else:
        key, holder = "", top
    if isinstance(holder, Stub):
        return _from_trainer(top, key, holder)
    tensors = _tensors_of(holder)
    if not tensors:
        raise _no_model(f"a dictionary of {_keys(top)}")
    notes = [f"took the state dict under {key!r}"] if key else []
    return Contents("state-dict", tensors, _names(top.get("names")), notes=tuple(notes))


def from_record(tensors: dict[str, LazyTensor], record: dict[str, Any]) -> Contents:
    """Contents of a safetensors file; `record` is what this package wrote beside the tensors."""
    detector = {name: t for name, t in tensors.items() if not name.startswith(INT8_PREFIX)}
    return Contents(
        "state-dict",
        detector,
        _names(record.get("names")),
        image_size=_count(record.get("image_size"), MAX_IMAGE_SIZE) or None,
        license=_line(record.get("license")),
        notes=("holds an INT8 rounding too, from train --qat",) if INT8_RECORD in record else (),
    )


def _from_trainer(top: dict[Any, Any], key: str, module: Stub) -> Contents:
    training = top.get("ema") is not None or top.get("optimizer") is not None
    notes = []
    if key == "ema":
        notes.append("took the EMA weights")
    if top.get("optimizer") is not None:
        notes.append("left the optimizer aside")
    arguments = top.get("train_args")
    size = arguments.get("imgsz") if isinstance(arguments, dict) else None
    return Contents(
        "trainer" if training else "published",
        _module_tensors(module),
        _names(module.state.get("names")),
        _count(top.get("epoch"), MAX_EPOCH),
        _count(size, MAX_IMAGE_SIZE) or None,
        _line(top.get("license")),
        tuple(notes),
    )


def _module_tensors(root: Stub) -> dict[str, LazyTensor]:
    """State dict of a stubbed module: parameters and persistent buffers, depth first."""
    found: dict[str, LazyTensor] = {}
    seen = 0

    def walk(prefix: str, module: Stub, depth: int) -> None:
        nonlocal seen
        parameters, buffers, children = (
            _mapping(module, kind) for kind in ("_parameters", "_buffers", "_modules")
        )
        seen += 1 + len(parameters) + len(buffers) + len(children)
        # The file may refer to one module from many places, so paths can outnumber modules.
        if seen > MAX_ENTRIES or depth > MAX_DEPTH or len(prefix) > MAX_TEXT:
            raise CheckpointError(
                "its modules are nested without end", "take the file from a source you trust"
            )
        transient = module.state.get("_non_persistent_buffers_set")
        skipped = transient if isinstance(transient, set) else ()
        kept = {**parameters, **{n: values for n, values in buffers.items() if n not in skipped}}
        found.update({f"{prefix}{n}": t for n, t in kept.items() if isinstance(t, LazyTensor)})
        for name, child in children.items():
            if isinstance(child, Stub):
                walk(f"{prefix}{name}.", child, depth + 1)

    walk("", root, 0)
    if not found:
        raise _no_model(f"an object of {printable(root.kind)} without weights")
    return found


def _mapping(module: Stub, kind: str) -> dict[Any, Any]:
    value = module.state.get(kind)
    return value if isinstance(value, dict) else {}


def _tensors_of(holder: object) -> dict[str, LazyTensor]:
    if not isinstance(holder, dict):
        return {}
    return {
        name: t for name, t in holder.items() if isinstance(name, str) and isinstance(t, LazyTensor)
    }


def _names(value: object) -> tuple[str, ...] | None:
    """Class names from a list or from a dictionary keyed 0, 1, ..."""
    if isinstance(value, dict) and set(value) == set(range(len(value))):
        value = [value[index] for index in range(len(value))]
    if not isinstance(value, (list, tuple)) or not value:
        return None
    if not all(isinstance(name, str) and len(name) <= MAX_TEXT for name in value):
        return None
    return tuple(value)


def _count(value: object, limit: int) -> int | None:
    return value if type(value) is int and 0 <= value <= limit else None


def _line(value: object) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) and value.isprintable() else None


def _no_model(found: str) -> CheckpointError:
    return CheckpointError(
        f"holds no model: it is {found}",
        "pass a YOLOv12 checkpoint, or a state dict saved with torch.save or safetensors",
    )


def _keys(top: dict[Any, Any]) -> str:
    shown = ", ".join(printable(key, 20) for key in list(top)[:5])
    return f"{len(top)} entries ({shown}{', ...' if len(top) > 5 else ''})"
